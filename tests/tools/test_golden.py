"""Ours equals the original PyTorch code in float64, whatever the file."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from tests import paths
from tools import golden

FOLDER = paths.SHARED / "golden"
KINDS = {
    "darts_supernet": "supernet",
    "pc_darts_supernet": "supernet",
    "darts_first_order_5_steps": "first_order_steps",
    "darts_unrolled_5_steps": "unrolled_steps",
    "darts_v2_derived": "derived",
}


def path_of(name):
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        pytest.skip(f"the golden values are not beside this checkout: {path}")
    return path


# Compiled as users compile them; for the others that takes minutes.
OPTIMISED = ("darts_first_order_5_steps", "darts_v2_derived")


def printed(path, name, capsys):
    """(exit code, what stands on stdout)."""
    if name not in OPTIMISED:
        return golden.main([str(path)]), capsys.readouterr().out
    ours = ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    environment["JAX_COMPILATION_CACHE_DIR"] = jax.config.jax_compilation_cache_dir
    command = [sys.executable, golden.__file__, str(path)]
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    return ran.returncode, ran.stdout


@pytest.mark.parametrize("name", KINDS)
def test_agrees_with_the_original(name, capsys):
    path = path_of(name)
    if name.endswith("steps"):
        pytest.importorskip("torch", reason="these files' first weights are drawn with PyTorch")
    code, out = printed(path, name, capsys)
    report = json.loads(out)
    assert report["kind"] == KINDS[name]
    assert report["ok"]
    for quantity, error in report["errors"].items():
        assert error <= (1e-5 if quantity == "param_after" else 1e-6), quantity
    assert report["max_relative_error"] == max(report["errors"].values())
    assert code == 0


def copy(tmp_path, **changes):
    """The derived network's file with arrays replaced; None leaves one out."""
    with np.load(path_of("darts_v2_derived")) as file:
        values = {name: file[name] for name in file.files} | changes
    path = tmp_path / "changed.npz"
    np.savez(path, **{name: value for name, value in values.items() if value is not None})
    return path


def test_sees_a_wrong_value(tmp_path, capsys):
    with np.load(path_of("darts_v2_derived")) as file:
        logits = file["eval_logits"] * (1 + 1e-5)
    assert golden.main([str(copy(tmp_path, eval_logits=logits))]) == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["ok"]
    assert report["errors"]["eval_logits"] == pytest.approx(1e-5, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"param/cells.0._ops.0.op.1.weight": None}, r"cells.0._ops.0.op.1.weight is missing"),
        ({"param/cells.0._ops.9.op.1.weight": np.ones(3)}, "no place"),
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


def test_refuses_what_is_no_golden_file(tmp_path, capsys):
    text, array = tmp_path / "text.npz", tmp_path / "one.npy"
    text.write_text("hello")
    np.save(array, np.ones(3))
    for path in (text, array, tmp_path / "missing.npz"):
        assert golden.main([str(path)]) == 2
        error = capsys.readouterr().err
        assert str(path) in error
        assert error.count("\n") == 1
