"""`jaxnas diagnose`: curvature, entropy and hypergradients at the end of a run's search."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnas import data, run
from jaxnas.core import curvature, diagnostics, hypergrad
from jaxnas.core.stages import Stage
from jaxnas.core.types import Batch, Gates, Search, SearchState, Supernet
from jaxnas.methods import overrides
from jaxnas.methods import registry as methods
from jaxnas.pipelines import constraints, search_stages, setup
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.pipelines.settings import search as searches
from jaxnas.pipelines.settings.diagnose import DiagnoseSettings
from jaxnas.pipelines.settings.limits import require
from jaxnas.report import formatting, run_reader
from jaxnas.run import checkpoint, compilation_cache, step_runner
from jaxnas.spaces import genome, registry
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Genotype

FILE = "diagnostics.json"
# Keys of a record that are no flags: of a user's files, and of the method's settings.
SPACE, METHOD_FILE, METHOD = "space_sha256", "method_sha256", "set."


class Searched(NamedTuple):
    """The first stage of a search at its last checkpoint."""

    stage: Stage
    learning_rate: float  # of the weights, at the start
    batch_size: int
    seed: int
    net: Supernet
    search: Search
    discretise: Callable[[Gates], Genotype]
    one_hot: Callable[[Genotype], Gates]
    dataset: data.DataSet
    state: SearchState


def main(settings: DiagnoseSettings) -> None:
    """Measures a run's search, writes diagnostics.json and prints. Raises ValueError, OSError."""
    require("--batches", settings.batches, minimum=1)
    require("--iterations", settings.iterations, minimum=1)
    require("--radius", settings.radius, above=0)
    folder = Path(settings.run).expanduser()
    figures = measure(load(folder), settings)
    text = json.dumps(figures, indent=2, allow_nan=False) + "\n"
    run.write_text(folder / FILE, text)
    print(text if settings.json else table(figures), end="")


def load(folder: Path) -> Searched:
    """The search of a run folder at its last checkpoint; only reads.

    Raises ValueError for a folder of no search, or if the data or the space have changed since the
    run, and as `data.load` and `checkpoint.read`.
    """
    record = load_record(folder)
    settings, method_settings = settings_of(record["settings"], folder)
    compilation_cache.enable()
    space = registry.get(settings.space, settings.cells)
    dataset = setup.load(settings.source, settings.train_fraction, settings.split_seed)
    digest = methods.get(settings.method).digest
    for recorded_digest, current_digest, name in (
        (record["settings"].get(SPACE), space.digest, f"space {settings.space}"),
        (record["settings"].get(METHOD_FILE), digest, f"method {settings.method}"),
        (record.get("data"), dataset.digest, f"data set {settings.source.data}"),
    ):
        if recorded_digest != current_digest:
            raise ValueError(
                f"The {name} is not the one that {folder} was searched with: bring that one back, "
                "or search again."
            )
    placeholders = constraints.placeholders(settings)
    task = search_stages.SearchTask(settings, space, dataset, placeholders)
    program, discretise = search_stages.plan(task)
    stage = next(program)
    # A supernet that executes one candidate an edge is measured with all of them.
    execute_all = {name: value for name, value in stage.net.items() if name != "execute"}
    stage = stage._replace(net=execute_all)
    net = search_stages.supernet(task, stage)
    steps_per_epoch = data.steps_per_epoch(len(dataset.train.labels), settings.batch_size)
    search = stage.method(net, epochs=stage.epochs, steps_per_epoch=steps_per_epoch)
    image = jnp.zeros((1, *dataset.train.inputs.shape[1:]), jnp.float32)
    template = run.first_state(search.init, jax.random.key(0), image)
    state, _ = checkpoint.read(folder / "checkpoints", template, run.fingerprint(record))
    code = space.genome
    if dict(stage.space) != dict(space.choices):
        code = genome.of_space(stage.space, space.discretise)
    return Searched(
        stage,
        method_settings["learning_rate"],
        settings.batch_size,
        settings.seed,
        net,
        search,
        lambda gates: discretise(stage.space, jax.device_get(gates)),
        lambda genotype: code.one_hot(code.encode(genotype)),
        dataset,
        state,
    )


def load_record(folder: Path) -> Mapping[str, Any]:
    """The settings.json of a search. Raises ValueError if there is none."""
    files = run_reader.read(folder)
    record = files.settings
    if not isinstance(record.get("settings"), dict):
        raise ValueError(f"{folder} holds no settings.json of a run: give a folder of one.")
    if not files.is_search:
        raise ValueError(
            f"In {folder} a given genotype was trained: give a folder that jaxnas search wrote."
        )
    return record


def settings_of(flat: Mapping[str, Any], folder: Path) -> tuple[SearchSettings, Mapping[str, Any]]:
    """The recorded settings of a search, and those of its method. Raises ValueError."""
    no_flag = lambda key: key in (SPACE, METHOD_FILE) or key.startswith(METHOD)
    remaining = {key: value for key, value in flat.items() if not no_flag(key)}
    try:
        settings = _unflat(SearchSettings(), remaining)
        settings = searches.resolved(settings, registry.get(settings.space))
        of_method = search_stages.method_settings(settings)
        changed = [k for k, v in _as_json(of_method).items() if flat.get(METHOD + k, v) != v]
        words = tuple(overrides.as_word(k, flat[METHOD + k]) for k in changed)
        if words:  # of --set
            settings = dataclasses.replace(settings, set=words)
            of_method = search_stages.method_settings(settings)
    except TypeError as error:
        raise ValueError(f"The settings of {folder} are damaged: {error}.") from error
    as_json = _as_json(of_method)
    others = [k for k, v in flat.items() if k.startswith(METHOD) and as_json.get(k[4:]) != v]
    if remaining or others:
        raise ValueError(
            f"{folder} was searched by another version of jaxnas, with other settings "
            f"({', '.join([*remaining, *others])}): measure with that version."
        )
    return settings, of_method


def _as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(settings))


def _unflat(default: Any, remaining: dict[str, Any], prefix: str = "") -> Any:
    """Settings from flat names, taken out of `remaining`: the inverse of `settings.flat`."""
    values = {}
    for field in dataclasses.fields(default):
        old = getattr(default, field.name)
        if dataclasses.is_dataclass(old):
            unprefixed = field.name in ("source", "place")
            inner = prefix if unprefixed else f"{prefix}{field.name}."
            values[field.name] = _unflat(old, remaining, inner)
        elif prefix + field.name in remaining:
            value = remaining.pop(prefix + field.name)
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(default, **values)


def measure(searched: Searched, settings: DiagnoseSettings) -> dict[str, Any]:
    """All figures of diagnostics.json; None for undefined ones.

    Raises ValueError for more batches than half of the images has.
    """
    net, search, state = searched.net, searched.search, searched.state
    train, valid = _batches(searched, settings.batches)
    gates = search.gates(state)
    genotype = searched.discretise(gates)
    discrete = searched.one_hot(genotype)
    gap = _jit(lambda s, b: diagnostics.discretisation_gap(net, search, s, discrete, b))(
        state, valid
    )
    steps_per_epoch = data.steps_per_epoch(len(searched.dataset.train.labels), searched.batch_size)
    # Random search has no architecture parameters to differentiate by.
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
            "supernet": float(gap.supernet),
            "discrete": float(gap.discrete),
            "gap": float(gap.gap),
        },
        "hypergradients": _hypergradients(searched, train, valid) if derives else None,
    }


def _batches(searched: Searched, count: int) -> tuple[Batch, Batch]:
    """`count` batches of each half, not augmented, stacked."""
    dataset, size = searched.dataset, searched.batch_size
    halves = (dataset.train, dataset.valid)
    available = min(data.steps_per_epoch(len(half.labels), size) for half in halves)
    if count > available:
        raise ValueError(
            f"--batches is {count}, but a half of the images gives {available} of {size} images: "
            f"give {available} or less."
        )
    draw = data.make_batch(dataset.mean, dataset.std, data.augment.none(), size)
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
        return _extremes(curvature.Ritz(values, jnp.zeros_like(values))) | {
            "exact": True,
            "spectrum": values.tolist(),
        }
    key = jax.random.fold_in(jax.random.key(searched.seed), 1)
    lanczos = lambda s, b: diagnostics.arch_eigenvalues(net, search, s, b, key, settings.iterations)
    return _extremes(_jit(lanczos)(state, valid)) | {
        "exact": False,
        "iterations": settings.iterations,
    }


def _weights(searched: Searched, valid: Batch, settings: DiagnoseSettings) -> dict[str, Any]:
    net, search, state = searched.net, searched.search, searched.state
    key = jax.random.fold_in(jax.random.key(searched.seed), 2)
    lanczos = lambda s, b: diagnostics.weight_eigenvalues(
        net, search, s, b, key, settings.iterations
    )
    rise = lambda s, b: diagnostics.sharpness(net, search, s, b, settings.radius)
    return _extremes(_jit(lanczos)(state, valid)) | {
        "iterations": settings.iterations,
        "sharpness": float(_jit(rise)(state, valid)),
        "radius": settings.radius,
    }


def _extremes(ritz: curvature.Ritz) -> dict[str, float]:
    return {
        "largest": float(ritz.values[-1]),
        "smallest": float(ritz.values[0]),
        "error": float(jnp.maximum(ritz.errors[0], ritz.errors[-1])),
    }


def _hypergradients(searched: Searched, train: Batch, valid: Batch) -> dict[str, Any]:
    """Cosines by pair of rules: means over pairs of a training and a validation batch."""
    net, search, state, learning_rate = (
        searched.net,
        searched.search,
        searched.state,
        searched.learning_rate,
    )
    rules = {
        "first order": hypergrad.first_order(),
        "exact": hypergrad.unrolled(),
        "finite difference": hypergrad.finite_difference(),
    }

    @_jit
    def agree(state: SearchState, train: Batch, valid: Batch) -> diagnostics.HypergradientAgreement:
        problem = diagnostics.problem(net, search, state, train, valid, learning_rate)
        return diagnostics.agreement(problem, state.arch, state.weights, rules)

    batch = lambda batches, n: jax.tree.map(lambda x: x[n], batches)
    cosines = [agree(state, batch(train, n), batch(valid, n)) for n in range(len(valid.labels))]
    mean = jax.tree.map(lambda *values: float(jnp.stack(values).mean()), *cosines)
    named = lambda pairs: {
        f"{rule} | {other}": value if math.isfinite(value) else None
        for (rule, other), value in pairs.items()
    }
    # First order has no implicit part.
    implicit = {pair: value for pair, value in mean.implicit.items() if "first order" not in pair}
    return {
        "learning_rate": learning_rate,
        "total": named(mean.total),
        "implicit": named(implicit),
    }


def _jit(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(function, compiler_options=step_runner.compiler_options())


def table(figures: Mapping[str, Any]) -> str:
    """The figures as text."""
    arch, weights, gates = (figures[name] for name in ("arch", "weights", "gates"))
    gap, grads = figures["discretisation"], figures["hypergradients"]
    skips = ", ".join(f"{count} in {cell}" for cell, count in gates["skips"].items())
    percent = lambda value: formatting.percent(value).replace(formatting.SPACE, " ")
    rows = {
        "measured": f"stage {figures['stage']}, after step {figures['step']} of "
        f"{figures['steps']}; {figures['batches']} batches of {figures['batch_size']}, by "
        "batch statistics",
        "arch Hessian": _range(arch) if arch else "none: there is no architecture to derive by",
        "weight Hessian": _range(weights),
        "sharpness": f"{weights['sharpness']:.3g} nats within {weights['radius']:g}",
        "gate entropy": f"{gates['entropy']:.3f} nats an edge",
        "skips": skips,
        "discretisation": f"{percent(gap['supernet'])} right, {percent(gap['discrete'])} when "
        "discretised with the same weights",
    }
    for part in ("total", "implicit") if grads else ():
        for pair, value in grads[part].items():
            text = "not defined" if value is None else f"{value:.3f}"
            rows[f"cosine, {part}: {pair.replace(' | ', ', ')}"] = text
    width = max(map(len, rows)) + 2
    return "".join(f"{name:<{width}}{text}\n" for name, text in rows.items())


def _range(extremes: Mapping[str, Any]) -> str:
    exact = extremes.get("exact")
    by = "exact" if exact else f"Lanczos, error {extremes['error']:.1g}"
    return f"eigenvalues {extremes['smallest']:.3g} to {extremes['largest']:.3g} ({by})"
