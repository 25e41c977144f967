"""A made-up benchmark of transformers: ten columns, four of which tell how long a network takes."""

import numpy as np

from jaxnas.hardware.columns.column_table import ColumnRows

NAMES = (
    "layers", "width", "heads", "length", "ffn_ratio", "vocabulary", "batch", "shared", "dropout",
    "groups",
)  # fmt: skip


def rows(count, seed=0):
    """f64[count, 10], every column drawn by itself."""
    random = np.random.default_rng(seed)
    pick = lambda *numbers: random.choice(numbers, count).astype(float)
    columns = [
        pick(2, 4, 6, 8, 12, 16, 24), pick(128, 192, 256, 384, 512, 768, 1024), pick(2, 4, 8, 16),
        pick(64, 128, 256, 384, 512), pick(1, 2, 3, 4), pick(8e3, 16e3, 32e3), pick(1, 2, 4),
        random.uniform(0, 1, count), pick(0, 0.1, 0.3), random.uniform(1, 4, count),
    ]  # fmt: skip
    return np.stack(columns, 1)


def milliseconds(values, noise=0.02, seed=0):
    """A launch, and layers times what products of matrices and attention take."""
    layers, width, _, length = values[:, :4].T
    ms = 1 + layers * (2e-6 * width**2 + 6e-7 * width * length)
    return ms * np.exp(noise * np.random.default_rng(seed).standard_normal(len(values)))


def measured(count, seed=0, noise=0.02):
    values = rows(count, seed)
    return as_rows(values, milliseconds(values, noise, seed))


def as_rows(values, ms, names=None):
    names = names or NAMES[: values.shape[1]]
    return ColumnRows("made up", "latency_ms", names, values, ms, np.arange(len(ms)) + 2, {}, [])


def written(path, values, ms=None, names=NAMES, **others):
    """A table *.csv of rows, with other columns by name."""
    columns = {name: values[:, i] for i, name in enumerate(names)} | others
    if ms is not None:
        columns["latency_ms"] = ms
    lines = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")
    return path
