"""The layout: whole floors, imports only down, no circle, and an engine that only computes."""

import ast
import functools
import graphlib
import subprocess
import sys

import pytest

from tests import paths

PACKAGE = paths.ROOT / "jaxnas"
MODULES = sorted(PACKAGE.rglob("*.py"))
# As docs/design.md draws them. A folder imports only folders of lower floors, and its own files.
FLOORS = {
    "core": 1,
    "nets": 2, "data": 2, "run": 2,
    "spaces": 3,
    "methods": 4, "hardware": 4,
    "evaluators": 5,
    "strategies": 6, "report": 6,
    "pipelines": 7,
    "cli": 8,
}  # fmt: skip
# Imports alone, at the top for users' own space files, whose SHA-256 is part of recorded runs.
SHIMS = {"space": "spaces", "types": "core"}
MARKERS = {"py.typed"}  # of files that hold no code
# Files in a folder, `__init__` left out. `methods` has one file a method, `strategies` will grow.
FEWEST_FILES, MOST_FILES = 4, 15
UNBOUNDED = {"methods", "strategies"}
# What the engine may import: it computes, and it reads and writes text that it is given.
ENGINE = {"core", "methods"}
ALLOWED = {"jax", "optax", "numpy", "jaxnas"} | {
    "collections", "dataclasses", "difflib", "functools", "inspect", "itertools", "json", "math",
    "typing",
}  # fmt: skip


def name(path):
    """`nets.ops` for jaxnas/nets/ops.py, `nets` for its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def relative(path):
    return str(path.relative_to(PACKAGE))


def folder(path):
    """The top-level folder a file belongs to: `nets` for jaxnas/nets/ops.py."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@functools.cache
def imported(path):
    """Every module or name that a file names in an import, wherever the import stands."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports from the root, not relative ones."
            found += (f"{node.module}.{alias.name}" for alias in node.names)
    return found


def libraries(path):
    return {module.split(".")[0] for module in imported(path)}


def ours(path):
    """The files of the package that a file imports, by the names of `name`."""
    names = {name(module) for module in MODULES}
    for module in imported(path):
        parts = module.split(".")
        if parts[0] == "jaxnas":
            inside = ".".join(parts[1:])
            yield inside if inside in names else inside.rpartition(".")[0]


def test_the_top_holds_the_folders_and_the_shims_alone():
    top = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    files = {f"{shim}.py" for shim in SHIMS} | {"__init__.py", "__main__.py"} | MARKERS
    assert top == set(FLOORS) | files
    assert len(FLOORS) <= 12
    for shim in SHIMS:
        docstring, *imports = ast.parse((PACKAGE / f"{shim}.py").read_text()).body
        assert isinstance(docstring, ast.Expr)
        assert imports and all(isinstance(line, ast.ImportFrom) for line in imports)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_imports_run_only_down(path):
    here = folder(path)
    for other in {module.split(".")[0] for module in ours(path)} - {"", here}:
        if path == PACKAGE / "__main__.py":
            assert other == "cli"
        elif here in SHIMS:
            assert other == SHIMS[here]
        else:
            assert other not in SHIMS, f"{relative(path)} imports the shim {other}."
            assert FLOORS[other] < FLOORS[here], f"{here} looks up or aside at {other}."


def test_no_circle_not_even_inside_a_folder():
    graph = {name(path): set(ours(path)) - {""} for path in MODULES if name(path)}
    # A package's `__init__` runs before its files: what it imports is its own affair.
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize(
    "where",
    sorted({path.parent for path in MODULES} - {PACKAGE}),
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_a_folder_can_be_taken_in_at_a_glance(where):
    files = [path for path in where.glob("*.py") if path.name != "__init__.py"]
    folders = [path for path in where.iterdir() if path.is_dir() and any(path.glob("*.py"))]
    assert len(files) + len(folders) >= FEWEST_FILES, f"{where}: merge it, or split it less."
    if where.name not in UNBOUNDED:
        assert len(files) <= MOST_FILES, f"{where}: a folder within it wants to be born."


@pytest.mark.parametrize("path", [p for p in MODULES if folder(p) in ENGINE], ids=relative)
def test_the_engine_computes_and_does_nothing_else(path):
    assert libraries(path) <= ALLOWED


def test_only_networks_know_flax():
    """In `nets`, and in the folder of each space."""
    spaces = PACKAGE / "spaces"
    for path in MODULES:
        if "flax" in libraries(path) and folder(path) != "nets":
            assert path.parent.parent == spaces and path.parent.name != "user", path


def test_methods_import_the_engine_and_the_flax_free_files_of_spaces():
    for path in MODULES:
        if folder(path) == "methods":
            assert not any(flax_below(module) for module in ours(path)), relative(path)


@functools.cache
def flax_below(module):
    path = next(path for path in MODULES if name(path) == module)
    return "flax" in libraries(path) or any(flax_below(m) for m in set(ours(path)) - {""})


def test_settings_import_nothing_but_each_other():
    for path in MODULES:
        if name(path).startswith("pipelines.settings"):
            assert all(module.startswith("pipelines.settings") for module in ours(path)), path
            assert not libraries(path) & {"jax", "numpy", "flax", "optax"}, path


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


def test_experiments_do_without_the_command_line():
    scripts = sorted((paths.ROOT / "experiments").glob("*.py"))
    assert len(scripts) > 5
    for path in scripts:
        assert not any(module.startswith("jaxnas.cli") for module in imported(path)), path


def test_from_parts_is_short_and_has_only_parts():
    path = paths.ROOT / "experiments" / "from_parts.py"
    assert len(path.read_text().splitlines()) <= 80
    folders = {m.split(".")[1] for m in imported(path) if m.startswith("jaxnas.")}
    assert folders <= {"core", "data", "run", "spaces"}
    assert not any(part.startswith("_") for m in imported(path) for part in m.split("."))
