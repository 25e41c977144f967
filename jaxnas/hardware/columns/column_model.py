"""A model of columns of numbers: what rows take, with intervals.

Two forms are fitted, and the one whose rows left out are predicted better is taken. Either is one
regression (`predict.regression`) on products of up to three standardised columns:
of the columns themselves; or of their logarithms, times a product of powers of the columns (which
is fitted first, by ridge regression of logarithms), so that what spans decades has relative errors.
Each column is weighted by its share in the variance of a fit before, so that columns which tell
nothing vanish from all products.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.hardware.columns import column_features
from jaxnas.hardware.columns.column_table import ColumnRows
from jaxnas.hardware.predict import fit as fits
from jaxnas.hardware.predict import regression, validation
from jaxnas.hardware.predict.predictor import LATENCY, LEVEL, MIN_SCALE, margin
from jaxnas.hardware.predict.validation import FitError

MIN_ROWS, MAX_ROWS = 5, 2000  # different ones; of more, as many are drawn at random
ROUNDS, ROUND_ROWS = 4, 300  # fits that weight columns, and the rows of all but the last
LEAST_WEIGHT = 0.02  # of a column, relative to that of the largest share
RIDGES = np.logspace(-3, 2, 11)  # of the powers, chosen by leave-one-out
REACH = 2.0  # columns count as at most so many ranges beyond what was measured
MIN_RELATIVE = fits.MIN_RELATIVE_MS


class ColumnModel(NamedTuple):
    """Predicts what rows of `names` take: `exp(log_factor + powers . log x) * (constant + ...)`."""

    names: tuple[str, ...]
    constants: Mapping[str, float]  # of other columns, in all rows of the fit
    device: str
    quantity: str
    rows: int  # different ones of the fit
    least: float
    median: float
    floor: float  # of the scale of intervals
    errors: np.ndarray  # f64[rows], relative leave-one-out errors, sorted
    ranges: np.ndarray  # f64[2, C]: the smallest and the largest number of each column
    logs: np.ndarray  # f64[C]: 1 for columns of which logarithms are taken, else 0
    log_factor: float
    powers: np.ndarray  # f64[C]
    means: np.ndarray  # f64[C], of columns or logarithms
    slopes: np.ndarray  # f64[C]: weights of the columns over their standard deviations
    constant: float
    weights: Mapping[str, np.ndarray]  # of groups of products

    def predict(self, values: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, ...]:
        """(milliseconds or another quantity, low, high), f64[N] each, of rows f64[N, C].

        What was measured lies between low and high with probability `level`, estimated from
        leave-one-out errors. Raises ValueError for rows of other columns.
        """
        values = np.asarray(values, float)
        if values.ndim != 2 or values.shape[1] != len(self.names):
            raise ValueError(f"Rows have the shape {values.shape}: give [rows, {len(self.names)}].")
        found = np.maximum(_unbounded(self, values), self.least)
        away = margin(self, level) * np.maximum(found, self.floor)
        return found, np.maximum(found - away, 0.0), found + away

    def outside(self, values: np.ndarray) -> np.ndarray:
        """bool[N, C]: what is smaller or larger than in all rows of the fit."""
        return (values < self.ranges[0]) | (values > self.ranges[1])


def fit(rows: ColumnRows) -> ColumnModel:
    """The model of measured rows; of rows alike in all columns the median is taken.

    Raises FitError for fewer than MIN_ROWS different rows, and for times that are of two units or
    implausible as milliseconds.
    """
    values, measured = distinct(rows)
    if len(values) < MIN_ROWS:
        raise FitError(
            f"{len(values)} different rows were measured: {MIN_ROWS} are the least, 60 to 100 are "
            "advised."
        )
    if len(values) > MAX_ROWS:
        some = np.random.default_rng(0).choice(len(values), MAX_ROWS, replace=False)
        values, measured = values[some], measured[some]
    positive = (values > 0).all(0)
    forms = [_fit_form(rows, values, measured, np.zeros(len(positive)))]
    if positive.any():
        forms.append(_fit_form(rows, values, measured, positive.astype(float)))
    return min(forms, key=lambda form: form[0])[1]


def distinct(rows: ColumnRows) -> tuple[np.ndarray, np.ndarray]:
    """Different rows f64[N, C], and the median of what was measured for each. Raises FitError."""
    values, measured = validation.medians(rows.values, rows.measured)
    if rows.quantity == LATENCY:
        validation.check_unit(measured)
    return values, measured


def relative_error(measured: np.ndarray, predicted: np.ndarray, least: float) -> np.ndarray:
    """f64[N]: errors relative to predictions; more than all of one count as all of it."""
    return np.minimum(np.abs(measured / np.maximum(predicted, least) - 1), 1.0)


def _fit_form(
    rows: ColumnRows, values: np.ndarray, measured: np.ndarray, logs: np.ndarray
) -> tuple[float, ColumnModel]:
    """(the mean relative error of rows left out, the model) with `logs` f[C] taken."""
    log_factor, powers = 0.0, np.zeros(len(logs))
    if logs.any():
        log_factor, powers = _powers(_columns(values, logs)[:, logs > 0], measured, logs)
    factor = _factor(values, logs, log_factor, powers)
    columns, relative = _columns(values, logs), measured / factor
    means, slopes = columns.mean(0), 1 / np.where(columns.std(0) > 0, columns.std(0), np.inf)
    some = np.linspace(0, len(values) - 1, min(len(values), ROUND_ROWS)).astype(int)
    shares = np.ones(len(logs))
    for _ in range(ROUNDS - 1):
        part = (columns[some] - means) * slopes * shares
        _, _, weights = _regress(part, relative[some])
        shares = np.sqrt(column_features.share(part, weights))
        shares = np.maximum(shares / (shares.max() or 1.0), LEAST_WEIGHT)
    slopes = slopes * shares
    found, constant, weights = _regress((columns - means) * slopes, relative)
    fitted = len(logs) + (1 + int(logs.sum()) if logs.any() else 0)
    left_out = factor * fits.leave_one_out(relative, found, fitted)
    least, median = MIN_RELATIVE * float(measured.min()), float(np.median(measured))
    floor = 0.0 if logs.any() else MIN_SCALE * median
    errors = np.abs(measured - left_out) / np.maximum(left_out, max(floor, least))
    model = ColumnModel(
        rows.names, rows.constants, rows.device, rows.quantity, len(values), least, median, floor,
        np.sort(errors), np.stack([values.min(0), values.max(0)]), logs, log_factor, powers, means,
        slopes, constant, weights,
    )  # fmt: skip
    return float(relative_error(measured, left_out, least).mean()), model


def _regress(
    columns: np.ndarray, target: np.ndarray
) -> tuple[regression.Regression, float, dict[str, np.ndarray]]:
    """(the regression on products of columns, its constant, weights of products as they are)."""
    groups = column_features.groups(columns)
    return fits.regress(groups, target, fits.scaling(groups))


def _powers(
    log_columns: np.ndarray, measured: np.ndarray, logs: np.ndarray
) -> tuple[float, np.ndarray]:
    """(log factor, powers f64[C]) of the product of powers nearest to what was measured.

    Ridge regression of logarithms, all columns of one variance.
    """
    mean, spread = log_columns.mean(0), log_columns.std(0)
    spread = np.where(spread > 0, spread, np.inf)
    design = np.concatenate([np.ones((len(measured), 1)), (log_columns - mean) / spread], 1)
    target, found = np.log(measured), []
    for ridge in RIDGES:
        penalty = ridge * np.eye(design.shape[1])
        penalty[0, 0] = 0
        solver = np.linalg.solve(design.T @ design + penalty, design.T)
        left_out = (target - design @ solver @ target) / (1 - np.diag(design @ solver) + 1e-9)
        found.append((float(np.mean(left_out**2)), solver @ target))
    _, (constant, *slopes) = min(found, key=lambda candidate: candidate[0])
    powers = np.zeros(len(logs))
    powers[logs > 0] = np.array(slopes) / spread
    return float(constant - powers[logs > 0] @ mean), powers


def _columns(values: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """f64[N, C]: the columns, or their logarithms."""
    return np.where(logs > 0, np.log(np.where(logs > 0, values, 1.0)), values)


def _factor(values, logs, log_factor: float, powers: np.ndarray) -> np.ndarray:
    return np.exp(log_factor + _columns(values, logs) @ powers)


def _unbounded(model: ColumnModel, values: np.ndarray) -> np.ndarray:
    low, high = model.ranges
    reach = REACH * (high - low)
    least = np.where(model.logs > 0, low / (1 + REACH), low - reach)
    values = np.clip(values, least, high + reach)
    columns = (_columns(values, model.logs) - model.means) * model.slopes
    groups = column_features.groups(columns)
    relative = model.constant + sum(groups[name] @ w for name, w in model.weights.items())
    return relative * _factor(values, model.logs, model.log_factor, model.powers)
