"""Times one search step beside the same step in PyTorch, alternating in one run."""

import argparse
import importlib
import json
import math
import multiprocessing
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
# JAX would else take three quarters of a GPU for itself and leave too little to the peer.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp

from jaxnas.core.types import Batch
from tools import bench_case, child_process

DESCRIPTION = """\
Warms both up, then times ours, peer, ours, peer, ..., each after an untimed step, and prints
one JSON object: step_ms and peer_step_ms (medians), cpu_ms (the least processor time of our
step, of all cores together), ratio (ours / peer, of the medians),
ratio_spread (least and greatest ratio of a pair), all times, temp_bytes, device, versions,
threads and the settings. A step is a whole one: the architecture's and the weights'. The images
are seeded normal noise and the labels random: fit for timing, and for nothing else."""

EXAMPLES = """\
examples:
  python tools/bench_step.py
  python tools/bench_step.py --order exact --batch 16 --repeats 3
  python tools/bench_step.py --method pc-darts
  python tools/bench_step.py --peer none --dtype bfloat16
  python tools/bench_step.py --peer compile --channels-last     (on a GPU)
  python tools/bench_step.py --features 4 --cells 3 --batch 4 --image-size 8"""


# The PyTorch networks, by space and method.
PEERS = {
    ("darts", "darts"): "darts_torch",
    ("darts", "pc-darts"): "pc_darts_torch",
    ("nasbench201", "darts"): "nasbench201_torch",
}
QUIET = 0.05  # of all cores: what others may take before the times are doubtful


class Runner(NamedTuple):
    """One step that can be run again and again; `run` waits for its end and gives the loss."""

    run: Callable[[], float]
    weights: int
    facts: dict
    cpu_s: Callable[[], float] = lambda: 0.0  # processor seconds of a process of its own


def main() -> None:
    parser = bench_case.parser(DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("--peer", choices=("eager", "compile", "none"), default="eager", help="PyTorch how (eager)")
    add("--channels-last", action="store_true", help="the peer's images and weights as NHWC")
    add("--peer-threads", type=bench_case.natural, help="PyTorch's threads on a CPU (all cores)")
    add("--repeats", type=bench_case.natural, default=5, help="timed steps of each (5)")
    add(
        "--warmup", type=bench_case.natural, default=1,
        help="untimed steps of each, at first and before each timed one (1)",
    )  # fmt: skip
    options = parser.parse_args()
    with bench_case.one_line_errors(parser):
        result = measure(options)
    if (result["others_cpu_share"] or 0) > QUIET:
        share = f"{100 * result['others_cpu_share']:.0f} %"
        print(
            f"{parser.prog}: other processes took {share} of the processor; two libraries suffer "
            "unequally from that, so measure again on a quiet machine",
            file=sys.stderr,
        )
    print(json.dumps(result))


def measure(options: argparse.Namespace) -> dict:
    """The object to print. Raises ValueError and ImportError for what cannot be compared."""
    if options.peer == "none" and (options.channels_last or options.peer_threads):
        raise ValueError("--channels-last and --peer-threads have no effect with --peer none")
    if options.peer == "compile" and options.order == "exact":
        raise ValueError("torch.compile cannot differentiate twice: use --peer eager")
    case = bench_case.of(options)
    if options.peer != "none" and (case.space, case.method) not in PEERS:
        raise ValueError(f"no peer of {case.method} in {case.space} is here: use --peer none")
    device = None if options.peer == "none" else peer_device(options)
    ours = our_runner(case)
    warm_up(ours, options.warmup)
    ours.facts["peak_rss_bytes"] = bench_case.peak_rss_bytes()
    runners = [ours]
    if device is not None:
        peer = peer_runner(case, options, device)
        if peer.weights != ours.weights:
            raise ValueError(f"{ours.weights} weights against the peer's {peer.weights}")
        warm_up(peer, options.warmup)
        runners.append(peer)
    times, cpu = [[] for _ in runners], []
    losses = [math.nan for _ in runners]
    others = bench_case.others_share(lambda: sum(runner.cpu_s() for runner in runners))
    for _ in range(options.repeats):
        for index, runner in enumerate(runners):
            # Who waited while the other ran finds its memory taken back by the system.
            warm_up(runner, options.warmup)
            start, used = time.perf_counter(), time.process_time()
            losses[index] = runner.run()
            times[index].append(1e3 * (time.perf_counter() - start))
            if runner is ours:
                cpu.append(1e3 * (time.process_time() - used))
    busy = others()
    if not all(map(math.isfinite, losses)):
        raise FloatingPointError(f"a loss is not finite ({losses}): take fewer --repeats")
    result = {"step_ms": statistics.median(times[0]), "times_ms": times[0], "loss": losses[0]}
    result |= {"cpu_ms": min(cpu), "cpu_times_ms": cpu}
    result |= ours.facts | {"weights": ours.weights, "others_cpu_share": busy}
    if device is not None:
        result |= compare(*times) | {"peer_loss": losses[1]} | peer.facts
    return result | bench_case.machine() | {"settings": vars(case) | settings(options)}


def compare(ours: list[float], peer: list[float]) -> dict:
    """Medians and spread of two equally long lists of times in milliseconds."""
    pairs = [a / b for a, b in zip(ours, peer, strict=True)]
    return {
        "peer_step_ms": statistics.median(peer),
        "peer_times_ms": peer,
        "ratio": statistics.median(ours) / statistics.median(peer),
        "ratio_spread": [min(pairs), max(pairs)],
    }


def settings(options: argparse.Namespace) -> dict:
    names = ("peer", "channels_last", "peer_threads", "repeats", "warmup")
    return {name: getattr(options, name) for name in names}


def warm_up(runner: Runner, steps: int) -> None:
    for _ in range(steps):
        runner.run()


def our_runner(case: bench_case.Case) -> Runner:
    """The compiled step of jaxnas, whose state is donated at each."""
    compiled = bench_case.compile_step(case)
    train, valid = (
        Batch(jnp.asarray(inputs, case.dtype), jnp.asarray(labels))
        for inputs, labels in (bench_case.images(case, seed) for seed in (0, 1))
    )
    initial = jax.jit(bench_case.initial(compiled.search, case))
    state = [initial(jax.random.key(0), train.inputs)]
    weights = sum(leaf.size for leaf in jax.tree.leaves(state[0].weights))

    def run() -> float:
        state[0], metrics = jax.block_until_ready(compiled.step(state[0], train, valid))
        return float(metrics["loss/train"])

    return Runner(run, weights, compiled.seconds | compiled.bytes)


def peer_device(options: argparse.Namespace) -> str:
    """Torch's name for the device that JAX uses.

    Raises ImportError without torch and ValueError where torch cannot use that device.
    """
    try:
        import torch
    except ImportError:
        raise ImportError(
            "the peer needs PyTorch: pip install 'jaxnas[bench]' (or torch==2.13.0), "
            "or leave it out with --peer none"
        ) from None
    platform = jax.default_backend()
    if platform == "cpu":
        return "cpu"
    if options.peer_threads:
        raise ValueError(f"--peer-threads has no effect on a {platform}: leave it out")
    if platform == "gpu" and torch.cuda.is_available():
        return "cuda"
    raise ValueError(
        f"JAX uses {jax.devices()[0].device_kind} ({platform}), which this torch cannot: install "
        "a torch for it, set JAX_PLATFORMS=cpu, or use --peer none"
    )


def peer_runner(case: bench_case.Case, options: argparse.Namespace, device: str) -> Runner:
    """The peer in a process of its own, which waits while ours runs.

    In one process the thread pools of the two libraries slow each other down: on 2 cores JAX's
    step took 8.2 s beside PyTorch's and 4.4 s alone.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=serve, args=(theirs, case, options, device), daemon=True)
    child.start()
    theirs.close()

    def receive():
        try:
            answer = ours.recv()
        except EOFError:
            raise ValueError("the peer's process ended early: is there memory for it?") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    spent = [0.0]

    def run() -> float:
        ours.send("step")
        loss, spent[0] = receive()
        return loss

    return Runner(run, *receive(), cpu_s=lambda: spent[0])


def serve(pipe, case: bench_case.Case, options: argparse.Namespace, device: str) -> None:
    """Answers each message with the loss of one more step, first with the peer's facts."""
    child_process.end_with_parent()
    try:
        peer = peer_here(case, options, device)
        pipe.send((peer.weights, peer.facts))
        while pipe.recv():
            pipe.send((peer.run(), time.process_time()))
    except EOFError:
        pass
    except Exception as error:
        pipe.send(error)


def peer_here(case: bench_case.Case, options: argparse.Namespace, device: str) -> Runner:
    """The step of the PyTorch peer, at the precision that JAX uses on this device."""
    import torch

    from tools.peer import search_torch

    # JAX multiplies f32 on a GPU in TF32 unless told otherwise; both have no effect on a CPU.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)
    nets = importlib.import_module(f"tools.peer.{PEERS[case.space, case.method]}")
    if options.peer_threads:
        torch.set_num_threads(options.peer_threads)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    like = {"device": device, "dtype": getattr(torch, case.dtype)}
    network = nets.supernet(case.features, case.cells, bench_case.CLASSES)
    network = network.to(**like, memory_format=layout)
    arch = tuple(1e-3 * torch.randn(shape, **like) for shape in network.arch_shapes)
    state = search_torch.searcher(network, arch)
    if options.peer == "compile":
        state = state._replace(network=torch.compile(network), twin=torch.compile(state.twin))
    rules = {
        "first": search_torch.first_order,
        "exact": search_torch.exact,
        "finite-difference": search_torch.finite_difference,
    }
    train, valid = (
        search_torch.Batch(
            torch.from_numpy(inputs)
            .permute(0, 3, 1, 2)
            .to(**like)
            .contiguous(memory_format=layout),
            torch.from_numpy(labels).long().to(device),
        )
        for inputs, labels in (bench_case.images(case, seed) for seed in (0, 1))
    )

    def run() -> float:
        value = search_torch.step(state, rules[case.order], train, valid)
        if device == "cuda":
            torch.cuda.synchronize()
        return value.item()

    weights = sum(weight.numel() for weight in network.parameters())
    return Runner(run, weights, {"threads": torch.get_num_threads(), "peer": options.peer})


if __name__ == "__main__":
    main()
