"""Labelled images in memory, and the checks of arrays."""

from typing import Any, NamedTuple

import numpy as np

LAST, FIRST = "NHWC", "NCHW"  # the channels
LAYOUTS = (LAST, FIRST)


class DataError(ValueError):
    """Invalid data; the message is one line with cause and cure."""


class AbsentClassError(DataError):
    """A half without a class, which a stratified split would give it."""


class Images(NamedTuple):
    """Images and their labels on the host."""

    inputs: np.ndarray  # u8[N, H, W, C]
    labels: np.ndarray  # i32[N]


def as_images(inputs: Any, labels: Any, location: str, layout: str | None = None) -> Images:
    """Arrays as `Images`, converted to u8 and i32.

    inputs: u8 or floats in [0, 1] (rounded to 255 steps), [N, H, W, C] or grey [N, H, W];
    labels: integers from 0, [N] or [N, 1]. `location` names the pair in messages. `layout`: of
    LAYOUTS, for shapes that can be read both ways. An alpha channel that is opaque everywhere is
    dropped. Raises DataError for any other dtype, rank, value or length, and for no images.
    """
    try:
        inputs, labels = np.asarray(inputs), np.asarray(labels)
    except ValueError as error:  # nested lists of unequal lengths
        raise DataError(f"{location}: no rectangular array ({error}).") from error
    inputs, labels = _pixels(inputs, location, layout), as_labels(labels, location)
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


def _pixels(inputs: np.ndarray, location: str, layout: str | None) -> np.ndarray:
    if inputs.ndim == 3:
        inputs = inputs[..., None]
    if inputs.ndim != 4:
        raise DataError(
            f"{location}: images have shape {inputs.shape}; "
            "they must be [N, H, W, C], or [N, H, W] where they are grey."
        )
    if not inputs.size:
        raise DataError(f"{location}: empty, shape {inputs.shape}; give at least one image.")
    return _without_opaque_alpha(_as_bytes(_channels_last(inputs, location, layout), location))


def _channels_last(inputs: np.ndarray, location: str, layout: str | None) -> np.ndarray:
    """[N, H, W, C], transposed if the layout says so. Raises DataError for an ambiguous shape."""
    if layout not in (None, *LAYOUTS):
        raise DataError(f"{location}: layout is {layout!r}; it is {' or '.join(LAYOUTS)}.")
    if layout is not None:
        return inputs if layout == LAST else np.transpose(inputs, (0, 2, 3, 1))
    _, second, third, last = inputs.shape
    if last <= 4:
        return inputs
    square = third == last and second <= 4
    # A signal, [N, 1, width, channels], is much longer than it has channels.
    if square or second == 3 or (second == 1 and 2 * last > third):
        raise DataError(
            f"{location}: shape {inputs.shape} has the channels first; transpose(0, 2, 3, 1) puts "
            f"them last. (If these are images of height {second}, width {third} and {last} "
            f"channels, say layout={LAST!r}: of from_arrays, or as a key of the .npz file.)"
        )
    return inputs


def _without_opaque_alpha(inputs: np.ndarray) -> np.ndarray:
    if inputs.shape[-1] in (2, 4) and (inputs[..., -1] == 255).all():
        return np.ascontiguousarray(inputs[..., :-1])
    return inputs


def _as_bytes(inputs: np.ndarray, location: str) -> np.ndarray:
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
