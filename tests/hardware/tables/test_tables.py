"""Tables from elsewhere are read, named, and refused where they cannot be right."""

import numpy as np
import pytest

from jaxnas import cli
from jaxnas.hardware.measure import campaign_file
from jaxnas.hardware.predict import fit, validation
from jaxnas.hardware.predict.features import chain_features
from jaxnas.hardware.tables import benchmarks, latency_table, layer_table, network_table
from jaxnas.hardware.tables.latency_table import TableError
from jaxnas.spaces import genome, genotype, op_names
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import sizing, superkernel_latency, zoo
from jaxnas.spaces.nasbench201 import choices as spaces
from jaxnas.spaces.nasbench201 import notation as nasbench201_notation
from tests import paths

SHARED = paths.SHARED / "latency"
CELL = spaces.nasbench201()


def shared(name):
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not here: the public tables lie beside the project")
    return SHARED / name


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding=encoding)
    return path


def measured(path, space, **settings):
    return network_table.read_networks(latency_table.read(path), space, **settings)


def looked_up(path):
    return layer_table.read(latency_table.read(path))


def violations(table):
    return [pair for pair in layer_table.dominance_pairs(table) if pair.violates]


def test_single_path_table_has_the_totals_of_the_paper():
    table = looked_up(shared("singlepath_pixel1_lut.csv"))
    assert table.form == "single-path"
    space = chains.space(zoo.single_path())
    costs = layer_table.costs(table, space)
    # Facts 4.6: all 5x5-e6, all 3x3-e6, all 5x5-e3 without the 19.5999 ms that are fixed.
    names = [c for choice in space.values() for c in choice.candidates]
    total = lambda name: sum(costs[p, row.index(name)] for p, row in enumerate(names))
    fixed = 19.5999
    assert total("k5_e6") + fixed == pytest.approx(131.4578, abs=1e-3)
    assert total("k5_e3") + fixed == pytest.approx(76.3622, abs=1e-3)
    assert total("k3_e6") + fixed == pytest.approx(110.6524, abs=1e-3)


def test_proxyless_table_has_no_violation():
    table = looked_up(shared("proxyless_mobile_lut.csv"))
    assert table.form == "proxyless"
    assert len(table.entries) == 72
    assert len(layer_table.dominance_pairs(table)) == 135 and violations(table) == []


def test_names_what_is_slower_though_it_does_less(tmp_path):
    text = "layer,op,latency_ms\n0,k3_e3,2.0\n0,k3_e6,1.5\n0,k5_e3,2.5\n1,k3_e3,1\n1,k5_e3_g2,0.5\n"
    table = looked_up(written(tmp_path, text))
    # Groups are not compared.
    assert violations(table) == [latency_table.DominancePair("layer 0", "k3_e3", "k3_e6", 2.0, 1.5)]


def test_names_which_network_is_slower_though_it_does_less(tmp_path):
    rows = ("2 2 1 1 1 1,5", "2 3 1 1 1 1,4", "3 3 1 1 1 1,6", "3 2 0 1 1 1,1")
    found = measured(written(tmp_path, "\n".join(["network,latency_ms", *rows, ""])), CELL)
    count, wrong = network_table.dominance_violations(found, CELL)
    assert count == 3  # the last has another edge, and is compared with none
    assert wrong == [
        latency_table.DominancePair("lines 2 and 3", "nor_conv_1x1", "nor_conv_3x3", 5.0, 4.0)
    ]


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"), [(0, 1)]),
        (("k3_e1", "k3_e1_g2", "k5_e1", "k5_e1_g2"), [(0, 2), (1, 3)]),
        (("k3_e3", "k5_e6", "k3_e6", "skip"), [(0, 1), (0, 2), (2, 1)]),
        (("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"), [(0, 1), (2, 3)]),
        (("k3_e3", "k3_e3_se", "k3_e3_hswish"), []),
    ],
)
def test_knows_which_candidate_outgrows_which(names, pairs):
    assert [tuple(map(int, pair)) for pair in np.argwhere(op_names.dominates(names))] == pairs


ROWS = (
    "none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3 none,{0}\n"
    "0 1 2 3 4 3,{1}\n3 3 3 3 3 3,{2}\n"
)


@pytest.mark.parametrize(("unit", "size"), [("ms", 1), ("us", 1e-3), ("s", 1e3), ("ns", 1e-6)])
def test_reads_measurements_of_a_phone_in_their_unit(tmp_path, unit, size):
    path = written(tmp_path, f"network,latency_{unit}\n" + ROWS.format(2, 3, 4))
    found = measured(path, CELL)
    assert found.networks.tolist() == [[0, 1, 2, 3, 4, 0], [0, 1, 2, 3, 4, 3], [3] * 6]
    np.testing.assert_allclose(found.latency_ms, np.array([2, 3, 4]) * size)


def test_reads_one_device_of_several(tmp_path):
    text = "device,network,latency_ms\na,0 1 2 3 4 3,5\nb,0 1 2 3 4 3,9\nb,3 3 3 3 3 3,12\n"
    path = written(tmp_path, text)
    assert measured(path, CELL, device="b").latency_ms.tolist() == [9, 12]
    with pytest.raises(TableError, match="of a, b, not of 'c'"):
        measured(path, CELL, device="c")
    with pytest.raises(
        latency_table.TableError, match="several devices .*choose one with --device"
    ):
        measured(path, CELL)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("network,latency_ms\n", "no rows"),
        ("", "no rows"),
        ("network,time\n1 1 1 1 1 1,2\n", "columns network, time"),
        ("network,latency_ms\n1 1 1,2\n", "another space"),
        ("network,latency_ms\n1 1 1 1 1 conv,2\n", "no candidate 'conv'"),
        ("network,latency_ms\n1 1 1 1 1 9,2\n", "no candidate '9'"),
        ("network,latency_ms\n1 1 1 1 1 1,0\n", "a value is positive"),
        ("network,latency_ms\n1 1 1 1 1 1,-3\n", "a value is positive"),
        ("network,latency_ms\n1 1 1 1 1 1,nan\n", "a value is positive"),
        ("network,latency_ms\n1 1 1 1 1 1,2\n\n1 1 1 1 1 1,fast\n", "line 4: 'fast'.*no number"),
        ("network,latency_ms\n1 1 1 1 1 1,\n", "line 2: latency_ms is empty: measure it again"),
        ("network,latency_ms\n1 1 1 1 1 1\n", "line 2: the row has more or fewer"),
        ("network,latency_ms\n|none~0|+|none~0|none~1|,2\n", "line 2: .*not all edges"),
        ("network,latency_ms\n|none~0|+|none~0|,2\n", "line 2: Not a genotype: node 2"),
        ("network,kind,latency_ms\nconv,operator,2\n", "no whole networks"),
        ("layer,op,latency_ms\n0,k3_e3,1\n", "a fbnet look-up table of layers.*latency check"),
    ],
)
def test_refuses_measurements_that_are_none(tmp_path, text, cause):
    with pytest.raises(TableError, match=cause) as refused:
        measured(written(tmp_path, text), CELL)
    assert "\n" not in str(refused.value)


def test_reads_a_table_that_a_spreadsheet_wrote(tmp_path):
    text = "network,latency_ms\n" + ROWS.format(2, 3, 4)
    found = measured(written(tmp_path, text, "utf-8-sig"), CELL)
    assert found.latency_ms.tolist() == [2, 3, 4]


def test_a_column_architecture_may_be_of_the_processor(tmp_path):
    text = "architecture,network,latency_ms\narm64,3 3 3 3 3 3,2\n"
    assert measured(written(tmp_path, text), CELL).networks.tolist() == [[3] * 6]


def test_reads_the_strings_of_the_benchmark(tmp_path):
    text = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    found = measured(
        written(tmp_path, f"network,latency_ms\n{text},2\n" + ROWS.format(2, 3, 4)), CELL
    )
    ops = {(s, t): op for s, t, op in nasbench201_notation.from_arch(text).cells["cell"].edges}
    expected = [p.candidates.index(ops[p.edge]) for p in genome.positions(CELL)]
    assert found.networks[0].tolist() == expected


def campaigns(tmp_path, rows):
    """A table as campaigns write it, of (label, kind, ms, architecture)."""
    empty = dict.fromkeys(campaign_file.COLUMNS, "")
    lines = [",".join(campaign_file.COLUMNS)]
    for label, kind, ms, architecture in rows:
        whole = '"' + architecture.replace('"', '""').replace("\n", " ") + '"'
        entries = {"network": label, "kind": kind, "latency_ms": ms, "architecture": whole}
        lines.append(",".join(map(str, (empty | entries).values())))
    return written(tmp_path, "\n".join(lines) + "\n")


def test_reads_the_table_of_a_campaign_without_what_is_no_network(tmp_path):
    chain = sizing.sized(zoo.single_path(), "mobile-single-path", repeats=2)
    space = chains.space(chain)
    names = ["k3_e3", "k5_e6"] * 5
    found = genotype.to_json(chains.genotype(chain, names))
    rows = [
        ("reference", "reference", 0.1, '{"format": "jaxnas reference"}'),
        ("single_path-1", "network", 0.3, found),
        ("single_path-1 (again)", "network", 0.4, found),
        ("k3_e3 at 0", "operator", 0.01, "{}"),
    ]
    path = campaigns(tmp_path, rows)
    table = measured(path, space)
    assert table.latency_ms.tolist() == [0.3, 0.4] and table.lines.tolist() == [3, 4]
    at = {p.edge: p.candidates[code] for p, code in zip(
        genome.positions(space), table.networks[0], strict=True
    )}  # fmt: skip
    assert [at[edge] for edge in sorted(at)] == names
    shorter = chains.space(sizing.sized(zoo.single_path(), "mobile-single-path", repeats=1))
    for other in (shorter, CELL):
        with pytest.raises(TableError, match="line 3: .*(other edges|another space)"):
            measured(path, other)


def repeated(*aparts):
    """Networks of 1 ms and more; a repeat of each is so many times slower."""
    networks = np.concatenate(
        [genome.sample_uniform(CELL, 40)] + [genome.sample_uniform(CELL, len(aparts))]
    )
    ms = np.concatenate([np.linspace(1, 2, 40), np.linspace(1, 2, 40)[: len(aparts)] * aparts])
    networks[40:] = networks[: len(aparts)]
    return networks, ms


@pytest.mark.parametrize(
    "aparts",
    [
        (1.2,),  # alone
        (1.49,),
        (1.002, 0.995, 1.01, 1.2),  # of a steady device
        (1.12, 0.9, 1.13, 1.05, 1.55),  # above what any noise explains
        (1.3, 1.3, 1.3, 1.3, 1.25),  # two devices throughout
    ],
)
def test_repeats_that_noise_does_not_explain_are_refused(aparts):
    with pytest.raises(fit.FitError, match="The network .* ms and .* ms .*or measure it again"):
        validation.check_repeats(CELL, *repeated(*aparts))


@pytest.mark.parametrize(
    "aparts",
    [
        (1.09,),
        (1.09, 1.0, 1.0, 1.0),
        (1.12, 0.9, 1.13, 1.05, 1.38),  # a phone of 10 % noise
    ],
)
def test_repeats_of_a_noisy_device_are_taken_together(aparts):
    validation.check_repeats(CELL, *repeated(*aparts))
    networks, ms = validation.validate(CELL, *repeated(*aparts))
    assert len(networks) == len(ms) == 40


def test_what_one_measures_oneself_is_noise_up_to_a_half():
    """A twin of a campaign that hiccuped is told of, and no reason to fit nothing."""
    validation.validate(CELL, *repeated(1.002, 0.995, 1.01, 1.4))
    with pytest.raises(fit.FitError, match="or measure it again"):
        validation.validate(CELL, *repeated(1.55))


def test_the_refusal_of_a_repeat_names_the_network_and_both_times():
    networks, ms = repeated(1.25)
    with pytest.raises(fit.FitError) as refused:
        validation.check_repeats(CELL, networks, ms)
    named = " ".join(
        p.candidates[code] for p, code in zip(genome.positions(CELL), networks[0], strict=True)
    )
    assert f"The network {named} has 1 ms and 1.25 ms" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("unit", [1e-3, 1e3, 1e6])
@pytest.mark.parametrize("count", [4, 20, 36])
def test_two_units_in_one_column_are_refused(unit, count):
    ms = np.random.default_rng(0).uniform(1, 8, 40)
    ms[:count] *= unit
    with pytest.raises(fit.FitError, match="none is between: give all times in one unit"):
        validation.validate(CELL, genome.sample_uniform(CELL, 40), ms)


def test_times_of_many_sizes_are_no_two_units():
    networks = genome.sample_uniform(CELL, 40)
    validation.validate(CELL, networks, np.geomspace(0.01, 1000, 40))
    few = np.linspace(1, 2, 40)
    few[:3] = 1e-3  # cells that pass nothing on
    validation.validate(CELL, networks, few)
    # What another quantity may be is not ours to say: a cell that does nothing has no operations.
    validation.validate(CELL, networks, np.repeat([1.0, 1e4], 20), "flops")


def test_rows_that_disagree_are_of_two_devices(tmp_path):
    text = "network,latency_ms\n1 1 1 1 1 1,2\n1 1 1 1 1 1,9\n2 1 1 1 1 1,3\n"
    with pytest.raises(fit.FitError, match="one device and one unit"):
        measured(written(tmp_path, text), CELL)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("layer,op\n0,k3_e3\n", "known tables are"),
        ("layer,op,latency_ms\n0,k3_e3,-1\n", "a value is positive"),
        ("layer,op,latency_ms\n0,k3_e3,1\n0,k3_e3,2\n", "stands twice"),
        ("layer,choice,latency_ms\n0,7,1\n", "none of 0 to 3"),
    ],
)
def test_refuses_a_look_up_table_that_cannot_be(tmp_path, text, cause):
    with pytest.raises(TableError, match=cause):
        looked_up(written(tmp_path, text))


SHEET = [("none skip_connect", 2.5), ("skip_connect none", 3.25)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("between", "point"), [(",", "."), (";", ","), (";", "."), ("\t", ".")])
def test_tables_as_spreadsheets_save_them_are_one_table(tmp_path, encoding, between, point):
    rows = [f"{name}{between}{ms}".replace(".", point) for name, ms in SHEET]
    text = "\n".join([f"network{between}latency_ms", *rows])
    table = latency_table.read(written(tmp_path, text, encoding))
    assert [latency_table.value(table, row, "latency_ms") for row in table.rows] == [2.5, 3.25]
    assert [row.entries["network"] for row in table.rows] == [name for name, _ in SHEET]


def test_a_table_in_yaml_is_of_the_proxyless_form(tmp_path):
    key = "expanded_conv-input:56x56x24-output:28x28x32-expand:3-kernel:5-stride:2-idskip:0"
    path = tmp_path / "phone.yaml"
    path.write_text(f"other:\n  mean: 1.0\n{key}:\n  count: 50\n  mean: 3.3\n  var: 0.01\n")
    table = latency_table.read(path)
    assert table.form == "proxyless"
    assert table.rows[1].line == 3
    assert dict(table.rows[1].entries) == {
        "table": "phone", "key": key, "mean_ms": "3.3", "std_ms": "0.1", "count": "50"
    }  # fmt: skip
    for text in ("- 1\n", "a: 3\n", "a: [", "", "a:\n  median: 3\n"):
        path.write_text(text)
        with pytest.raises(TableError, match="no (YAML|table of layers)") as refused:
            latency_table.read(path)
        assert "\n" not in str(refused.value)


GOOD = "layer,choice,latency_ms\n" + "".join(f"1,{i},{1.0 + i}\n" for i in range(4))


def four_times(tmp_path, text, encoding="utf-8"):
    return layer_table.single_path_times(str(written(tmp_path, text, encoding)))


def test_a_table_of_single_path_nas_has_four_times_a_layer(tmp_path):
    for encoding in ("utf-8", "utf-8-sig"):  # of a spreadsheet
        assert four_times(tmp_path, GOOD, encoding) == {1: (1.0, 2.0, 3.0, 4.0)}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no rows"),
        ("layer,choice,latency_us\n1,0,2\n", "known tables are"),
        ("layer,choice,latency_ms\n", "no rows"),
        ("layer,op,latency_ms\n1,k3_e3,2\n", "fbnet .*needs one with the columns layer, choice"),
        (GOOD.replace("1,2,3.0\n", ""), "layer 1 has 3 of its four"),
        (GOOD + "1,0,1.0\n", "line 6: k3_e3 at layer 1 stands twice"),
        (GOOD.replace("3.0", "-3.0"), "line 4: latency_ms is -3"),
        (GOOD.replace("3.0", "0"), "k5_e3 at layer 1 takes 0 ms: measure it again"),
        (GOOD.replace("3.0", "nan"), "latency_ms is nan"),
        (GOOD.replace("3.0", "fast"), "line 4: 'fast' in latency_ms is no number"),
        (GOOD.replace("1,2,", "1,4,"), "none of 0 to 3"),
        (GOOD.replace("3.0", "3.0,7"), "line 4: the row has more"),
        (GOOD.replace("1,2,", "x,2,"), "layer 'x' is no number"),
        (GOOD.replace("1,2,", "-1,2,"), "layer '-1' is no number"),
    ],
)
def test_refuses_what_is_no_table_of_single_path_nas(tmp_path, text, cause):
    with pytest.raises(TableError, match=cause) as refused:
        four_times(tmp_path, text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ((3.0, 2.0, 3.5, 6.0), "k3_e3 takes 3 ms, k3_e6, which does more, 2 ms"),
        ((1.0, 4.0, 2.0, 3.0), "k3_e6 takes 4 ms, k5_e6"),
        ((1.0, 2.0, 4.0, 3.0), "k5_e3 takes 4 ms, k5_e6"),
        ((3.0, 3.0, 2.0, 3.0), "k3_e3 takes 3 ms, k5_e3"),
        ((1.05, 1.0, 1.0, 1.0), None),  # noise
    ],
)
def test_a_layer_that_does_less_is_not_slower(tmp_path, times, reason):
    rows = "".join(f"3,{i},{ms}\n" for i, ms in enumerate(times))
    text = "layer,choice,latency_ms\n" + rows
    if reason is None:
        assert four_times(tmp_path, text) == {3: times}
        return
    with pytest.raises(TableError, match=f"layer 3: {reason}"):
        four_times(tmp_path, text)


@pytest.mark.parametrize("order", [1, -1])
def test_layers_counted_from_0_and_from_1_cost_the_same_in_every_reader(tmp_path, order):
    space = chains.space(zoo.single_path())
    found = []
    for start in (0, 1):
        rows = [f"{n + start},{i},{n + i + 1}" for n in range(22) for i in range(4)]
        path = written(tmp_path, "\n".join(["layer,choice,latency_ms", *rows[::order]]))
        times = layer_table.single_path_times(str(path))
        polynomial = superkernel_latency.measured(space, times)
        by_name = layer_table.costs(layer_table.read(latency_table.read(path)), space)
        assert set(by_name[0]) >= {2.0, 3.0, 4.0, 5.0}
        found.append((by_name, *map(np.asarray, polynomial.values())))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_refuses_a_look_up_table_of_another_space(tmp_path):
    table = looked_up(written(tmp_path, "layer,op,latency_ms\n0,k3_e3,1\n"))
    with pytest.raises(TableError, match="another space"):
        layer_table.costs(table, chains.space(zoo.single_path()))


def save(tmp_path, **arrays):
    ops = np.zeros((4, 3), int)
    known = {"devices": np.array(["a"]), "ops": ops, "op_names": np.array(["k3_e1", "k5_e1"])}
    np.savez(tmp_path / "t.npz", **(known | {"latency_ms": np.ones((1, 4))} | arrays))
    return tmp_path / "t.npz"


@pytest.mark.parametrize(
    ("arrays", "cause"),
    [
        ({"latency_ms": np.ones((1, 5))}, "another space"),
        ({"latency_ms": np.array([[1.0, 0, 1, 1]])}, "write NaN"),
        ({"latency_ms": np.array([[1.0, np.inf, 1, 1]])}, "write NaN"),
        ({"ops": np.full((4, 3), 7)}, "another space"),
        ({"ops": np.zeros((4, 3))}, "whole numbers"),
    ],
)
def test_refuses_a_table_of_devices_that_cannot_be(tmp_path, arrays, cause):
    with pytest.raises(ValueError, match=cause):
        benchmarks.read(save(tmp_path, **arrays))


def test_refuses_files_that_are_no_tables(tmp_path):
    (tmp_path / "t.npz").write_text("text")
    with pytest.raises(TableError, match="no .npz file"):
        benchmarks.read(tmp_path / "t.npz")
    np.savez(tmp_path / "u.npz", other=np.ones(3))
    with pytest.raises(TableError, match="no 'devices'"):
        benchmarks.read(tmp_path / "u.npz")
    np.savez(tmp_path / "v.npz", devices=np.array(["a"]), latency_ms=np.ones((1, 4)))
    with pytest.raises(TableError, match="nb201_arch.npz"):
        benchmarks.read(tmp_path / "v.npz")


def test_numbers_at_one_position_are_settings_of_the_whole_network(tmp_path):
    """Its names are those of all positions, of which each has some."""
    names = np.array(["k3", "r128", "k5", "r160", "r192"])
    ops = np.array([[1, 0, 2, 2], [3, 2, 0, 2], [4, 2, 2, 0], [1, 2, 2, 2]])
    work = np.arange(4 * 5 * 2).reshape(4, 5, 2)
    table = benchmarks.read(save(tmp_path, ops=ops, op_names=names, work=work))
    positions = genome.positions(table.space)
    assert [p.candidates for p in positions] == [("r128", "r160", "r192"), *[("k3", "k5")] * 3]
    assert list(chain_features.settings(table.space)) == [0]
    assert table.networks.tolist() == [[0, 0, 1, 1], [1, 1, 0, 1], [2, 1, 1, 0], [0, 1, 1, 1]]
    assert table.work[0, :, 0].tolist() == [2, 6, 8] and table.work[3, :2, 1].tolist() == [31, 35]
    with pytest.raises(TableError, match="work is not"):
        benchmarks.read(save(tmp_path, ops=ops, op_names=names, work=work[:3]))
    for others in (["k3", "16", "k5", "24", "32"], ["a", "b", "c", "d", "e"]):
        changed = ops.copy()
        changed[0, 1] = 1
        table = benchmarks.read(save(tmp_path, ops=changed, op_names=np.array(others)))
        assert list(table.space) == ["layers"] and table.networks.tolist() == changed.tolist()


# --- the command


def said(capsys, *words):
    code = cli.main(["latency", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out if code == 0 else err


def test_check_names_a_published_look_up_table_and_what_is_slower(capsys):
    path = shared("singlepath_pixel1_lut.csv")
    code, out = said(capsys, "check", path, "--space", "mobile-single-path")
    assert code == 0
    assert "single-path look-up table: 88 entries at 22 layers, 1.23 to 11.6 ms" in out
    assert "of 110 pairs, 4 are slower though they do less, 0 of them by more than 10 %" in out
    assert "layer 0: k3_e3 3.984 ms, k5_e3 3.858 ms" in out
    assert "its 20 searched layers take" in out
    code, err = said(capsys, "check", path, "--space", "mobile-single-path", "--cells", 1)
    assert code == 2 and "has 22 layers, the space searches 5" in err
    code, out = said(capsys, "check", shared("proxyless_mobile_lut.csv"))
    assert code == 0 and "of 135 pairs, none is slower" in out


def test_check_shows_the_worst_few(tmp_path, capsys):
    rows = (f"{layer},{op},{ms}" for layer in range(9)
            for op, ms in (("k3_e3", 2 + layer), ("k3_e6", 1)))  # fmt: skip
    path = written(tmp_path, "\n".join(["layer,op,latency_ms", *rows]))
    code, out = said(capsys, "check", path)
    assert code == 0 and "of 9 pairs, 9 are slower though they do less, 9 of them by" in out
    shown = [line.split(":")[0].strip() for line in out.splitlines() if line.startswith("  ")]
    assert shown == [f"layer {n}" for n in (8, 7, 6, 5, 4)]


def test_check_reads_networks_of_every_device(tmp_path, capsys):
    text = "device,network,latency_ms\n" + "".join(
        f"{device},{network},{ms}\n" for device in ("old", "new")
        for network, ms in (("1 1 1 1 1 2", 2), ("1 1 1 1 1 3", 1), ("4 4 4 4 4 4", 3))
    )  # fmt: skip
    path = written(tmp_path, text)
    code, out = said(capsys, "check", path, "--space", "nasbench201")
    assert code == 0 and out.count("3 networks in 3 rows, 1 to 3 ms") == 2
    assert out.count("of 1 pairs, 1 are slower") == 2
    assert "lines 5 and 6: nor_conv_1x1 2 ms, nor_conv_3x3 1 ms" in out
    code, out = said(capsys, "check", path, "--space", "nasbench201", "--device", "old")
    assert code == 0 and "old" in out and "new" not in out


LAYERS = "layer,op,latency_ms\n0,k3_e3,1\n"


@pytest.mark.parametrize(
    ("text", "words", "cause"),
    [
        ("a,b\n1,2\n", "check FILE", "known tables are"),
        (LAYERS + "1,k3_e3,-1\n", "check FILE", "line 3: latency_ms is -1"),
        (LAYERS, "check FILE --device a", "--device has no effect"),
        (LAYERS, "check FILE --cells 1", "--cells has no effect without --space"),
        (LAYERS, "check FILE --space nasbench201 --cells 1", "--cells has no effect on nasb"),
        (LAYERS, "check FILE --space mobile-fbnet", "it is of another space"),
        (LAYERS, "fit FILE", "a fbnet look-up table of layers"),
        (LAYERS, "fit FILE --space mobile-fbnet", "a fbnet look-up table of layers"),
        (LAYERS, "report FILE", "a fbnet look-up table of layers"),
        ("network,latency_ms\n1 1 1 1 1 1,2\n", "check FILE", "give --space"),
        ("network,latency_ms\n1 1 1 1 1 1,2\n", "check FILE --space nasbench201", "two different"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, capsys, text, words, cause):
    path = written(tmp_path, text)
    code, err = said(capsys, *words.replace("FILE", str(path)).split())
    assert code == 2 and cause in err and err.count("\n") == 1


def test_a_campaigns_table_without_a_space_leads_to_its_folder(tmp_path, capsys):
    path = written(tmp_path, "network,kind,latency_ms\n1,network,2\n")
    (tmp_path / campaign_file.RAW).write_bytes(b"")
    code, err = said(capsys, "fit", path)
    assert code == 2 and f"give the campaign's folder {tmp_path} instead" in err


def test_check_says_how_many_networks_it_compares(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(network_table, "MAX_COMPARED", 2)
    path = written(tmp_path, "network,latency_ms\n" + ROWS.format(2, 3, 4))
    code, out = said(capsys, "check", path, "--space", "nasbench201")
    assert code == 0 and "only the first 2 rows were compared" in out
