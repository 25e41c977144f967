"""The command line: every bad input is one line with cause and cure, and exit code 2."""

import ast
import dataclasses
import importlib
import json
import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxnas import cli
from jaxnas.cli import commands
from jaxnas.pipelines import genotypes
from tests import paths

CELL = {"inputs": 2, "concat": [2], "edges": [[0, 2, "skip_connect"], [1, 2, "sep_conv_3x3"]]}
GENOTYPE = {
    "format": "jaxnas genotype", "version": 1, "space": "darts",
    "cells": {"normal": CELL, "reduce": CELL},
}  # fmt: skip


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """Each test has a folder of its own, and the cache of the other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)


def refused(capsys, *argv: str) -> str:
    """The one line with which a command refuses."""
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert err.startswith("jaxnas: "), out + err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("fnid", "No command 'fnid': there are search"),
        ("search --epochs x", "--epochs cannot be 'x': give a whole number"),
        ("search --learning-rate fast", "--learning-rate cannot be 'fast': give a number"),
        ("search --reductions one", "give whole numbers"),
        ("search --epochss=3", "Perhaps you meant --epochs"),
        ("search --order z", "--order cannot be 'z': give exact or finite-difference or first"),
        ("search --lr 0.1", "Perhaps you meant --learning-rate"),
        ("search --retrain.lr 0.1", "Perhaps you meant --retrain.learning-rate"),
        ("search --method PC-DARTS", "Did you mean pc-darts?"),
        ("search --method pcdarts", "Did you mean pc-darts?"),
        ("search --space NB201", "Did you mean nasbench201?"),
        ("draw darts_v2", "Did you mean DARTS_V2?"),
        ("serach", "Did you mean search?"),
        ("--verison", "Did you mean --version?"),
        ("--completion", "No completion for '': there are bash, zsh, fish"),
        ("--completion bsh", "Did you mean bash?"),
        ("latency mesure", "Did you mean measure?"),
        ("search --method my_module", "and MODULE:NAME of your own"),
        ("search --order finitedifference", "Did you mean finite-difference?"),
        ("search --set lr=3", "is no setting of the method darts"),
        ("search --batch-size 751 --retrain.batch-size 1501", "use --retrain.batch-size 1 to 1500"),
        ("search --batch-size 751 --retrain.batch-size 1501", "use --batch-size 1 to 750; "),
        ("search --epochs", "Missing value for argument '--epochs'"),
        ("search --epochs 0", "--epochs is 0: give 1 or more"),
        ("search --learning-rate nan", "--learning-rate is nan: give a finite number"),
        ("search --learning-rate 0", "--learning-rate is 0.0: give more than 0"),
        ("search --seed -1", "--seed is -1"),
        ("search --train-fraction 1", "--train-fraction is 1.0: give less than 1"),
        ("search --space dart", "No space is called 'dart'; there are darts"),
        ("search --space none.py", "none.py is no file of Python"),
        ("search --method single-level --order exact", "--order has no effect"),
        ("search --space nasbench201 --reductions 1", "--reductions has no effect"),
        ("search --space nasbench201 --retrain.drop-path 0.1", "--retrain.drop-path has no"),
        ("search --retrain.epochs 0", "--retrain.epochs is 0"),
        ("search --reductions 9", "Reduction 9 is not one of the cells"),
        ("search --cells 9 --reductions 1 2 3 4", "4 reductions shrink 8 pixels below one"),
        ("search --retrain.cutout 9", "cutout(9) exceeds a 8x8 image"),
        ("search --retrain.auxiliary 0.4", "auxiliary head"),
        ("search --retrain.preset paper", "auxiliary head"),
        ("search --data nothing.npz", "nothing.npz"),
        ("search --data nothing", "'nothing' is no data set"),
        ("search --data-dir x", "has no effect on digits"),
        ("search --limit 3", "limit is 3"),
        ("search --limit 12", "class"),
        ("search --batch-size 751", "batch_size is 751"),
        ("search --image-size 10 --space nasbench201", "multiples of 4"),
        ("search --resume", "There is no run in runs/digits-darts-seed0"),
        ("search --name a/b", "a name has no slash"),
        ("search --keep 0", "--keep is 0"),
        ("retrain", "genotype"),
        ("retrain nothing", "No genotype 'nothing'"),
        ("retrain DARTS_V2 --ema 1", "--ema is 1.0"),
        ("retrain DARTS_V2 --space darts", "--space is 'darts': give a file"),
        ("retrain DARTS_V2 --batch-size 2000", "batch_size is 2000"),
        ("draw nothing", "No genotype 'nothing'"),
        ("report nothing", "No run folder at nothing"),
        ("check nothing.py", "nothing.py"),
        ("narrow DARTS_V2", "--macs or --target-ms"),
        ("narrow DARTS_V2 --macs 5 --target-ms 1", "one of them"),
        ("narrow DARTS_V2 --macs 5 --multiple 3", "two halves"),
        ("narrow DARTS_V2 --macs 1000000000", "but the network has"),
        ("oracle ask 3", "No command 'oracle ask': there are query, build"),
        ("oracle query", "Missing from jaxnas oracle query"),
        ("oracle query --table nothing.npz -- -1", "No table nothing.npz"),
        ("oracle build no.csv out.npz", "No export no.csv"),
        ("latency guess", "there are measure, fit, predict, report"),
    ],
)
def test_refuses_in_one_line(capsys, tmp_path, words, cause):
    assert cause in refused(capsys, *words.split())
    assert not (tmp_path / "runs").exists(), "something was written before it was refused"


def dead(name: str, concat: list[int], *ops: str) -> None:
    edges = [[i % 2, 2 + i // 2, op] for i, op in enumerate(ops)]
    cell = {"inputs": 2, "concat": concat, "edges": edges}
    text = json.dumps({**GENOTYPE, "cells": {"normal": cell, "reduce": cell}})
    pathlib.Path(name).write_text(text)


def test_refuses_to_train_a_network_that_computes_nothing(capsys, tmp_path):
    dead("dead.json", [2], "none", "none")
    said = refused(capsys, "retrain", "dead.json")
    assert "No path leads from input to output of the normal and reduce cell" in said
    assert not (tmp_path / "runs").exists()


def test_draw_says_what_of_a_network_computes_nothing(capsys):
    dead("part.json", [2, 3], "skip_connect", "none", "none", "none")
    assert cli.main(["draw", "part.json"]) == 0
    assert "of the output of the normal cell, node 3 is always 0" in capsys.readouterr().out
    dead("whole.json", [2], "none", "none")
    assert cli.main(["draw", "whole.json"]) == 0
    assert "WARNING: no path leads from input to output" in capsys.readouterr().out


DARTS_TEXT = (
    "Genotype(normal=[('skip_connect', 0), ('sep_conv_3x3', 1)], normal_concat=range(2, 3), "
    "reduce=[('skip_connect', 0), ('sep_conv_3x3', 1)], reduce_concat=[2])"
)
WEIGHTED = (
    "{'normal': [(('skip_connect', 0, 0.21), ('sep_conv_3x3', 1, np.float32(0.19)))], "
    "'normal_concat': [2], 'reduce': [(('skip_connect', 0, 0.2), ('sep_conv_3x3', 1, 0.1))], "
    "'reduce_concat': range(2, 3)}"
)


@pytest.mark.parametrize(
    "text",
    [DARTS_TEXT, WEIGHTED, f"epoch 1 {DARTS_TEXT.replace('3x3', '5x5')}\n03:10 {DARTS_TEXT}"],
)
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_genotype_is_a_text_in_any_notation_or_a_file_of_it(text, start):
    edges = ((0, 2, "skip_connect"), (1, 2, "sep_conv_3x3"))
    pathlib.Path("theirs.txt").write_text(start + text, encoding="utf-8")
    for named in ("theirs.txt", text):
        genotype = genotypes.named(named)[0]
        assert {cell.edges for cell in genotype.cells.values()} == {edges}
    pathlib.Path("theirs.txt").write_text(text, encoding="utf-16")
    assert genotypes.named("theirs.txt")[0] == genotype


def test_a_cell_of_the_benchmark_is_read_from_a_log():
    arch = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"
    pathlib.Path("log.txt").write_text(f"[150] Structure(4 nodes with {arch})\n")
    assert genotypes.named("log.txt")[0] == genotypes.named(arch)[0]


def test_report_refuses_a_folder_that_is_no_run(capsys, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("bread")
    assert "no run folder: it has no settings.json" in refused(capsys, "report", "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("command", ["search", "retrain DARTS_V2 --cells 6 --features 4"])
def test_refuses_to_normalise_one_value(capsys, tmp_path, command):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 4, 4, 1), np.uint8)
    np.savez("four.npz", x_train=pixels, y_train=np.arange(30) % 3)
    more = ["--retrain.batch-size", "5"] if command == "search" else []
    said = refused(capsys, *command.split(), "--data", "four.npz", "--batch-size", "1", *more)
    assert "One value a channel" in said and "larger --batch-size" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 1_000_001, "at most 1,000,000"),
        ("[]", "is a JSON object"),
        (json.dumps(GENOTYPE).replace("sep_conv_3x3", "magic"), "magic"),
        (json.dumps(GENOTYPE).replace("[0, 2,", "[3, 2,"), "earlier"),
        (json.dumps(GENOTYPE).replace('"darts"', '"mine"'), "--space"),
    ],
)
def test_refuses_a_wrong_genotype(capsys, tmp_path, text, cause):
    (tmp_path / "bad.json").write_text(text)
    assert cause in refused(capsys, "retrain", "bad.json")
    assert not (tmp_path / "runs").exists()


def images(count=60, classes=3, **changes):
    random = np.random.default_rng(0)
    arrays = {
        "x_train": random.integers(0, 256, (count, 8, 8), np.uint8),
        "y_train": np.arange(count) % classes,
    }
    return arrays | changes


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"x_train": np.full((60, 8, 8), np.nan, np.float32)}, "NaN"),
        ({"y_train": np.zeros(60, int)}, "only one class"),
        ({"y_train": np.arange(60) % 3 - 1}, "label"),
        ({"class_names": np.array(["a", "b"])}, "out of range"),
        ({"x_train": np.array(["no"] * 60)}, "x_train"),
        ({"x_trian": np.zeros(3)}, "x_trian"),
    ],
)
def test_refuses_wrong_data(capsys, tmp_path, changes, cause):
    np.savez("bad.npz", **images(**changes))
    assert cause in refused(capsys, "search", "--data", "bad.npz", "--batch-size", "10")


def test_refuses_a_truncated_file(capsys, tmp_path):
    np.savez("cut.npz", **images())
    whole = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    assert "cut.npz" in refused(capsys, "search", "--data", "cut.npz")


def test_refuses_a_folder_that_is_no_run(capsys, tmp_path):
    (tmp_path / "runs").write_text("a file where folders should be")
    assert "runs" in refused(capsys, "search")


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(ValueError, match="--epochs is 0"):
        cli.main(["search", "--epochs", "0", "--debug"])


def test_a_bug_is_not_hidden(monkeypatch):
    def report(settings):
        raise TypeError("ours")

    monkeypatch.setattr(commands, "report", report)
    with pytest.raises(TypeError, match="ours"):
        cli.main(["report", "runs/x"])


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_help_lists_every_command(capsys, words):
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    for name in commands.COMMANDS:
        assert re.search(rf"^  {name.partition(' ')[0]}\b", out, re.MULTILINE), name


@pytest.mark.parametrize("group", commands.GROUPS)
def test_help_of_a_group_lists_its_commands(capsys, group):
    assert cli.main([group]) == 0
    out = capsys.readouterr().out
    assert cli.main([group, "--help"]) == 0
    assert capsys.readouterr().out == out
    for name in commands.COMMANDS:
        if name.startswith(f"{group} "):
            assert re.search(rf"^  {name.removeprefix(group).strip()}\b", out, re.MULTILINE), name


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_answers_help_with_an_example_and_its_flags(capsys, name):
    assert cli.main([*name.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"examples?:\s+jaxnas {name}", out)
    for field in dataclasses.fields(commands.COMMANDS[name].settings):
        if not hasattr(field.type, "__metadata__"):  # groups, and what is given without a flag
            assert re.search(rf"--(no-)?{field.name.replace('_', '-')}\b", out), field.name


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_function_of_every_command_can_be_imported(name):
    module, _, function = commands.COMMANDS[name].function.partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize(
    "path", sorted((paths.ROOT / "experiments").glob("*.py")), ids=lambda path: path.name
)
def test_experiments_stand_on_pipelines_not_on_the_command_line(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in getattr(node, "names", ()) if hasattr(alias, "asname")]
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        elif not isinstance(node, ast.Import):
            continue
        for name in names:
            assert not re.match(r"jaxnas\.cli\b", name), f"line {node.lineno}: {name}"


def test_help_and_version_need_no_jax():
    code = (
        "import sys; from jaxnas import cli; cli.main(['--help']); cli.main(['--version']); "
        "cli.main(['search', '--help']); cli.main(['latency', 'fit', '--help']); "
        "sys.exit('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, cwd=".",
                          env={"PYTHONPATH": str(paths.ROOT)})  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_draws_a_published_cell(capsys, tmp_path):
    assert cli.main(["draw", "DARTS_V2", "--out", "pictures"]) == 0
    names = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert names == {"cell_normal.svg", "cell_normal.png", "cell_reduce.svg", "cell_reduce.png"}


def test_a_published_name_is_no_file(capsys):
    assert "DARTS_V2" in refused(capsys, "draw", "DARTS_V3")


def test_what_a_method_refuses_leaves_no_folder(tmp_path, capsys):
    words = ["--method", "pc-darts", "--epochs", "4", "--set", "warm_up=4"]
    assert cli.main(["search", *words, "--out", str(tmp_path)]) == 2
    assert "warm-up of 4 epochs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
