"""Spaces and methods of other packages, and a module's method by its name."""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys

import jax
import pytest

from jaxnas import cli
from jaxnas.methods import registry as methods
from jaxnas.methods.entry import Context
from jaxnas.spaces import choices, sampling
from jaxnas.spaces import registry as spaces
from jaxnas.spaces.user import plugins
from jaxnas.spaces.user.plugins import PluginError, PluginWarning
from tests import drive, paths, plugin_package

BROKEN = r"my-parts 0\.3 \(my_parts\.broken.*No module named 'no_such_library'"
TAKEN = "'darts' in jaxnas.spaces, which is a name of jaxnas itself: it is left out"


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return plugin_package.installed(tmp_path_factory.mktemp("package"))


@pytest.fixture
def package(target, monkeypatch):
    """The package can be imported within one test."""
    monkeypatch.syspath_prepend(str(target))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_parts"]:
        del sys.modules[name]


@pytest.fixture
def fresh():
    """What is found once and kept is found again, before and after."""
    kept = (spaces._by_genotype, spaces.published)
    for function in kept:
        function.cache_clear()
    yield
    for function in kept:
        function.cache_clear()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the current folder that is in no package."""
    (tmp_path / "my_own.py").write_text(plugin_package.PARTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    yield tmp_path / "my_own.py"
    sys.modules.pop("my_own", None)


@pytest.mark.filterwarnings("ignore::jaxnas.spaces.user.plugins.PluginWarning")
def test_a_package_brings_spaces_and_methods(package):
    assert spaces.names() == (*spaces.SPACES, "my-cells", "my-grid", "broken", "failing",
                              "unfinished")  # fmt: skip
    assert methods.names() == (*methods.METHODS, "smooth", "smoother", "broken")
    cells, grid = spaces.get("my-cells"), spaces.get("my-grid")
    assert (cells.name, grid.name) == ("my-cells", "my-grid")
    assert cells.choices["normal"].candidates == (("skip_connect", "sep_conv_3x3"),) * 2
    assert cells.summary == "Two nodes, of two operations (my-parts 0.3 (my_parts.cells))"
    assert grid.summary.endswith("(my-parts 0.3 (my_parts.parts:grid))")
    assert len(cells.digest) == len(grid.digest) == 64 and cells.digest != grid.digest
    assert methods.fits(methods.get("smooth"), cells)
    # A setting's default, and that of the quick preset.
    resolved = [methods.resolve(name, "quick", {}, ())["smoothing"]
                for name in ("smooth", "smoother")]  # fmt: skip
    assert resolved == [0.1, 0.3]


def test_both_are_listed_and_what_is_broken_is_one_warning_each(package, capsys):
    with pytest.warns(PluginWarning) as caught:
        assert cli.main(["spaces"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^my-cells +Two nodes", out, re.MULTILINE) and "broken" not in out
    texts = {str(warning.message) for warning in caught}
    assert all("my-parts 0.3" in text and "\n" not in text for text in texts)
    for cause in (BROKEN, TAKEN, r"failing\) stops with KeyError: None", "gives int for jaxnas.sp"):
        assert sum(bool(re.search(cause, text)) for text in texts) == 1, cause
    assert len(texts) == 4
    with pytest.warns(PluginWarning, match=BROKEN):
        assert cli.main(["methods"]) == 0
    assert re.search(r"^smooth +DARTS with smoothed labels", capsys.readouterr().out, re.MULTILINE)


def test_a_warning_of_the_command_line_is_one_line(target):
    environment = os.environ | {"PYTHONPATH": f"{target}{os.pathsep}{paths.ROOT}"}
    command = [sys.executable, "-W", "default", "-m", "jaxnas", "methods"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert re.fullmatch(f"jaxnas: {BROKEN}.*\n", done.stderr), done.stderr


@pytest.mark.filterwarnings("ignore::jaxnas.spaces.user.plugins.PluginWarning")
@pytest.mark.parametrize("words", ["spaces broken", "methods broken", "search --method broken"])
def test_a_broken_one_that_is_named_is_refused(package, capsys, words):
    assert cli.main(words.split()) == 2
    err = capsys.readouterr().err
    assert re.match(f"jaxnas: {BROKEN}", err) and err.count("\n") == 1
    assert "which it registers as 'broken' in jaxnas." in err and "Update or remove" in err


@pytest.mark.filterwarnings("ignore::jaxnas.spaces.user.plugins.PluginWarning")
def test_names_of_packages_are_meant_too(package):
    with pytest.raises(ValueError, match="Did you mean my-cells"):
        spaces.get("mycells")
    with pytest.raises(ValueError, match="Did you mean smoother"):
        methods.get("smooother")


@pytest.mark.filterwarnings("ignore::jaxnas.spaces.user.plugins.PluginWarning")
def test_the_space_of_a_genotype_is_found_in_a_package(package, fresh):
    genotype = sampling.random_genotype(spaces.get("my-cells"), 0)
    assert genotype.space == "my-cells"
    assert spaces.of_genotype(genotype).name == "my-cells"


def test_no_name_is_found_without_the_package():
    assert (spaces.names(), methods.names()) == (tuple(spaces.SPACES), tuple(methods.METHODS))


def test_a_method_of_a_module_searches(module):
    edges = choices.uniform(((0, 1), (0, 2), (1, 2)), ("skip_connect", "layer"))
    space = spaces.get("darts")._replace(choices={"normal": edges})
    method = methods.get("my_own:smooth")
    assert method.summary == "DARTS with smoothed labels (my_own:smooth)"
    assert methods.label("my_own:smooth") == "my_own-smooth"
    settings = methods.resolve("my_own:smooth", "quick", {"epochs": 1}, ["smoothing=0.5"])
    assert settings["smoothing"] == 0.5
    ran = drive.run(methods.program("my_own:smooth", Context(space, 2, 0), settings))
    assert [stage.epochs for stage in ran.stages] == [1]
    assert jax.tree.map(lambda gate: gate.shape, ran.found.gates) == {
        name: choice.shape for name, choice in space.choices.items()
    }


def test_the_digest_of_a_module_changes_with_its_text(module):
    before = methods.get("my_own:smooth").digest
    module.write_text(module.read_text() + "# the same\n")
    assert methods.get("my_own:smooth").digest != before


@pytest.mark.parametrize(
    ("name", "more", "cause"),
    [
        ("my_own:smoth", "", "no attribute 'smoth'. Did you mean smooth?"),
        ("my_owner:smooth", "", "No module named 'my_owner'. Modules are looked for"),
        ("my_own:", "", "give MODULE:NAME"),
        ("my own:smooth", "", "give MODULE:NAME"),
        ("my_own:x", "x = 3", "my_own:x is int, no method"),
        ("my_own:x", "raise SystemExit(3)", "my_own:x cannot be imported: SystemExit: 3"),
        ("my_own:x", "def x(): ...", "takes no supernet"),
        ("my_own:x", "def x(net, *, epochs=1): ...", "lacks steps_per_epoch"),
        ("my_own:x", "def x(net, *, epochs=1, steps_per_epoch, a): ...", "no default for a"),
        ("my_own:x", "def x(net, *, epochs, steps_per_epoch): ...", "no default for epochs"),
        ("my_own:x", "def x(net, a=3, *, epochs=1, steps_per_epoch): ...", "no setting reaches a"),
    ],
)
def test_what_is_no_method_is_refused(module, name, more, cause):
    module.write_text(f"{module.read_text()}\n{more}\n")
    with pytest.raises(PluginError, match=re.escape(cause)) as refusal:
        methods.get(name)
    assert "\n" not in str(refusal.value)


def test_a_method_that_gives_no_search_is_refused(module):
    module.write_text("def x(net, *, epochs=1, steps_per_epoch): return 3\n")
    method = methods.get("my_own:x")
    space = spaces.get("darts")
    stage = next(method.program(Context(space, 2, 0), {"epochs": 1}))
    with pytest.raises(PluginError, match="my_own:x gives int, no Search"):
        stage.method(None, epochs=1, steps_per_epoch=2)


def test_of_two_packages_of_one_name_the_first_is_taken(target, monkeypatch):
    found = importlib.metadata.distributions(path=[str(target)])
    point = next(point for package in found for point in package.entry_points)
    monkeypatch.setattr(plugins, "_entry_points", lambda group, path: (point, point))
    with pytest.warns(PluginWarning, match="which is a name of my-parts 0.3"):
        assert list(plugins.installed(plugins.SPACES, ())) == [point.name]
