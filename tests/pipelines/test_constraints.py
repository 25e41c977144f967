"""A search to a target: what holds the gates, which network is taken, and that it is measured."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import scipy.special

from experiments import targets as sweep
from jaxnas import cli
from jaxnas.core.stages import StageResult
from jaxnas.core.types import Choice, Constraint
from jaxnas.evaluators import supernet
from jaxnas.evaluators.nasbench201 import cost as published
from jaxnas.hardware import cost, counts, programs, timing
from jaxnas.hardware.measure import campaign, campaign_file, dataset, recheck
from jaxnas.hardware.predict import fit, predictor_file
from jaxnas.hardware.predict.predictor import margin
from jaxnas.pipelines import constraints, summary
from jaxnas.pipelines.settings import Recipe, SearchSettings
from jaxnas.spaces import distribution, genome, genotype, registry, sampling, search_space
from jaxnas.spaces.genotype import Cell, Genotype
from jaxnas.spaces.nasbench201 import notation
from jaxnas.strategies import constrained_selection, selection_record

SPACE = registry.get("nasbench201")
ALL_CELLS = np.concatenate(list(genome.enumerate_all(SPACE.genome.space)))
# Milliseconds of none, skip, 1x1, 3x3, pool on a live edge.
OF_OP = np.array([0.0, 0.001, 0.02, 0.05, 0.01])
FIXED = 0.05
DEVICE = {"platform": "cpu", "kind": "cpu", "host_cpu": "stand-in", "threads": 1, "jax": "0"}


def true_ms(networks):
    return FIXED + OF_OP[SPACE.genome.canonical(networks)].sum(1)


def raw(count=25, space="nasbench201", noise=0.0, **settings):
    """A campaign of the reference and `count` networks, five rounds."""
    networks = ALL_CELLS[np.random.default_rng(0).permutation(len(ALL_CELLS))[:count]]
    found = [SPACE.genome.decode(network) for network in networks]
    labels = ("reference", *map(programs.label, found))
    texts = ("{}", *map(genotype.compact, found))
    ms = np.concatenate([[1.0], true_ms(networks)])
    shake = 1 + noise * np.random.default_rng(1).standard_normal((5, count + 1))
    own = {"space": space, "features": 4, "cells": 1, "classes": 10, "image": [8, 8, 1],
           "batch": 1, "space_sha256": None}  # fmt: skip
    header = {"device": DEVICE, "settings": own | settings, "begun": "", "spent_s": 1.0,
              "load": [None, None]}  # fmt: skip
    return campaign_file.Raw(
        header, labels, ("reference", *["network"] * count), texts,
        np.full(count + 1, -1, np.int32), np.ones(count + 1, np.int32),
        np.ones((count + 1, len(timing.FACTS))), ms * shake, np.empty((5, 0, 2)),
        np.arange(5.0), np.zeros(5, np.int32),
    )  # fmt: skip


def written(folder, *arguments, **settings):
    folder.mkdir(exist_ok=True)
    campaign_file.write(folder / campaign_file.RAW, raw(*arguments, **settings))
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return dataset.load(written(tmp_path_factory.mktemp("campaign"), noise=0.001))


@pytest.fixture(scope="module")
def model(measured):
    return dataset.fitted(measured)


def in_ms(model, limit, risk=0.0, quantity="ms"):
    return cost.check(Constraint(cost.predicted(SPACE, model, quantity), limit, risk))


def counted(size, quantity, limit):
    return Constraint(cost.counted(SPACE, size, quantity, limit), limit)


def gates_of(seed=0):
    drawn = np.random.default_rng(seed).dirichlet(np.full(5, 0.7), 6)
    return {"cell": drawn.astype(np.float32)}


def test_a_network_that_a_weight_alone_held_is_predicted_and_measured(measured, model):
    network = ALL_CELLS[6111]
    found = SPACE.genome.decode(network)
    timed = lambda networks, number: recheck.RecheckedTimes(true_ms(network[None]), 1.0, ())
    record = selection_record.unconstrained(SPACE, found, model, timed)
    said = record["targets"]["ms"]
    assert said["measured"] == float(true_ms(network[None])[0])
    assert said["interval"][0] < said["predicted"] < said["interval"][1]
    (line,) = summary.constraints(record)
    assert line.startswith("latency   predicted 0.") and "measured 0." in line
    assert (
        "not measured"
        in summary.constraints(selection_record.unconstrained(SPACE, found, model))[0]
    )


# --- what networks cost


def test_counts_are_those_of_the_benchmark():
    size = search_space.NetworkSize(16, 5, 10, (32, 32, 3))
    table = counts.counted(SPACE, size)
    some = ALL_CELLS[::311]
    assert (table["macs"].of(some) == published.macs(some, 10, 32)).all()
    assert (table["parameters"].of(some) == published.parameters(some, 10)).all()


def test_macs_to_expect_are_the_mean_over_all_deployed_networks():
    size = search_space.NetworkSize(4, 1, 10, (8, 8, 1))
    model = counted(size, "macs", 60_000).cost
    gates = gates_of()
    shares = np.prod([gates["cell"][p][ALL_CELLS[:, p]] for p in range(6)], 0)
    mean = float(shares @ model.of_genomes(SPACE.genome.canonical(ALL_CELLS)))
    assert float(model.of_gates(gates)) == pytest.approx(mean, rel=1e-5)
    one = SPACE.genome.encode(SPACE.genome.decode(ALL_CELLS[6111]))
    assert (one == ALL_CELLS[6111]).all()
    exact = counts.exact(SPACE, SPACE.genome.decode(one), size)["macs"]
    hot = genome.one_hot(SPACE.choices, one)
    assert float(model.of_gates(hot)) == pytest.approx(exact, rel=1e-6)


def test_milliseconds_of_a_pruned_network_are_those_of_the_graph(model):
    held = ALL_CELLS[::37]
    predicted = model.predict(SPACE.genome.canonical(held))[0]
    assert np.mean(np.abs(predicted / true_ms(held) - 1) < 0.1) > 0.9


def test_a_risk_puts_the_interval_below(model):
    plain, careful = (in_ms(model, 0.15, risk) for risk in (0.0, 1.0))
    assert plain.aim == plain.limit == 0.15
    assert careful.aim * (1 + margin(model)) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("ms", "cause"),
    [(0.001, "cheapest network takes more"), (9.0, "every network takes less"), (-1.0, "above 0")],
)
def test_a_target_out_of_range_is_refused_with_the_range(model, ms, cause):
    with pytest.raises(cost.ConstraintError, match=cause):
        in_ms(model, ms)


def test_a_space_that_drops_edges_is_refused(model):
    with pytest.raises(cost.ConstraintError, match="another space"):
        cost.predicted(registry.get("mobile-fbnet"), model)


# --- chains


CHAIN = {"layers": Choice(tuple((i, i + 1) for i in range(4)), (("k3_e3", "k5_e6", "k3_e6"),) * 4)}


def chain_space():
    def discretise(space, gates):
        best = np.argmax(gates["layers"], -1)
        ops = zip(CHAIN["layers"].edges, CHAIN["layers"].candidates, best, strict=True)
        edges = tuple((s, t, names[int(o)]) for (s, t), names, o in ops)
        return Genotype("chain", {"layers": Cell(edges, 1, (4,))})

    return SPACE._replace(
        choices=CHAIN,
        genome=genome.of_space(CHAIN, discretise),
        distribution=distribution.factorised(CHAIN),
        edges_per_node=None,
    )


def test_the_bounds_of_a_chain_are_those_of_all_its_networks():
    every = np.indices((3,) * 4).reshape(4, -1).T
    random = np.random.default_rng(0)
    own, pairs = random.random((4, 3)) + 0.5, 0.3 * random.random((3, 3))
    ms = 1 + own[np.arange(4), every].sum(1) + sum(
        pairs[every[:, i], every[:, i + 1]] for i in range(3)
    )  # fmt: skip
    predictor = fit.fit(CHAIN, every, ms)
    low, high = cost.bounds(chain_space(), predictor)
    predicted = predictor.predict(every)[0]
    assert low == pytest.approx(predicted.min(), rel=1e-4)
    assert high == pytest.approx(predicted.max(), rel=1e-4)


def test_networks_of_a_large_space_are_drawn_and_gates_decide_which_are_likely():
    gates = {"layers": np.array([[0.8, 0.1, 0.1]] * 4)}
    pool = sampling.sample_pool(chain_space(), gates)
    assert len(pool.genomes) == 81
    best = pool.genomes[np.argmax(pool.log_probability)]
    assert (best == 0).all()
    assert np.exp(pool.log_probability).sum() == pytest.approx(1.0)


# --- which network


def test_all_networks_are_in_the_pool_with_the_probability_of_what_they_deploy():
    gates = gates_of()
    pool = sampling.sample_pool(SPACE, gates)
    deployed = SPACE.genome.canonical(ALL_CELLS)
    shares = np.prod([gates["cell"][p][ALL_CELLS[:, p]] for p in range(6)], 0)
    dead = (deployed == 0).all(1)
    total = float(np.exp(scipy.special.logsumexp(pool.log_probability)))
    assert total == pytest.approx(1 - shares[dead].sum(), rel=1e-5)
    row = len(pool.genomes) // 2
    same = (deployed == pool.genomes[row]).all(1)
    assert np.exp(pool.log_probability[row]) == pytest.approx(shares[same].sum(), rel=1e-5)


def finished(score):
    """A supernet whose accuracy at one-hot gates is `score(networks)`."""
    evaluate = lambda gates: (score(gates["cell"].argmax(-1)), np.zeros(len(gates["cell"])))
    return StageResult(None, gates_of(), evaluate, None, None)


def more_convolutions(networks):
    return (networks == 3).sum(1) / 6


def problem_of(measured, model, constraints, pool=None):
    pool = pool or sampling.sample_pool(SPACE, gates_of())
    return selection_record.SelectionProblem(SPACE, constraints, pool, model, measured)


def selected(
    measured, model, constraints, score=more_convolutions, scale=1.0, slower=1.0, measuring=True
):
    rounds = []

    def timed(genotypes, number):
        rounds.append(len(genotypes))
        networks = np.array([SPACE.genome.encode(genotype) for genotype in genotypes])
        return recheck.RecheckedTimes(scale * true_ms(networks), slower, ())

    result = constrained_selection.select(
        problem_of(measured, model, constraints),
        supernet.shared_weights(SPACE, finished(score).evaluate),
        measure=timed if measuring else None,
    )
    return result, rounds


def test_the_found_network_is_measured_and_holds(measured, model):
    result, rounds = selected(measured, model, [in_ms(model, 0.15)])
    said = result.record["targets"]["ms"]
    network = SPACE.genome.encode(result.genotype)
    assert said["measured"] == pytest.approx(float(true_ms(network[None])[0]))
    assert said["holds"] and said["measured"] <= 0.15 * 1.05
    assert rounds == [constrained_selection.TIMED]
    assert said["interval"][0] <= said["fitted"] <= said["interval"][1]
    (line,) = summary.constraints(result.record)
    assert line.startswith("target    0.15 ms; predicted 0.1") and line.endswith("holds within 5 %")
    json.dumps(result.record, allow_nan=False)


def test_a_wrong_model_is_fitted_again_until_the_target_holds(measured, model):
    result, rounds = selected(measured, model, [in_ms(model, 0.2)], scale=1.12)
    assert result.record["refits"] >= 1 and len(rounds) >= 2
    assert result.record["targets"]["ms"]["holds"]
    assert result.predictor.networks > model.networks


def test_a_target_that_cannot_hold_is_said_not_to(measured, model, monkeypatch):
    monkeypatch.setattr(constrained_selection, "ROUNDS", 6)
    result, rounds = selected(measured, model, [in_ms(model, 0.2)], scale=3.0)
    assert rounds == [constrained_selection.TIMED] * 6
    assert not result.record["targets"]["ms"]["holds"]
    assert "DOES NOT HOLD" in summary.constraints(result.record)[0]


def test_measuring_ends_where_none_nearer_is_known(measured, model):
    """None of the pool comes near the target: the nearest are measured once."""
    constraint, lines = in_ms(model, 0.2), []
    pool = sampling.sample_pool(SPACE, gates_of())
    far = constraint.cost.of_genomes(pool.genomes) < 0.7 * constraint.aim
    few = sampling.CandidatePool(pool.genomes[far], pool.log_probability[far])
    timed = lambda genotypes, number: recheck.RecheckedTimes(
        true_ms(np.array([SPACE.genome.encode(genotype) for genotype in genotypes])), 1.0, ()
    )
    result = constrained_selection.select(
        problem_of(measured, model, [constraint], few),
        supernet.shared_weights(SPACE, finished(more_convolutions).evaluate),
        measure=timed,
        log=lines.append,
    )
    assert len(result.record["rounds"]) == 1 < constrained_selection.ROUNDS
    assert not result.record["targets"]["ms"]["holds"]
    assert lines[-1] == "target: 4 networks were measured, and none nearer is known"


def test_a_risk_keeps_off_the_target_and_that_holds(measured, model):
    """An unsure model: its half-width of 40 % lies between what is aimed at and the target."""
    unsure = model._replace(errors=np.full_like(model.errors, 0.4))
    result, rounds = selected(measured, unsure, [in_ms(unsure, 0.15, risk=1.0)])
    said = result.record["targets"]["ms"]
    assert said["aim"] == pytest.approx(0.15 / 1.4)
    assert said["holds"] and 0.95 * said["aim"] <= said["measured"] <= 0.15
    assert len(rounds) == 1
    (line,) = summary.constraints(result.record)
    assert line.endswith("it holds: --risk keeps off")


def test_the_interval_is_of_the_prediction_and_the_clock_is_told(measured, model):
    result, _ = selected(measured, model, [in_ms(model, 0.2)], scale=1.12, slower=1.03)
    said = result.record["targets"]["ms"]
    assert result.record["refits"] >= 1
    low, high = said["interval"]
    assert (said["predicted"] - low) == pytest.approx(high - said["predicted"], rel=1e-3)
    assert said["clock_ms"] == pytest.approx(1.03 * said["measured"])
    assert f"the clock read {said['clock_ms']:.4g} ms" in summary.constraints(result.record)[1]


def test_what_the_campaign_measured_counts_more_than_a_prediction(measured, model):
    """A model that is half too high everywhere leaves none near; the campaign knows some."""
    wrong = model._replace(table=1.5 * model.table)
    target = float(np.sort(measured.latency_ms)[len(measured.latency_ms) // 2])
    result, rounds = selected(measured, wrong, [in_ms(wrong, 1.001 * target)])
    assert result.record["targets"]["ms"]["holds"] and len(rounds) == 1


def test_without_measuring_the_prediction_is_said_to_be_one(measured, model):
    result, _ = selected(measured, model, [in_ms(model, 0.15)], measuring=False)
    said = result.record["targets"]["ms"]
    assert said["measured"] is None and said["holds"] is None
    assert 0.95 * 0.15 <= said["predicted"] <= 0.15
    assert "not measured" in summary.constraints(result.record)[0]


def test_several_targets_hold_at_once_and_a_counted_one_exactly(measured, model):
    size = search_space.NetworkSize(4, 1, 10, (8, 8, 1))
    latency, macs = in_ms(model, 0.15), counted(size, "macs", 60_000)
    result, _ = selected(measured, model, [latency, macs])
    said = result.record["targets"]
    assert said["ms"]["holds"] and said["macs"]["holds"]
    exact = counts.exact(SPACE, result.genotype, size)["macs"]
    assert said["macs"]["predicted"] == exact <= 60_000
    none = counted(size, "parameters", 10_000)._replace(limit=1.0)
    with pytest.raises(cost.ConstraintError, match="meets all targets at once"):
        selected(measured, model, [latency, none])


def test_networks_are_ranked_by_shared_weights_near_the_target(measured, model):
    small = lambda networks: (networks == 2).sum(1) / 6
    latency = in_ms(model, 0.15)
    fewer, _ = selected(measured, model, [latency], score=lambda networks: 1 - small(networks))
    more, _ = selected(measured, model, [latency], score=small)
    count = lambda result: SPACE.genome.encode(result.genotype).tolist().count(2)
    assert count(fewer) < count(more)


def test_another_quantity_is_a_target_of_its_own_model(measured, model):
    """Joules fall where milliseconds rise, so that both bind."""
    networks = ALL_CELLS[np.random.default_rng(1).permutation(len(ALL_CELLS))[:120]]
    energy = fit.fit(SPACE.choices, networks, 1 / true_ms(networks), quantity="energy_j")
    least = float(np.quantile(1 / true_ms(ALL_CELLS), 0.2))
    constraints = [in_ms(model, 0.2), in_ms(energy, least, quantity="energy")]
    result, _ = selected(measured, model, constraints)
    said = result.record["targets"]
    assert said["ms"]["holds"] and said["energy"]["predicted"] <= least
    assert (
        said["energy"]["interval"][0]
        <= said["energy"]["predicted"]
        <= said["energy"]["interval"][1]
    )
    line = summary.constraints(result.record)[1]
    assert line.startswith(f"target    {least:.4g} energy_j (energy); predicted ")
    with pytest.raises(
        cost.ConstraintError, match="The target energy is 1e-06 energy_j and the che"
    ):
        in_ms(energy, 1e-6, quantity="energy")


# --- measured beside the campaign's own


def test_times_are_on_the_scale_of_the_campaign(measured, tmp_path):
    """A device that is slower by 30 % today is slower for the anchors too."""
    ms = dict(zip(measured.raw.labels, np.median(measured.raw.rounds_ms, 0), strict=True))

    def prepare(program, calls):
        if program.label in ms:
            time = ms[program.label]
        else:
            network = genome.encode(SPACE.choices, genotype.from_json(program.architecture))
            time = float(true_ms(network[None])[0])
        facts = dict.fromkeys(timing.FACTS, 1.0)
        return timing.TimedProgram(program.label, lambda: 1.3 * time, None, 1, facts)

    networks = ALL_CELLS[[6111, 1234]]
    found = [SPACE.genome.decode(network) for network in networks]
    protocol = campaign.Protocol(4, 5, warm_up=False)
    times = recheck.recheck(
        measured, found, tmp_path / "round", prepare, device=DEVICE, protocol=protocol
    )
    assert times.slower == pytest.approx(1.3, rel=0.01)
    assert times.latency_ms == pytest.approx(true_ms(networks), rel=0.01)
    with pytest.raises(campaign_file.CampaignError, match="--any-device"):
        recheck.recheck(
            measured, found, tmp_path / "other", prepare, device=DEVICE | {"jax": "1"},
            protocol=protocol,
        )  # fmt: skip


# --- the commands


def refused(capsys, *words):
    assert cli.main(words) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1 and err.startswith("jaxnas: "), err
    return err


def test_fit_predict_and_report(tmp_path, capsys):
    folder = written(tmp_path / "mine", 16, noise=0.001)
    assert cli.main(["latency", "fit", str(folder)]) == 0
    model = str(folder / "model.json")
    arch = notation.to_arch(ALL_CELLS[6111])
    assert cli.main(["latency", "predict", model, arch, "--json"]) == 0
    text = capsys.readouterr().out
    (row,) = json.loads(text[text.index("[\n") :])
    assert row["latency_ms"] == pytest.approx(float(true_ms(ALL_CELLS[[6111]])[0]), rel=0.1)
    assert row["low_ms"] < row["latency_ms"] < row["high_ms"]
    assert cli.main(["latency", "report", str(folder)]) == 0
    said = json.loads((folder / "report.json").read_text())
    assert set(said["models"]) == {"ours", "macs", "table", "mlp", "trees"}
    assert said["models"]["ours"]["spearman"] > 0.8
    assert "| ours |" in (folder / "report.md").read_text()
    assert (folder / "predicted.svg").read_text().lstrip().startswith("<?xml")


def test_models_of_other_devices_help_from_the_command_line(tmp_path, capsys):
    some = ALL_CELLS[np.random.default_rng(5).permutation(len(ALL_CELLS))[:200]]
    other = fit.fit(SPACE.choices, some, 3 * true_ms(some), device="other")
    predictor_file.save(tmp_path / "other.json", other)
    rows = ALL_CELLS[np.random.default_rng(6).permutation(len(ALL_CELLS))[:10]]
    lines = (f"{' '.join(map(str, n))},{ms},2" for n, ms in zip(rows, true_ms(rows), strict=True))
    (tmp_path / "ten.csv").write_text("network,latency_ms,watts\n" + "\n".join(lines) + "\n")
    words = ["latency", "fit", str(tmp_path / "ten.csv"), "--space", "nasbench201"]
    helped = [*words, "--sources", str(tmp_path / "other.json"), "--out"]
    assert cli.main([*helped, str(tmp_path / "new.json")]) == 0
    assert "100% of the model knows them" in capsys.readouterr().out
    predicted = predictor_file.load(tmp_path / "new.json").predict(ALL_CELLS)[0]
    assert np.median(np.abs(predicted / true_ms(ALL_CELLS) - 1)) < 0.03
    assert "no effect beside --column" in refused(
        capsys, *helped, str(tmp_path / "x.json"), "--column", "watts"
    )


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
def test_a_campaign_that_is_none_is_refused_in_one_line(tmp_path, capsys, make, cause):
    make(tmp_path / "mine")
    assert cause in refused(capsys, "latency", "fit", str(tmp_path / "mine"))


def test_a_campaign_without_networks_or_rounds_is_refused(tmp_path):
    (tmp_path / "a").mkdir()
    whole = raw(3)
    campaign_file.write(
        tmp_path / "a" / campaign_file.RAW, whole._replace(kinds=("reference", *["block"] * 3))
    )
    with pytest.raises(campaign_file.CampaignError, match="no whole networks"):
        dataset.load(tmp_path / "a")
    empty = whole._replace(
        rounds_ms=whole.rounds_ms[:0], chains_ms=whole.chains_ms[:0],
        started_s=whole.started_s[:0], session=whole.session[:0],
    )  # fmt: skip
    campaign_file.write(tmp_path / "a" / campaign_file.RAW, empty)
    with pytest.raises(campaign_file.CampaignError, match="no rounds yet"):
        dataset.load(tmp_path / "a")


def test_other_columns_are_fitted_and_aimed_at(tmp_path, capsys):
    of = raw(40)
    rows = [genotype.from_json(text) for text in of.architectures[1:]]
    bytes_ = 1e6 * true_ms(np.array([SPACE.genome.encode(each) for each in rows]))
    facts = np.full_like(of.facts, np.nan)
    facts[1:, timing.FACTS.index("temp_bytes")] = bytes_
    (tmp_path / "mine").mkdir()
    campaign_file.write(tmp_path / "mine" / campaign_file.RAW, of._replace(facts=facts))
    assert cli.main(["latency", "fit", str(tmp_path / "mine"), "--column", "temp_bytes"]) == 0
    path = tmp_path / "mine" / "temp_bytes.json"
    assert cli.main(["latency", "predict", str(path), notation.to_arch(ALL_CELLS[6111])]) == 0
    assert "temp_bytes  (90 %:" in capsys.readouterr().out
    settings = SearchSettings(space="nasbench201", method="gdas", target_models=(f"{path}=1.2e5",))
    predictors = constraints.load_predictors(settings)
    (constraint,) = constraints.of_settings(predictors, settings, SPACE, (8, 8, 1), 10)
    assert (constraint.cost.quantity, constraint.limit) == ("temp_bytes", 1.2e5)
    ((most, sha),) = constraints.fingerprinted(settings, predictors)["target_models"].values()
    assert most == 1.2e5 and len(sha) == 64

    for name, cause in (("flops", "does not say flops"), ("watts", "no column 'watts'")):
        assert cause in refused(capsys, "latency", "fit", str(tmp_path / "mine"), "--column", name)
    table = tmp_path / "phone.csv"
    lines = (f"{' '.join(map(str, row))},{i + 1}.5" for i, row in enumerate(ALL_CELLS[4000:4012]))
    table.write_text("\n".join(["network,energy_mj", *lines]))
    words = ["latency", "fit", str(table), "--space", "nasbench201", "--column"]
    assert cli.main([*words, "energy_mj"]) == 0
    assert predictor_file.load(tmp_path / "energy_mj.json").quantity == "energy_mj"
    assert "and no 'energy_uj'" in refused(capsys, *words, "energy_uj")


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("search --target-models energy.json", "no FILE=MOST"),
        ("search --target-models energy.json=0", "no FILE=MOST"),
        ("search --target-models energy.json=5", "Cannot read energy.json"),
        ("search --target-models ms.json=5", "two targets are called 'ms'"),
        ("latency fit x.csv --space nasbench201 --cells 2", "--cells has no effect"),
        ("latency fit x.csv", "does not say its space"),
        ("latency fit mine --space darts", "have no effect"),
        ("latency predict mine", "nothing to predict"),
        ("latency guess", "there are measure, fit, predict, report"),
        ("search --target-ms 1", "--target-ms needs --latency"),
        ("search --target-ms 0 --latency x", "give more than 0"),
        ("search --latency mine", "--latency has no effect"),
        ("search --latency-weight 1", "--latency-weight needs --latency"),
        ("search --latency-weight 0 --latency mine", "--latency-weight is 0"),
        ("search --latency-form fbnet --target-ms 1 --latency x", "--latency-form has no effect"),
        ("search --latency-weight 1 --latency mine --risk 1", "--risk has no effect"),
        ("search --risk 1 --target-macs 1e5", "--risk has no effect"),
        ("search --any-device", "--any-device has no effect"),
        ("search --target-ms 0.1 --latency mine", "measured elsewhere"),
        ("search --target-ms 0.1 --latency mine --any-device", "not darts"),
        ("search --target-macs 1", "the cheapest network takes more"),
        ("search --target-macs 1e5 --retrain.reductions 2", "cannot stand beside a target"),
        ("search --target-macs 1e5 --select perturbation", "--select has no effect"),
        ("search --space nasbench201 --target-macs 1", "the cheapest network takes more"),
        ("search --space nasbench201 --method snas --target-macs 6e4", "use one of darts"),
    ],
)  # fmt: skip
def test_flags_that_cannot_be_are_refused_in_one_line(tmp_path, capsys, monkeypatch, words, cause):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir or "")
    if "mine" in words:
        space = {"space": "nasbench201"}
        written(tmp_path / "mine", **space)
        cli.main(["latency", "fit", "mine", "--out", "model.json"])
        capsys.readouterr()
        words = words.replace("predict mine", "predict model.json")
        if "darts" not in cause and "search" in words:
            words += " --space nasbench201"
    assert cause in refused(capsys, *words.split())


def test_a_sweep_refuses_a_target_before_its_first_row(tmp_path, capsys):
    written(tmp_path / "mine", space="nasbench201")
    words = ["--latency", str(tmp_path / "mine"), "--targets-ms", "0.15", "99"]
    assert sweep.cli([*words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "every network takes less" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_recipe_is_of_the_size_that_was_timed(measured, model):
    predictors = constraints.Predictors(measured, model)
    assert constraints.recipe(predictors, Recipe()).features == 4
    with pytest.raises(ValueError, match="--retrain.features is 8"):
        constraints.recipe(predictors, Recipe(features=8))
    settings = SearchSettings(
        space="nasbench201", target_ms=0.15, retrain=Recipe(features=4, cells=1)
    )
    (constraint,) = constraints.of_settings(predictors, settings, SPACE, (8, 8, 1), 10)
    assert constraint.cost.quantity == "ms"
    with pytest.raises(ValueError, match="measure with --image 32 32 3"):
        constraints.of_settings(predictors, settings, SPACE, (32, 32, 3), 10)


def test_a_mobile_search_takes_over_the_features_and_names_other_layers(tmp_path):
    space = registry.get("mobile-proxyless", 2)
    random = np.random.default_rng(0)
    rows = np.stack([random.integers(0, n, 25) for n in genome.cardinalities(space.choices)], 1)
    found = [space.genome.decode(row) for row in rows]
    of = raw(space="mobile-proxyless", cells=2, image=[32, 32, 3], features=8)
    of = of._replace(
        labels=("reference", *map(programs.label, found)),
        architectures=("{}", *map(genotype.compact, found)),
    )
    (tmp_path / "mine").mkdir()
    campaign_file.write(tmp_path / "mine" / campaign_file.RAW, of)
    predictors = constraints.Predictors(dataset.load(tmp_path / "mine"), None)
    assert np.array_equal(predictors.campaign.networks, rows)
    recipe = constraints.recipe(predictors, Recipe())
    assert (recipe.features, recipe.cells) == (8, None)
    settings = SearchSettings(
        space="mobile-proxyless", cells=2, method="gdas", target_ms=0.2,
        latency=str(tmp_path / "mine"), any_device=True,
    )  # fmt: skip
    assert constraints.load_predictors(settings).latency.space == space.choices
    with pytest.raises(ValueError, match="give --cells 2"):
        constraints.load_predictors(dataclasses.replace(settings, cells=1))


def test_a_run_without_a_target_is_recorded_as_before():
    assert constraints.fingerprinted(SearchSettings(), None) == {}
