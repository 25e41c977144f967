"""docs/api.md names what there is, and pyright checks the modules of those names."""

import importlib
import pathlib
import re
import tomllib

from tests import paths

ROW = re.compile(r"^\| `(jaxnas[\w.]*)` \| (.+) \| (?:stable|new) \|$", re.MULTILINE)


def rows():
    found = ROW.findall((paths.ROOT / "docs" / "api.md").read_text())
    assert len(found) > 20
    return [(module, re.findall(r"`(\w+)`", names)) for module, names in found]


def test_every_public_name_can_be_imported():
    for module, names in rows():
        for name in names:
            assert hasattr(importlib.import_module(module), name), f"{module}.{name}"


def test_the_types_of_every_public_module_are_checked():
    settings = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())["tool"]["pyright"]
    checked = [paths.ROOT / entry for entry in settings["include"]]
    assert all(path.exists() for path in checked)
    for module, _ in rows():
        file = pathlib.Path(importlib.import_module(module).__file__)
        assert any(path in (file, *file.parents) for path in checked), module


def test_the_package_says_that_it_is_typed():
    assert (paths.ROOT / "jaxnas" / "py.typed").exists()
