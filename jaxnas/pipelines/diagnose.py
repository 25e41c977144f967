"""`jaxnas diagnose`: what a run's search has come to, measured on its validation half."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnas import data
from jaxnas import run as runs
from jaxnas.core import curvature, diagnostics, hypergrad
from jaxnas.core.stages import Stage
from jaxnas.core.types import Batch, Gates, Search, SearchState, Supernet
from jaxnas.pipelines import constraints, search_stages, setup
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.pipelines.settings import search as searches
from jaxnas.pipelines.settings.diagnose import DiagnoseSettings
from jaxnas.pipelines.settings.limits import require
from jaxnas.report import formatting
from jaxnas.report import run_reader as folders
from jaxnas.run import checkpoint, compilation_cache, step_runner
from jaxnas.spaces import genome, registry
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Genotype

FILE = "diagnostics.json"
# Recorded beside the settings that are flags: of the user's file, and of the method.
SPACE, METHOD = "space_sha256", "set."


class Searched(NamedTuple):
    """The first stage of a search as its run left it."""

    stage: Stage
    rate: float  # of the weights, at the start
    batch_size: int
    seed: int
    net: Supernet
    search: Search
    select: Callable[[Gates], Genotype]
    one_hot: Callable[[Genotype], Gates]
    found: data.DataSet
    state: SearchState


def main(settings: DiagnoseSettings) -> None:
    """Measures a run's search, writes diagnostics.json and prints. Raises ValueError, OSError."""
    require("--batches", settings.batches, least=1)
    require("--iterations", settings.iterations, least=1)
    require("--radius", settings.radius, above=0)
    folder = Path(settings.run).expanduser()
    measured = measure(searched(folder), settings)
    written = json.dumps(measured, indent=2, allow_nan=False) + "\n"
    runs.write_text(folder / FILE, written)
    print(written if settings.json else table(measured), end="")


def searched(folder: Path) -> Searched:
    """The search of a run folder at its last checkpoint; nothing there is changed.

    Raises ValueError for a folder that holds no search, or whose data or space are no longer
    those of the run, and what `data.load` and `checkpoint.read` raise.
    """
    record = recorded(folder)
    settings, chosen = _settings(record["settings"], folder)
    compilation_cache.enable()
    space = registry.get(settings.space, settings.cells)
    found = setup.load(settings.source, settings.train_fraction, settings.split_seed)
    for was, now, what in (
        (record["settings"].get(SPACE), space.digest, f"space {settings.space}"),
        (record.get("data"), found.digest, f"data set {settings.source.data}"),
    ):
        if was != now:
            raise ValueError(
                f"The {what} is not the one that {folder} was searched with: bring that one back, "
                "or search again."
            )
    limits = constraints.placeholders(settings)
    asked = search_stages.asked(settings, space, len(found.train.labels), limits)
    stage = next(asked.program)
    # A supernet that computes one candidate an edge is measured with all of them alive.
    whole = {name: value for name, value in stage.net.items() if name != "execute"}
    stage = stage._replace(net=whole)
    net = search_stages.supernet(settings, space, len(found.class_names), stage)
    steps_per_epoch = data.steps_per_epoch(len(found.train.labels), settings.batch_size)
    search = stage.method(net, epochs=stage.epochs, steps_per_epoch=steps_per_epoch)
    image = jnp.zeros((1, *found.train.inputs.shape[1:]), jnp.float32)
    like = runs.init_compiled(search.init, jax.random.key(0), image)
    state, _ = checkpoint.read(folder / "checkpoints", like, runs.fingerprint(record))
    select = lambda gates: asked.select(stage.space, jax.device_get(gates))
    rate = chosen["learning_rate"]
    size, seed = settings.batch_size, settings.seed
    code = space.genome
    if dict(stage.space) != dict(space.choices):
        code = genome.of_space(stage.space, space.discretise)
    one_hot = lambda genotype: code.one_hot(code.encode(genotype))
    return Searched(stage, rate, size, seed, net, search, select, one_hot, found, state)


def recorded(folder: Path) -> Mapping[str, Any]:
    """What settings.json of a search says. Raises ValueError where there is none."""
    there = folders.read(folder)
    record = there.settings
    if not isinstance(record.get("settings"), dict):
        raise ValueError(f"{folder} holds no settings.json of a run: give a folder of one.")
    if not there.is_search:
        raise ValueError(
            f"In {folder} a given genotype was trained: give a folder that jaxnas search wrote."
        )
    return record


def _settings(flat: Mapping[str, Any], folder: Path) -> tuple[SearchSettings, Mapping[str, Any]]:
    """Settings of a run, and those of its method."""
    left = {k: v for k, v in flat.items() if k != SPACE and not k.startswith(METHOD)}
    try:
        settings = _unflat(SearchSettings(), left)
        settings = searches.resolved(settings, registry.get(settings.space))
        chosen = search_stages.method_settings(settings)
    except TypeError as error:
        raise ValueError(f"The settings of {folder} are damaged: {error}.") from error
    same = json.loads(json.dumps(chosen))
    others = [k for k, v in flat.items() if k.startswith(METHOD) and same.get(k[4:]) != v]
    if left or others:
        raise ValueError(
            f"{folder} was searched by another version of jaxnas, with other settings "
            f"({', '.join([*left, *others])}): measure with that version."
        )
    return settings, chosen


def _unflat(default: Any, left: dict[str, Any], prefix: str = "") -> Any:
    """Settings from flat names, which are taken out of `left`: what `settings.flat` undoes."""
    values = {}
    for field in dataclasses.fields(default):
        old = getattr(default, field.name)
        if dataclasses.is_dataclass(old):
            alone = field.name in ("source", "place")
            inner = prefix if alone else f"{prefix}{field.name}."
            values[field.name] = _unflat(old, left, inner)
        elif prefix + field.name in left:
            value = left.pop(prefix + field.name)
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(default, **values)


def measure(searched: Searched, settings: DiagnoseSettings) -> dict[str, Any]:
    """All figures, as diagnostics.json has them; None where one is not defined.

    Raises ValueError for more batches than a half has.
    """
    net, search, state = searched.net, searched.search, searched.state
    train, valid = _batches(searched, settings.batches)
    gates = search.gates(state)
    genotype = searched.select(gates)
    discrete = searched.one_hot(genotype)
    right = _jit(lambda s, b: diagnostics.discretisation_gap(net, search, s, discrete, b))(
        state, valid
    )
    steps_per_epoch = data.steps_per_epoch(len(searched.found.train.labels), searched.batch_size)
    # Where gates are drawn blindly there is no architecture to derive by.
    derives = bool(jax.tree.leaves(state.arch))
    return {
        "stage": searched.stage.name,
        "step": int(state.step),
        "steps": searched.stage.epochs * steps_per_epoch,
        "batches": settings.batches,
        "batch_size": searched.batch_size,
        "statistics": "batch",
        "arch": _arch(searched, valid, settings) if derives else None,
        "weights": _weights(searched, valid, settings),
        "gates": {
            "entropy": float(diagnostics.entropy(gates)),
            "skips": genotypes.skips(genotype),
        },
        "discretisation": {
            "supernet": float(right.supernet),
            "discrete": float(right.discrete),
            "gap": float(right.gap),
        },
        "hypergradients": _hypergradients(searched, train, valid) if derives else None,
    }


def _batches(searched: Searched, count: int) -> tuple[Batch, Batch]:
    """`count` batches of each half, not augmented, stacked."""
    found, size = searched.found, searched.batch_size
    halves = (found.train, found.valid)
    there = min(data.steps_per_epoch(len(half.labels), size) for half in halves)
    if count > there:
        raise ValueError(
            f"--batches is {count}, but a half of the images gives {there} of {size} images: give "
            f"{there} or less."
        )
    draw = data.make_batch(found.mean, found.std, data.augment.none(), size)
    keys = jax.random.split(jax.random.key(searched.seed))
    stack = jax.jit(jax.vmap(draw, (None, None, 0)))
    steps = jnp.arange(count)
    train, valid = (stack(data.to_device(h), k, steps) for h, k in zip(halves, keys, strict=True))
    return train, valid


def _arch(searched: Searched, valid: Batch, settings: DiagnoseSettings) -> dict[str, Any]:
    net, search, state = searched.net, searched.search, searched.state
    if settings.exact_hessian:
        matrix = _jit(lambda s, b: diagnostics.arch_hessian(net, search, s, b))(state, valid)
        values = jax.jit(curvature.spectrum)(matrix)
        ends = curvature.Ritz(values, jnp.zeros_like(values))
        return _ends(ends) | {"exact": True, "spectrum": values.tolist()}
    key = jax.random.fold_in(jax.random.key(searched.seed), 1)
    lanczos = lambda s, b: diagnostics.arch_eigenvalues(net, search, s, b, key, settings.iterations)
    return _ends(_jit(lanczos)(state, valid)) | {"exact": False, "iterations": settings.iterations}


def _weights(searched: Searched, valid: Batch, settings: DiagnoseSettings) -> dict[str, Any]:
    net, search, state = searched.net, searched.search, searched.state
    key = jax.random.fold_in(jax.random.key(searched.seed), 2)
    lanczos = lambda s, b: diagnostics.weight_eigenvalues(
        net, search, s, b, key, settings.iterations
    )
    rise = lambda s, b: diagnostics.sharpness(net, search, s, b, settings.radius)
    return _ends(_jit(lanczos)(state, valid)) | {
        "iterations": settings.iterations,
        "sharpness": float(_jit(rise)(state, valid)),
        "radius": settings.radius,
    }


def _ends(found: curvature.Ritz) -> dict[str, float]:
    return {
        "largest": float(found.values[-1]),
        "smallest": float(found.values[0]),
        "error": float(jnp.maximum(found.errors[0], found.errors[-1])),
    }


def _hypergradients(searched: Searched, train: Batch, valid: Batch) -> dict[str, Any]:
    """Cosines by pair of rules: means over pairs of a training and a validation batch."""
    net, search, state, rate = searched.net, searched.search, searched.state, searched.rate
    rules = {
        "first order": hypergrad.first_order(),
        "exact": hypergrad.unrolled(),
        "finite difference": hypergrad.finite_difference(),
    }

    @_jit
    def agree(state: SearchState, train: Batch, valid: Batch) -> diagnostics.HypergradientAgreement:
        problem = diagnostics.problem(net, search, state, train, valid, rate)
        return diagnostics.agreement(problem, state.arch, state.weights, rules)

    one = lambda batches, n: jax.tree.map(lambda x: x[n], batches)
    cosines = [agree(state, one(train, n), one(valid, n)) for n in range(len(valid.labels))]
    mean = jax.tree.map(lambda *values: float(jnp.stack(values).mean()), *cosines)
    named = lambda pairs: {
        f"{one} | {other}": value if math.isfinite(value) else None
        for (one, other), value in pairs.items()
    }
    # First order has no implicit part.
    looks = {pair: value for pair, value in mean.implicit.items() if "first order" not in pair}
    return {"learning_rate": rate, "total": named(mean.total), "implicit": named(looks)}


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(function, compiler_options=step_runner.compiler_options())


def table(measured: Mapping[str, Any]) -> str:
    """The figures in lines."""
    arch, weights, gates = (measured[name] for name in ("arch", "weights", "gates"))
    lost, grads = measured["discretisation"], measured["hypergradients"]
    skips = ", ".join(f"{count} in {cell}" for cell, count in gates["skips"].items())
    percent = lambda value: formatting.percent(value).replace(formatting.SPACE, " ")
    rows = {
        "measured": f"stage {measured['stage']}, after step {measured['step']} of "
        f"{measured['steps']}; {measured['batches']} batches of {measured['batch_size']}, by "
        "batch statistics",
        "arch Hessian": _range(arch) if arch else "none: there is no architecture to derive by",
        "weight Hessian": _range(weights),
        "sharpness": f"{weights['sharpness']:.3g} nats within {weights['radius']:g}",
        "gate entropy": f"{gates['entropy']:.3f} nats an edge",
        "skips": skips,
        "discretisation": f"{percent(lost['supernet'])} right, {percent(lost['discrete'])} when "
        "discretised with the same weights",
    }
    for part in ("total", "implicit") if grads else ():
        for pair, value in grads[part].items():
            shown = "not defined" if value is None else f"{value:.3f}"
            rows[f"cosine, {part}: {pair.replace(' | ', ', ')}"] = shown
    width = max(map(len, rows)) + 2
    return "".join(f"{name:<{width}}{text}\n" for name, text in rows.items())


def _range(found: Mapping[str, Any]) -> str:
    how = "exact" if found.get("exact") else f"Lanczos, error {found['error']:.1g}"
    return f"eigenvalues {found['smallest']:.3g} to {found['largest']:.3g} ({how})"
