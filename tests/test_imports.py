"""Imports run only down, and the engine knows nothing of files, clocks and other libraries."""

import ast
import subprocess
import sys

import pytest

from tests import paths

PACKAGE = paths.ROOT / "jaxnas"
MODULES = sorted(PACKAGE.rglob("*.py"))
# As docs/design.md draws them; floor 1.5 is what all of floor 2 may speak of.
FLOORS = {
    "types": 1,
    "space": 1.5, "genotype": 1.5, "settings": 1.5,
    "perturb": 2, "restrict": 2.2, "schedules": 2,
    "relax": 2, "terms": 2, "hypergrad": 2, "select": 2, "score": 2, "published": 2,
    "nets": 2, "data": 2, "checkpoint": 2, "timing": 2, "validate": 2,
    "oracle": 2, "ranking": 2,
    "mobile": 1.6, "mobile_named": 1.7, "mobile_sized": 1.8, "mobile_file": 1.7,
    "narrow_file": 3.5,
    "thresholds": 2, "binary": 2.2,
    "custom": 2.5, "single_path_latency": 2.5, "latency_terms": 2.5, "reinforce": 3.5,
    "search": 3, "catalogue": 3, "program": 3,
    "curvature": 2, "diagnose": 3.5, "watch": 3.5, "net_adapt": 3.5, "target_terms": 2.6,
    "methods": 4, "parallel": 4,
    "method_settings": 2, "method_entry": 4.2, "method_table": 4.3, "menu": 4.5,
    "latency": 5.2,
    "run": 5, "report": 5, "check": 5,
    "retrain": 5.5, "find": 5.5, "target": 5.6,
    "cli": 6, "__main__": 7,
}  # fmt: skip
ENGINE = {
    "types", "space", "relax", "terms", "hypergrad", "genotype", "select", "score", "published",
    "search", "methods", "parallel", "binary", "latency_terms", "reinforce", "target_terms",
    "perturb", "restrict", "schedules", "watch", "program", "curvature", "diagnose",
}  # fmt: skip
# What the engine may import: it computes, and it reads and writes text that it is given.
ALLOWED = {"jax", "optax", "chex", "numpy", "jaxnas"} | {
    "collections", "dataclasses", "functools", "itertools", "json", "math", "typing"
}  # fmt: skip


def room(path):
    """The top-level room a file belongs to: `nets` for jaxnas/nets/ops.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path):
    """Every module that a file names in an import, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports from the root, not relative ones."
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path):
    ours = (name.split(".") for name in imported(path))
    return {parts[1] for parts in ours if parts[0] == "jaxnas" and len(parts) > 1}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_only_down(path):
    if path == PACKAGE / "__init__.py":
        return
    assert room(path) in FLOORS, f"Give {room(path)} a floor, here and in docs/design.md."
    for other in rooms_imported(path) - {room(path)}:
        assert FLOORS[other] < FLOORS[room(path)], f"{room(path)} looks up or aside at {other}."


@pytest.mark.parametrize(
    "path", [p for p in MODULES if room(p) in ENGINE], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_the_engine_computes_and_does_nothing_else(path):
    assert {name.split(".")[0] for name in imported(path)} <= ALLOWED


def test_only_the_networks_know_flax():
    for path in MODULES:
        if room(path) != "nets":
            assert "flax" not in {name.split(".")[0] for name in imported(path)}, path


def test_the_package_names_its_modules_and_does_nothing_else():
    body = ast.parse((PACKAGE / "__init__.py").read_text()).body
    assert ast.get_docstring(ast.Module(body, [])) is not None
    assert all(isinstance(node, (ast.Expr, ast.Assign)) for node in body)
    code = "import sys, jaxnas; print('jax' in sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, cwd=PACKAGE.parent,
    )  # fmt: skip
    assert out.stdout.strip() == "False"
