"""The report of the ranking study: what the rows say, tables, and tau over the steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments import ranking_figures
from experiments.ranking_figures import Sample, Scores
from jaxnas import run
from jaxnas.pipelines import study
from jaxnas.report import curves, figures, html_page, table


def write(
    folder: Path,
    rows: Sequence[study.Row],
    ends: Mapping[tuple[str, int], Scores],
    cells: Sample,
    notes: str,
    again: str,
    chosen: table.TextTable | None = None,
) -> list[str]:
    """Writes study.md, study.html and the figure into a folder; gives the lines to print.

    `ends`: the last scores of every row; `notes`: how it was done; `again`: the command; `chosen`:
    what `ranking_targets.summary` says.
    """
    by_score = ranking_figures.scores_table(cells, rows)
    by_step = ranking_figures.steps_table(rows)
    lines = ranking_figures.reading(rows, ends)
    picture = _picture(cells, rows)
    figures.save_text(picture, folder / "tau.svg")
    reading = "".join(f"<p>{html_page.escape(line)}</p>" for line in lines)
    page = html_page.write(
        folder / "study.html", "Study", "Ranking NAS-Bench-201",
        {"rows": str(len(rows)), "cells": str(len(cells.truth))},
        {
            "Reading": reading,
            "Scores": table.html(by_score, notes),
            "Over the schedule": html_page.figure(picture, "tau"),
            "Every supernet": table.html(by_step, "tau by loss / by accuracy"),
            **({"Under a latency": table.html(chosen, "By truth")} if chosen else {}),
            "Command": f'<pre tabindex="0"><code>{html_page.escape(again)}</code></pre>',
        },
    )  # fmt: skip
    run.write_text(
        folder / "study.md",
        "# Ranking NAS-Bench-201\n\n" + "\n".join(lines) + f"\n\n{notes}\n\n"
        f"{table.markdown(by_score)}\n## Every supernet, tau by loss / by accuracy\n\n"
        f"{table.markdown(by_step)}\n"
        + (f"## Under a latency\n\n{table.markdown(chosen)}\n" if chosen else "")
        + f"```text\n{again}\n```\n",
    )
    text = table.text(by_score) + "\n" + table.text(by_step) + "\n" + "\n".join(lines)
    text += f"\n{table.text(chosen)}" if chosen else ""
    return [*text.splitlines(), f"report: {page}"]


def _picture(cells: Sample, rows: Sequence[study.Row]) -> str:
    """Tau by loss over the steps, and the baselines as level lines."""
    series = {
        f"{row['method']} {row['seed']}": curves.Series(
            [point["step"] for point in row["points"]],
            [point["loss"]["all"] for point in row["points"]],
        )
        for row in rows
    }
    longest = max((line.x for line in series.values()), key=len)
    for name, tau in ranking_figures.levels(cells).items():
        series[name] = curves.Series([longest[0], longest[-1]], [tau, tau])
    return curves.lines(
        "Order by the supernet's loss against the truth", series,
        x_label="steps", y_label="Kendall's tau",
    )  # fmt: skip
