"""`jaxnas latency` and targets of `jaxnas search`: flags that cannot be are refused in one line."""

import json

import jax
import numpy as np
import pytest

from jaxnas import cli
from jaxnas.evaluators.nasbench201 import table
from tests.campaign_toys import ALL_CELLS, true_ms, written


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """Each test has a folder of its own, and the cache of the other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir or "")


def refused(capsys, *words):
    assert cli.main(words) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1 and err.startswith("jaxnas: "), err
    return err


def test_fits_and_predicts(tmp_path, capsys):
    written(tmp_path / "mine", 16, noise=0.001)
    assert cli.main(["latency", "fit", "mine"]) == 0
    (arch,) = table.to_archs(ALL_CELLS[[6111]])
    capsys.readouterr()
    assert cli.main(["latency", "predict", "mine/model.json", arch, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["latency_ms"] == pytest.approx(float(true_ms(ALL_CELLS[[6111]])[0]), rel=0.1)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("search --target-models energy.json", "no FILE=MOST"),
        ("search --target-models ms.json=5", "two targets are called 'ms'"),
        ("search --target-ms 1 --any-device", "--any-device has no effect without --latency"),
        ("search --target-ms 1 --batch-size 5000", "batch_size is 5000"),
        ("search --target-ms 0 --latency x", "give more than 0"),
        ("search --latency mine", "--latency has no effect"),
        ("search --latency-form fbnet --target-ms 1 --latency x", "--latency-form has no effect"),
        ("search --risk 1 --target-macs 1e5", "--risk has no effect"),
        ("search --any-device", "--any-device has no effect"),
        ("search --target-ms 0.1 --latency mine", "measured elsewhere"),
        ("search --space darts --target-ms 0.1 --latency mine --any-device", "not darts"),
        ("search --space darts --target-macs 1", "the cheapest network takes more"),
        ("search --space darts --target-macs 1e5 --retrain.reductions 2", "cannot stand beside a"),
        ("search --target-macs 1e5 --select perturbation", "--select has no effect"),
        ("search --target-macs 1", "the cheapest network takes more"),
        ("search --method snas --target-macs 6e4", "use one of darts"),
        ("latency fit x.csv --space nasbench201 --cells 2", "--cells has no effect"),
        ("latency fit x.csv", "does not say its space"),
        ("latency fit mine --space darts", "have no effect"),
        ("latency fit mine --column watts", "no column 'watts'"),
        ("latency predict model.json", "nothing to predict"),
        ("latency guess", "there are measure, fit, predict, report"),
        ("latency measure --networks 0", "--networks is 0"),
    ],
)
def test_flags_that_cannot_be_are_refused_in_one_line(tmp_path, capsys, words, cause):
    written(tmp_path / "mine")
    if "predict" in words:
        assert cli.main(["latency", "fit", "mine", "--out", "model.json"]) == 0
        capsys.readouterr()
    if words.startswith("search") and "--space" not in words:
        words += " --space nasbench201"
    assert cause in refused(capsys, *words.split())


def test_sources_have_no_effect_on_another_quantity(tmp_path, capsys):
    rows = np.arange(10)
    lines = (f"{' '.join(map(str, ALL_CELLS[i]))},{i + 1},2" for i in rows)
    (tmp_path / "ten.csv").write_text("network,latency_ms,watts\n" + "\n".join(lines) + "\n")
    words = "latency fit ten.csv --space nasbench201 --sources other.json --column watts"
    assert "no effect with --column" in refused(capsys, *words.split())
