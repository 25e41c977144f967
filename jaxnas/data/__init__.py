"""Images once from the disk, then batches as a pure function of (key, step).

found = data.load("digits")                       # numpy, on the host
train = data.resident(found.train)                # u8, on the device
batch = data.make_batch(found.mean, found.std, data.augment.none(), batch_size=64)
batch(train, key, step)                           # jaxnas.types.Batch, under jit
"""

from jaxnas.data import augment
from jaxnas.data.dataset import DataSet, from_arrays, from_pairs, merge_train
from jaxnas.data.images import DataError, Images
from jaxnas.data.lazy_images import LazyImages
from jaxnas.data.load import load
from jaxnas.data.on_device import (
    DeviceImages,
    draw,
    finish_batch,
    make_batch,
    normalise,
    steps_per_epoch,
    to_device,
)
from jaxnas.data.prefetch import prefetched, stream

__all__ = [
    "DataError",
    "DataSet",
    "Images",
    "LazyImages",
    "DeviceImages",
    "prefetched",
    "augment",
    "draw",
    "finish_batch",
    "from_arrays",
    "from_pairs",
    "load",
    "make_batch",
    "normalise",
    "to_device",
    "steps_per_epoch",
    "stream",
    "merge_train",
]
