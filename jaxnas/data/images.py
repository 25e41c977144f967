"""Labelled images in memory, and the checks of arrays."""

from typing import Any, NamedTuple

import numpy as np


class DataError(ValueError):
    """Invalid data; the message is one line with cause and cure."""


class Images(NamedTuple):
    """Images and their labels on the host."""

    inputs: np.ndarray  # u8[N, H, W, C]
    labels: np.ndarray  # i32[N]


def as_images(inputs: Any, labels: Any, location: str) -> Images:
    """Arrays as `Images`, converted to u8 and i32.

    inputs: u8 or floats in [0, 1] (rounded to 255 steps), [N, H, W, C] or grey [N, H, W];
    labels: integers from 0, [N] or [N, 1]. `location` names the pair in messages.
    Raises DataError for any other dtype, rank, value or length, and for no images.
    """
    try:
        inputs, labels = np.asarray(inputs), np.asarray(labels)
    except ValueError as error:  # nested lists of unequal lengths
        raise DataError(f"{location}: no rectangular array ({error}).") from error
    inputs, labels = _pixels(inputs, location), as_labels(labels, location)
    if len(inputs) != len(labels):
        raise DataError(
            f"{location}: {len(inputs)} images but {len(labels)} labels; give one label an image."
        )
    return Images(inputs, labels)


def as_labels(labels: np.ndarray, location: str) -> np.ndarray:
    """i32[N] of integers >= 0 of shape [N] or [N, 1]. Raises DataError for anything else."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        raise DataError(
            f"{location}: labels have shape {labels.shape}; "
            "give one class number an image (argmax of one-hot rows)."
        )
    if labels.ndim != 1:
        raise DataError(f"{location}: labels have shape {labels.shape}; they must be [N].")
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{location}: labels are {labels.dtype}; store them as integers from 0, such as int32."
        )
    if labels.size and (labels.min() < 0 or labels.max() > np.iinfo(np.int32).max):
        raise DataError(
            f"{location}: labels run from {labels.min()} to {labels.max()}; "
            "number the classes from 0."
        )
    return labels.astype(np.int32)


def _pixels(inputs: np.ndarray, location: str) -> np.ndarray:
    if inputs.ndim == 3:
        inputs = inputs[..., None]
    if inputs.ndim != 4:
        raise DataError(
            f"{location}: images have shape {inputs.shape}; "
            "they must be [N, H, W, C], or [N, H, W] where they are grey."
        )
    if not inputs.size:
        raise DataError(f"{location}: empty, shape {inputs.shape}; give at least one image.")
    if inputs.shape[1] in (1, 3) and inputs.shape[3] > 4:
        raise DataError(
            f"{location}: shape {inputs.shape} has the channels first; "
            "transpose(0, 2, 3, 1) puts them last."
        )
    if inputs.dtype == np.uint8:
        return inputs
    if inputs.dtype.kind != "f":
        raise DataError(
            f"{location}: pixels are {inputs.dtype}; "
            "store them as uint8 in 0..255 or as floats in [0, 1]."
        )
    if not np.isfinite(inputs).all():
        bad = np.flatnonzero(~np.isfinite(inputs).all(axis=(1, 2, 3)))
        raise DataError(
            f"{location}: NaN or infinite pixels in {len(bad)} images, "
            f"the first is number {bad[0]}; "
            "repair or remove them."
        )
    low, high = float(inputs.min()), float(inputs.max())
    if low < 0 or high > 1:
        raise DataError(
            f"{location}: float pixels run from {low:g} to {high:g}; scale them to [0, 1] "
            "or store them as uint8."
        )
    return np.rint(inputs * 255).astype(np.uint8)
