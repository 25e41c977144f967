"""The whole run: complete, honest about its numbers, and the same bytes however it was stopped."""

import io
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest
import rich.console

from jaxnas import run
from jaxnas.pipelines import command_line, search
from jaxnas.pipelines.settings import SearchSettings
from tests import killable_search, paths

SCRIPT = paths.TESTS / "killable_search.py"


@pytest.fixture(autouse=True)
def one_cache(monkeypatch):
    """Compiled programs go where the other tests have theirs."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)


def process(kill: str, out: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(SCRIPT), kill, str(out)],
        env=os.environ | {"PYTHONPATH": str(paths.ROOT), "JAX_NUM_CPU_DEVICES": "8"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


class Stopped(BaseException):
    """The end of a process."""


def stopped(*_, **__):
    raise Stopped


def quiet() -> rich.console.Console:
    return rich.console.Console(file=io.StringIO(), width=200)


def timeless(path: Path) -> list[dict]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


def result(folder: Path, name: str) -> dict:
    """What a retrained network came to, without the wall clock."""
    figures = json.loads((folder / "retrain" / name / "result.json").read_text())
    figures.pop("latency_ms", None)
    return figures


def test_leaves_a_complete_folder(finished_search):
    folder, _ = finished_search
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "settings.json", "metrics.jsonl", "gates.jsonl", "space.json", "tensorboard",
        "checkpoints", "genotype.json", "summary.json", "report.html", "retrain",
        "cell_normal.svg", "cell_normal.png", "cell_reduce.svg", "cell_reduce.png",
    }  # fmt: skip
    assert {path.name for path in (folder / "retrain").iterdir()} == {"found", "random-0"}
    assert "Not everything is here" not in (folder / "report.html").read_text()


def test_says_what_it_does_and_what_came_out(finished_search):
    folder, printed = finished_search
    summary = json.loads((folder / "summary.json").read_text())
    found, (other,) = summary["found"], summary["random"]
    for words in (
        "jaxnas finds a cell for digits", "ETA", "normal cell", "cell_normal.svg",
        f"{100 * found['top1']:.1f} % of 20 images", f"{100 * other['top1']:.1f} %",
        f"{found['parameters']:,}", f"{found['macs']:,}", "ms an image on this device",
        f"report: {folder / 'report.html'}",
    ):  # fmt: skip
        assert words in printed, words


def test_compares_cells_of_the_same_size_trained_alike(finished_search):
    folder, _ = finished_search
    settings = [
        json.loads((folder / "retrain" / name / "settings.json").read_text())
        for name in ("found", "random-0")
    ]
    cells = [each["settings"].pop("genotype")["cells"] for each in settings]
    assert settings[0] == settings[1]
    assert cells[0] != cells[1]
    for name, cell in cells[0].items():
        assert len(cell["edges"]) == len(cells[1][name]["edges"])


def test_killed_again_and_again_it_ends_in_the_same_bytes(finished_search, tmp_path, monkeypatch):
    whole, _ = finished_search
    # In the order of a run: inside a save of the search, before its cell is drawn, within
    # the random cell's training, before the report. Where files are whole, an error leaves what a
    # kill does.
    for stop in ("save:1", "picture", "chunk:3", "page"):
        if ":" in stop:
            victim = process(stop, tmp_path)
            assert victim.returncode == -signal.SIGKILL, (stop, victim.stdout, victim.stderr)
            continue
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(*killable_search.PLACES[stop], stopped)
            search.main(killable_search.tiny(tmp_path), quiet())
    console = quiet()
    search.main(killable_search.tiny(tmp_path), console)
    printed = console.file.getvalue()
    folder = tmp_path / "tiny"
    for name in ("genotype.json", "space.json", "gates.jsonl"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    assert timeless(folder / "metrics.jsonl") == timeless(whole / "metrics.jsonl")
    for name in ("found", "random-0"):
        assert result(folder, name) == result(whole, name)  # with the digest of the weights
    assert "search: done before" in printed
    assert "compiling" not in printed


def test_other_settings_are_refused_and_nothing_is_touched(finished_search):
    folder, _ = finished_search
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    other = killable_search.tiny(folder.parent, arch_learning_rate=0.5)
    with pytest.raises(run.RunError, match="arch_learning_rate") as refusal:
        search.main(other, quiet())
    assert "\n" not in str(refusal.value)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    after.pop(folder / "run.lock"), before.pop(folder / "run.lock")
    assert after == before


def test_settings_are_resolved_and_nothing_is_written(tmp_path):
    console = quiet()
    task = search.resolve(killable_search.tiny(tmp_path), console)
    settings = task.search.settings
    assert settings.learning_rate and settings.arch_learning_rate and settings.retrain.weight_decay
    assert (settings.cells, settings.retrain.cells) == (1, 1)
    assert (task.search.space.name, task.search.constraints) == ("darts-s2", [])
    assert (task.job.folder, task.predictors) == (tmp_path / "tiny", None)
    assert not list(tmp_path.iterdir())


def test_the_command_that_it_tells_gives_the_same_settings(finished_search):
    folder, _ = finished_search
    words = shlex.split(json.loads((folder / "summary.json").read_text())["command"])
    assert words[:2] == ["jaxnas", "search"]
    parsed = command_line.parse(SearchSettings, words[2:], "jaxnas search", "")
    assert parsed == killable_search.tiny(folder.parent)


def test_the_width_that_is_retrained_is_told_where_the_campaign_sets_another():
    task = lambda width, campaign: SimpleNamespace(
        search=SimpleNamespace(
            settings=SimpleNamespace(features=16, retrain=SimpleNamespace(features=width))
        ),
        predictors=SimpleNamespace(campaign=campaign),
    )
    told = ", with 8 channels as the campaign timed them"
    assert search._retrained_size(task(8, "mine")) == told
    assert search._retrained_size(task(16, "mine")) == ""
    assert search._retrained_size(task(8, None)) == ""
