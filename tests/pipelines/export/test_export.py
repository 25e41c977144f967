import io
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import rich.console

from jaxnas import data
from jaxnas.pipelines import retrain
from jaxnas.pipelines.export import check, export, formats, predict, record, runtimes, trained
from jaxnas.pipelines.settings.export import ClassifySettings, ExportSettings
from jaxnas.run import RunError
from tests import standalone_toys


def console():
    return rich.console.Console(file=io.StringIO(), width=200)


def test_each_export_is_checked_in_its_runtime_and_its_figures_are_in_the_summary(exported):
    folder, summary = exported
    exports = summary["exports"]
    assert "stablehlo" in exports
    for name, figures in exports.items():
        assert (folder / formats.FORMATS[name].file).exists()
        assert figures["images"] == 20 and figures["classes"] == 10
        assert figures["top1_equal"] == 1
        assert figures["top1"] == pytest.approx(summary["found"]["top1"])
        assert figures["max_difference"] <= figures["tolerance"]
        assert 0 < figures["latency_low"] <= figures["latency_ms"] <= figures["latency_high"]
    assert {path.name for path in folder.iterdir()} == {
        "MODEL_CARD.md", "example.png", *(figures["file"] for figures in exports.values())
    }  # fmt: skip


def test_the_card_has_the_figures_of_the_run(exported):
    folder, summary = exported
    card = (folder / "MODEL_CARD.md").read_text()
    assert f"{summary['found']['parameters']:,} parameters" in card
    assert summary["command"] in card and "one seed" in card and "| `model.stablehlo.zip` |" in card


def test_predicts_the_same_in_every_runtime(exported, capsys):
    folder, summary = exported
    rows = []
    for figures in summary["exports"].values():
        predict.main(
            ClassifySettings(
                str(folder / figures["file"]), (str(folder / "example.png"),), top=10, json=True
            )
        )
        [row] = json.loads(capsys.readouterr().out)
        assert sum(row["classes"].values()) == pytest.approx(1, abs=1e-4)
        rows.append(row["classes"])
    for row in rows[1:]:
        assert row == pytest.approx(rows[0], abs=1e-4)


def test_the_standalone_model_can_be_trained_on(exported):
    pytest.importorskip("safetensors")
    folder, _ = exported
    model = standalone_toys.module((folder / "flax" / "model.py").read_text())
    variables = model.load(folder / "flax" / "weights.safetensors")
    digits = data.load("digits", limit=100)
    pixels, labels = map(jnp.asarray, digits.train)
    tx = optax.sgd(0.1, momentum=0.9)

    def loss(params, stats):
        variables = {"params": params, "batch_stats": stats}
        images = model.preprocess(pixels)
        logits, new = model.Network().apply(variables, images, True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), new

    @jax.jit
    def step(params, stats, opt):
        (value, new), grads = jax.value_and_grad(loss, has_aux=True)(params, stats)
        updates, opt = tx.update(grads, opt)
        return optax.apply_updates(params, updates), new["batch_stats"], opt, value

    params, stats = variables["params"], variables["batch_stats"]
    opt, losses = tx.init(params), []
    for _ in range(12):
        params, stats, opt, value = step(params, stats, opt)
        losses.append(float(value))
    assert losses[-1] < 0.7 * losses[0]


def test_the_network_is_built_again_as_it_was_tested(network):
    digits = trained.test_data(network, {})
    logits = retrain.training.predict(network.net, network.weights, network.stats, digits)
    top1 = float((logits.argmax(-1) == digits.test.labels).mean())
    assert top1 == pytest.approx(network.result["top1"])


def test_other_test_images_are_refused(network):
    with pytest.raises(RunError, match="not those that"):
        trained.test_data(network, {"limit": 200})


def test_a_finished_run_only_writes_what_is_missing(run, exported):
    (run / record.NETWORK).unlink()
    with pytest.raises(RunError, match="run the command that trained"):
        trained.load(str(run))
    summary = json.loads((run / "summary.json").read_text())
    record.write_summary(run, {"found": summary["found"], "command": "jaxnas retrain"})
    assert json.loads((run / "summary.json").read_text())["exports"] == summary["exports"]
    record.write_summary(run, summary)
    settings = json.loads((run / "settings.json").read_text())["settings"]
    assert settings["data"] == "digits"
    record.write(run, restored(run))
    assert trained.load(str(run)).record == restored(run)


def restored(run):
    dataset = data.load("digits", limit=100)
    source = {"data": "digits", "data_dir": None, "limit": 100, "image_size": None}
    return record.of_dataset(dataset, "nasbench201", None, source)


def test_an_export_that_fails_its_check_leaves_nothing(run, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "TOLERANCE", -1.0)
    with pytest.raises(check.ExportCheckError, match="differs"):
        export.main(ExportSettings(str(run), ("stablehlo",), out=str(tmp_path)), console())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", ["missing", "empty", "genotype", "text", "published"])
def test_what_has_no_weights_is_refused_with_what_to_do(make, run, tmp_path):
    if make == "empty":
        where, reason = str(tmp_path), "has no trained network"
    elif make == "genotype":
        shutil.copy(run / "genotype.json", tmp_path)
        where, reason = str(tmp_path / "genotype.json"), "no trained weights beside it: train it"
    elif make == "missing":
        where, reason = str(tmp_path / "none"), "does not exist: give the folder of a finished"
    else:
        where = "{}" if make == "text" else "DARTS_V2"
        reason = "a genotype alone has no weights: train it with `jaxnas retrain"
    with pytest.raises(RunError, match=reason):
        trained.locate(where)


def test_a_genotype_beside_its_weights_is_its_run(run):
    assert trained.locate(str(run / "genotype.json")) == (run, run)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    onnx = formats.FORMATS["onnx"]._replace(packages=("no_such_package",))
    monkeypatch.setitem(formats.FORMATS, "onnx", onnx)
    with pytest.raises(formats.MissingPackageError, match=r"pip install 'jaxnas\[export\]'"):
        formats.check_packages("onnx")


def test_the_process_of_a_check_cannot_import_jaxnas(exported, tmp_path):
    folder, _ = exported
    (tmp_path / "model.py").write_text("import jaxnas\n")
    images = data.Images(np.zeros((1, 8, 8, 1), np.uint8), np.zeros(1, np.int32))
    with pytest.raises(check.ExportCheckError, match="jaxnas"):
        check.run(tmp_path, images, np.zeros((1, 10)))


@pytest.mark.parametrize("name", ["model.onnx", "model.stablehlo.zip", "other.txt", "none.onnx"])
def test_what_is_no_export_is_refused_in_a_line(name, tmp_path):
    pytest.importorskip("onnxruntime")
    if name != "none.onnx":
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(runtimes.ExportedFileError) as caught:
        runtimes.load(tmp_path / name)
    assert "\n" not in str(caught.value)
