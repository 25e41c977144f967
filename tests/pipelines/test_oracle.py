"""`jaxnas oracle`: a table is built, and cells are looked up in it."""

import csv
import json

import numpy as np
import pytest

from jaxnas.cli import commands
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators.nasbench201 import table
from jaxnas.pipelines import oracle
from jaxnas.pipelines.settings.oracle import QuerySettings
from jaxnas.spaces import genome, genotype, registry
from jaxnas.spaces.darts import genotypes as published

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


def answered(capsys, *words):
    assert commands.run(["oracle", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_builds_a_table_and_tells_its_best(folder, capsys):
    out = answered(capsys, "build", folder / "export.csv", folder / "other.npz")
    assert "15,625 cells; the best reach 4.00 % on cifar10, 8.00 % on cifar100" in out
    assert (folder / "other.npz").read_bytes() == (folder / "nb201.npz").read_bytes()


def test_finds_a_cell_by_index_text_file_and_run_folder(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("JAXNAS_NASBENCH201", str(folder / "nb201.npz"))
    cell = SPACE.genome.decode(ALL_CELLS[7812])
    (tmp_path / "genotype.json").write_text(genotype.to_json(cell))
    names = ("7812", table.to_archs(ALL_CELLS[[7812]])[0], tmp_path / "genotype.json", tmp_path)
    entries = [json.loads(answered(capsys, "query", name, "--json")) for name in names]
    assert entries == [entries[0]] * 4
    assert (entries[0]["index"], entries[0]["code"]) == (7812, "222222")
    scores = entries[0]["sets"]["cifar100"]
    assert scores["rank"] == 15625 - 7812
    assert scores["test_200"] == pytest.approx(7 + 7812 / 15625)
    assert scores["regret"] == pytest.approx((15624 - 7812) / 15625)


def test_tells_a_cell_in_words(folder, capsys):
    lines = answered(capsys, "query", 15624, "--table", folder / "nb201.npz").splitlines()
    assert lines[0] == "cell 15624 of NAS-Bench-201"
    assert lines[2].split() == ["cifar10", "cifar100", "imagenet16-120"]
    assert lines[3].split()[-3:] == ["4.00", "8.00", "12.00"]
    assert lines[4].split()[-3:] == ["0.00"] * 3
    assert lines[5].split()[-3:] == ["1"] * 3
    assert all(len(line) <= 100 for line in lines)


def test_names_the_first_cell_that_computes_the_same(folder, capsys):
    # 625 has a skip into node 2, from which nothing leaves.
    out = answered(capsys, "query", 625, "--table", folder / "nb201.npz")
    assert out.startswith("cell 625 of NAS-Bench-201, computes what cell 0 computes\n")


def test_shows_what_it_can_do(capsys):
    assert "build EXPORT OUT" in answered(capsys)
    assert "--table" in answered(capsys, "query", "--help")
    assert "export of its API" in answered(capsys, "build", "--help")


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("ask 3", "No command 'oracle ask': there are query, build"),
        ("query 15625", "No cell 15625: indices run from 0 to 15624"),
        ("query -- -1", "No cell -1"),
        ("query", "the following arguments are required|Missing|CELL"),
        ("query nowhere.json", "No genotype 'nowhere.json'"),
        ("query |skip_connect~0|", "no cell with 1 edges"),
        ("query DARTS_V2", "has no 'max_pool_3x3' .*: the genotype is of another space"),
        ("build no.csv out.npz", "No export no.csv"),
    ],
)
def test_refuses_in_one_sentence(folder, monkeypatch, words, cause):
    assert "DARTS_V2" in published.PUBLISHED
    monkeypatch.setenv("JAXNAS_NASBENCH201", str(folder / "nb201.npz"))
    with pytest.raises(ValueError, match=cause) as refusal:
        commands.run(["oracle", *words.split()])
    assert "\n" not in str(refusal.value)


def test_asks_for_the_table_where_there_is_none(monkeypatch, tmp_path):
    monkeypatch.delenv("JAXNAS_NASBENCH201", raising=False)
    with pytest.raises(
        benchmark.BenchmarkError, match="Give --table FILE or set JAXNAS_NASBENCH201"
    ):
        oracle.query(QuerySettings("1"))
    with pytest.raises(benchmark.BenchmarkError, match="No table .*none.npz"):
        oracle.query(QuerySettings("1", table=str(tmp_path / "none.npz")))
