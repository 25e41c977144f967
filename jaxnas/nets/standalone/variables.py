"""The weights and statistics of a derived network under flax's names, in flax's layouts."""

from collections.abc import Iterator

import flax.traverse_util
import numpy as np

from jaxnas.core.types import Stats, Weights
from jaxnas.nets.standalone.trace import ModuleCall, Path

COLLECTIONS = {"params": "params", "stats": "batch_stats"}


def flat(whole: ModuleCall, weights: Weights, stats: Stats) -> dict[str, np.ndarray]:
    """Arrays by names as `params/stem/convolution/kernel`, of a traced network's variables.

    Weights of layers that inference does not call (an auxiliary classifier) are left out.
    """
    converts = {call.path: call.layer.kernel for call in _layers(whole)}
    used = set(converts) | set(_modules(whole))
    arrays = {}
    for collection, tree in {"params": weights, "stats": stats}.items():
        for path, array in flax.traverse_util.flatten_dict(tree).items():
            *module, name = path
            if tuple(module) not in used:
                continue
            array = np.asarray(array)
            convert = converts.get(tuple(module)) if name == "kernel" else None
            array = array if convert is None else convert(array)
            arrays["/".join((COLLECTIONS[collection], *path))] = np.ascontiguousarray(array)
    return arrays


def _modules(call: ModuleCall) -> Iterator[Path]:
    yield call.path
    if call.layer is None:
        for item in call.body:
            if isinstance(item, ModuleCall):
                yield from _modules(item)


def _layers(call: ModuleCall) -> Iterator[ModuleCall]:
    if call.layer is not None:
        yield call
        return
    for item in call.body:
        if isinstance(item, ModuleCall):
            yield from _layers(item)
