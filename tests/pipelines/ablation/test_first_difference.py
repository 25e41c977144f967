"""The first difference of two runs, in the order of cause and effect."""

import json

import pytest

from jaxnas.pipelines.ablation import first_difference
from jaxnas.spaces import genotype, registry
from tests import finished_runs


@pytest.fixture
def pair(tmp_path):
    return [finished_runs.write(tmp_path / name) for name in ("a", "b")]


def change(path, *keys, value):
    tree = json.loads(path.read_text())
    inner = tree
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(tree))


def test_equal_runs_do_not_differ_even_if_their_clocks_do(pair):
    first, second = pair
    assert first_difference.between(first, second) is None
    text = (second / "metrics.jsonl").read_text()
    (second / "metrics.jsonl").write_text(text.replace("250.0", "17.0"))
    assert first_difference.between(first, second) is None


def test_the_cause_is_named_before_its_effects(pair):
    first, second = pair
    named = lambda: first_difference.between(first, second)
    change(second / "summary.json", "found", "digest", value="0")
    assert named() == "a result of the trained networks, digest"
    other = registry.published()["DARTS_V2"]
    (second / "genotype.json").write_text(genotype.to_json(other))
    assert "the cells that were found" in named()
    text = (second / "metrics.jsonl").read_text()
    (second / "metrics.jsonl").write_text(text.replace('"loss/train": 1.0', '"loss/train": 1.5'))
    assert named() == "loss/train of step 2 in metrics.jsonl (1.0 and 1.5)"
    change(second / "fingerprint.json", "program", "sha256", value="cd" * 32)
    assert (
        named()
        == "the lowered program of a step (abababababab of 1 steps and cdcdcdcdcdcd of 1 steps)"
    )
    change(second / "settings.json", "environment", "versions", "jax", value="0.12")
    assert named() == 'its environment: versions.jax ("0.10.2" and "0.12")'
    change(second / "settings.json", "settings", "epochs", value=13)
    assert named() == "its settings: epochs (12 and 13)"


def test_the_fingerprint_is_shown_part_by_part(pair, tmp_path):
    lines = first_difference.described(pair[0])
    assert lines[0].startswith("fingerprint  ") and len(lines) == 8
    assert any("0.10.2" in line for line in lines)
    assert "has no fingerprint.json" in first_difference.described(tmp_path)[0]
