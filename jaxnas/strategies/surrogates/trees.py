"""Gradient-boosted regression trees, with exact Shapley values of their features.

LightGBM, which GBDT-NAS uses: Luo et al. 2020, https://arxiv.org/abs/2007.04785, and its settings.
"""

import importlib.util

import numpy as np

from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate

ROUNDS, LEAST_IN_LEAF = 100, 5  # trees; our choice: LightGBM's 20 a leaf leaves 50 designs unsplit


def trees(*, rounds: int = ROUNDS, leaves: int = 31, rate: float = 0.05) -> Surrogate:
    """`rounds` trees of at most `leaves` at the learning rate `rate`.

    Its std is zero: one model knows none. Raises ValueError where LightGBM is not installed.
    """
    require()

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        model = _fit(x, y, rounds, leaves, rate, int(random.integers(2**31)))
        return Fitted(model.predict, lambda at: np.zeros(len(at)))

    return fit


def shapley(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """f64[n, F + 1]: what each feature adds to the prediction of each row; last the mean.

    Each row sums to its prediction: TreeSHAP, Lundberg et al. 2018,
    https://arxiv.org/abs/1802.03888. The trees are those of `trees()`, always with the same seed.
    """
    require()
    return np.asarray(_fit(x, y, ROUNDS, 31, 0.05, 0).predict(x, pred_contrib=True))


def require() -> None:
    """Raises ValueError where LightGBM is not installed."""
    if importlib.util.find_spec("lightgbm") is None:
        raise ValueError("Boosted trees need LightGBM: pip install 'jaxnas[trees]'.")


def _fit(x: np.ndarray, y: np.ndarray, rounds: int, leaves: int, rate: float, seed: int):
    import lightgbm  # an extra

    settings = {
        "objective": "regression", "learning_rate": rate, "num_leaves": leaves,
        "feature_fraction": 0.9, "bagging_fraction": 0.8, "bagging_freq": 5,
        "min_data_in_leaf": LEAST_IN_LEAF, "seed": seed, "deterministic": True,
        "force_row_wise": True, "num_threads": 1, "verbose": -1,
    }  # fmt: skip
    return lightgbm.train(settings, lightgbm.Dataset(x, y), rounds)
