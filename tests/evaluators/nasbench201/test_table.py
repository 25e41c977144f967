"""NAS-Bench-201 cells in every notation, and what a table says of them."""

import csv
import json
import pathlib
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators.nasbench201 import cost, isomorphism, table
from jaxnas.nets import count
from jaxnas.spaces import discretise, genome, genotype
from jaxnas.spaces.nasbench201 import network as nasbench201_network
from jaxnas.spaces.nasbench201 import notation as nasbench201_notation
from tests import paths

REAL = paths.SHARED / "nasbench" / "nb201.npz"
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+" + "|".join(
    ["", "skip_connect~0", "skip_connect~1", "skip_connect~2", ""]
)
GENOME = isomorphism.GENOME
ROWS = st.lists(st.integers(0, 4), min_size=6, max_size=6).map(np.array)


def all_cells():
    return np.concatenate(list(genome.enumerate_all(GENOME.space)))


def arch_of(row):
    return nasbench201_notation.to_arch(GENOME.decode(row))


def row_of(arch):
    return isomorphism.encode(nasbench201_notation.from_arch(arch))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, rows, table): an export of invented accuracies in a shuffled order, built."""
    folder = tmp_path_factory.mktemp("oracle")
    rng = np.random.default_rng(0)
    cells = rng.permutation(all_cells())
    accuracies = rng.uniform(5, 95, (len(table.ACCURACIES), len(cells))).round(3)
    rows = [
        {"index": i, "arch": arch_of(row), "n_seeds": 2 + i % 2}
        | dict(zip(table.ACCURACIES, accuracies[:, i].tolist(), strict=True))
        for i, row in enumerate(cells)
    ]
    write_csv(folder / "export.csv", rows)
    return folder, rows, benchmark.build(folder / "export.csv", folder / "made.npz")


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def real():
    if not REAL.exists():
        pytest.skip("the table of NAS-Bench-201 is not beside the repository")
    return benchmark.load(REAL)


# Cells and their notations.


@given(ROWS)
def test_every_notation_leads_back_to_the_cell(row):
    assert (row_of(arch_of(row)) == row).all()
    assert str(table.to_archs(row[None])[0]) == arch_of(row)
    assert [int(digit) for digit in str(table.to_digits(row))] == list(row)
    assert (all_cells()[genome.index(GENOME.space, row)] == row).all()


@given(ROWS)
def test_gates_select_the_cell_that_they_are(row):
    found = discretise.argmax_per_edge(GENOME.space, GENOME.one_hot(row), name="nasbench201")
    assert (isomorphism.encode(found) == row).all()


def test_writes_edges_and_candidates_in_the_benchmarks_order():
    assert arch_of(np.array([4, 2, 1, 3, 0, 1])) == (
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"
    )
    assert isomorphism.EDGES == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def test_reads_a_genotype_whose_edges_stand_in_another_order():
    found = GENOME.decode(np.arange(6) % 5)
    turned = found.cells["cell"]._replace(edges=found.cells["cell"].edges[::-1])
    assert list(isomorphism.encode(genotype.Genotype("mine", {"cell": turned}))) == [
        0, 1, 2, 3, 4, 0,
    ]  # fmt: skip


def test_there_are_15625_cells_of_which_6466_compute_differently():
    cells = all_cells()
    assert cells.shape == (15625, 6) and isomorphism.COUNT == 15625
    assert len(np.unique(genome.index(GENOME.space, cells))) == 15625
    assert len(np.unique(isomorphism.representatives(cells))) == 6466


def test_operations_on_nothing_and_the_order_of_a_sum_make_no_difference():
    nothing, either = np.array([0, 3, 2, 1, 4, 3]), np.array([0, 3, 4, 1, 2, 3])
    one, other = np.array([1, 0, 0, 3, 2, 0]), np.array([1, 0, 0, 2, 3, 0])
    found = isomorphism.representatives(np.array([one, nothing, other, either]))
    assert found.tolist() == [0, 1, 0, 1]


def test_counts_a_swap_of_nodes_as_another_cell_as_the_benchmark_does():
    one, other = np.array([3, 2, 0, 1, 4, 3]), np.array([2, 3, 0, 1, 3, 4])
    assert isomorphism.computed(one) != isomorphism.computed(other)


def test_sample_draws_different_cells_by_its_seed():
    sample = lambda count, seed: genome.sample_distinct(GENOME.space, count, seed)
    assert len(np.unique(genome.index(GENOME.space, sample(500, 3)))) == 500
    assert (sample(9, 3) == sample(9, 3)).all()
    assert (sample(9, 3) != sample(9, 4)).any()
    with pytest.raises(ValueError, match="1 to 15,625"):
        sample(15626, 0)


@pytest.mark.parametrize(
    ("arch", "cause"),
    [
        (SKIPS.replace("skip_connect~2", "sep_conv_3x3~2"), "has no 'sep_conv_3x3' at"),
        (SKIPS.rsplit("+", 1)[0], "no cell with 3 edges"),
        (SKIPS.replace("~2", "~1"), "from each earlier node"),
        ("nonsense", "expected"),
    ],
)
def test_refuses_cells_of_other_spaces(arch, cause):
    with pytest.raises(ValueError, match=cause):
        row_of(arch)


# What a network costs: docs of the benchmark and its logs.


@pytest.mark.parametrize(
    ("code", "parameters", "macs_millions"),
    [
        ([3, 3, 3, 3, 3, 3], (1531546, 1537396, 1538696), (220.12, 220.13, 55.04)),
        ([2, 3, 3, 3, 3, 3], (1316506, None, None), (188.66, None, None)),
        ([3, 3, 3, 1, 3, 1], (1045466, None, None), (149.34, None, None)),
        ([1, 1, 1, 1, 1, 1], (73306, 79156, 80456), (7.783, None, None)),
        ([0, 0, 0, 0, 0, 0], (73306, 79156, 80456), (7.783, None, None)),
    ],
)
def test_costs_are_those_of_the_benchmark(code, parameters, macs_millions):
    for of, size, macs in zip(cost.SETS.values(), parameters, macs_millions, strict=True):
        assert size is None or cost.parameters(code, of.classes) == size
        assert macs is None or cost.macs(code, of.classes, of.side) / 1e6 == pytest.approx(
            macs, abs=0.005
        )


def test_costs_are_those_of_our_network():
    code = np.array([3, 2, 4, 1, 0, 2])
    net = nasbench201_network.nasbench201(GENOME.decode(code), classes=120)
    size = count.size(net, (16, 16, 3))
    assert (size.parameters, size.macs) == (cost.parameters(code, 120), cost.macs(code, 120, 16))


# A table that was built.


def test_builds_the_table_of_an_export_in_the_exports_order(made):
    folder, rows, built = made
    loaded = benchmark.load(folder / "made.npz")
    for a, b in zip(built, loaded, strict=True):
        np.testing.assert_array_equal(a, b)
    for index in (0, 7, 15624):
        entry = benchmark.query(loaded, index)
        assert (entry.index, entry.arch) == (index, rows[index]["arch"])
        assert entry.seeds == rows[index]["n_seeds"]
        for key, scores in zip(("c10", "c100", "in16"), entry.sets.values(), strict=True):
            found = (scores.valid_12, scores.test_12, scores.valid_200, scores.test_200)
            names = [f"{key}_{s}_{e}ep" for e in (12, 200) for s in ("valid", "test")]
            assert found == tuple(rows[index][name] for name in names)


def test_the_same_lines_as_json_build_the_same_file(made):
    folder, rows, _ = made
    lines = "\n".join(json.dumps(row) for row in reversed(rows))
    (folder / "export.jsonl").write_text(lines)
    benchmark.build(folder / "export.jsonl", folder / "again.npz")
    assert (folder / "again.npz").read_bytes() == (folder / "made.npz").read_bytes()


def test_ranks_and_regrets_are_counted_from_the_best(made):
    _, rows, built = made
    truth = np.array([row["c100_test_200ep"] for row in rows])
    for index in (int(truth.argmax()), int(truth.argmin()), 5):
        scores = benchmark.query(built, index).sets["cifar100"]
        assert scores.rank == 1 + sum(truth > truth[index])
        assert scores.regret == pytest.approx(truth.max() - truth[index])
    assert benchmark.rank(np.array([3.0, 1, 3, 2]), np.array([3.0, 2, 1])).tolist() == [1, 3, 4]


def test_every_way_to_name_a_cell_finds_it(made):
    _, rows, built = made
    entry = benchmark.query(built, 99)
    for name in (rows[99]["arch"], GENOME.decode(built.codes[99]), built.codes[99]):
        assert benchmark.query(built, name) == entry
    assert benchmark.query(built, nasbench201_notation.from_arch(rows[99]["arch"])) == entry
    same = [i for i in range(15625) if built.same_as[i] == entry.same_as]
    assert min(same) == entry.same_as


@pytest.mark.parametrize("cell", [-1, 15625, np.array([0, 1, 2]), np.array([5, 0, 0, 0, 0, 0])])
def test_refuses_a_cell_that_is_not_there(made, cell):
    with pytest.raises(benchmark.BenchmarkError, match="0 to"):
        benchmark.query(made[2], cell)


# Exports and tables that are wrong.


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda rows: rows.pop(), "9 cells, not the indices 0 to 15624: let the export run"),
        (lambda rows: rows[3].update(index=2), "line 5: the index 2 stands twice"),
        (lambda rows: rows[3].update(arch=rows[2]["arch"]), r"line 5: the cell \S+ stands twice"),
        (lambda rows: rows[0].update(arch="|x~0|"), r"line 2: The space has no 'x' at \(0, 1\)"),
        (lambda rows: rows[0].update(n_seeds=0), "line 2: n_seeds is 0, not from 1"),
        (lambda rows: rows[0].update(n_seeds="two"), "n_seeds is 'two', not a whole number"),
        (lambda rows: rows[0].update(c10_test_12ep="nan"), "c10_test_12ep is nan, not from 0"),
        (lambda rows: rows[0].update(c10_test_12ep=101), "c10_test_12ep is 101.0, not from 0"),
        (lambda rows: rows[0].update(c10_test_12ep=""), "c10_test_12ep is missing"),
        (lambda rows: [row.pop("c10_test_12ep") for row in rows], "c10_test_12ep is missing"),
    ],
)
def test_refuses_an_export_and_writes_nothing(made, tmp_path, change, cause):
    rows = [dict(row) for row in made[1][:10]]
    change(rows)
    write_csv(tmp_path / "export.csv", rows)
    with pytest.raises(benchmark.BenchmarkError, match=cause):
        benchmark.build(tmp_path / "export.csv", tmp_path / "out.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["export.csv"]


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("export.jsonl", '{"index": 0', "cannot be read"),
        ("export.jsonl", "[1, 2]", "line 1: it is list"),
        ("export.jsonl", "", "0 cells"),
        ("export.csv", "a,b\n1,2\n", "line 2: index is missing"),
        ("export.csv", "a,\xff\n".encode("latin-1"), "cannot be read"),
        ("export.txt", "", "neither a .csv nor a .jsonl"),
    ],
)
def test_refuses_files_that_are_no_export(tmp_path, name, text, cause):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(benchmark.BenchmarkError, match=cause):
        benchmark.build(tmp_path / name, tmp_path / "out.npz")


def test_refuses_to_build_from_nothing_or_to_a_file_of_another_name(tmp_path):
    with pytest.raises(benchmark.BenchmarkError, match="No export"):
        benchmark.build(tmp_path / "no.csv", tmp_path / "out.npz")
    with pytest.raises(benchmark.BenchmarkError, match=r"ends in \.npz"):
        benchmark.build(tmp_path / "no.csv", tmp_path / "out.csv")


def at(row, value):
    def change(array):
        array[row] = value
        return array

    return change


@pytest.mark.parametrize(
    ("key", "change", "cause"),
    [
        ("arch", None, "1 of its arrays are missing, first arch"),
        ("index", at(4, 3), "index is 3 in row 4: number the rows"),
        ("code", at(4, "51"), "code is '51' in row 4, not six digits"),
        ("code", at(4, "000005"), "code is '000005' in row 4"),
        ("arch", at(8, "no cell"), "in row 8 arch and code are different cells"),
        ("arch", lambda a: np.roll(a, 1), "in row 0 arch and code are different cells"),
        ("iso_rep", lambda a: a * 0, "iso_rep is not the first row that computes the same"),
        ("n_seeds", at(2, 0), "n_seeds is 0 in row 2"),
        ("n_seeds", lambda a: a / 2, "n_seeds holds float64, not whole numbers"),
        ("c10_test_200ep", at(9, np.nan), "c10_test_200ep is nan in row 9, not percent"),
        ("c10_test_200ep", at(9, 100.5), "c10_test_200ep is 100.5 in row 9"),
        ("in16_valid_12ep", lambda a: a[:-1], r"has the shape \(15624,\)"),
        ("in16_valid_12ep", lambda a: a.astype(str), "in16_valid_12ep holds <U"),
        ("params_c100", at(1, 7), "params_c100 is 7 in row 1, where the network has"),
        ("flops_M_c10", at(1, 7), "flops_M_c10 is 7.0 in row 1, where the network has"),
        ("code", lambda a: a.astype(object), "no readable .npz file"),
    ],
)
def test_refuses_a_table_that_is_wrong(made, tmp_path, key, change, cause):
    with np.load(made[0] / "made.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if change is None:
        del arrays[key]
    else:
        arrays[key] = change(arrays[key])
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(benchmark.BenchmarkError, match=cause):
        benchmark.load(tmp_path / "wrong.npz")


def test_refuses_a_table_with_a_cell_twice(made, tmp_path):
    with np.load(made[0] / "made.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for key in ("code", "arch"):
        arrays[key][1] = arrays[key][0]
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(
        benchmark.BenchmarkError, match=f"the cell {arrays['code'][0]} stands twice"
    ):
        benchmark.load(tmp_path / "wrong.npz")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (lambda path, whole: None, "No table"),
        (lambda path, whole: path.write_bytes(b""), "no readable .npz file"),
        (lambda path, whole: path.write_bytes(whole[:-1000]), "no readable .npz file"),
        (lambda path, whole: path.write_bytes(pickle.dumps([1])), "no readable .npz file"),
        (lambda path, whole: path.write_bytes(b"text"), "no readable .npz file"),
        (lambda path, whole: np.savez(path, ops=np.ones(3)), "of its arrays are missing, first in"),
    ],
)
def test_refuses_a_file_that_is_no_table(made, tmp_path, content, cause):
    content(tmp_path / "other.npz", (made[0] / "made.npz").read_bytes())
    with pytest.raises(benchmark.BenchmarkError, match=cause):
        benchmark.load(tmp_path / "other.npz")


def test_refuses_a_single_array(tmp_path):
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(benchmark.BenchmarkError, match="it is a single array"):
        benchmark.load(tmp_path / "one.npy")


def test_the_table_is_where_it_is_said_to_be():
    environ = {"JAXNAS_NASBENCH201": "from/variable.npz"}
    assert benchmark.locate("given.npz", environ) == pathlib.Path("given.npz")
    assert benchmark.locate(None, environ) == pathlib.Path("from/variable.npz")
    with pytest.raises(benchmark.BenchmarkError, match="--table FILE or set JAXNAS_NASBENCH201"):
        benchmark.locate(None, {})


# The public table.


def test_the_optima_are_the_published_ones(real):
    best = real.test[:, -1].max(axis=1)
    assert best.round(2).tolist() == [94.37, 73.51, 47.31]
    assert real.test[:, -1].argmax(axis=1).tolist() == [6111, 9930, 857]
    for name, index in zip(benchmark.SETS, (6111, 9930, 857), strict=True):
        scores = benchmark.query(real, index).sets[name]
        assert (scores.rank, scores.regret) == (1, 0)


def test_the_cell_of_skips_is_what_darts_falls_to(real):
    entry = benchmark.query(real, SKIPS)
    found = [round(scores.test_200, 2) for scores in entry.sets.values()]
    assert found == [54.30, 15.61, 16.32]
    assert entry.sets["cifar10"].regret == pytest.approx(94.37 - 54.30, abs=0.01)


def test_cells_that_others_logged_have_their_index_and_accuracy(real):
    one, other = benchmark.query(real, 1462), benchmark.query(real, 15341)
    assert (one.code, other.code) == ("333333", "233333")
    assert [round(s.test_200, 2) for s in one.sets.values()] == [93.76, 71.11, 41.44]


def test_an_export_of_the_public_table_builds_it_again(real, tmp_path):
    with np.load(REAL, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in table.KEYS}
    names = ("index", "arch", "n_seeds", *table.ACCURACIES)
    columns = [arrays[name].tolist() for name in names]
    write_csv(
        tmp_path / "e.csv", [dict(zip(names, r, strict=True)) for r in zip(*columns, strict=True)]
    )
    for a, b in zip(benchmark.build(tmp_path / "e.csv", tmp_path / "b.npz"), real, strict=True):
        np.testing.assert_array_equal(a, b)
    with np.load(tmp_path / "b.npz", allow_pickle=False) as archive:
        for key in table.KEYS:
            if key == table.MACS:
                np.testing.assert_allclose(archive[key], arrays[key], atol=table.MACS_TOLERANCE)
            else:
                np.testing.assert_array_equal(archive[key], arrays[key])
