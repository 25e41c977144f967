"""Single path with uniform sampling: shared weights learn from random cells, the best is kept.

SPOS, https://arxiv.org/abs/1904.00420, whose evolution over the sampled cells is left out:
random search with weight sharing, RSPS, https://arxiv.org/abs/1902.07638.
"""

import functools

import jax

from jaxnas.core.gates import samplers
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Search, Space, Supernet
from jaxnas.methods.weights_only import weights_only


def spos(
    net: Supernet,
    *,
    epochs: int = 250,
    steps_per_epoch: int,
    keep: int | None = None,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 5e-4,
    clip_norm: float = 5.0,
) -> Search:
    """Trains the weights, each step those of one random cell; the architecture is empty.

    `keep` edges into a node are open (2 for DARTS cells), or all. A supernet made with
    `execute="selected"` computes the open candidates alone. Settings as of NAS-Bench-201's RSPS
    (D-X-Y/AutoDL-Projects), from memory. Raises ValueError for a `keep` that some node has not,
    and for an impossible learning rate or length.
    """
    return weights_only(
        net,
        samplers.uniform_single_path(net.space, keep),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        learning_rate=learning_rate,
        min_learning_rate=min_learning_rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        nesterov=True,
    )


def best_of_samples(
    space: Space,
    *,
    epochs: int = 250,
    samples: int = 100,
    keep: int | None = None,
    seed: int,
    **settings: float,
) -> Program:
    """`spos`, with `settings`; then the most accurate of `samples` random cells is found.

    All are evaluated with the shared weights in one call; equal cells may be drawn twice, ties go
    to the first. 100 samples as in NAS-Bench-201's code, from memory. Raises ValueError for no
    samples, no epochs, and a `keep` that some node has not.
    """
    if samples < 1 or epochs < 1:
        raise ValueError(
            f"A search has epochs >= 1 and evaluates samples >= 1, not {epochs} and {samples}."
        )
    paths = samplers.uniform_single_path(space, keep)
    method = functools.partial(spos, keep=keep, **settings)

    def stages() -> Program:
        done = yield Stage("search", space, epochs, method, {"execute": "selected"})
        keys = jax.random.split(jax.random.key(seed), samples)
        cells = jax.vmap(lambda key: paths.gates({}, None, key=key, step=0))(keys)
        accuracy, _ = done.evaluate(cells)
        best = int(accuracy.argmax())
        return Selection(space, jax.tree.map(lambda gates: gates[best], cells))

    return stages()
