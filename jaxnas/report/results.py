"""What the run found, in numbers: headline, comparison with random cells, calibration."""

import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnas.report import curves, formatting, html_page, run_reader


def headline(run: run_reader.RunContents) -> str:
    """The numbers that matter most, as tiles."""
    found, top1, random = _found(run), *_results(run)
    digits = _digits(run)
    tiles = []
    if top1 is not None:
        tiles.append(("Test accuracy", formatting.percent(top1, digits), _verdict(top1, random)))
    if random:
        spread = (
            f"{formatting.SPACE}±{formatting.SPACE}{100 * statistics.stdev(random):.{digits}f}"
            if len(random) > 1
            else ""
        )
        text = f"{100 * statistics.mean(random):.{digits}f}{spread}{formatting.SPACE}%"
        cells = "cell" if len(random) == 1 else "cells"
        note = "mean ± standard dev." if spread else "one only: no spread"
        tiles.append((f"{len(random)} random {cells}", text, note))
    gain = _gain(top1, random)
    if gain is not None:
        note = f"{'fewer' if gain >= 0 else 'more'} errors than their mean"
        tiles.append(
            (
                "Against random",
                f"{'−' if gain > 0 else '+' if gain < 0 else ''}{formatting.change(gain)}",
                note,
            )
        )
    for key, title, show, note in (
        ("top5", "Top-5", lambda value: formatting.percent(value, digits), "test accuracy"),
        ("loss", "Test loss", lambda value: f"{value:.3g}{formatting.SPACE}nats", "cross entropy"),
        ("ece", "Calibration error", formatting.percent, "ECE: lower is better"),
        ("parameters", "Parameters", formatting.amount, None),
        ("macs", "MACs", formatting.amount, None),
        ("latency_ms", "Latency", formatting.milliseconds, "on this device"),
    ):
        read = formatting.fraction if key in ("top5", "ece") else formatting.number
        value = read(found.get(key))
        if value is not None:
            tiles.append((title, show(value), formatting.exact(value) if note is None else note))
    if not tiles:
        return ""
    cards = "".join(
        f'<div class="tile{" first" if index == 0 and top1 is not None else ""}"><dt>{title}</dt>'
        f"<dd><strong>{value}</strong><span>{note}</span></dd></div>"
        for index, (title, value, note) in enumerate(tiles)
    )
    return f'<dl class="tiles" aria-label="Headline numbers">{cards}</dl>'


def comparison(run: run_reader.RunContents, missing: list[str]) -> str:
    """The found cell beside the random ones: words, a chart, a table."""
    top1, random = _results(run)
    if top1 is None or not random:
        if run.summary and run.searched and run.summary.get("random") != []:
            missing.append("summary.json holds no test accuracy to compare with random cells.")
        return ""
    digits = _digits(run)
    rows = [("found cell", _found(run))]
    rows += [(f"random cell, seed {entry.get('seed', 'unknown')}", entry) for entry in _random(run)]
    body = ""
    for name, entry in rows:
        top1_of, size_of = (
            formatting.fraction(entry.get("top1")),
            formatting.number(entry.get("parameters")),
        )
        accuracy = "–" if top1_of is None else formatting.percent(top1_of, digits)
        size = "–" if size_of is None else formatting.exact(size_of)
        head = f'<th scope="row">{html_page.escape(name)}</th>'
        body += f"<tr>{head}<td>{accuracy}</td><td>{size}</td></tr>"
    gain = _gain(top1, random)
    words = ""
    if gain is not None:
        more = "fewer" if gain >= 0 else "more"
        words = (
            f"<p>The found cell errs on {formatting.percent(1 - top1, digits)} of the test images, "
            "random cells trained alike on "
            f"{formatting.percent(1 - statistics.mean(random), digits)} on average: "
            f"{formatting.change(gain)} {more} errors.</p>"
        )
    picture = curves.comparison(top1, random, digits)
    return (
        f'{words}<div class="grid">{html_page.figure(picture, "comparison")}'
        '<div class="scroll" tabindex="0"><table><caption>Each cell, trained alike</caption>'
        '<thead><tr><th scope="col">cell</th><th scope="col">top-1</th>'
        f'<th scope="col">parameters</th></tr></thead><tbody>{body}</tbody></table></div></div>'
    )


def calibration(run: run_reader.RunContents, missing: list[str]) -> str:
    """The reliability diagram, and how to read it."""
    found = _found(run)
    table, ece = found.get("reliability"), formatting.fraction(found.get("ece"))
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
    words = (
        "<p>When the network says it is 80 % sure, is it right four times out of five? Bars on "
        "the dashed line mean yes; the expected calibration error (ECE) is the mean distance "
        f"from it, weighted by images: <b>{formatting.percent(ece)}</b>.</p>"
    )
    return f'<div class="grid">{html_page.figure(picture, "calibration")}<div>{words}</div></div>'


def _found(run: run_reader.RunContents) -> Mapping[str, Any]:
    found = run.summary.get("found")
    return found if isinstance(found, dict) else {}


def _results(run: run_reader.RunContents) -> tuple[float | None, list[float]]:
    """The found cell's top-1 and those of the random cells."""
    values = [formatting.fraction(entry.get("top1")) for entry in _random(run)]
    return formatting.fraction(_found(run).get("top1")), [
        value for value in values if value is not None
    ]


def _random(run: run_reader.RunContents) -> list[Mapping[str, Any]]:
    entries = run.summary.get("random")
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _digits(run: run_reader.RunContents) -> int:
    table = _found(run).get("reliability")
    counts = table.get("count") if isinstance(table, dict) else None
    if not isinstance(counts, list):
        return 2
    return formatting.digits_for(sum(formatting.number(count) or 0 for count in counts) or None)


def _gain(top1: float | None, random: list[float]) -> float | None:
    """By how much the found cell's error is below the random cells' mean error."""
    if top1 is None or not random or statistics.mean(random) >= 1:
        return None
    error = 1 - statistics.mean(random)
    return (error - (1 - top1)) / error


def _verdict(top1: float, random: list[float]) -> str:
    if not random:
        return "retrained, top-1"
    if top1 > max(random):
        return "above every random cell"
    if top1 < min(random):
        return "below every random cell"
    return "within the range of random cells"
