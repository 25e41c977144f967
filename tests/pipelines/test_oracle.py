"""`jaxnas oracle`: a table is built, and cells are looked up in it."""

import csv
import json

import numpy as np
import pytest

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators.nasbench201 import table
from jaxnas.pipelines import oracle
from jaxnas.pipelines.settings.oracle import BuildSettings, QuerySettings
from jaxnas.spaces import genome, genotype, registry

SPACE = registry.get("nasbench201")
ALL_CELLS = np.concatenate(list(genome.enumerate_all(SPACE.choices)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an export whose accuracies grow with the index."""
    folder = tmp_path_factory.mktemp("oracle")
    with (folder / "export.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("index", "arch", "n_seeds", *table.ACCURACIES))
        for index, arch in enumerate(table.to_archs(ALL_CELLS)):
            accuracies = index / len(ALL_CELLS) + np.arange(len(table.ACCURACIES))
            writer.writerow((index, arch, 3, *accuracies))
    benchmark.build(folder / "export.csv", folder / "nb201.npz")
    return folder


def queried(capsys, cell, **settings):
    """What is printed of a cell."""
    oracle.query(QuerySettings(str(cell), **settings))
    return capsys.readouterr().out


def test_builds_a_table_and_tells_its_best(folder, capsys):
    oracle.build(BuildSettings(str(folder / "export.csv"), str(folder / "other.npz")))
    out = capsys.readouterr().out
    assert "15,625 cells; the best reach 4.00 % on cifar10, 8.00 % on cifar100" in out
    assert (folder / "other.npz").read_bytes() == (folder / "nb201.npz").read_bytes()


def test_finds_a_cell_by_index_text_file_and_run_folder(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAXNAS_NASBENCH201", str(folder / "nb201.npz"))
    cell = SPACE.genome.decode(ALL_CELLS[7812])
    (tmp_path / "genotype.json").write_text(genotype.to_json(cell))
    names = ("7812", table.to_archs(ALL_CELLS[[7812]])[0], tmp_path / "genotype.json", tmp_path)
    entries = [json.loads(queried(capsys, name, json=True)) for name in names]
    assert entries == [entries[0]] * 4
    assert (entries[0]["index"], entries[0]["code"]) == (7812, "222222")
    scores = entries[0]["sets"]["cifar100"]
    assert scores["rank"] == 15625 - 7812
    assert scores["test_200"] == pytest.approx(7 + 7812 / 15625)
    assert scores["regret"] == pytest.approx((15624 - 7812) / 15625)


def test_tells_a_cell_in_words(folder, capsys):
    lines = queried(capsys, 15624, table=str(folder / "nb201.npz")).splitlines()
    assert lines[0] == "cell 15624 of NAS-Bench-201"
    assert lines[2].split() == ["cifar10", "cifar100", "imagenet16-120"]
    assert lines[3].split()[-3:] == ["4.00", "8.00", "12.00"]
    assert lines[4].split()[-3:] == ["0.00"] * 3
    assert lines[5].split()[-3:] == ["1"] * 3
    assert all(len(line) <= 100 for line in lines)


def test_names_the_first_cell_that_computes_the_same(folder, capsys):
    # 625 has a skip into node 2, from which nothing leaves.
    out = queried(capsys, 625, table=str(folder / "nb201.npz"))
    assert out.startswith("cell 625 of NAS-Bench-201, computes what cell 0 computes\n")


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        ("15625", "No cell 15625: indices run from 0 to 15624"),
        ("-1", "No cell -1"),
        ("nowhere.json", "No genotype 'nowhere.json'"),
        ("|skip_connect~0|", "no cell with 1 edges"),
        ("DARTS_V2", "has no 'max_pool_3x3' .*: the genotype is of another space"),
    ],
)
def test_refuses_in_one_sentence(folder, monkeypatch, cell, cause):
    assert "DARTS_V2" in registry.published()
    monkeypatch.setenv("JAXNAS_NASBENCH201", str(folder / "nb201.npz"))
    with pytest.raises(ValueError, match=cause) as refusal:
        oracle.query(QuerySettings(cell))
    assert "\n" not in str(refusal.value)


def test_refuses_an_export_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="No export no.csv") as refusal:
        oracle.build(BuildSettings("no.csv", str(tmp_path / "out.npz")))
    assert "\n" not in str(refusal.value)


def test_asks_for_the_table_where_there_is_none(monkeypatch, tmp_path):
    monkeypatch.delenv("JAXNAS_NASBENCH201", raising=False)
    with pytest.raises(
        benchmark.BenchmarkError, match="Give --table FILE or set JAXNAS_NASBENCH201"
    ):
        oracle.query(QuerySettings("1"))
    with pytest.raises(benchmark.BenchmarkError, match="No table .*none.npz"):
        oracle.query(QuerySettings("1", table=str(tmp_path / "none.npz")))
