"""The house rules that a reader relies on: small functions and files, one place for each space."""

import ast
import functools

import pytest

from jaxnas.methods import registry as methods
from jaxnas.spaces import registry as spaces
from tests import paths

PACKAGE = paths.ROOT / "jaxnas"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS = 350, 80, 8
# Defaults of flags name a space: `jaxnas search` and `jaxnas latency measure`.
DEFAULTS = {
    "pipelines/settings/search.py": "darts",
    "pipelines/settings/latency.py": "nasbench201",
    "pipelines/settings/explore.py": "nasbench201",
}
# A tabular benchmark is of one space, whose name its folder bears.
BENCHMARKS = "evaluators"


def relative(path):
    return str(path.relative_to(PACKAGE))


@functools.cache
def tree(path):
    return ast.parse(path.read_text())


def functions(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node


def name_of(node):
    return getattr(node, "name", "lambda")


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_files_and_functions_can_be_taken_in_at_once(path):
    assert len(path.read_text().splitlines()) <= MAX_LINES
    for node in functions(path):
        length = node.end_lineno - node.lineno + 1
        assert length <= MAX_FUNCTION_LINES, f"{name_of(node)} has {length} lines"
        arguments = node.args
        count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
        if path.parent.name != "methods":  # a method has as many settings as its paper
            assert count <= MAX_PARAMETERS, f"{name_of(node)} takes {count} parameters"


def test_no_class_name_stands_twice():
    found = {}
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                assert node.name not in found, f"{node.name}: {relative(path)}, {found[node.name]}"
                found[node.name] = relative(path)


def folders():
    """The folders of spaces: `darts`, `mobile` and the like."""
    inside = (PACKAGE / "spaces").iterdir()
    return {path.name for path in inside if (path / "entry.py").exists()}


def is_of_a_space(path):
    """In the folder of a space, of its benchmark, or where spaces are registered."""
    parts = path.relative_to(PACKAGE).parts
    own = parts[0] in ("spaces", BENCHMARKS) and parts[1] in folders()
    return own or relative(path) in ("spaces/registry.py", "space.py")


@pytest.mark.parametrize("path", [p for p in FILES if not is_of_a_space(p)], ids=relative)
def test_a_space_is_named_in_its_folder_and_where_it_is_registered_alone(path):
    # Methods bear some of the names, too: darts, hypercuboid.
    names = {name for name in spaces.SPACES if name not in methods.names()}
    names -= {DEFAULTS.get(relative(path))}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in names, f"line {node.lineno}: {node.value!r}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{name}" for name in modules]
            for module in modules:
                parts = module.split(".")
                inside = parts[:2] == ["jaxnas", "spaces"] and parts[2] in folders()
                assert not inside, f"line {node.lineno}: {module}"
        elif isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            assert name not in folders() - set(methods.names()), f"line {node.lineno}: {name}"
