"""docs/systems.md: all systems once, and nothing named that is not there."""

import re

from jaxnas.methods import registry as methods
from jaxnas.strategies import registry as strategies
from tests import paths

ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (paths.ROOT / "docs" / "systems.md").read_text().splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_all_systems_stand_once_with_a_state():
    assert [int(row[0]) for row in ROWS] == list(range(1, 55))
    for _, name, place, state in ROWS:
        assert name and state.split(":")[0].split(",")[0] in ("here", "in part", "not yet")
        assert bool(place) == (state != "not yet")


def test_what_is_named_is_there():
    text = "\n".join(row[2] for row in ROWS)
    for name in re.findall(r"--strategy ([\w-]+)", text):
        assert name in strategies.STRATEGIES
    for name in re.findall(r"--method ([\w-]+)", text):
        assert name in methods.names()
    for path in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text):
        assert (paths.ROOT / "jaxnas" / path).exists() or (paths.ROOT / path).exists(), path
