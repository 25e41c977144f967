"""Measurements from tables of all kinds: text and arrays, of our spaces and of a user's own."""

import dataclasses
import json

import numpy as np
import pytest

from jaxnas.hardware.measure import campaign_file, dataset
from jaxnas.hardware.predict import fit
from jaxnas.hardware.tables.latency_table import TableError
from jaxnas.pipelines.latency import measurements, predict
from jaxnas.pipelines.settings import latency
from jaxnas.pipelines.settings.latency import MeasurementsSettings
from jaxnas.spaces import genotype
from tests.campaign_toys import ALL_CELLS, SPACE, raw, true_ms

NAMES = np.array(SPACE.choices["cell"].candidates[0])
OWN = """
from jaxnas.types import Choice

LAYERS = 4
SPACE = {"layers": Choice(tuple((i, i + 1) for i in range(LAYERS)), (("small", "large"),) * LAYERS)}
"""
OWN_NETWORKS = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
OWN_MS = 1 + OWN_NETWORKS @ [1.0, 0.5, 0.25, 0.125]


@pytest.fixture
def cells(tmp_path):
    """A table of 20 cells as arrays, of two devices; the second has no time of the first cell."""
    codes = ALL_CELLS[np.random.default_rng(0).permutation(len(ALL_CELLS))[:20]]
    ms = np.stack([true_ms(codes), 2 * true_ms(codes)])
    ms[1, 0] = np.nan
    arrays = {"devices": ["laptop", "phone"], "latency_ms": ms, "ops": codes, "op_names": NAMES}
    np.savez(tmp_path / "cells.npz", **arrays)
    return tmp_path / "cells.npz", codes, ms


def settings(path, **changes):
    return dataclasses.replace(MeasurementsSettings(str(path)), **changes)


def test_arrays_are_read_as_text_is(cells, tmp_path):
    path, codes, ms = cells
    found = measurements.read(settings(path, space="nasbench201", device="phone"))
    assert np.array_equal(found.networks, codes[1:])
    assert np.array_equal(found.values, ms[1, 1:])
    rows = [
        f"{' '.join(NAMES[row])},{float(x)!r}" for row, x in zip(codes[1:], ms[1, 1:], strict=True)
    ]
    (tmp_path / "phone.CSV").write_text("\n".join(["network,latency_ms", *rows]) + "\n")
    text = measurements.read(settings(tmp_path / "phone.CSV", space="nasbench201"))
    assert np.array_equal(text.networks, found.networks)
    assert np.array_equal(text.values, found.values)


def test_endings_in_capitals_mean_the_same(cells):
    path, _, _ = cells
    renamed = path.rename(path.with_suffix(".NPZ"))
    assert measurements.read(settings(renamed, space="nasbench201", device="laptop")).device == (
        "laptop"
    )
    assert measurements.folder(str(renamed)) == path.parent


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"space": "nasbench201"}, "several devices .*--device"),
        ({"space": "nasbench201", "device": "x"}, "not of 'x'"),
        ({"space": "hypercuboid", "device": "phone"}, "another space"),
        ({"space": "nasbench201", "device": "phone", "work": "sizes.csv"}, "of chains"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(cells, changes, cause):
    path, _, _ = cells
    (path.parent / "sizes.csv").write_text("layer,op,macs\n0,none,1\n")
    if "work" in changes:
        changes = changes | {"work": str(path.parent / "sizes.csv")}
    with pytest.raises(ValueError, match=cause) as raised:
        measurements.read(settings(path, **changes))
    assert "\n" not in str(raised.value)


def own_table(folder):
    np.savez(
        folder / "own.npz", devices=["board"], latency_ms=OWN_MS[None], ops=OWN_NETWORKS,
        op_names=["small", "large"],
    )  # fmt: skip
    return folder / "own.npz"


def test_a_table_of_a_space_of_its_own_needs_no_other(tmp_path):
    path = own_table(tmp_path)
    found = measurements.read(settings(path))
    assert list(found.space) == ["layers"] and found.device == "board" and found.work is None
    assert np.array_equal(found.networks, OWN_NETWORKS)
    assert np.array_equal(found.values, OWN_MS)


def test_sizes_of_layers_come_from_a_table_or_from_the_file_of_the_space(tmp_path):
    path = own_table(tmp_path)
    sizes = np.array([[[8.0], [64.0]], [[4.0], [32.0]], [[2.0], [16.0]], [[1.0], [8.0]]])
    rows = [
        f"{i},{name},{sizes[i, o, 0]:g}"
        for i in range(4)
        for o, name in enumerate(["small", "large"])
    ]
    (tmp_path / "sizes.csv").write_text("\n".join(["layer,op,macs", *rows]) + "\n")
    found = measurements.read(settings(path, work=str(tmp_path / "sizes.csv")))
    assert np.array_equal(found.work, sizes)

    (tmp_path / "own_space.py").write_text(OWN + f"WORK = {sizes.tolist()}\n")
    found = measurements.read(settings(path, space=str(tmp_path / "own_space.py")))
    assert np.array_equal(found.work, sizes)
    assert np.array_equal(found.networks, OWN_NETWORKS)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("layer,op\n0,small\n", "needs `layer`, `op`, and numbers"),
        ("layer,op,macs\n0,small,1\n", "has no 'large' at layer 0"),
        ("layer,op,macs\n0,small,-1\n", "macs is -1"),
        ("layer,op,macs\nfirst,small,1\n", "layers are numbers"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_one_line(tmp_path, text, cause):
    (tmp_path / "sizes.csv").write_text(text)
    with pytest.raises(TableError, match=cause) as raised:
        measurements.read(settings(own_table(tmp_path), work=str(tmp_path / "sizes.csv")))
    assert "\n" not in str(raised.value)


def test_work_of_another_shape_is_refused(tmp_path):
    (tmp_path / "own_space.py").write_text(OWN + "WORK = [[1, 2]]\n")
    with pytest.raises(ValueError, match=r"give numbers, none negative, of \[4 positions, 2 cand"):
        measurements.read(settings(own_table(tmp_path), space=str(tmp_path / "own_space.py")))


def test_work_that_is_alike_everywhere_has_no_effect(tmp_path):
    path = own_table(tmp_path)
    (tmp_path / "own_space.py").write_text(OWN + f"WORK = {np.ones((4, 2, 1)).tolist()}\n")
    found = measurements.read(settings(path, space=str(tmp_path / "own_space.py")))
    plain, same = (
        fit.fit(*found[:1], found.networks, found.values, work=w) for w in (None, found.work)
    )
    assert np.allclose(plain.predict(OWN_NETWORKS), same.predict(OWN_NETWORKS))


def test_a_model_predicts_tables_and_candidates_by_name(tmp_path, capsys):
    path = own_table(tmp_path)
    model = predict.fit_model(latency.FitSettings(str(path)))
    text = "large small small large"
    capsys.readouterr()
    predict.predict(latency.PredictSettings(str(model), (str(path), text), json=True))
    *rows, last = json.loads(capsys.readouterr().out)
    assert [row["network"] for row in rows][:2] == [
        "small small small small",
        "small small small large",
    ]
    assert [row["latency_ms"] for row in rows] == pytest.approx(OWN_MS.tolist(), rel=0.05)
    assert last["network"] == text and last["latency_ms"] in [row["latency_ms"] for row in rows]
    with pytest.raises(ValueError, match="no candidate 'medium'"):
        predict.predict(latency.PredictSettings(str(model), ("large small small medium",)))


def test_a_campaign_whose_twins_disagree_is_fitted_to_their_medians(tmp_path):
    noisy = raw(12)
    twice = [*range(13), 5]  # the fifth network again, at twice its time
    columns = noisy.rounds_ms[:, twice] * np.where(np.arange(14) == 13, 2.0, 1.0)
    noisy = noisy._replace(
        labels=(*noisy.labels, "again"), kinds=(*noisy.kinds, "network"), rounds_ms=columns,
        architectures=tuple(noisy.architectures[i] for i in twice),
        twin_of=np.append(noisy.twin_of, np.int32(5)), calls=noisy.calls[twice],
        facts=noisy.facts[twice],
    )  # fmt: skip
    (tmp_path / "mine").mkdir()
    campaign_file.write(tmp_path / "mine" / campaign_file.RAW, noisy)
    found = measurements.read(settings(tmp_path / "mine"))
    assert len(found.networks) == 12
    (row,) = np.flatnonzero(
        (found.networks == SPACE.genome.encode(genotype.from_json(noisy.architectures[5]))).all(1)
    )
    alone = noisy.rounds_ms[0, 5] / noisy.rounds_ms[0, 0] * np.median(noisy.rounds_ms[:, 0])
    assert found.values[row] == pytest.approx(1.5 * alone, rel=1e-6)
    assert dataset.fit_predictor(dataset.load(tmp_path / "mine")).networks == 12
