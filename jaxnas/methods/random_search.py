"""Random search with the budget of a search: random cells, trained separately; the best wins.

The baseline of all methods. The definition of its budget is ours: the epochs of a one-stage method
are divided evenly among the cells.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core.gates import samplers
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Gates, Search, SearchState, Space, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import WEIGHTS_ONLY, Optimisers
from jaxnas.methods.weights_only import weights_only


def trained_alone(net: Supernet, *, epochs: int, steps_per_epoch: int, **settings) -> Search:
    """Trains the cell whose gates are the architecture, by `weights_only`."""
    gates = samplers.identity()
    return weights_only(net, gates, epochs=epochs, steps_per_epoch=steps_per_epoch, **settings)


def random_search(
    space: Space,
    *,
    epochs: int = 50,
    cells: int = 5,
    edges_per_node: int | None = None,
    seed: int,
    optimisers: Optimisers = WEIGHTS_ONLY,
    nesterov: bool = False,
) -> Program:
    """`cells` random cells, each trained from new weights for `epochs / cells`; the best is kept.

    Cells are those of `samplers.uniform_single_path`, no two alike; with one-hot gates the search
    network is each cell's own network. The best is the most accurate on the validation half
    (ties: the lower loss); the architecture costs no further steps, where a bilevel method takes
    one for each step of its weights. Raises ValueError unless `cells` divides `epochs`, and for
    more cells than there are different ones.
    """
    if cells < 1 or epochs < cells or epochs % cells:
        raise ValueError(
            f"{epochs} epochs do not divide among {cells} cells: choose a number that divides."
        )
    sampled = _sample_distinct(space, cells, edges_per_node, seed)
    method = functools.partial(trained_alone, optimisers=optimisers, nesterov=nesterov)

    def stages() -> Program:
        scores = []
        for number, gates in enumerate(sampled):
            begin = functools.partial(_begin, gates)
            name, net = f"cell-{number}", {"execute": "selected"}
            result = yield Stage(name, space, epochs // cells, method, net, begin)
            accuracy, loss = result.evaluate(jax.tree.map(lambda row: row[None], gates))
            scores.append((float(accuracy[0]), -float(loss[0])))
        return Selection(space, sampled[scores.index(max(scores))])

    return stages()


def _begin(gates: Gates, state: SearchState) -> SearchState:
    return state._replace(arch=optax.tree.cast_like(jax.tree.map(jnp.asarray, gates), state.arch))


def _sample_distinct(
    space: Space, count: int, edges_per_node: int | None, seed: int
) -> list[Gates]:
    relaxation = samplers.uniform_single_path(space, edges_per_node)
    sample = jax.jit(lambda key: relaxation.gates({}, None, key=key, step=0))
    distinct: dict[bytes, Gates] = {}
    # About count * log(count) samples contain `count` different cells (coupon collector).
    for attempt in range(100 + 20 * count):
        gates = jax.device_get(sample(jax.random.fold_in(jax.random.key(seed), attempt)))
        distinct.setdefault(b"".join(np.asarray(g).tobytes() for g in gates.values()), gates)
        if len(distinct) == count:
            return list(distinct.values())
    raise ValueError(f"{len(distinct)} different cells were drawn: ask for fewer than {count}.")


METHOD = entry.Method(
    "random search with the same budget",
    entry.of_sampled_cells(random_search),
    entry.defaults(random_search),
    quick={"cells": 3},
    needs={"edgewise", "execute"},
    strategy="random",
    acceleration="short training",
)
