"""The report: one page of a run, whole, safe, and honest about what is missing."""

import html.parser
import json
import math
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from jaxnas.report import formatting, run_page
from jaxnas.spaces import genotype

pytestmark = pytest.mark.filterwarnings("error")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&$x^2$"
OPS = ["none", "max_pool_3x3", "skip_connect", "sep_conv_3x3"]
EDGES = [[0, 2], [1, 2], [0, 3], [1, 3], [2, 3]]


def make_run(folder):
    """A complete run folder, its metrics cut in the middle of a line as a kill does."""
    rng = np.random.default_rng(0)
    edges = ((0, 2, "sep_conv_3x3"), (1, 2, "skip_connect"), (0, 3, "max_pool_3x3"),
             (2, 3, "sep_conv_3x3"))  # fmt: skip
    cell = genotype.Cell(edges, 2, (2, 3))
    gates, metrics = "", ""
    for epoch in range(12):
        raw = np.exp(rng.normal(size=(2, 5, 4)))
        values = raw / raw.sum(-1, keepdims=True)
        entry = {"normal": values[0].tolist(), "reduce": values[1].tolist()}
        gates += json.dumps({"step": 14 * epoch, "epoch": epoch, "gates": entry}) + "\n"
        line = {
            "step": 14 * epoch, "epoch": epoch, "loss/train": 2 * math.exp(-epoch / 5),
            "loss/valid": 2 * math.exp(-epoch / 6), "accuracy/train": 0.9 - 0.8 / (epoch + 1),
            "accuracy/valid": 0.88 - 0.8 / (epoch + 1), "gates/entropy/normal": 1.3 - epoch / 30,
            "gates/entropy/reduce": 1.3 - epoch / 40, "gates/skips/normal": epoch // 4,
            "gates/skips/reduce": epoch // 6, "step_ms": 55.0 + epoch % 3,
        }  # fmt: skip
        metrics += json.dumps(line) + "\n"
    settings = {
        "method": "darts", "space": "darts", "data": "digits", "seed": 3, "epochs": 12,
        "weights": {"rate": 0.025, "momentum": 0.9}, "device": "cpu", "commit": "abc1234",
        "note": EVIL, EVIL: 1,
    }  # fmt: skip
    filled = {"confidence": [0.0, 0.3, 0.5, 0.7, 0.95], "accuracy": [0.0, 0.4, 0.5, 0.6, 0.97],
              "count": [0, 10, 20, 30, 300]}  # fmt: skip
    found = {"top1": 0.9722, "top5": 0.9972, "loss": 0.0912, "ece": 0.0213,
             "reliability": filled, "parameters": 87610, "macs": 1234567,
             "latency_ms": 3.2141}  # fmt: skip
    random = [{"seed": seed, "top1": top1, "parameters": 80000 + seed}
              for seed, top1 in ((1, 0.953), (2, 0.961), (3, 0.944), (4, 0.958))]  # fmt: skip
    choice = {"edges": EDGES, "candidates": [OPS] * 5}
    folder.mkdir()
    texts = {
        "settings.json": json.dumps(settings),
        "metrics.jsonl": metrics + '{"step": 168, "loss/tr',
        "gates.jsonl": gates,
        "space.json": json.dumps({"normal": choice, "reduce": choice}),
        "genotype.json": genotype.to_json(
            genotype.Genotype("darts", {"normal": cell, "reduce": cell})
        ),
        "summary.json": json.dumps(
            {"found": found, "random": random, "command": "jaxnas search --seed 3 && echo <done>",
             "resume": "jaxnas search --resume runs/digits"}
        ),
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path):
    """A run folder to spoil."""
    return make_run(tmp_path / "digits")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The page of a complete run, to look at only."""
    return run_page.write(make_run(tmp_path_factory.mktemp("runs") / "digits"))


class Reader(html.parser.HTMLParser):
    """Reads a page strictly: what opens must close, in order."""

    VOID = {"meta", "link", "br", "hr", "img", "input"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.text = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href", "action", "data", "srcset"):
                self.links.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


def read(path) -> tuple[str, Reader]:
    source = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(source)
    reader.close()
    assert not reader.open, reader.open
    assert len(set(reader.ids)) == len(reader.ids), "ids must differ"
    return source, reader


def visible_text(reader: Reader) -> str:
    text = " ".join(" ".join(reader.text).split())
    return text.replace("\u202f", " ").replace("\u00a0", " ")


SECTIONS = ["cells", "comparison", "curves", "gates", "calibration", "settings", "reproduce"]


def test_page_is_well_formed_and_has_every_section(report):
    assert report.name == "report.html"
    _, reader = read(report)
    assert [key for key in reader.ids if key in SECTIONS] == SECTIONS
    assert reader.tags.count("svg") == 2 + 1 + 5 + 2 + 1
    assert "What is missing" not in report.read_text()


def test_page_needs_nothing_but_itself(report):
    source, reader = read(report)
    assert "script" not in reader.tags
    assert all(link.startswith(("#", "data:")) for link in reader.links), reader.links
    assert all("#" in use for use in re.findall(r"url\((.*?)\)", source))
    assert "@import" not in source
    assert "http://" not in source and "https://" not in source
    for link in reader.links:
        if link.startswith("#"):
            assert link[1:] in reader.ids, link


def test_page_gives_the_numbers(report):
    text = visible_text(read(report)[1])
    # 360 test images: one digit. Errors 2.78 % against a mean of 4.6 %: 39.6 % fewer.
    for number in ("97.2 %", "95.4 ± 0.7 %", "−40 %", "99.7 %", "2.1 %", "0.0912 nats",
                   "87.6 k", "87 610", "1.23 M", "1 234 567", "3.21 ms"):  # fmt: skip
        assert number in text, number
    assert "above every random cell" in text
    assert "random cell, seed 2 96.1 % 80 002" in text
    assert "weights.momentum 0.9" in text
    assert "jaxnas search --seed 3 && echo <done>" in text


def test_settings_cannot_become_markup(report):
    source, reader = read(report)
    assert EVIL not in source
    assert visible_text(reader).count("<script>alert('x')</script>") == 2
    assert "img" not in reader.tags


def test_names_from_files_cannot_become_markup_or_paths(run):
    text = (run / "metrics.jsonl").read_text().replace("loss/train", "</svg><script>x/<evil>")
    (run / "metrics.jsonl").write_text(text)
    (run / "gates.jsonl").write_text(
        (run / "gates.jsonl").read_text().replace("normal", "../<evil>")
    )
    (run / "space.json").write_text((run / "space.json").read_text().replace("normal", "../<evil>"))
    summary = json.loads((run / "summary.json").read_text())
    summary["random"][0]["seed"] = "<evil>\ud800"
    (run / "summary.json").write_text(json.dumps(summary))
    _, reader = read(run_page.write(run))
    assert not {"evil", "script"} & set(reader.tags)
    assert sorted(p.name for p in run.parent.iterdir()) == ["digits"]


def test_pictures_lie_beside_the_page(report):
    run = report.parent
    for name in ("cell_normal", "cell_reduce"):
        assert (run / f"{name}.svg").read_text().startswith("<svg")
        with Image.open(run / f"{name}.png") as image:
            assert image.format == "PNG"
    assert not [p.name for p in run.iterdir() if "partial" in p.name]


def test_writing_twice_gives_the_same_bytes(run):
    first = run_page.write(run).read_bytes()
    assert run_page.write(run).read_bytes() == first


FILES = {
    "settings.json": "settings", "metrics.jsonl": "curves", "gates.jsonl": "gates",
    "space.json": "gates", "genotype.json": "cells", "summary.json": "comparison",
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_and_the_rest_is_shown(run, name):
    (run / name).unlink()
    _, reader = read(run_page.write(run))
    assert f"{name} is not there" in visible_text(reader)
    assert FILES[name] not in reader.ids
    assert len([key for key in SECTIONS if key in reader.ids]) >= 4


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b"null", b"\xff\xfe\x00", b"[" * 100_000],
    ids=["empty", "cut", "list", "null", "binary", "nested"],
)
def test_a_damaged_file_never_stops_the_page(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    text = visible_text(read(run_page.write(tmp_path))[1])
    assert name in text
    assert f"{name} is not there" not in text


@pytest.mark.parametrize("name", [name for name in FILES if name != "settings.json"])
def test_a_mistyped_file_never_stops_the_page(run, name):
    (run / name).write_text('{"gates": 3, "found": 7, "random": 7, "normal": [1e999]}')
    assert name in visible_text(read(run_page.write(run))[1])


def test_an_empty_folder_gives_a_page_that_says_so(tmp_path):
    _, reader = read(run_page.write(tmp_path))
    for name in FILES:
        assert f"{name} is not there" in visible_text(reader)


def test_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No run folder"):
        run_page.write(tmp_path / "nowhere")


def test_numbers_that_are_none_are_left_out(run):
    summary = json.loads((run / "summary.json").read_text())
    summary["found"].update(top1=97.2, parameters="many", latency_ms=float("nan"), macs=None)
    summary["found"]["reliability"]["count"] = [None, "x", 1, 2, 3]
    (run / "summary.json").write_text(json.dumps(summary))
    metrics = [{"step": 1, "loss/train": float("inf"), "loss/valid": 1e300},
               {"step": "x", "loss/train": 1.0}, {"step": 2, "loss/valid": True}]  # fmt: skip
    (run / "metrics.jsonl").write_text("".join(json.dumps(m) + "\n" for m in metrics))
    text = visible_text(read(run_page.write(run))[1])
    assert "9720" not in text and "many" not in text and "nan" not in text.lower()
    assert "no test accuracy" in text
    assert "reliability table of summary.json is damaged" in text
    assert "Loss: no finite number" in text


def test_a_step_told_twice_counts_once(run):
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)[:-1]
    clean = run / "metrics.jsonl"
    clean.write_text("".join(lines))
    expected = run_page.write(run).read_bytes()
    stale = json.dumps({**json.loads(lines[5]), "loss/train": 99.0}) + "\n"
    clean.write_text("".join([*lines[:5], stale, *lines[3:]]))
    assert run_page.write(run).read_bytes() == expected


def test_worse_than_random_is_said_plainly(run):
    summary = json.loads((run / "summary.json").read_text())
    summary["found"]["top1"] = 0.9
    (run / "summary.json").write_text(json.dumps(summary))
    text = visible_text(read(run_page.write(run))[1])
    assert "+117 %" in text and "more errors" in text
    assert "below every random cell" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9999, "9 999"), (10000, "10 k"), (87610, "87.6 k"), (999_999, "1 M"),
     (1_930_618, "1.93 M"), (999_600_000, "1 G"), (300_256_000, "300 M")],
)  # fmt: skip
def test_amounts_have_three_digits_and_a_unit(value, text):
    assert formatting.amount(value).replace("\u202f", " ").replace("\u00a0", " ") == text


@pytest.mark.parametrize("value", [None, "3", True, float("nan"), float("inf"), [1], 10**400])
def test_what_is_no_number_is_none(value):
    assert formatting.number(value) is None


def browse(path, *options, home):
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
        "--enable-logging=stderr", f"--user-data-dir={home}", *options, path.as_uri(),
    ]  # fmt: skip
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium binary is installed")


@needs_chromium
def test_a_browser_shows_the_sections_without_complaint(report, tmp_path):
    dom, complaints = browse(report, "--dump-dom", home=tmp_path / "home")
    assert complaints == []
    for key in SECTIONS:
        assert f'<section id="{key}"' in dom
    assert dom.count("<svg") == 11


@needs_chromium
def test_the_browser_check_hears_complaints(report, tmp_path):
    path = tmp_path / "broken.html"
    broken = report.read_text().replace("</main>", '<img src="http://127.0.0.1:9/x.png"></main>')
    path.write_text(broken)
    _, complaints = browse(path, "--dump-dom", home=tmp_path / "home")
    assert complaints


@needs_chromium
@pytest.mark.parametrize(("scheme", "paper"), [(1, (255, 255, 254)), (0, (23, 28, 35))])
def test_a_browser_paints_the_page_in_both_schemes(report, tmp_path, scheme, paper):
    shot = tmp_path / "shot.png"
    options = ("--window-size=1100,3000", f"--blink-settings=preferredColorScheme={scheme}")
    browse(report, *options, f"--screenshot={shot}", home=tmp_path / "home")
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    differs = (np.abs(pixels - paper).max(-1) > 24).mean(axis=1)
    assert 0.02 < differs.mean() < 0.6
    # Ink all the way down: no third of the page is empty.
    assert all(part.mean() > 0.01 for part in np.array_split(differs, 3))
    assert (np.abs(pixels[0, 0] - paper) <= 1).all()


@needs_chromium
def test_a_phone_need_not_scroll_sideways(report, tmp_path):
    frame = tmp_path / "phone.html"
    uri = report.as_uri()
    frame.write_text(
        f"<body style='margin:0;background:#f0f'><iframe style='border:0;width:375px;height:3000px'"
        f" src='{uri}'></iframe>"
    )
    narrow = tmp_path / "narrow.png"
    options = ("--window-size=500,3000", "--blink-settings=preferredColorScheme=1")
    browse(frame, *options, f"--screenshot={narrow}", home=tmp_path / "home")
    with Image.open(narrow) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)[:, :375]
    # The page's own margin stays free at the right: nothing was pushed out.
    pushed = np.abs(pixels[:, 364:] - (255, 255, 254)).max(-1) > 24
    assert not pushed.any()
    assert (np.abs(pixels[:, :360] - (255, 255, 254)).max(-1) > 24).any()
