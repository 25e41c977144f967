"""Checks networks, hypergradients and searches against golden files, in float64.

python tools/golden.py ../shared/golden/darts_supernet.npz
"""

import argparse
import functools
import json
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import jax
import numpy as np
import optax

from jaxnas.core import hypergrad
from jaxnas.core.gates import relax
from jaxnas.core.types import Batch, Hypergradient, Problem, Relaxation, Supernet
from jaxnas.methods import darts as darts_method
from jaxnas.methods import pc_darts
from jaxnas.methods.optimisers import Optimisers
from jaxnas.spaces import choices as spaces_choices
from jaxnas.spaces import discretise
from jaxnas.spaces.darts import choices as spaces
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.darts import notation as genotypes
from jaxnas.spaces.darts import supernet as darts
from tools import golden_file, torch_names
from tools.golden_file import Values

EPILOG = """\
Prints one JSON object a file: file, kind, ok, max_relative_error and the error of each quantity.
With --short a supernet's hypergradients are left out, which are most of what is compiled.
A relative error is max |ours - theirs| / max |theirs| of an array, the greatest one of a
quantity's arrays. ok: all are at most 1e-6, of weights after several steps 1e-5. Exit code 0: all
ok; 1: something is off; 2: a file that cannot be checked."""

TOLERANCE = 1e-6
TOLERANCES = {"param_after": 1e-5}
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, AUXILIARY_WEIGHT = 0.025, 0.9, 3e-4, 0.4

# The files of PC-DARTS were made with DARTS's optimisers.
PC_DARTS_OPTIMISERS = Optimisers(learning_rate=LEARNING_RATE, min_learning_rate=0.0)

Errors = dict[str, float]  # quantity -> the greatest relative error of its arrays


class Report(NamedTuple):
    file: str
    kind: str  # "supernet", "first_order_steps", "unrolled_steps" or "derived"
    ok: bool
    max_relative_error: float
    errors: Errors


class Searched(NamedTuple):
    """A supernet and the weights that a file gives it."""

    net: Supernet
    relax: Relaxation
    names: torch_names.Names
    arch: Any
    weights: Any
    stats: Any


def check(path: pathlib.Path, short: bool = False) -> Report:
    """Compares what the file holds with what we compute, of a supernet in `short` the first order.

    Raises ValueError with one line where the file is no golden file, or not one of DARTS or
    PC-DARTS.
    """
    values = golden_file.load(path)
    with jax.enable_x64(True):
        kind = golden_file.kind(path, values)
        golden_file.check(values, kind)
        if kind == golden_file.STEPS:
            kind, errors = _steps(values, unrolled_first="unrolled" in path.name)
        elif kind == golden_file.DERIVED:
            errors = _derived(values)
        else:
            errors = _supernet(values, short)
    return Report(str(path), kind, _ok(errors), max(errors.values()), errors)


def _ok(errors: Errors) -> bool:
    return all(error <= TOLERANCES.get(name, TOLERANCE) for name, error in errors.items())


def _supernet(values: Values, short: bool) -> Errors:
    given = _searched(values, values["x_train"][0].shape)
    train, valid = golden_file.batch(values, "train"), golden_file.batch(values, "valid")
    momentum = torch_names.read(values, "momentum", given.weights, given.names)

    def descend(grads, weights):
        return jax.tree.map(
            lambda w, b, g: w - LEARNING_RATE * (MOMENTUM * b + g + WEIGHT_DECAY * w),
            weights, momentum, grads,
        )  # fmt: skip

    objective = _loss(given)
    outer, inner = (lambda *at, b=b: objective(*at, b) for b in (valid, train))
    problem = Problem(outer, inner, jax.jit(descend))
    judge = jax.value_and_grad(problem.outer, argnums=(0, 1), has_aux=True)
    (loss, logits), (arch_grad, weight_grad) = judge(given.arch, given.weights)
    errors = {
        "valid_logits": _error(logits, values["valid_logits"]),
        "valid_loss": _error(loss, values["valid_loss"]),
        "valid_grad_arch": _arch_error(arch_grad, values, "valid_grad_arch"),
        "valid_grad_param": _rows_error(weight_grad, values, "valid_grad_param", given.names),
    }
    rules = {"exact": hypergrad.unrolled(), "finite_difference": hypergrad.finite_difference(0.01)}
    for name, rule in () if short else rules.items():
        (ahead, _), grads = rule.rule(problem)(given.arch, given.weights)
        errors["unrolled_valid_loss"] = _error(ahead, values["unrolled_valid_loss"])
        errors[f"hypergrad_{name}"] = _arch_error(grads, values, f"hypergrad_{name}")
    found = discretise.top_edges_per_node(
        given.net.space, given.relax.gates(given.arch, None), name="darts"
    )
    published = genotypes.from_pairs(str(values["genotype"]))
    return errors | {"genotype": 0.0 if found == published else math.inf}


def _steps(values: Values, unrolled_first: bool) -> tuple[str, Errors]:
    """The file does not say which rule made it: the one that fits better."""
    given = _searched(values, values["x_train"][0, 0].shape)
    rules = {"first_order": hypergrad.first_order(), "unrolled": hypergrad.unrolled()}
    found = {}
    for name, rule in sorted(rules.items(), reverse=unrolled_first):
        found[f"{name}_steps"] = errors = _search(values, given, rule)
        if _ok(errors):
            break
    kind = min(found, key=lambda kind: max(found[kind].values()))
    return kind, found[kind]


def _search(values: Values, given: Searched, rule: Hypergradient) -> Errors:
    steps = len(values["train_loss"])
    if golden_file.is_partial(values):
        search = pc_darts.pc_darts(
            given.net, steps_per_epoch=steps, warm_up=0, hypergrad=rule,
            optimisers=PC_DARTS_OPTIMISERS,
        )  # fmt: skip
    else:
        search = darts_method.darts(given.net, steps_per_epoch=steps, hypergrad=rule)
    batch = lambda half, i: Batch(
        golden_file.images(values[f"x_{half}"][i]), np.asarray(values[f"y_{half}"][i], np.int32)
    )
    state = search.init(jax.random.key(0), batch("train", 0).inputs)._replace(arch=given.arch)
    losses, archs = [], []
    for i in range(steps):
        state, metrics = search.update(state, batch("train", i), batch("valid", i))
        losses.append(metrics["loss/train"])
        archs.append(state.arch)
    after = [_arch_error(arch, values, "arch_after", i) for i, arch in enumerate(archs)]
    return {
        "train_loss": _error(np.array(losses), values["train_loss"]),
        "arch_after": max(after),
        "param_after": _rows_error(state.weights, values, "param_after", given.names),
    }


def _derived(values: Values) -> Errors:
    genotype = genotypes.from_pairs(str(values["genotype"]))
    cells, classes = golden_file.depth(values), values["param/classifier.bias"].shape[0]
    reductions = golden_file.reductions(values)
    imagenet = "param/stem0.0.weight" in values
    auxiliary = "param/auxiliary_head.classifier.bias" in values
    make = darts_network.imagenet if imagenet else darts_network.cifar
    features, widths = golden_file.features(values, reductions), {}
    if not imagenet:
        multiplier = golden_file.stem_multiplier(values, reductions)
        widths = {"widths": darts_network.widths_of(features, cells, reductions, multiplier)}
    net = make(
        genotype, features=features, cells=cells, classes=classes, auxiliary=auxiliary, **widths
    )
    names = torch_names.of_derived(genotype, reductions, imagenet=imagenet)
    images, labels = golden_file.images(values["x"]), values["y"]
    weights, stats = golden_file.fill(values, net.init, images, names)

    def loss(weights):
        (logits, extra), moved = net.apply(weights, stats, images, jax.random.key(0), 0.0)
        value = _cross_entropy(logits, labels)
        if auxiliary:
            value += AUXILIARY_WEIGHT * _cross_entropy(extra, labels)
        return value, (logits, extra, moved)

    judge = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, (logits, extra, moved)), grads = judge(weights)
    final = jax.jit(net.infer)(weights, moved, golden_file.images(values["x_eval"]))
    errors = {
        "train_logits": _error(logits, values["train_logits"]),
        "train_loss": _error(value, values["train_loss"]),
        "grad": _rows_error(grads, values, "grad", names),
        "after": _rows_error(moved, values, "after", names),
        "eval_logits": _error(final, values["eval_logits"]),
    }
    extra_error = (
        {"train_aux_logits": _error(extra, values["train_aux_logits"])} if auxiliary else {}
    )
    return errors | extra_error


def _searched(values: Values, image: Sequence[int]) -> Searched:
    cells, classes = golden_file.depth(values), values["param/classifier.bias"].shape[0]
    reductions = golden_file.reductions(values)
    edges, columns = values["arch/alphas_normal"].shape
    nodes = next((n for n in range(1, 50) if len(spaces_choices.dag(2, n)) == edges), None)
    if nodes is None or values["arch/alphas_reduce"].shape != (edges, columns):
        raise ValueError(f"alphas of {edges} edges are those of no DARTS cell.")
    space = spaces.darts(nodes, golden_file.candidates(values, reductions, columns))
    features = golden_file.features(values, reductions)
    width = features * (2 if 0 in reductions else 1)
    net = darts.supernet(
        space, features=features, cells=cells, classes=classes,
        stem_multiplier=golden_file.stem_multiplier(values, reductions),
        partial=golden_file.partial(values, width) if golden_file.is_partial(values) else 1,
    )  # fmt: skip
    names = torch_names.of_supernet(space, reductions)
    channels, height, width = image
    images = jax.ShapeDtypeStruct((1, height, width, channels), np.float64)
    weights, stats = golden_file.fill(values, net.init, images, names)
    relaxation = relax.softmax()
    if golden_file.is_partial(values):
        relaxation = relax.edge_normalised(space, relaxation)
    net = net._replace(init=lambda key, images: (weights, stats), apply=_compiled_apart(net.apply))
    return Searched(net, relaxation, names, golden_file.arch(values, "arch"), weights, stats)


def _compiled_apart(apply: Callable) -> Callable:
    """`apply` by one program and its gradients by another, whoever asks for them.

    Compiled as a whole, a step of search has the network three to six times.
    """
    of_both = lambda w, stats, g, images: jax.vjp(lambda w, g: apply(w, stats, g, images), w, g)
    value = jax.jit(lambda *at: of_both(*at)[0])

    @jax.jit
    def pull_back(at, logits, moved):
        return of_both(*at)[1]((logits, moved))

    def backward(at, tangents):
        weights, gates = pull_back(at, *tangents)
        return weights, None, gates, None

    whole = jax.custom_vjp(lambda *at: value(*at))
    whole.defvjp(lambda *at: (value(*at), at), backward)
    return whole


def _loss(given: Searched) -> Callable:
    def loss(arch, weights, batch):
        gates = given.relax.gates(arch, weights)
        logits, _ = given.net.apply(weights, given.stats, gates, batch.inputs)
        return _cross_entropy(logits, batch.labels), logits

    return loss


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _arch_error(tree: Any, values: Values, prefix: str, step: int | None = None) -> float:
    at = (lambda array: array) if step is None else (lambda array: array[step])
    theirs = jax.tree.map(at, golden_file.arch(values, prefix))
    return max(jax.tree.leaves(jax.tree.map(_error, tree, theirs)))


def _rows_error(tree: Any, values: Values, prefix: str, names: torch_names.Names) -> float:
    theirs = torch_names.rows(torch_names.read(values, prefix, tree, names), names)
    ours = torch_names.rows(tree, names)
    return max(_error(ours[name], theirs[name]) for name in ours)


def _error(ours: Any, theirs: Any) -> float:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape or not np.isfinite(ours).all():
        return math.inf
    distance, size = np.abs(ours - theirs).max(), np.abs(theirs).max()
    return float(distance / size) if size else float(distance)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where all files agree, 1 where one does not, 2 where one cannot be checked."""
    formatter = functools.partial(argparse.RawDescriptionHelpFormatter, width=100)
    parser = argparse.ArgumentParser(
        prog="golden", description=__doc__, epilog=EPILOG, formatter_class=formatter
    )
    parser.add_argument("files", type=pathlib.Path, nargs="+", metavar="FILE")
    parser.add_argument("--short", action="store_true", help="supernets in first order alone")
    worst, asked = 0, parser.parse_args(arguments)
    for path in asked.files:
        try:
            report = check(path, asked.short)
        except KeyError as error:
            worst = 2
            print(f"golden: {path} has no array {error}.", file=sys.stderr)
        except ValueError as error:
            worst = 2
            print(f"golden: {' '.join(str(error).split())}", file=sys.stderr)
        else:
            worst = max(worst, 0 if report.ok else 1)
            print(json.dumps(report._asdict()), flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main())
