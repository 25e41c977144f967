"""The rows of an ablation: which searches they are, and what cannot be one."""

import re

import pytest

from jaxnas.pipelines.ablation import ablation_file, plan
from tests import paths
from tests.pipelines.ablation.test_ablation_file import GOOD


def rows(tmp_path, text):
    path = tmp_path / "a.toml"
    path.write_text(text)
    return plan.rows(ablation_file.read(path), tmp_path / "out")


def test_every_combination_is_a_row_seed_by_seed(tmp_path):
    planned = rows(tmp_path, GOOD)
    assert len(planned) == 3 * (2 + 2 * 2)
    assert [row.seed for row in planned] == [0] * 6 + [1] * 6 + [2] * 6
    first, *_, last = planned
    assert first.name == "darts arch_learning_rate=0.0003"
    assert last.name == "mine arch_learning_rate=0.0006 epochs=4"
    settings = last.settings
    assert (settings.method, settings.epochs, settings.seed) == ("gdas", 4, 2)
    assert (settings.source.limit, settings.retrain.epochs) == (200, 2)
    assert (settings.arch_learning_rate, settings.set) == (6e-4, ("temperature=5.0",))
    folders = {(row.settings.place.out, row.settings.place.name) for row in planned}
    assert len(folders) == len(planned)
    assert {out for out, _ in folders} == {str(tmp_path / "out" / "runs")}


def test_a_rows_command_is_that_of_the_search_alone(tmp_path):
    last = rows(tmp_path, GOOD)[-1]
    assert last.command == (
        "jaxnas search --limit 200 --method gdas --set temperature=5.0 --epochs 4 "
        "--arch-learning-rate 0.0006 --seed 2 --retrain.epochs 2"
    )


def test_variants_have_the_settings_of_their_name(tmp_path):
    text = 'seeds = [0]\nmethods = ["darts-exact", "fair-evolution", "random"]\n'
    exact, fair, random = rows(tmp_path, f"{text}[settings]\nepochs = 4\n")
    assert (exact.settings.method, exact.settings.order) == ("darts", "exact")
    assert (fair.settings.method, fair.settings.select) == ("spos", "evolution")
    assert fair.settings.set == ("sampling=fair",)
    assert random.settings.set == ("cells=2",)  # which divides the epochs


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('methods = ["gdas"]\n[settings]\nepochs = "many"\n', "--epochs cannot be 'many'"),
        ('methods = ["gdas"]\n[settings]\npreset = "fast"\n', "give paper or quick"),
        (
            'methods = ["gdas", "mine"]\n[method.mine]\nmethod = "gdas"\n',
            "gdas and mine are the same search with seed 0",
        ),
        ('methods = ["mine"]\n[method.mine]\nmethod = "gdas"\n[grid]\norder = ["x"]', "cannot be"),
    ],
)
def test_refuses_what_no_search_takes(tmp_path, text, cause):
    with pytest.raises(ValueError, match=cause) as refusal:
        rows(tmp_path, f"seeds = [0]\n{text}")
    assert "a.toml" in str(refusal.value) and "\n" not in str(refusal.value)


def test_the_files_of_the_pages_are_ablations(tmp_path):
    pages = {name: (paths.ROOT / name).read_text() for name in ("README.md", "docs/ablations.md")}
    (of_readme,) = re.findall(r"<<'END'\n(seeds.*?)END\n", pages["README.md"], re.DOTALL)
    (of_page,) = re.findall(r"```toml\n(.*?)```", pages["docs/ablations.md"], re.DOTALL)
    assert len(rows(tmp_path, of_readme)) == 5 * 3
    assert len(rows(tmp_path, of_page)) == 5 * (3 + 2) * 2 * 2
    example = (paths.ROOT / "docs" / "examples" / "orders.toml").read_text()
    assert len(rows(tmp_path, example)) == 5 * 3
