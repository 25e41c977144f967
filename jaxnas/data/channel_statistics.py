"""Mean and standard deviation of each channel, by which images are normalised."""

from collections.abc import Sequence

import numpy as np

from jaxnas.data.images import DataError, Images


def mean_and_std(
    train: Images, mean: Sequence[float] | None, std: Sequence[float] | None, name: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in [0, 1] units; measured unless given.

    `name` is that of the data set, for messages. Raises DataError for numbers that do not fit and
    for channels without variance.
    """
    if (mean is None) != (std is None):
        raise DataError("mean and std belong together; give both or neither.")
    channels = train.inputs.shape[-1]
    if mean is None or std is None:
        return _measure(train, name)
    for label, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise DataError(f"{label} has {len(values)} numbers; {name} has {channels} channels.")
        if not all(0 <= value <= 1 for value in values):
            raise DataError(f"{label} is {tuple(values)}; give it in [0, 1] units, not 0..255.")
    if not all(std):
        raise DataError(f"std is {tuple(std)}; it divides and must be positive.")
    return tuple(map(float, mean)), tuple(map(float, std))


def _measure(train: Images, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Exact and without a float copy of the images: from the histogram of each channel."""
    values, mean, std = np.arange(256) / 255, [], []
    for c in range(train.inputs.shape[-1]):
        counts = np.bincount(train.inputs[..., c].ravel(), minlength=256)
        frequencies = counts / counts.sum()
        mean.append(float(frequencies @ values))
        std.append(float(np.sqrt(frequencies @ (values - mean[-1]) ** 2)))
        if std[-1] < 1e-6:
            raise DataError(
                f"{name}: channel {c} is constant in the training half; check the images, leave "
                "the channel out, or in Python give mean and std."
            )
    return tuple(mean), tuple(std)
