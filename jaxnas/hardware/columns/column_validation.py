"""Cross-validation of a model of columns and of simpler ones on rows that were left out."""

import numpy as np

from jaxnas.hardware.columns import column_model
from jaxnas.hardware.columns.column_table import ColumnRows
from jaxnas.hardware.predict import baselines, metrics
from jaxnas.hardware.predict.cross_validation import FOLDS, OURS
from jaxnas.hardware.predict.metrics import Quality
from jaxnas.hardware.predict.validation import FitError


def cross_validate(rows: ColumnRows) -> tuple[dict[str, Quality], np.ndarray, np.ndarray]:
    """Five-fold cross-validation: (quality of each model, what was measured, what ours predicts).

    Beside ours: a line over the column that is nearest to one, and boosted trees. Raises FitError
    for fewer than ten different rows.
    """
    values, measured = column_model.distinct(rows)
    if len(measured) < 2 * FOLDS:
        raise FitError(f"{len(measured)} different rows are too few to judge a model: give ten.")
    fold = np.random.default_rng(0).permutation(len(measured)) % FOLDS
    makers = {OURS: _ours(rows), "column": _best_column, "trees": baselines.trees(np.asarray)}
    predicted = {name: np.zeros((3, len(measured))) for name in makers}
    for k in range(FOLDS):
        inside, outside = fold != k, fold == k
        for name, fit in makers.items():
            predicted[name][:, outside] = fit(values[inside], measured[inside])(values[outside])
    qualities = {name: metrics.quality(measured, *found) for name, found in predicted.items()}
    return qualities, measured, predicted[OURS][0]


def _ours(rows: ColumnRows) -> baselines.Baseline:
    return lambda values, measured: (
        column_model.fit(rows._replace(values=values, measured=measured)).predict
    )


def _best_column(values: np.ndarray, measured: np.ndarray) -> baselines.Predict:
    """A line over the column of largest correlation with what was measured."""
    deviations = values - values.mean(0)
    norms = np.sqrt((deviations**2).sum(0))
    products = np.abs(deviations.T @ (measured - measured.mean()))
    best = int(np.argmax(products / np.where(norms > 0, norms, np.inf)))
    return baselines.line(lambda rows: rows[:, [best]])(values, measured)
