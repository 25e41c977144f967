"""`jaxnas latency fit`, `predict` and `report` on a campaign whose true times are known."""

import io
import json

import numpy as np
import pytest
import rich.console

from jaxnas.evaluators.nasbench201 import table
from jaxnas.hardware import shares, timing
from jaxnas.hardware.measure import campaign_file, dataset
from jaxnas.hardware.predict import fit, predictor_file
from jaxnas.pipelines.latency import predict
from jaxnas.pipelines.settings import latency
from jaxnas.spaces import genotype
from tests.campaign_toys import ALL_CELLS, SPACE, raw, true_ms, written

(ARCH,) = table.to_archs(ALL_CELLS[[6111]])


@pytest.fixture
def console():
    return rich.console.Console(file=io.StringIO(), width=200)


def table_of(path, networks, *, column, values):
    """A table *.csv of networks."""
    lines = (f"{' '.join(map(str, n))},{v}" for n, v in zip(networks, values, strict=True))
    path.write_text("\n".join([f"network,{column}", *lines]) + "\n")
    return str(path)


def test_fit_predict_and_report(tmp_path, console, capsys):
    folder = written(tmp_path / "mine", 16, noise=0.001)
    model = predict.fit_model(latency.FitSettings(str(folder)), console)
    assert model == folder / "model.json"
    predict.predict(latency.PredictSettings(str(model), (ARCH,), json=True), console)
    (row,) = json.loads(capsys.readouterr().out)
    assert row["latency_ms"] == pytest.approx(float(true_ms(ALL_CELLS[[6111]])[0]), rel=0.1)
    assert row["low_ms"] < row["latency_ms"] < row["high_ms"]
    out = predict.report(latency.ReportPredictorSettings(str(folder)), console)
    assert out == folder
    record = json.loads((folder / "report.json").read_text())
    assert set(record["models"]) == {"ours", "macs", "table", "mlp", "trees"}
    assert record["models"]["ours"]["spearman"] > 0.8
    assert "| ours |" in (folder / "report.md").read_text()
    assert (folder / "predicted.svg").read_text().lstrip().startswith("<?xml")


def test_a_report_tells_noise_and_how_sure_its_shares_are(tmp_path, console):
    folder = written(tmp_path / "mine", 12, noise=0.1)
    predict.report(latency.ReportPredictorSettings(str(folder)), console)
    record = json.loads((folder / "report.json").read_text())
    page, said = (folder / "report.md").read_text(), console.file.getvalue()
    assert record["networks"] == 12
    share = record["models"]["ours"]["within5"]
    low, high = record["models"]["ours"]["within5_interval"]
    assert (low, high) == pytest.approx([100 * x for x in shares.interval(share / 100, 12)])
    assert high - low > 15
    retest = f"retest {record['noise']['retest']:.0%} within 5 %, one half of the rounds"
    for text in (page, said):
        assert f"{share:.0f} ({low:.0f} to {high:.0f})" in text
        assert "one network is 8.3 points of a share" in text
        assert retest in text and "NOISY: " in text
        assert "by the retest of 13 programs" in text
    assert "|\n\n- one network" in page  # a list is none within a table


def test_a_report_tells_of_two_modes(tmp_path, console):
    rows = ALL_CELLS[np.random.default_rng(6).permutation(len(ALL_CELLS))[:20]]
    ms = np.concatenate([np.linspace(10, 20, 12), np.linspace(55, 170, 8)])
    measured = table_of(tmp_path / "npu.csv", rows, column="latency_ms", values=ms)
    settings = latency.ReportPredictorSettings(measured, space="nasbench201")
    out = predict.report(settings, console)
    said = "two modes: 10 to 20 ms and 55 to 170 ms; no network lies between"
    assert said in (out / "report.md").read_text() and said in console.file.getvalue()
    record = json.loads((out / "report.json").read_text())
    assert record["modes"] == {"fast_ms": [10, 20], "slow_ms": [55, 170]}


def test_models_of_other_devices_help(tmp_path, console):
    some = ALL_CELLS[np.random.default_rng(5).permutation(len(ALL_CELLS))[:200]]
    other = fit.fit(SPACE.choices, some, 3 * true_ms(some), device="other")
    predictor_file.save(tmp_path / "other.json", other)
    rows = ALL_CELLS[np.random.default_rng(6).permutation(len(ALL_CELLS))[:10]]
    values = [f"{ms},2" for ms in true_ms(rows)]
    ten = table_of(tmp_path / "ten.csv", rows, column="latency_ms,watts", values=values)
    settings = {"space": "nasbench201", "sources": (str(tmp_path / "other.json"),)}
    new = predict.fit_model(
        latency.FitSettings(ten, out=str(tmp_path / "new.json"), **settings), console
    )
    assert "100% of the model knows them" in console.file.getvalue()
    predicted = predictor_file.load(new).predict(ALL_CELLS)[0]
    assert np.median(np.abs(predicted / true_ms(ALL_CELLS) - 1)) < 0.03
    with pytest.raises(ValueError, match="no effect with --column"):
        predict.fit_model(latency.FitSettings(ten, column="watts", **settings), console)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda f: None, "There is no"),
        (lambda f: (f.mkdir(), (f / campaign_file.RAW).write_bytes(b"half")), "no readable .npz"),
        (lambda f: written(f, 1), "two different ones are the least"),
        (lambda f: written(f, space="darts"), "of another"),
        (lambda f: written(f, space_sha256="other"), "the file has changed"),
    ],
)
def test_a_campaign_that_is_none_is_refused_in_one_line(tmp_path, console, make, cause):
    make(tmp_path / "mine")
    with pytest.raises(ValueError, match=cause) as refusal:
        predict.fit_model(latency.FitSettings(str(tmp_path / "mine")), console)
    assert "\n" not in str(refusal.value)


def test_a_campaign_without_networks_or_rounds_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    complete = raw(3)
    campaign_file.write(
        tmp_path / "a" / campaign_file.RAW, complete._replace(kinds=("reference", *["block"] * 3))
    )
    with pytest.raises(campaign_file.CampaignError, match="no whole networks"):
        dataset.load(tmp_path / "a")
    empty = complete._replace(
        rounds_ms=complete.rounds_ms[:0], chains_ms=complete.chains_ms[:0],
        started_s=complete.started_s[:0], session=complete.session[:0],
    )  # fmt: skip
    campaign_file.write(tmp_path / "a" / campaign_file.RAW, empty)
    with pytest.raises(campaign_file.CampaignError, match="no rounds yet"):
        dataset.load(tmp_path / "a")


def test_other_columns_are_fitted(tmp_path, console):
    of = raw(40)
    networks = [genotype.from_json(text) for text in of.architectures[1:]]
    facts = np.full_like(of.facts, np.nan)
    facts[1:, timing.FACTS.index("temp_bytes")] = 1e6 * true_ms(
        np.array([SPACE.genome.encode(network) for network in networks])
    )
    folder = tmp_path / "mine"
    folder.mkdir()
    campaign_file.write(folder / campaign_file.RAW, of._replace(facts=facts))
    path = predict.fit_model(latency.FitSettings(str(folder), column="temp_bytes"), console)
    assert path == folder / "temp_bytes.json"
    predict.predict(latency.PredictSettings(str(path), (ARCH,)), console)
    assert "temp_bytes  (90 %:" in console.file.getvalue()
    for column, cause in (("flops", "does not say flops"), ("watts", "no column 'watts'")):
        with pytest.raises(ValueError, match=cause):
            predict.fit_model(latency.FitSettings(str(folder), column=column), console)


def test_columns_of_tables_are_fitted(tmp_path, console):
    values = [f"{i + 1}.5" for i in range(12)]
    phone = table_of(
        tmp_path / "phone.csv", ALL_CELLS[4000:4012], column="energy_mj", values=values
    )
    settings = {"measured": phone, "space": "nasbench201"}
    predict.fit_model(latency.FitSettings(**settings, column="energy_mj"), console)
    assert predictor_file.load(tmp_path / "energy_mj.json").quantity == "energy_mj"
    with pytest.raises(ValueError, match="and no 'energy_uj'"):
        predict.fit_model(latency.FitSettings(**settings, column="energy_uj"), console)
