"""A table of measured designs as an evaluator: the nearest row, or a proxy fitted to all rows.

As ArchGym learns from its logs, https://arxiv.org/abs/2306.08888, section 5.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from jaxnas.evaluators.evaluator import Evaluator


class Log(NamedTuple):
    """What was measured: knobs by name, as text or numbers, and figures."""

    knobs: Mapping[str, np.ndarray]  # [rows] each
    figures: Mapping[str, np.ndarray]  # f64[rows] each


def values(log: Log) -> dict[str, tuple]:
    """The values of each knob in the log, in order: what `design_space.of_values` takes."""
    return {name: tuple(np.unique(column).tolist()) for name, column in log.knobs.items()}


def logged(
    log: Log,
    maximise: Mapping[str, bool],
    by: Literal["nearest", "proxy"] = "nearest",
    logarithmic: bool = True,
) -> Evaluator:
    """Figures of designs `{knob: value}`, all knobs of the log.

    `nearest`: those of the row with the fewest different knobs, numbers by their distance on the
    scale of the log's values, of equally near rows the first. `proxy`: predictions of boosted trees
    fitted to all rows, of the figures' logarithms if `logarithmic`. Raises ValueError for figures
    that the log lacks, for columns of unequal length, and where a logarithm is not defined.
    """
    if by not in ("nearest", "proxy"):
        raise ValueError(f"A log is read by 'nearest' row or by 'proxy', not by {by!r}.")
    _check(log, maximise, logarithmic and by == "proxy")
    rows = encode(log, log.knobs)
    if by == "nearest":
        predict = lambda x: _nearest(log, maximise, rows, x)
    else:
        models = {name: fit(rows, log.figures[name], logarithmic) for name in maximise}
        predict = lambda x: {name: model(x) for name, model in models.items()}

    def evaluate(designs: Sequence[Mapping[str, Any]], seeds: Sequence[int]):
        columns = {name: np.array([d[name] for d in designs]) for name in log.knobs}
        found = predict(encode(log, columns))
        return [{name: float(found[name][i]) for name in maximise} for i in range(len(designs))]

    return Evaluator(maximise, evaluate, at_once=1024)


def fit(rows: np.ndarray, figure: np.ndarray, logarithmic: bool = True):
    """`(rows f64[n, F]) -> f64[n]`: boosted trees fitted to a figure or to its logarithm."""
    model = HistGradientBoostingRegressor(max_iter=300, learning_rate=0.05, random_state=0)
    model.fit(rows, np.log(figure) if logarithmic else figure)
    return (lambda x: np.exp(model.predict(x))) if logarithmic else model.predict


def encode(log: Log, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """f64[n, F]: numbers from 0 to 1 by their rank among the log's values, names as one-hot codes.

    Knobs of one value have no column. Raises ValueError for a value that the log has not.
    """
    parts = []
    for name, known in values(log).items():
        column = np.asarray(columns[name])
        if not np.isin(column, known).all():
            wrong = column[~np.isin(column, known)][0]
            raise ValueError(f"{name} is never {wrong} in the log: {', '.join(map(str, known))}.")
        if len(known) < 2:
            continue
        place = np.searchsorted(np.array(known), column)
        is_number = np.issubdtype(np.array(known).dtype, np.number)
        if is_number:
            parts.append(place[:, None] / (len(known) - 1))
        else:
            # Two different names are one apart, as the ends of a scale are.
            parts.append((place[:, None] == np.arange(len(known))) / 2)
    return np.concatenate(parts, 1).astype(float)


def _nearest(log: Log, maximise: Mapping[str, bool], rows: np.ndarray, x: np.ndarray):
    near = np.array([np.abs(rows - one).sum(1).argmin() for one in x], int)
    return {name: log.figures[name][near] for name in maximise}


def _check(log: Log, maximise: Mapping[str, bool], logarithmic: bool) -> None:
    lengths = {len(column) for column in (*log.knobs.values(), *log.figures.values())}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"The columns of a log are equally long, not {sorted(lengths)}.")
    for name in maximise:
        if name not in log.figures:
            raise ValueError(f"The log has no {name!r}: it has {', '.join(log.figures)}.")
        if logarithmic and not (log.figures[name] > 0).all():
            raise ValueError(f"{name} is not above 0 throughout: give logarithmic=False.")
