"""Ours equals the original PyTorch code in float64, whatever the file."""

import json

import numpy as np
import pytest

from tests import paths
from tools import golden, golden_file

FOLDER = paths.SHARED / "golden"
KINDS = {
    "darts_supernet": "supernet",
    "pc_darts_supernet": "supernet",
    "darts_first_order_5_steps": "first_order_steps",
    "darts_unrolled_5_steps": "unrolled_steps",
}


def path_of(name):
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the golden values are not beside this checkout: {path}")
    return path


DERIVED = "darts_v2_derived"


def check(report, kind):
    assert report["kind"] == kind
    assert report["ok"]
    for quantity, error in report["errors"].items():
        assert error <= (1e-5 if quantity == "param_after" else 1e-6), quantity
    assert report["max_relative_error"] == max(report["errors"].values())


# Whole steps take the exact hypergradient of all candidates, and with it all of the first order.
# What the other files add (finite differences, the exact one with partial channels) takes
# minutes: `python tools/golden.py ../shared/golden/*.npz`.
@pytest.mark.parametrize("name", ["darts_unrolled_5_steps", "pc_darts_supernet"])
def test_agrees_with_the_original(name, capsys):
    code = golden.main([str(path_of(name)), "--short"])
    report = json.loads(capsys.readouterr().out)
    check(report, KINDS[name])
    told = {"unrolled_steps": "param_after", "supernet": "valid_grad_param"}
    assert code == 0 and told[KINDS[name]] in report["errors"]


def test_a_derived_network_agrees_with_the_original(capsys):
    code = golden.main([str(path_of(DERIVED))])
    check(json.loads(capsys.readouterr().out), "derived")
    assert code == 0


def test_sees_a_wrong_value(capsys, monkeypatch):
    theirs = np.array([[1.0, -2.0], [0.5, 0.0]])
    assert golden._error(theirs, theirs) == 0
    wrong = golden._error(theirs * (1 + 1e-5), theirs)
    assert wrong == pytest.approx(1e-5, rel=1e-6)
    assert golden._error(theirs[:1], theirs) == golden._error(theirs * np.nan, theirs) == np.inf
    monkeypatch.setattr(golden, "_derived", lambda _: {"grad": 1e-15, "eval_logits": wrong})
    assert golden.main([str(path_of(DERIVED))]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"] and report["max_relative_error"] == wrong


def copy(tmp_path, base=DERIVED, /, **changes):
    """A file, the derived network's by default, with arrays replaced; None leaves one out."""
    with np.load(path_of(base)) as file:
        values = {name: file[name] for name in file.files} | changes
    path = tmp_path / "changed.npz"
    np.savez(path, **{name: value for name, value in values.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"param/cells.0._ops.0.op.1.weight": None}, r"cells.0._ops.0.op.1.weight is missing"),
        ({"param/cells.0._ops.9.op.1.weight": np.ones(3)}, "_ops.9.op.1.weight is missing"),
        (
            {f"{p}/cells.0._ops.9.op.1.weight": np.ones(3) for p in ("param", "grad")},
            "no place",
        ),
        ({"after/stem.1.running_mean": np.ones(3)}, "stem.1.running_mean is not"),
        ({"param/classifier.weight": np.ones((10, 63))}, "classifier.weight"),
        ({"genotype": np.array("{}")}, "Not a genotype"),
        ({"eval_logits": None}, "eval_logits"),
        ({"x": None, "x_eval": None}, "neither"),
    ],
)
def test_refuses_a_file_that_does_not_fit_in_one_line(changes, cause, tmp_path, capsys):
    assert golden.main([str(copy(tmp_path, **changes))]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert cause in printed.err
    assert printed.err.count("\n") == 1


def lost_start(parts, edges):
    """Changes by which five steps of DARTS give where they ended as where they began."""
    with np.load(path_of("darts_first_order_5_steps")) as file:
        values = {name: file[name] for name in file.files}
    if edges:  # as files of partial channels
        after = np.random.default_rng(0).standard_normal((5, 14))
        for cell in ("normal", "reduce"):
            values[f"arch_after/betas_{cell}"] = after
            values[f"arch/betas_{cell}"] = after[-1] - 0.001
    changes = dict(values)
    for name, array in values.items():
        if "weights" in parts and name.startswith("param_after/"):
            changes[name.replace("param_after/", "param/")] = array
        if "arch" in parts and name.startswith("arch_after/"):
            changes[name.replace("arch_after/", "arch/")] = array[-1]
    return changes


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("parts", [("weights",), ("arch",), ("weights", "arch")])
def test_steps_whose_start_is_lost_are_refused_before_anything_is_made(
    parts, edges, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(golden, "_searched", lambda *_: pytest.fail("a network was made"))
    path = copy(tmp_path, "darts_first_order_5_steps", **lost_start(parts, edges))
    assert golden.main([str(path)]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert "its start is lost" in printed.err and printed.err.count("\n") == 1


@pytest.mark.parametrize("name", KINDS)
def test_whole_files_are_not_refused(name):
    values = golden_file.load(path_of(name))
    golden_file.check(values, golden_file.kind(path_of(name), values))
    assert not name.endswith("steps") or not golden_file.is_start_lost(values)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("darts_v2_derived", "grad/classifier.weight"),
        ("darts_v2_derived", "eval_logits"),
        ("darts_supernet", "momentum/classifier.weight"),
        ("pc_darts_supernet", "hypergrad_exact/betas_normal"),
        ("darts_first_order_5_steps", "param_after/classifier.bias"),
        ("darts_first_order_5_steps", "arch_after/alphas_reduce"),
    ],
)
def test_a_missing_array_is_named_before_anything_is_made(
    base, name, tmp_path, capsys, monkeypatch
):
    for maker in ("_searched", "_derived"):
        monkeypatch.setattr(golden, maker, lambda *_: pytest.fail("a network was made"))
    assert golden.main([str(copy(tmp_path, base, **{name: None}))]) == 2
    assert name in capsys.readouterr().err


def test_refuses_what_is_no_golden_file(tmp_path, capsys):
    text, array = tmp_path / "text.npz", tmp_path / "one.npy"
    text.write_text("hello")
    np.save(array, np.ones(3))
    for path in (text, array, tmp_path / "missing.npz"):
        assert golden.main([str(path)]) == 2
        error = capsys.readouterr().err
        assert str(path) in error
        assert error.count("\n") == 1
