"""Data sets of images, read once, and batches as a pure function of (key, step).

dataset = data.load("digits")                     # numpy, on the host
train = data.to_device(dataset.train)             # u8, on the device
batch = data.make_batch(dataset.mean, dataset.std, data.augment.none(), batch_size=64)
batch(train, key, step)                           # core.types.Batch, under jit
"""

from jaxnas.data import augment
from jaxnas.data.dataset import DataSet, from_arrays, from_pairs, merge_train
from jaxnas.data.images import AbsentClassError, DataError, Images
from jaxnas.data.lazy_images import LazyImages
from jaxnas.data.load import load
from jaxnas.data.on_device import (
    DeviceImages,
    draw_batch,
    make_batch,
    normalise,
    preprocess,
    steps_per_epoch,
    to_device,
)
from jaxnas.data.prefetch import prefetched, stream

__all__ = [
    "AbsentClassError",
    "DataError",
    "DataSet",
    "DeviceImages",
    "Images",
    "LazyImages",
    "augment",
    "draw_batch",
    "from_arrays",
    "from_pairs",
    "load",
    "make_batch",
    "merge_train",
    "normalise",
    "prefetched",
    "preprocess",
    "steps_per_epoch",
    "stream",
    "to_device",
]
