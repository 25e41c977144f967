"""The file of an ablation: what it says, and what it may not say, in one line."""

import pytest

from jaxnas.pipelines.ablation import ablation_file

GOOD = """
seeds = "0..2"
methods = ["darts", "mine"]
trainings = 2
baseline = "darts"
[settings]
limit = 200
retrain.epochs = 2
[grid]
arch-learning-rate = [3e-4, 6e-4]
[method.mine]
method = "gdas"
set.temperature = 5.0
[method.mine.grid]
epochs = [2, 4]
"""


def read(tmp_path, text):
    path = tmp_path / "a.toml"
    path.write_text(text)
    return ablation_file.read(path)


def test_a_file_says_methods_settings_grid_and_seeds(tmp_path):
    file = read(tmp_path, GOOD)
    assert (file.methods, file.seeds) == (("darts", "mine"), (0, 1, 2))
    assert file.settings == {"limit": 200, "retrain.epochs": 2}
    assert file.grid == {"arch_learning_rate": [3e-4, 6e-4]}
    assert file.own == {"mine": {"method": "gdas", "set.temperature": 5.0}}
    assert file.own_grid == {"mine": {"epochs": [2, 4]}}
    assert (file.trainings, file.by, file.baseline) == (2, "accuracy", "darts")


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("trainings = 2", "training = 2", "unknown key 'training': Did you mean trainings?"),
        (
            "limit = 200",
            "limits = 200",
            "unknown setting 'limits' in .settings.: Did you",
        ),
        ("limit = 200", "seed = 1", "seed in .settings. is decided by the ablation: .* seeds"),
        ("limit = 200", 'out = "x"', "decided by the ablation"),
        ('"0..2"', "[0, 1, 0]", "seeds has 0 twice"),
        ('"0..2"', '"zero"', "seeds is 'zero': give a list"),
        ('"0..2"', "[0.5]", "give a list"),
        ('["darts", "mine"]', '["darts", "mine", "mine"]', "methods has 'mine' twice"),
        ('["darts", "mine"]', '["dart", "mine"]', "no method is called 'dart': Did you mean darts"),
        ('["darts", "mine"]', '["darts"]', "method.mine. has no effect"),
        ("[3e-4, 6e-4]", "[3e-4, 3e-4]", "has a value twice"),
        ("[3e-4, 6e-4]", "3e-4", "give a list of values"),
        ("limit = 200", "arch_learning_rate = 1e-3", "has no effect: a grid has it, too"),
        ("trainings = 2", "trainings = 0", "trainings is 0: give 1 or more"),
        ('baseline = "darts"', 'baseline = "random"', "baseline is 'random': give one of methods"),
        ('baseline = "darts"', 'by = "speed"', "by is 'speed': give one of accuracy, truth"),
        ("seeds", "seeds seeds", "it is not TOML"),
    ],
)
def test_refuses_what_is_no_ablation(tmp_path, old, new, cause):
    with pytest.raises(ValueError, match=f"a.toml: .*{cause}") as refusal:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(refusal.value)


def test_refuses_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        ablation_file.read(tmp_path / "none.toml")
