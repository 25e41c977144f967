"""Test results of a run, as HTML: headline, comparison with random cells, calibration."""

import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnas.report import curves, formatting, html_page, run_reader
from jaxnas.report.statistics import relative


def headline(run: run_reader.RunContents) -> str:
    """The main numbers, as tiles; "" where there are none."""
    result, top1, random = _found_result(run), *_accuracies(run)
    digits = _digits(run)
    tiles = []
    if top1 is not None:
        tiles.append(("Test accuracy", formatting.percent(top1, digits), _rank_text(top1, random)))
    if random:
        spread = (
            f"{formatting.SPACE}±{formatting.SPACE}{100 * statistics.stdev(random):.{digits}f}"
            if len(random) > 1
            else ""
        )
        text = f"{100 * statistics.mean(random):.{digits}f}{spread}{formatting.SPACE}%"
        cells = "cell" if len(random) == 1 else "cells"
        caption = "mean ± standard dev." if spread else "one only: no spread"
        tiles.append((f"{len(random)} random {cells}", text, caption))
    gain = _error_reduction(top1, random)
    if gain is not None:
        sign = "−" if gain > 0 else "+" if gain < 0 else ""
        caption = f"{'fewer' if gain >= 0 else 'more'} errors than their mean"
        tiles.append(("Against random", f"{sign}{formatting.change(gain)}", caption))
    for key, title, text_of, caption in (
        ("top5", "Top-5", lambda value: formatting.percent(value, digits), "test accuracy"),
        ("loss", "Test loss", lambda value: f"{value:.3g}{formatting.SPACE}nats", "cross entropy"),
        ("ece", "Calibration error", formatting.percent, "ECE: lower is better"),
        ("parameters", "Parameters", formatting.amount, None),
        ("macs", "MACs", formatting.amount, None),
        ("latency_ms", "Latency", formatting.milliseconds, "on this device"),
    ):
        parse = formatting.fraction if key in ("top5", "ece") else formatting.number
        value = parse(result.get(key))
        if value is not None:
            tiles.append(
                (title, text_of(value), formatting.exact(value) if caption is None else caption)
            )
    if not tiles:
        return ""
    cards = "".join(
        f'<div class="tile{" first" if index == 0 and top1 is not None else ""}"><dt>{title}</dt>'
        f"<dd><strong>{value}</strong><span>{caption}</span></dd></div>"
        for index, (title, value, caption) in enumerate(tiles)
    )
    return f'<dl class="tiles" aria-label="Headline numbers">{cards}</dl>'


def comparison(run: run_reader.RunContents, missing: list[str]) -> str:
    """The found cell compared with the random ones, as HTML: a sentence, a chart, a table.

    Appends a sentence to `missing` if there is nothing to compare.
    """
    top1, random = _accuracies(run)
    if top1 is None or not random:
        if run.summary and run.is_search and run.summary.get("random") != []:
            missing.append("summary.json holds no test accuracy to compare with random cells.")
        return ""
    digits = _digits(run)
    rows = [("found cell", _found_result(run))]
    rows += [
        (f"random cell, seed {result.get('seed', 'unknown')}", result)
        for result in _random_results(run)
    ]
    body = ""
    for name, result in rows:
        fraction = formatting.fraction(result.get("top1"))
        parameters = formatting.number(result.get("parameters"))
        accuracy = "–" if fraction is None else formatting.percent(fraction, digits)
        size = "–" if parameters is None else formatting.exact(parameters)
        row_head = f'<th scope="row">{html_page.escape(name)}</th>'
        body += f"<tr>{row_head}<td>{accuracy}</td><td>{size}</td></tr>"
    gain = _error_reduction(top1, random)
    sentence = ""
    if gain is not None:
        relation = "fewer" if gain >= 0 else "more"
        sentence = (
            f"<p>The found cell errs on {formatting.percent(1 - top1, digits)} of the test images, "
            "random cells trained alike on "
            f"{formatting.percent(1 - statistics.mean(random), digits)} on average: "
            f"{formatting.change(gain)} {relation} errors.</p>"
        )
    picture = curves.comparison(top1, random, digits)
    return (
        f'{sentence}<div class="grid">{html_page.figure(picture, "comparison")}'
        '<div class="scroll" tabindex="0"><table><caption>Each cell, trained alike</caption>'
        '<thead><tr><th scope="col">cell</th><th scope="col">top-1</th>'
        f'<th scope="col">parameters</th></tr></thead><tbody>{body}</tbody></table></div></div>'
    )


def calibration(run: run_reader.RunContents, missing: list[str]) -> str:
    """The reliability diagram with an explanation, as HTML.

    Appends a sentence to `missing` if it cannot be drawn.
    """
    result = _found_result(run)
    table, ece = result.get("reliability"), formatting.fraction(result.get("ece"))
    if not isinstance(table, dict) or ece is None:
        if run.summary:
            missing.append("summary.json holds no calibration (ece, reliability).")
        return ""
    try:
        columns = [np.asarray(table[key], float) for key in ("confidence", "accuracy", "count")]
        picture = curves.reliability(*columns, ece)
    except (ValueError, TypeError, KeyError, OverflowError):
        missing.append("The reliability table of summary.json is damaged.")
        return ""
    text = (
        "<p>When the network says it is 80 % sure, is it right four times out of five? Bars on "
        "the dashed line mean yes; the expected calibration error (ECE) is the mean distance "
        f"from it, weighted by images: <b>{formatting.percent(ece)}</b>.</p>"
    )
    return f'<div class="grid">{html_page.figure(picture, "calibration")}<div>{text}</div></div>'


def _found_result(run: run_reader.RunContents) -> Mapping[str, Any]:
    result = run.summary.get("found")
    return result if isinstance(result, dict) else {}


def _random_results(run: run_reader.RunContents) -> list[Mapping[str, Any]]:
    results = run.summary.get("random")
    return [r for r in results if isinstance(r, dict)] if isinstance(results, list) else []


def _accuracies(run: run_reader.RunContents) -> tuple[float | None, list[float]]:
    """The top-1 accuracy of the found cell and those of the random cells."""
    random = [formatting.fraction(result.get("top1")) for result in _random_results(run)]
    selected = formatting.fraction(_found_result(run).get("top1"))
    return selected, [value for value in random if value is not None]


def _digits(run: run_reader.RunContents) -> int:
    table = _found_result(run).get("reliability")
    counts = table.get("count") if isinstance(table, dict) else None
    if not isinstance(counts, list):
        return 2
    return formatting.digits_for(sum(formatting.number(count) or 0 for count in counts) or None)


def _error_reduction(top1: float | None, random: list[float]) -> float | None:
    return None if top1 is None else relative.error_reduction(top1, random)


def _rank_text(top1: float, random: list[float]) -> str:
    if not random:
        return "retrained, top-1"
    if top1 > max(random):
        return "above every random cell"
    if top1 < min(random):
        return "below every random cell"
    return "within the range of random cells"
