"""Claims on a user's choices, and on each operation alone."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnas.core.types import NONE, Choice
from jaxnas.nets import batch_norm
from jaxnas.nets.mixed import mixed_edges
from jaxnas.spaces.user.claim import Claim, ClaimFailed
from jaxnas.spaces.user.user_space import UserSpace

CELLS = ("normal", "reduce")
INPUTS = 2  # of a cell
FEATURES, BATCH = 8, 4
SIDES = (8, 7)  # an odd side as well: images come in any size
COLLECTIONS = {"params", "stats"}
ARCH_NAMES = {"arch", "alpha", "alphas", "gate", "gates"}


class Trial(NamedTuple):
    """One operation at one stride."""

    name: str  # in messages
    op: Any  # a Linen module
    stride: int


def named(user: UserSpace) -> tuple[str, ...]:
    """The different candidates of all edges, without `none`."""
    rows = (row for choice in user.space.values() for row in choice.candidates)
    return tuple(dict.fromkeys(name for row in rows for name in row if name != NONE))


def trials(user: UserSpace) -> Iterator[Trial]:
    """Each named operation at both strides, normalised as in a supernet that trains."""
    norm = batch_norm.norms(affine_inside=False, training=True).inside
    for name in named(user):
        for stride in (1, 2):
            called = f"{name!r} at stride {stride}"
            try:
                op = user.candidates[name](FEATURES, stride, norm)
            except TypeError as error:
                raise ClaimFailed(
                    f"{name!r} is not made by calling factory(features, stride, norm): {error}."
                ) from error
            if not hasattr(op, "init_with_output"):
                raise ClaimFailed(f"{called} is {type(op).__name__}, not a flax.linen module.")
            yield Trial(called, op, stride)


def is_a_space(user: UserSpace) -> None:
    if set(user.space) != set(CELLS):
        raise ClaimFailed(
            f"SPACE has the cells {', '.join(map(repr, user.space)) or 'none'}; a DARTS-like "
            "space has 'normal' and 'reduce'."
        )
    for name, choice in user.space.items():
        _is_a_choice(f"The cell {name!r}", choice)


def _is_a_choice(cell: str, choice: Choice) -> None:
    if not isinstance(choice, Choice):
        raise ClaimFailed(f"{cell} is {type(choice).__name__}, not a jaxnas.types.Choice.")
    if not _tuples(choice.edges) or not _tuples(choice.candidates):
        raise ClaimFailed(f"{cell} holds lists: write tuples of tuples, which jit can hash.")
    if not choice.edges or len(choice.candidates) != len(choice.edges):
        raise ClaimFailed(
            f"{cell} has {len(choice.edges)} edges and {len(choice.candidates)} rows of "
            "candidates: give each edge one row."
        )
    for edge in choice.edges:
        if len(edge) != 2 or not all(type(node) is int for node in edge):
            raise ClaimFailed(
                f"{cell}: {edge} is no edge; write (source, target), two whole numbers."
            )
        if not 0 <= edge[0] < edge[1] or edge[1] < INPUTS:
            raise ClaimFailed(
                f"{cell}: the edge {edge} must run from an earlier to a later node, and into a "
                f"node from {INPUTS} on (0 and 1 are the cell's inputs)."
            )
        if choice.edges.count(edge) > 1:
            raise ClaimFailed(f"{cell}: the edge {edge} stands twice; name each once.")
    targets = {target for _, target in choice.edges}
    gaps = set(range(INPUTS, max(targets))) - targets
    if gaps:
        raise ClaimFailed(f"{cell}: no edge enters node {min(gaps)}, but later nodes have some.")
    for edge, row in zip(choice.edges, choice.candidates, strict=True):
        if not row or not all(isinstance(name, str) for name in row) or len(set(row)) < len(row):
            raise ClaimFailed(f"{cell}, edge {edge}: candidates are distinct names, not {row}.")
        if set(row) == {NONE}:
            raise ClaimFailed(
                f"{cell}, edge {edge}: nothing but {NONE!r} stands there; name an op."
            )


def has_rectangular_gates(user: UserSpace) -> None:
    for name, choice in user.space.items():
        counts = [len(row) for row in choice.candidates]
        for edge, count in zip(choice.edges, counts, strict=True):
            if count != counts[0]:
                raise ClaimFailed(
                    f"In the cell {name!r} the edge {choice.edges[0]} has {counts[0]} candidates "
                    f"and {edge} has {count}: gates are one array [edges, candidates], so give "
                    "all edges of a cell equally many."
                )


def knows_its_candidates(user: UserSpace) -> None:
    try:
        factories = mixed_edges.op_factories(named(user), user.candidates)
    except ValueError as error:
        raise ClaimFailed(f"{error} In a file of your own: to CANDIDATES.") from error
    for name, factory in factories:
        if not callable(factory):
            raise ClaimFailed(
                f"CANDIDATES[{name!r}] is {type(factory).__name__}: write a function of "
                "(features, stride, norm) that returns the module."
            )


def keeps_shapes(user: UserSpace) -> None:
    for trial in trials(user):
        for side in SIDES:
            x = jax.ShapeDtypeStruct((BATCH, side, side, FEATURES), jnp.float32)
            y, _ = jax.eval_shape(trial.op.init_with_output, jax.random.key(0), x)
            half = -(-side // trial.stride)
            expected = (BATCH, half, half, FEATURES)
            if getattr(y, "shape", None) != expected:
                raise ClaimFailed(
                    f"{trial.name} turns {x.shape} into {getattr(y, 'shape', type(y).__name__)}, "
                    f"expected {expected}: keep the features, divide the size by the stride and "
                    "round up."
                )
            if y.dtype != x.dtype:
                raise ClaimFailed(f"{trial.name} turns {x.dtype} into {y.dtype}: keep the input's.")


def stores_weights_and_statistics_only(user: UserSpace) -> None:
    x = jax.ShapeDtypeStruct((1, SIDES[0], SIDES[0], FEATURES), jnp.float32)
    for trial in trials(user):
        stored = jax.eval_shape(trial.op.init, jax.random.key(0), x)
        others = sorted(set(stored) - COLLECTIONS)
        if others:
            raise ClaimFailed(
                f"{trial.name} has variables in {others[0]!r}: weights belong in 'params', running "
                "statistics in 'stats', and preferences in the search's arch."
            )
        for path, _ in jax.tree.leaves_with_path(stored):
            names = {key.key for key in path} & ARCH_NAMES
            if names:
                raise ClaimFailed(
                    f"{trial.name} has a parameter {names.pop()!r} of its own: the weight "
                    "optimiser would train it. Offer two candidates and let their gates decide."
                )


def has_finite_gradients(user: UserSpace) -> None:
    for trial in trials(user):
        _has_finite_gradients(trial)


def _has_finite_gradients(trial: Trial) -> None:
    shape = (BATCH, SIDES[0], SIDES[0], FEATURES)
    key = jax.random.key(0)
    images = {
        "a normal image": jax.random.normal(key, shape),
        "an image of zeros": jnp.zeros(shape),
    }

    @jax.jit
    def grads(x):
        stored = dict(trial.op.init(key, x))
        weights = stored.pop("params", {})

        def mean_square(weights, x):
            y, _ = trial.op.apply({"params": weights} | stored, x, mutable=["stats"])
            return jnp.mean(jnp.square(y))

        return jax.value_and_grad(mean_square, argnums=(0, 1))(weights, x)

    for called, x in images.items():
        value, gradients = grads(x)
        if not jnp.isfinite(value):
            raise ClaimFailed(f"{trial.name} makes {called} into one that is not finite.")
        if not all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients)):
            raise ClaimFailed(
                f"{trial.name} has a gradient that is not finite at {called}: look for a root, "
                "logarithm or division at zero."
            )


def _tuples(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(row, tuple) for row in value)


CLAIMS = (
    Claim("the space is well formed", "two cells, every node is reached, no cycle", is_a_space),
    Claim("gates are rectangular", "one array [edges, candidates] a cell", has_rectangular_gates),
    Claim("candidates are known", "every name has a factory", knows_its_candidates),
    Claim("shapes", "features kept, size divided by stride 1 and 2", keeps_shapes),
    Claim(
        "no arch in the weights",
        "operations keep weights and statistics only",
        stores_weights_and_statistics_only,
    ),
    Claim("operations differentiate", "finite, at zero images as well", has_finite_gradients),
)
