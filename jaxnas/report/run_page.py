"""The page of a run: its cells, results, charts, settings and commands in one HTML file."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxnas.report import draw_cell, history, html_page, results, run_reader
from jaxnas.report import figures as report_figures


def write(run_folder: str | Path) -> Path:
    """Writes report.html, and cell_<name>.svg and .png, into a run folder; returns the page.

    Missing files are listed on the page. Raises ValueError if there is no such folder,
    and OSError where it cannot be written.
    """
    folder = Path(run_folder)
    run = run_reader.read(folder)
    missing = list(run.missing)
    sections = [
        ("cells", "The cells", _cells(run, folder, missing)),
        ("comparison", "Found against random", results.comparison(run, missing)),
        ("curves", "Over time", history.charts(run, missing)),
        ("gates", "Gates over time", history.heat_maps(run, missing)),
        ("calibration", "Calibration", results.calibration(run, missing)),
        ("settings", "All settings", _settings(run)),
        ("reproduce", "How to reproduce", _reproduce(run, missing)),
    ]
    sections = [section for section in sections if section[2]]
    return report_figures.save_text(_page(run, sections, missing), folder / "report.html")


def _page(
    run: run_reader.RunContents, sections: list[tuple[str, str, str]], missing: list[str]
) -> str:
    kind = "Architecture search" if run.is_search else "Training of a found cell"
    lead = f"{results.headline(run)}\n{_missing(missing)}"
    return html_page.page(kind, run.name, _chips(run), lead, sections)


def _chips(run: run_reader.RunContents) -> str:
    flat = dict(_flat(run.settings))
    chips = []
    for name in ("method", "space", "data", "seed", "device"):
        endings = (f"settings.{name}", name, f".{name}", f".{name}.kind")
        matches = [key for ending in endings for key in flat if key.endswith(ending)]
        if matches:
            chips.append(f"<li><b>{name}</b> {html_page.escape(flat[matches[0]])}</li>")
    return f'<ul class="chips">{"".join(chips)}</ul>' if chips else ""


def _missing(missing: list[str]) -> str:
    if not missing:
        return ""
    items = "".join(f"<li>{html_page.escape(sentence)}</li>" for sentence in missing)
    return (
        '<aside class="missing" aria-label="What is missing">'
        f"<h2>Not everything is here</h2><ul>{items}</ul></aside>"
    )


def _cells(run: run_reader.RunContents, folder: Path, missing: list[str]) -> str:
    if run.genotype is None:
        return ""
    figures = []
    for name, stem in draw_cell.stems(run.genotype.cells).items():
        cell, title = run.genotype.cells[name], f"{draw_cell.label(name)} cell"
        try:
            picture = draw_cell.save(cell, folder, stem, title)
        except ValueError as error:
            missing.append(f"Cell {name}: {error}")
            continue
        caption = (
            f"{title}: {len(cell.edges)} operations. Files: {stem}.svg, {stem}.png. "
            "A number is a node, the sum of what enters it."
        )
        figures.append(html_page.figure(picture, stem, html_page.escape(caption), wide=True))
    return "".join(figures)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _settings(run: run_reader.RunContents) -> str:
    return _values("setting", run.settings)


def _values(title: str, values: Mapping[str, Any]) -> str:
    """A table of names and values; "" of none."""
    rows = "".join(
        f'<tr><th scope="row">{html_page.escape(key)}</th><td>{html_page.escape(value)}</td></tr>'
        for key, value in _flat(values)
    )
    if not rows:
        return ""
    return (
        '<div class="scroll" tabindex="0"><table class="settings">'
        f'<thead><tr><th scope="col">{title}</th><th scope="col">value</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _reproduce(run: run_reader.RunContents, missing: list[str]) -> str:
    parts = []
    for key, heading in (
        ("command", "The same search again, from nothing:"),
        ("resume", "Go on with this folder where it stopped:"),
    ):
        command = run.summary.get(key)
        if isinstance(command, str) and command:
            parts.append(
                f'<p>{heading}</p><pre tabindex="0"><code>{html_page.escape(command)}</code></pre>'
            )
    if run.summary and not parts:
        missing.append("summary.json holds no command to reproduce this run.")
    if run.fingerprint:
        parts.append(
            "<p>Runs of equal fingerprints have equal bytes; <code>jaxnas verify</code> runs steps "
            f"again and compares them.</p>{_values('fingerprint', run.fingerprint)}"
        )
    return "".join(parts)
