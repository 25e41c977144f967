"""Evaluators: figures of designs, by training, shared weights, a table, a cost model, a score."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Figures = Mapping[str, float]


class Evaluator(NamedTuple):
    """What measures designs: genotypes of networks, or whatever the design space decodes to."""

    maximise: Mapping[str, bool]  # figure -> whether larger is better
    # (designs, their seeds) -> the figures of each, or the error by which it failed
    evaluate: Callable[[Sequence[Any], Sequence[int]], list[Figures | Exception]]
    at_once: int = 1  # designs a call: 1 for a training, more where they share a program or table


def of_function(
    maximise: Mapping[str, bool], figures: Callable[[Any, int], Figures], at_once: int = 1
) -> Evaluator:
    """An evaluator by a function of one design and its seed; what it raises is a failure."""

    def evaluate(designs: Sequence[Any], seeds: Sequence[int]) -> list[Figures | Exception]:
        return [_attempt(figures, *pair) for pair in zip(designs, seeds, strict=True)]

    return Evaluator(maximise, evaluate, at_once)


def of_part(name: str, evaluator: Evaluator) -> Evaluator:
    """The evaluator of the part `name` of a product of design spaces."""

    def evaluate(designs: Sequence[Any], seeds: Sequence[int]) -> list[Figures | Exception]:
        return evaluator.evaluate([design[name] for design in designs], seeds)

    return evaluator._replace(evaluate=evaluate)


def merged(*evaluators: Evaluator) -> Evaluator:
    """All figures of several evaluators; a design fails if it fails in one of them.

    Raises ValueError for a figure of two evaluators.
    """
    maximise: dict[str, bool] = {}
    for evaluator in evaluators:
        for figure, is_larger_better in evaluator.maximise.items():
            if figure in maximise:
                raise ValueError(f"Two evaluators measure {figure!r}: leave one of them out.")
            maximise[figure] = is_larger_better

    def evaluate(designs: Sequence[Any], seeds: Sequence[int]) -> list[Figures | Exception]:
        results = [evaluator.evaluate(designs, seeds) for evaluator in evaluators]
        return [_merge(of_design) for of_design in zip(*results, strict=True)]

    return Evaluator(maximise, evaluate, min(e.at_once for e in evaluators))


def gated(
    cheap: Evaluator, keeps_limits: Callable[[Figures], bool], expensive: Evaluator
) -> Evaluator:
    """Both, where the expensive one is asked only for designs whose cheap figures keep the limits.

    Others have NaN for its figures, and so fail. EEEA-Net's early exit, generalised.
    """
    both = merged(cheap, expensive)

    def evaluate(designs: Sequence[Any], seeds: Sequence[int]) -> list[Figures | Exception]:
        results = list(cheap.evaluate(designs, seeds))
        kept = [
            i for i, r in enumerate(results) if not isinstance(r, Exception) and keeps_limits(r)
        ]
        found = expensive.evaluate([designs[i] for i in kept], [seeds[i] for i in kept])
        missing = dict.fromkeys(expensive.maximise, np.nan)
        results: list[Figures | Exception] = [
            r if isinstance(r, Exception) else {**r, **missing} for r in results
        ]
        for i, figures in zip(kept, found, strict=True):
            results[i] = _merge((results[i], figures))
        return results

    return both._replace(evaluate=evaluate)


def _attempt(figures: Callable[[Any, int], Figures], design: Any, seed: int) -> Figures | Exception:
    try:
        return figures(design, seed)
    except Exception as error:  # whatever a design does to its evaluation, the search goes on
        return error


def _merge(results: Sequence[Figures | Exception]) -> Figures | Exception:
    merged_figures: dict[str, float] = {}
    for result in results:
        if isinstance(result, Exception):
            return result
        merged_figures |= result
    return merged_figures
