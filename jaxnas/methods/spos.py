"""SPOS: shared weights learn from uniformly sampled cells, the best of samples is selected.

https://arxiv.org/abs/1904.00420, whose evolution over the sampled cells is `--select evolution`;
else random search with weight sharing, RSPS, https://arxiv.org/abs/1902.07638.
"""

import functools

import jax

from jaxnas.core.gates import samplers
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Relaxation, Search, Space, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import WEIGHTS_ONLY, Optimisers, warmed_up
from jaxnas.methods.weights_only import weights_only

OPTIMISERS = WEIGHTS_ONLY._replace(weight_decay=5e-4)
SAMPLINGS = {"uniform": samplers.uniform_single_path, "fair": samplers.fair_single_path}


def spos(
    net: Supernet,
    *,
    epochs: int = 250,
    steps_per_epoch: int,
    edges_per_node: int | None = None,
    sampling: str = "uniform",
    warm_up: int = 0,
    optimisers: Optimisers = OPTIMISERS,
) -> Search:
    """Trains the weights, each step those of one random cell; the architecture is empty.

    `edges_per_node` are open (2 for DARTS cells), or all. `sampling` is `uniform`, or `fair`: every
    candidate of an edge once in as many steps as there are candidates. The learning rate rises for
    `warm_up` epochs. A supernet made with `execute="selected"` computes the open candidates alone.
    Settings as of NAS-Bench-201's RSPS (D-X-Y/AutoDL-Projects), from memory. Raises ValueError for
    more edges than enter some node, another sampling, and an impossible learning rate or length.
    """
    paths = sampled_paths(net.space, edges_per_node, sampling)
    rate = warmed_up(optimisers, epochs, steps_per_epoch, warm_up)
    length = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    return weights_only(net, paths, **length, optimisers=optimisers, rate=rate, nesterov=True)


def sampled_paths(space: Space, edges_per_node: int | None, sampling: str) -> Relaxation:
    """The paths of a sampling by name. Raises ValueError for an unknown one."""
    if sampling not in SAMPLINGS:
        raise ValueError(f"Paths are sampled {' or '.join(SAMPLINGS)}, not {sampling!r}.")
    return SAMPLINGS[sampling](space, edges_per_node)


def best_of_samples(
    space: Space,
    *,
    epochs: int = 250,
    samples: int = 100,
    edges_per_node: int | None = None,
    sampling: str = "uniform",
    warm_up: int = 0,
    seed: int,
    optimisers: Optimisers = OPTIMISERS,
) -> Program:
    """`spos`; then the most accurate of `samples` random cells is selected.

    All are evaluated with the shared weights in one call; equal cells may be sampled twice, ties go
    to the first. 100 samples as in NAS-Bench-201's code, from memory. Raises ValueError for no
    samples, no epochs, and more edges than enter some node.
    """
    if samples < 1 or epochs < 1:
        raise ValueError(
            f"A search has epochs >= 1 and evaluates samples >= 1, not {epochs} and {samples}."
        )
    sampled_paths(space, edges_per_node, sampling)  # refuses an unknown one
    paths = samplers.uniform_single_path(space, edges_per_node)
    method = functools.partial(
        spos,
        edges_per_node=edges_per_node,
        sampling=sampling,
        warm_up=warm_up,
        optimisers=optimisers,
    )

    def stages() -> Program:
        result = yield Stage("search", space, epochs, method, {"execute": "selected"})
        keys = jax.random.split(jax.random.key(seed), samples)
        cells = jax.vmap(lambda key: paths.gates({}, None, key=key, step=0))(keys)
        accuracy, _ = result.evaluate(cells)
        best = int(accuracy.argmax())
        return Selection(space, jax.tree.map(lambda gates: gates[best], cells))

    return stages()


METHOD = entry.Method(
    "single path with uniform sampling",
    entry.of_sampled_cells(best_of_samples),
    entry.defaults(best_of_samples),
    needs={"edgewise", "execute"},
    samples_paths=True,
    strategy="random sampling, evolution",
)
