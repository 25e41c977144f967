"""Latency, measured: a campaign's rounds, its files, and what a stranger's file may hold."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
import rich.console

from jaxnas import cli, run
from jaxnas.hardware import timing
from jaxnas.hardware.measure import campaign, campaign_file, dataset, round_statistics, session
from jaxnas.hardware.measure import stopping as protocols
from jaxnas.run import progress
from tests import killable_campaign as stand_in
from tests import paths

QUIET = campaign.Protocol(min_rounds=10, max_rounds=30, warm_up=False)


def samples(noise: float = 0.0, seed: int = 0):
    random = np.random.default_rng(seed)
    true = {"reference": 0.5, "a": 1.0, "b": 1.0}
    return lambda label: true[label] * float(np.exp(noise * random.standard_normal()))


def go(folder, sample=None, *, found=None, device=None, protocol=QUIET, settings=None):
    text = io.StringIO()
    result = campaign.measure_all(
        found or stand_in.found(),
        folder,
        stand_in.ready(sample or samples()),
        device=device or stand_in.DEVICE,
        settings=settings or {"batch": 1},
        protocol=protocol,
        console=rich.console.Console(file=text, width=200),
    )
    return result, text.getvalue()


def test_it_stops_early_where_the_times_hold(tmp_path):
    result, said = go(tmp_path)
    assert result["rounds"]["taken"] == 10
    assert not result["noise"]["noisy"]
    assert result["noise"]["twins"] == 0.0 and result["noise"]["pairs"] == 1
    assert result["latency_ms"] == {"least": 1.0, "median": 1.0, "most": 1.0}
    ceiling = result["ceiling"]
    assert ceiling["spearman"] == ceiling["within5"] == ceiling["within10"] == 1.0
    assert (ceiling["source"], ceiling["count"]) == ("retest", 3)
    assert ceiling["within5_interval"] == [pytest.approx(0.526, abs=0.001), 1.0]
    assert "compile: 1/1  network; 0:00 minutes left" in said
    assert json.loads((tmp_path / "result.json").read_text()) == result


def test_it_goes_on_where_the_device_is_noisy_and_says_so(tmp_path):
    result, _ = go(tmp_path, samples(noise=0.3))
    assert result["rounds"]["taken"] == 30
    assert result["noise"]["noisy"] and result["noise"]["reasons"]


def test_the_table_has_units_and_the_twins(tmp_path):
    go(tmp_path)
    with (tmp_path / "latency.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["network"] for row in rows] == ["reference", "a", "b"]
    assert [float(row["latency_ms"]) for row in rows] == [0.5, 1.0, 1.0]
    assert [row["twin_of"] for row in rows] == ["", "", "a"]
    assert set(campaign_file.COLUMNS) == set(rows[0])
    assert rows[0]["slope_ms"] == "" and rows[0]["device"] == "stand-in"


def test_the_raw_matrix_is_kept_and_read_back(tmp_path):
    go(tmp_path, samples(noise=0.01))
    raw = campaign_file.read(tmp_path / "campaign.npz")
    assert raw.rounds_ms.shape[1] == 3 and raw.chains_ms.shape[1:] == (0, 2)
    assert campaign_file.pairs(raw) == [(2, 1)]
    assert (np.diff(raw.started_s) >= 0).all() and set(raw.session) == {0}
    campaign_file.write(tmp_path / "again.npz", raw)
    again = campaign_file.read(tmp_path / "again.npz")
    assert all(np.array_equal(a, b) for a, b in zip(raw[1:], again[1:], strict=True))


def test_a_campaign_goes_on_in_a_new_session_and_a_whole_one_is_left_alone(tmp_path):
    noisy = samples(noise=0.3)
    go(tmp_path, noisy, protocol=QUIET._replace(max_rounds=12))
    result, said = go(tmp_path, noisy)
    assert "goes on after round 12" in said
    assert result["rounds"] == result["rounds"] | {"taken": 30, "sessions": 2}
    before = (tmp_path / "campaign.npz").read_bytes()
    again, _ = go(tmp_path, lambda label: pytest.fail("sampled again"))
    assert again == result
    assert (tmp_path / "campaign.npz").read_bytes() == before


def test_every_round_has_an_order_of_its_own(tmp_path):
    seen = []
    go(tmp_path, lambda label: seen.append(label) or 1.0)
    orders = {tuple(seen[i : i + 3]) for i in range(0, len(seen), 3)}
    assert len(orders) > 2
    assert all(set(order) == {"reference", "a", "b"} for order in orders)


def test_what_was_sampled_before_a_failure_is_kept(tmp_path):
    count = 0

    def breaks(label):
        nonlocal count
        count += 1
        if count == 20:
            raise ValueError("the phone fell")
        return 1.0

    with pytest.raises(ValueError, match="the phone fell"):
        go(tmp_path, breaks)
    raw = campaign_file.read(tmp_path / "campaign.npz")
    assert np.isfinite(raw.rounds_ms).sum() == 19
    result, said = go(tmp_path, lambda label: 1.0)
    assert re.search(r"goes on in round 7, after [01] of 1 network\n", said)
    assert result["rounds"]["missing_samples"] == 0 and result["rounds"]["taken"] == 10
    times = campaign_file.read(tmp_path / "campaign.npz").rounds_ms
    assert np.isfinite(times).sum(0).tolist() == [10, 10, 10]
    assert np.isfinite(times[6]).sum() == 1 and np.isfinite(times[7]).sum() == 2


def failing(label):
    if label == "b":
        raise ValueError("the phone rebooted")
    return 1.0


def test_a_device_that_failed_often_is_measured_once_it_is_repaired(tmp_path):
    for _ in range(12):  # more often than there are rounds
        with pytest.raises(ValueError, match="the phone rebooted"):
            go(tmp_path, failing, protocol=QUIET._replace(max_rounds=10))
    raw = campaign_file.read(tmp_path / "campaign.npz")
    # The one that fails keeps the others from few turns, nor are they asked twice in a round.
    taken = campaign_file.rounds_done(raw)
    assert campaign_file.unsampled(raw) == ["b"] and 2 <= taken < 10
    counts = np.isfinite(raw.rounds_ms).sum(0)
    assert counts[2] == 0 and all(taken / 2 <= count <= taken + 1 for count in counts[:2])
    result, _ = go(tmp_path, lambda label: 1.0)
    more = result["rounds"]["taken"] - taken
    assert more >= 5
    seen = np.isfinite(campaign_file.read(tmp_path / "campaign.npz").rounds_ms)
    assert (seen.sum(0) - counts == more).all()


def test_a_device_that_is_gone_gives_no_round_up(tmp_path):
    """At most what was left of the round that it went away in."""
    count = 0

    def gone(label):
        nonlocal count
        count += 1
        if count > 19:  # in the seventh round
            raise ValueError("no such device")
        return 1.0

    for _ in range(6):
        with pytest.raises(ValueError, match="no such device"):
            go(tmp_path, gone)
    assert campaign_file.rounds_done(campaign_file.read(tmp_path / "campaign.npz")) == 7


def test_a_file_of_old_whose_rounds_were_cut_short_is_measured_on(tmp_path):
    go(tmp_path)
    raw = campaign_file.read(tmp_path / "campaign.npz")
    times = np.where([True, True, False], raw.rounds_ms, np.nan)
    campaign_file.write(
        tmp_path / "campaign.npz",
        raw._replace(
            rounds_ms=times,
            header={k: v for k, v in raw.header.items() if k not in ("rounds", "left")},
        ),
    )
    with pytest.raises(
        campaign_file.CampaignError, match="no valid sample of 'b': go on with more"
    ):
        go(tmp_path, protocol=QUIET._replace(max_rounds=10))
    result, said = go(tmp_path)
    assert "goes on after round 10" in said and 10 < result["rounds"]["taken"] < 30


def test_a_program_that_the_clock_always_spoils_ends_the_campaign_by_name(tmp_path):
    with pytest.raises(
        campaign_file.CampaignError, match="no valid sample of 'a' and 1 other program"
    ):
        go(tmp_path, lambda label: 1.0 if label == "reference" else float("nan"))
    raw = campaign_file.read(tmp_path / "campaign.npz")
    assert campaign_file.rounds_done(raw) == len(raw.rounds_ms) == QUIET.max_rounds


def test_a_long_round_is_saved_and_told_program_by_program(tmp_path, monkeypatch):
    """Whatever kills it then, no more is lost than the sample under way."""
    monkeypatch.setattr(session, "SAVE_S", 0.0)
    monkeypatch.setattr(session, "PROGRESS_S", 0.0)
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", 0.0)
    path, kept, count = tmp_path / "campaign.npz", [], 0

    def sample(label):
        nonlocal count
        kept.append(
            int(np.isfinite(campaign_file.read(path).rounds_ms).sum()) if path.exists() else 0
        )
        count += 1
        return float(count)

    _, said = go(tmp_path, sample, protocol=QUIET._replace(min_rounds=4, max_rounds=4))
    assert kept == list(range(12))
    assert re.search(r"measure: 0/4  times each of 1 network, [01] of them once more; at m", said)
    assert "measure: 4/4  times each of 1 network; at most 0:00 minutes left" in said
    raw = campaign_file.read(path)
    # As without the saves: a row a round, every sample in one.
    assert raw.rounds_ms.shape == (4, 3)
    assert np.sort(raw.rounds_ms, None).tolist() == list(range(1, 13))


def test_a_campaign_is_stopped_between_programs_and_counts_none_twice(tmp_path):
    protocol, count = QUIET._replace(min_rounds=4, max_rounds=4), 0

    def stopped_at(last):
        def sample(label):
            nonlocal count
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)  # a thread listens
            return float(count)

        return sample

    for last, where in ((2, "in round 1, after [01] of 1 network"), (6, "after round 2")):
        with pytest.raises(run.Interrupted, match=f"Stopped {where}: all is saved"):
            go(tmp_path, stopped_at(last), protocol=protocol)
        assert count == last
    result, _ = go(tmp_path, stopped_at(-1), protocol=protocol)
    raw = campaign_file.read(tmp_path / "campaign.npz")
    assert result["rounds"]["sessions"] == 3 and result["rounds"]["taken"] == 4
    assert np.isfinite(raw.rounds_ms).sum(0).tolist() == [4, 4, 4]
    assert np.unique(raw.rounds_ms[np.isfinite(raw.rounds_ms)]).tolist() == list(range(1, 13))


def test_rounds_of_one_piece_are_in_the_order_of_the_seed(tmp_path):
    seen = []
    go(tmp_path, lambda label: seen.append(label) or 1.0, protocol=QUIET._replace(seed=3))
    names = ["reference", "a", "b"]
    for number in range(10):
        order = np.random.default_rng([3, number]).permutation(3)
        assert seen[3 * number : 3 * number + 3] == [names[i] for i in order]


def test_samples_that_the_clock_spoilt_are_counted_and_left_out(tmp_path):
    count = 0

    def now_and_then(label):
        nonlocal count
        count += 1
        return float("nan") if count % 7 == 0 else 1.0

    result, _ = go(tmp_path, now_and_then)
    assert result["rounds"]["missing_samples"] == 4
    assert result["latency_ms"]["median"] == 1.0


def test_minutes_leave_programs_out_but_never_their_rounds(tmp_path):
    many = [*stand_in.found(), *(stand_in.program(f"n{i}") for i in range(20))]
    short = QUIET._replace(minutes=1e-9, min_rounds=20)
    result, said = go(tmp_path, lambda label: 1.0, found=many, protocol=short)
    assert sum(result["programs"].values()) == protocols.MIN_PROGRAMS
    assert result["rounds"]["taken"] == protocols.MIN_ROUNDS
    assert "half the minutes are spent" in said


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"device": stand_in.DEVICE | {"kind": "other"}}, "measured elsewhere: kind"),
        ({"settings": {"batch": 2}}, "is a run of other settings: batch"),
        ({"found": [stand_in.program("a"), stand_in.program("b")]}, "which these settings no"),
    ],
)
def test_a_campaign_of_another_device_or_other_settings_is_left_alone(tmp_path, change, cause):
    go(tmp_path, protocol=QUIET._replace(max_rounds=10, min_rounds=10))
    before = (tmp_path / "campaign.npz").read_bytes()
    with pytest.raises(ValueError, match=cause):
        go(tmp_path, protocol=QUIET, **change)
    assert (tmp_path / "campaign.npz").read_bytes() == before


@pytest.mark.parametrize(
    "protocol",
    [
        campaign.Protocol(3, 10),
        campaign.Protocol(20, 10),
        campaign.Protocol(minutes=0.0),
        campaign.Protocol(minutes=float("nan")),
    ],
)
def test_protocols_that_cannot_be_are_refused(tmp_path, protocol):
    with pytest.raises(ValueError, match="cannot be|is none"):
        go(tmp_path, protocol=protocol)
    assert not list(tmp_path.iterdir())


def told(arrays, **said):
    arrays["header"] = np.array(json.dumps(json.loads(str(arrays["header"])) | said))


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda a: a.pop("rounds_ms"), "holds no campaign"),
        (lambda a: a.update(rounds_ms=a["rounds_ms"][:, :2]), "do not belong together"),
        (lambda a: a.update(rounds_ms=-a["rounds_ms"]), "zero, negative or infinite"),
        (lambda a: a.update(rounds_ms=0 * a["rounds_ms"]), "zero, negative or infinite"),
        (lambda a: a.update(rounds_ms=a["rounds_ms"] / 0), "zero, negative or infinite"),
        (lambda a: a.update(labels=np.array(["a"] * 3)), "stands twice"),
        (lambda a: a.update(kinds=np.array(["car"] * 3)), "unknown kind"),
        (lambda a: a.update(twin_of=np.array([9, 9, 9])), "a twin or the device is missing"),
        (lambda a: told(a, rounds=11), "how far its rounds are"),
        (lambda a: told(a, rounds="all"), "how far its rounds are"),
        (lambda a: told(a, sessions=-1), "how far its rounds are"),
        (lambda a: told(a, left=["c"]), "how far its rounds are"),
        (lambda a: told(a, left=7), "how far its rounds are"),
        (lambda a: a.update(header=np.array("{}")), "is of format None"),
        (lambda a: a.update(header=np.array("no JSON")), "holds no campaign"),
        (lambda a: a.update(fact_names=np.array(["x"])), "holds no campaign"),
        (lambda a: a.update(more=np.zeros(3)), "holds no campaign"),
        (lambda a: a.update(labels=np.array([{}, {}, {}])), "no readable"),
    ],
)
def test_a_file_that_is_no_campaign_is_one_line(tmp_path, spoil, cause):
    go(tmp_path)
    path = tmp_path / "campaign.npz"
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    with np.errstate(divide="ignore"):
        spoil(arrays)
    np.savez(path, **arrays)
    with pytest.raises(campaign_file.CampaignError, match=cause) as caught:
        campaign_file.read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half"])
def test_a_broken_file_is_one_line(tmp_path, content):
    path = tmp_path / "campaign.npz"
    path.write_bytes(content)
    with pytest.raises(campaign_file.CampaignError, match="no readable"):
        campaign_file.read(path)
    with pytest.raises(campaign_file.CampaignError, match="There is no"):
        campaign_file.read(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 1), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_campaign_killed_half_way_goes_on(tmp_path, number, code):
    root = paths.ROOT
    process = subprocess.Popen(
        [sys.executable, stand_in.__file__, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        for _ in range(50):  # rounds of three: after the first file was written
            assert process.stdout.readline() == "sampling\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    raw = campaign_file.read(tmp_path / "campaign.npz")
    taken, left = campaign_file.rounds_done(raw), len(campaign_file.remaining(raw))
    where = f"after round {taken}"
    if left < 3:
        where = f"in round {taken + 1}, after [01] of 1 network"
    assert taken >= 5
    if number == signal.SIGINT:
        assert re.search(f"Stopped {where}: all is saved", err)
        assert np.isfinite(raw.rounds_ms).sum() >= 50
    longer = QUIET._replace(min_rounds=taken + 5, max_rounds=2000)
    result, said = go(tmp_path, lambda label: 1.0, protocol=longer)
    assert re.search(f"goes on {where}\n", said)
    assert result["rounds"]["sessions"] == 2


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A real campaign of real, tiny programs, and what it printed."""
    folder = tmp_path_factory.mktemp("measured")
    cache = jax.config.jax_compilation_cache_dir
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", cache)
        patch.chdir(folder)
        words = (
            "measure --networks 3 --features 2 --image 8 8 3 --kinds network operator --rounds 6 "
            "--sample-ms 0.2 --slope --name tiny"
        )
        assert cli.main(["latency", *words.split()]) == 0
    return folder / "latency" / "tiny"


def test_networks_and_operators_are_measured_from_the_command_line(measured):
    raw = campaign_file.read(measured / "campaign.npz")
    assert raw.kinds.count("network") == 5 and raw.kinds.count("operator") == 12
    assert raw.labels[0] == "reference"
    assert len(raw.rounds_ms) == 6 and np.isfinite(raw.rounds_ms).mean() > 0.9
    assert raw.chains_ms.shape == (6, 18, 2)
    assert raw.header["device"]["platform"] == "cpu" and raw.header["device"]["threads"] >= 1
    flops = raw.facts[:, timing.FACTS.index("flops")]
    assert (flops[[k == "network" for k in raw.kinds]] > 0).all()
    summary = round_statistics.summarise(raw.rounds_ms)
    assert (summary.latency_ms > 0).all()
    assert len(campaign_file.pairs(raw)) == 2


def without(measured, folder, *labels):
    """A copy of a campaign in which these programs have no sample, in the rounds that are there."""
    raw = campaign_file.read(measured / "campaign.npz")
    lost = [label in labels for label in raw.labels]
    folder.mkdir()
    times = np.where(lost, np.nan, raw.rounds_ms)
    campaign_file.write(folder / "campaign.npz", raw._replace(rounds_ms=times))
    return folder


def test_a_campaign_is_opened_without_the_programs_that_have_no_sample(measured, tmp_path):
    whole = dataset.load(measured)
    assert whole.unsampled == () and len(whole.genotypes) == 5
    networks = [label for label, kind in zip(whole.raw.labels, whole.raw.kinds, strict=True)
                if kind == "network"]  # fmt: skip
    # A network that has a twin, whose twin stays.
    lost = whole.raw.labels[campaign_file.pairs(whole.raw)[0][1]]
    some = dataset.load(without(measured, tmp_path / "some", lost))
    assert some.unsampled == (lost,) and lost not in some.raw.labels
    assert (
        len(some.genotypes) == len(some.latency_ms) == 4 and len(campaign_file.pairs(some.raw)) == 1
    )
    kept = [i for i, name in enumerate(networks) if name != lost]
    assert some.genotypes == tuple(whole.genotypes[i] for i in kept)
    np.testing.assert_allclose(some.latency_ms, whole.latency_ms[kept], rtol=0.2)
    flops = dataset.facts(whole, "flops")
    assert dataset.facts(some, "flops").tolist() == flops[kept].tolist()
    assert some.raw.chains_ms.shape[1] == len(some.raw.labels) == len(whole.raw.labels) - 1
    few = without(measured, tmp_path / "few", *networks[1:])
    with pytest.raises(
        campaign_file.CampaignError, match="times of 1 network, and no valid sample of '"
    ):
        dataset.load(few)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("", None),
        ("meassure", "No command 'latency meassure'"),
        ("measure --networks 0", "--networks is 0"),
        ("measure --rounds 3", "--rounds is 3"),
        ("measure --batch 0", "--batch is 0"),
        ("measure --sample-ms nan", "--sample-ms is nan"),
        ("measure --timeout-s 5", "--timeout-s has no effect"),
        ("measure --platform tpu", "--platform has no effect"),
        ("measure --kinds operator --networks 5", "--networks has no effect"),
        ("measure --kinds operator --cells 5", "--cells has no effect"),
        ("measure --kinds network network", "--kinds names each"),
        (
            "measure --kinds block --space mobile-fbnet",
            "--kinds block: the blocks of mobile-fbnet are",
        ),
        (
            "measure --features 6 --space mobile-fbnet",
            "the stem of a mobile network has a multiple of 4",
        ),
        ("measure --cells 9 --space mobile-fbnet", "has 1 to 4 layers, not 9"),
        ("measure --genotypes DARTS_V3 --space darts", "No genotype 'DARTS_V3'"),
        ("measure --genotypes DARTS_V2", "needs one cell"),
        ("measure --space dart", "No space is called 'dart'"),
        ("measure --threads 4096", "--threads is 4096"),
        ("measure --command ./phone", "does not say {network}"),
        ("measure --command '{network} --slope", "cannot be read"),
        ("measure --image 9 9 3 --networks 1", "multiples of 4"),
        ("measure --image 8 8 0 --networks 1", "nothing to measure"),
        ("measure --name a/b", "a name has no slash"),
    ],
)
def test_bad_settings_are_one_line(capsys, tmp_path, monkeypatch, words, cause):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    # The command's text is one word; a quote that does not close stays in it.
    command = words.partition("--command ")[2]
    argv = ["latency", *words.partition("--command ")[0].split()]
    argv += ["--command", command] if command else []
    code = cli.main(argv)
    out, err = capsys.readouterr()
    if cause is None:
        assert code == 0 and "usage: jaxnas latency" in out
    else:
        assert code == 2
        assert cause in err and err.count("\n") == 1
    assert not (tmp_path / "latency").exists()


def test_the_run_lock_holds(tmp_path):
    with (
        run.claim(tmp_path, {"settings": {"batch": 1}, "environment": {}}),
        pytest.raises(run.RunError, match="in use"),
    ):
        go(tmp_path)
