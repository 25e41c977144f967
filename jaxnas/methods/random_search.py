"""Random search with a search's budget: random cells, each trained alone, the best is kept.

The baseline of everything. The definition of its budget is ours: the epochs that a one-stage
method trains its weights for are divided evenly among the cells.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core.gates import samplers
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Gates, Search, SearchState, Space, Supernet
from jaxnas.methods.weights_only import weights_only


def trained_alone(net: Supernet, *, epochs: int, steps_per_epoch: int, **settings) -> Search:
    """Trains the cell that the architecture says: gates as given, by `weights_only`."""
    relaxation = samplers.identity()
    return weights_only(net, relaxation, epochs=epochs, steps_per_epoch=steps_per_epoch, **settings)


def random_search(
    space: Space,
    *,
    epochs: int = 50,
    cells: int = 5,
    keep: int | None = None,
    seed: int,
    **settings: float,
) -> Program:
    """`cells` random cells, each trained from new weights for `epochs / cells`; the best is found.

    Cells are those of `samplers.uniform_single_path`, no two alike; with one-hot gates the search
    network is each cell's own network. The best is the most accurate on the validation half
    (ties: the lower loss); the architecture costs no further steps, where a bilevel method takes
    one for each step of its weights. `settings`: those of `weights_only`. Raises ValueError unless
    `cells` divides `epochs`, or for fewer different cells than asked for.
    """
    if cells < 1 or epochs < cells or epochs % cells:
        raise ValueError(
            f"{epochs} epochs do not divide among {cells} cells: choose a number that divides."
        )
    drawn = _different(space, cells, keep, seed)
    method = functools.partial(trained_alone, **settings)

    def stages() -> Program:
        results = []
        for number, gates in enumerate(drawn):
            begin = functools.partial(_begin, gates)
            name, net = f"cell-{number}", {"execute": "selected"}
            done = yield Stage(name, space, epochs // cells, method, net, begin)
            accuracy, loss = done.evaluate(jax.tree.map(lambda row: row[None], gates))
            results.append((float(accuracy[0]), -float(loss[0])))
        return Selection(space, drawn[results.index(max(results))])

    return stages()


def _begin(gates: Gates, state: SearchState) -> SearchState:
    return state._replace(arch=optax.tree.cast_like(jax.tree.map(jnp.asarray, gates), state.arch))


def _different(space: Space, count: int, keep: int | None, seed: int) -> list[Gates]:
    relaxation = samplers.uniform_single_path(space, keep)
    draw = jax.jit(lambda key: relaxation.gates({}, None, key=key, step=0))
    found: dict[bytes, Gates] = {}
    # Of as many cells as asked for, all are met in some count * log(count) draws.
    for attempt in range(100 + 20 * count):
        gates = jax.device_get(draw(jax.random.fold_in(jax.random.key(seed), attempt)))
        found.setdefault(b"".join(np.asarray(g).tobytes() for g in gates.values()), gates)
        if len(found) == count:
            return list(found.values())
    raise ValueError(f"{len(found)} different cells were drawn: ask for fewer than {count}.")
