"""The benches print one JSON object of real measurements, or one line that says what is wrong."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxnas.nets import lowering
from tests import paths
from tools import bench_compile, bench_floor, bench_step

ROOT = paths.ROOT
TINY = ("--features", "2", "--cells", "1", "--batch", "2", "--image-size", "4")
TORCH = "the peer needs PyTorch: pip install 'jaxnas[bench]'"


def run(tool: str, *options: str) -> dict:
    """The object printed in a fresh process, whose XLA compiles as quickly as it can."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    command = [sys.executable, str(ROOT / "tools" / tool), *TINY, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def refusal(main, capsys, monkeypatch, *options: str) -> str:
    """The one line with which the tool exits."""
    monkeypatch.setattr(sys, "argv", ["tool", *options])
    with pytest.raises(SystemExit) as ending:
        main()
    said = capsys.readouterr()
    assert ending.value.code == 2
    assert not said.out
    assert said.err.count("\n") == 1
    return said.err


def test_compile_is_timed_cold_and_from_the_cache():
    result = run("bench_compile.py")
    assert min(result[name] for name in ("trace_s", "lower_s", "compile_s", "cached_s")) > 0
    # Only compiling is spared by the cache, and it is most of the work.
    assert result["cached"]["compile_s"] < 0.7 * result["compile_s"]
    assert result["cached_s"] == pytest.approx(sum(result["cached"].values()))
    assert result["temp_bytes"] > 0
    assert result["argument_bytes"] > 0
    assert result["versions"]["jax"] == jax.__version__
    assert result["device"]
    assert result["settings"]["features"] == 2


def test_step_is_timed_beside_the_peer():
    pytest.importorskip("torch", reason=TORCH)
    # One thread: two would wait for each other on a busy machine.
    result = run("bench_step.py", "--repeats", "2", "--peer-threads", "1")
    assert len(result["times_ms"]) == len(result["peer_times_ms"]) == 2
    assert result["step_ms"] == pytest.approx(sum(result["times_ms"]) / 2)
    assert result["ratio"] == pytest.approx(result["step_ms"] / result["peer_step_ms"])
    least, greatest = result["ratio_spread"]
    assert 0 < least <= greatest
    assert result["temp_bytes"] > 0
    assert result["threads"] == 1
    assert result["versions"]["torch"]
    assert 0 < result["loss"] < 5
    assert 0 < result["peer_loss"] < 5


def test_spread_is_of_pairs_and_ratio_of_medians():
    facts = bench_step.compare([1.0, 2.0, 9.0], [2.0, 8.0, 3.0])
    assert facts["peer_step_ms"] == 3
    assert facts["ratio"] == pytest.approx(2 / 3)
    assert facts["ratio_spread"] == [0.25, 3]


def test_a_floor_is_counted_from_loops_and_branches():
    x, w = jnp.ones((3, 4)), jnp.ones((4, 4))

    def looped(x, w):
        y, _ = jax.lax.scan(lambda y, _: (jnp.tanh(y @ w), None), x, length=5)
        return jax.lax.cond(y[0, 0] > 0, lambda y: y @ w, lambda y: y, y)

    found = bench_floor.of_jaxpr(jax.make_jaxpr(looped)(x, w).jaxpr)
    product = 4 * (12 + 16 + 12)
    assert found.flop == 6 * 2 * 3 * 4 * 4 and found.product_bytes == 6 * product
    assert found.all_bytes > found.product_bytes + 5 * 4 * 24
    image, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((5, 5, 3))
    slope = jax.grad(lambda k: lowering.depthwise(image, k, 1, 1).sum())
    # Forward, which nothing reads, and the kernel's gradient.
    assert bench_floor.of_jaxpr(jax.make_jaxpr(slope)(kernel).jaxpr).flop == 2 * 2 * image.size * 25
    full = lambda k: lowering.convolution(image, k, 2).sum()
    flop = bench_floor.of_jaxpr(jax.make_jaxpr(full)(jnp.ones((3, 3, 3, 7))).jaxpr).flop
    # Stride 2 is stride 1 over 5x5 blocks of 12 channels with a 2x2 kernel, whose ends are cut.
    assert flop == 2 * (2 * 4 * 4 * 7) * (2 * 2 * 12)


def test_floors_are_counts_over_peaks():
    result = run("bench_floor.py")
    assert 0 < result["product_bytes"] < result["all_bytes"]
    assert result["arithmetic_s"] == pytest.approx(result["flop"] / result["flop_s"])
    assert result["memory_s"] == pytest.approx(result["product_bytes"] / result["cached_byte_s"])


@pytest.mark.parametrize(
    "tool", [bench_compile, bench_step, bench_floor], ids=["compile", "step", "floor"]
)
@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--order", "third"], "third"),
        (["--batch", "0"], "whole number"),
        (["--features", "two"], "whole number"),
        (["--colour", "red"], "--colour"),
    ],
)
def test_refuses_a_bad_option(tool, options, cause, capsys, monkeypatch):
    assert cause in refusal(tool.main, capsys, monkeypatch, *options)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--peer", "none", "--channels-last"], "no effect"),
        (["--peer", "none", "--peer-threads", "2"], "no effect"),
        (["--peer", "compile", "--order", "exact"], "twice"),
        (["--peer", "none", "--cells", "3", "--image-size", "1"], "reductions"),
    ],
)
def test_step_refuses_what_cannot_be_compared(options, cause, capsys, monkeypatch):
    assert cause in refusal(bench_step.main, capsys, monkeypatch, *options)


def test_says_how_to_install_a_missing_peer(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "pip install" in refusal(bench_step.main, capsys, monkeypatch, *TINY)


def test_refuses_a_peer_on_another_device(capsys, monkeypatch):
    torch = pytest.importorskip("torch", reason=TORCH)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "JAX_PLATFORMS=cpu" in refusal(bench_step.main, capsys, monkeypatch, *TINY)
