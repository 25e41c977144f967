"""Linear regression, its penalty by maximum evidence.

scikit-learn's BayesianRidge; Tipping 2001, JMLR 1.
"""

import numpy as np

from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate


def ridge() -> Surrogate:
    """A linear model; its std is that of a prediction, noise included."""

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        from sklearn.linear_model import BayesianRidge  # takes a second, and is not always needed

        model = BayesianRidge().fit(x, y)
        return Fitted(model.predict, lambda at: model.predict(at, return_std=True)[1])

    return fit
