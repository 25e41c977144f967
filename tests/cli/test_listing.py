"""`jaxnas methods` and `jaxnas spaces`: a line each, or one of them in full."""

import re

import pytest

from jaxnas import cli
from jaxnas.methods import registry as methods
from jaxnas.spaces import registry as spaces
from jaxnas.strategies import registry as strategies


def printed(capsys, *words: str) -> str:
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def table(text: str) -> dict[str, str]:
    return dict(re.split(r"  +", line, maxsplit=1) for line in text.splitlines())


def test_spaces_are_listed_a_line_each_with_their_summaries(capsys):
    listed = table(printed(capsys, "spaces"))
    assert listed == {name: spaces.get(name).summary for name in spaces.SPACES}
    assert all(listed.values())


def test_methods_are_listed_a_line_each_with_their_summaries(capsys):
    listed = table(printed(capsys, "methods"))
    assert listed == {name: methods.get(name).summary for name in methods.names()}
    assert all(listed.values())


@pytest.mark.parametrize("name", spaces.SPACES)
def test_a_space_is_told_in_full(capsys, name):
    space, text = spaces.get(name), printed(capsys, "spaces", name)
    assert text.startswith(f"{name}: {space.summary}\n")
    for choice in space.choices.values():
        assert f"{len(choice.edges)} edges, each one of {choice.shape[1]} of" in text
        for candidates in choice.candidates:
            assert all(re.search(rf"\b{candidate}\b", text) for candidate in candidates)
    for preset in space.sizes:
        assert f"--preset {preset}: " in text
    for flag in set().union(*space.ignores.values()):
        assert f"--{flag.replace('_', '-')}" in text
    (line,) = (line for line in text.splitlines() if line.startswith("  methods: "))
    fitting = [n for n in methods.names() if methods.fits(methods.get(n), space)]
    assert line.removeprefix("  methods: ").split(", ") == fitting and fitting


@pytest.mark.parametrize("name", methods.names())
def test_a_method_is_told_with_all_its_settings(capsys, name):
    method, text = methods.get(name), printed(capsys, "methods", name)
    assert text.startswith(f"{name}: {method.summary}\n")
    for setting in method.defaults:
        shown = re.search(rf"^  (--)?{setting.replace('_', '[_-]')} ", text, re.MULTILINE)
        assert shown, setting
    assert ("--select perturbation" in text) == (method.relaxation is not None)
    assert ("--select evolution" in text) == method.samples_paths
    assert ("--order" in text) == ("hypergrad" in method.accepts)


def test_what_the_quick_preset_changes_is_told(capsys):
    text = printed(capsys, "methods", "pc-darts")
    assert re.search(r"^  --arch-learning-rate +\S+   quick: \S+$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("spaces dart", "No space is called 'dart'; there are darts, "),
        ("spaces none.py", "none.py is no file of Python"),
        ("methods dart", "No method is called 'dart'; there are "),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(capsys, words, cause):
    assert cli.main(words.split()) == 2
    err = capsys.readouterr().err
    assert cause in err and err.count("\n") == 1


def test_every_method_and_strategy_has_the_four_axes(capsys):
    lines = printed(capsys, "methods", "--axes").splitlines()[1:]
    rows = [re.split(r"  +", line) for line in lines]
    assert all(len(row) == 5 and all(row) for row in rows)
    named = [row[0].split()[-1] for row in rows]
    assert named == [*methods.names(), *strategies.STRATEGIES]
    takes_costs = {row[0].split()[-1] for row in rows if row[4] != "none"}
    assert "gdas" in takes_costs and "snas" not in takes_costs  # as --target-ms finds


@pytest.mark.parametrize("name", strategies.STRATEGIES)
def test_a_strategy_is_told_in_full(capsys, name):
    entry, text = strategies.get(name), printed(capsys, "strategies", name)
    assert text.startswith(f"{name}: {entry.summary}\n  {entry.kind}; {entry.paper}")
    assert all(f"\n  {setting} " in text for setting in entry.settings)
