"""Calibration of a network's probabilities, before and after temperature scaling.

Guo et al. 2017, https://arxiv.org/abs/1706.04599; the measures of the benchmark study
https://arxiv.org/abs/2308.11838, its names from memory. Probabilities are f[N, classes], labels
i[N].
"""

import numpy as np
import scipy.optimize
import scipy.special

BINS = 15
MAX_LOG_TEMPERATURE = 5.0  # temperatures from exp(-5) to exp(5) are searched


def of_logits(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> dict[str, float]:
    """All measures of logits, and those after temperature scaling (`scaled_NAME`).

    Without images of their own for the temperature, half of the images fit that of the other half,
    and the other way round; `temperature` is that of all. Raises ValueError for logits that are not
    finite, labels that do not fit, and for less than two images.
    """
    logits, labels = _checked(logits, labels)
    measured = measures(scipy.special.softmax(logits, 1), labels, bins)
    scaled = np.empty_like(logits)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        other = slice(1 - half.start, None, 2)
        scaled[half] = logits[half] / temperature(logits[other], labels[other])
    after = measures(scipy.special.softmax(scaled, 1), labels, bins)
    return (
        measured
        | {"temperature": temperature(logits, labels)}
        | {f"scaled_{name}": value for name, value in after.items()}
    )


def measures(probabilities: np.ndarray, labels: np.ndarray, bins: int = BINS) -> dict[str, float]:
    """ECE by bins of equal width and of equal mass, its maximum, class-wise, KS, NLL and Brier."""
    confidence, is_right = probabilities.max(1), probabilities.argmax(1) == labels
    by_width, by_mass = equal_width(confidence, bins), equal_mass(confidence, bins)
    one_hot = np.eye(probabilities.shape[1])[labels]
    of_label = probabilities[np.arange(len(labels)), labels]
    gaps = np.abs(bin_gaps(confidence, is_right, by_width))
    return {
        "ece": expected_error(confidence, is_right, by_width),
        "ece_equal_mass": expected_error(confidence, is_right, by_mass),
        "ece_maximum": float(gaps.max()),
        "ece_class_wise": float(
            np.mean(
                [
                    expected_error(of_class, right, equal_width(of_class, bins))
                    for of_class, right in zip(probabilities.T, one_hot.T, strict=True)
                ]
            )
        ),
        "ks": kolmogorov_smirnov(confidence, is_right),
        "nll": float(-np.log(np.maximum(of_label, np.finfo(float).tiny)).mean()),
        "brier": float(((probabilities - one_hot) ** 2).sum(1).mean()),
    }


def equal_width(confidence: np.ndarray, bins: int) -> np.ndarray:
    """i[N]: bin i holds confidences in (i / bins, (i + 1) / bins]."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def equal_mass(confidence: np.ndarray, bins: int) -> np.ndarray:
    """i[N]: bins of equally many confidences, in their order; counts differ by one at most."""
    bin_of = np.empty(len(confidence), int)
    bin_of[np.argsort(confidence, kind="stable")] = (
        np.arange(len(confidence)) * bins // len(confidence)
    )
    return bin_of


def bin_gaps(confidence: np.ndarray, is_right: np.ndarray, bin_of: np.ndarray) -> np.ndarray:
    """f[bins]: mean accuracy less mean confidence of each bin; 0 of an empty one."""
    count = np.bincount(bin_of)
    excess = np.bincount(bin_of, np.asarray(is_right, float) - confidence)
    return excess / np.maximum(count, 1)


def expected_error(confidence: np.ndarray, is_right: np.ndarray, bin_of: np.ndarray) -> float:
    """The expected calibration error: gaps of the bins, weighted by their counts."""
    weights = np.bincount(bin_of) / len(confidence)
    return float(weights @ np.abs(bin_gaps(confidence, is_right, bin_of)))


def kolmogorov_smirnov(confidence: np.ndarray, is_right: np.ndarray) -> float:
    """The largest gap of cumulative accuracy and confidence; no bins.

    Gupta et al. 2021, https://arxiv.org/abs/2006.12800.
    """
    order = np.argsort(confidence, kind="stable")
    excess = (np.asarray(is_right, float) - confidence)[order]
    return float(np.abs(np.cumsum(excess)).max() / len(confidence))


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood of `logits / temperature`."""
    logits, labels = _checked(logits, labels)

    def nll(log_temperature: float) -> float:
        scaled = logits * np.exp(-log_temperature)
        chosen = scaled[np.arange(len(labels)), labels]
        return float((scipy.special.logsumexp(scaled, 1) - chosen).mean())

    bounds = (-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE)
    found = scipy.optimize.minimize_scalar(nll, bounds=bounds, method="bounded")
    # The likelihood has one minimum in 1 / temperature: 1 is kept where nothing is better.
    return float(np.exp(found.x)) if found.fun < nll(0.0) else 1.0


def _checked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels, int)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or len(labels) < 1:
        raise ValueError(
            f"Calibration needs logits [N, classes] and labels [N], not {logits.shape} and "
            f"{labels.shape}."
        )
    if not np.isfinite(logits).all() or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError("Calibration needs finite logits, and labels among the classes.")
    return logits, labels
