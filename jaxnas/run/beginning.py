"""The first state of a run: a program that is run once, so compiled in haste."""

from collections.abc import Callable
from typing import Any

import jax

UNOPTIMISED_INIT = {"xla_backend_optimization_level": 0}  # random draws compile ten times faster so


def init_compiled(init: Callable[..., Any], *arguments: Any) -> Any:
    """`init(*arguments)`, compiled; on the CPU without optimisation."""
    hasty = UNOPTIMISED_INIT if jax.default_backend() == "cpu" else None
    return jax.jit(init).lower(*arguments).compile(hasty)(*arguments)
