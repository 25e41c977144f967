"""The constraints of `jaxnas search`: from flags to `Constraint`s, and the selection under them."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import rich.console

from jaxnas import run
from jaxnas.core.types import Constraint, CostModel, FixedWeight
from jaxnas.evaluators import supernet
from jaxnas.hardware import cost, device, timing
from jaxnas.hardware.measure import campaign, dataset, recheck, remote
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.hardware.predict import predictor_file
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.methods import registry as methods
from jaxnas.pipelines import search_stages
from jaxnas.pipelines.latency import measure as latency_measure
from jaxnas.pipelines.settings import Recipe, SearchSettings, latency
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.run import files, progress
from jaxnas.spaces import registry, sampling
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import NetworkSize, SearchSpace
from jaxnas.strategies import constrained_selection, selection_record
from jaxnas.strategies.selection_record import MS

RECORD, MODEL, ROUNDS = "target.json", "latency_model.json", "latency"
COUNTED = {"target_macs": "macs", "target_parameters": "parameters"}
FLAGS = (
    "target_ms", *COUNTED, "target_models", "latency", "latency_weight", "latency_form", "risk",
    "any_device",
)  # fmt: skip


class Predictors(NamedTuple):
    """The predictors of latency and of other quantities that the flags name."""

    campaign: CampaignDataset | None
    latency: Predictor | None  # fitted to the campaign
    # By quantity: a predictor of --target-models, its limit, the SHA-256 of its file.
    others: Mapping[str, tuple[Predictor, float, str]] = {}


def has_constraints(settings: SearchSettings) -> bool:
    """Whether there is a target. Raises ValueError for flags that need one without any."""
    for flag in ("target_ms", *COUNTED):
        require(_flag(flag), getattr(settings, flag), above=0)
    require("--risk", settings.risk, above=0)
    require("--latency-weight", settings.latency_weight, above=0)
    if settings.latency_weight is None and settings.latency_form is not None:
        fail("--latency-form has no effect without --latency-weight: give that, or leave it.")
    if settings.target_ms is None and settings.risk is not None:
        fail("--risk has no effect without --target-ms: give that, or leave it.")
    if not in_ms(settings):
        for flag in ("latency", "any_device"):
            if getattr(settings, flag):
                fail(f"{_flag(flag)} has no effect without --target-ms: give that, or leave it.")
    elif settings.any_device and settings.latency is None:
        fail("--any-device has no effect without --latency: give another device's, or leave it.")
    constrained = in_ms(settings) or bool(settings.target_models)
    constrained = constrained or any(getattr(settings, flag) for flag in COUNTED)
    if constrained and settings.select != "strongest":
        fail("--select has no effect with a target, which selects the network: leave it out.")
    return constrained


def in_ms(settings: SearchSettings) -> bool:
    """Whether there is a target, or a weight, in milliseconds."""
    return settings.target_ms is not None or settings.latency_weight is not None


def load_predictors(settings: SearchSettings) -> Predictors | None:
    """The predictors of the flags, checked; None without a target.

    Call it before JAX opens its devices: the process is limited to the campaign's threads. Raises
    ValueError for a campaign of another space, of other cells, and, without --any-device, of
    another device.
    """
    if not has_constraints(settings):
        return None
    space = registry.get(settings.space, settings.cells)
    _check_reductions(settings, space)
    others = _others(settings.target_models)
    if settings.latency is None:
        return Predictors(None, None, others)
    campaign = dataset.load(Path(settings.latency))
    same_file = space.digest is not None and space.digest == campaign.space.digest
    if campaign.settings["space"] != settings.space and not same_file:
        fail(
            f"{campaign.path} is of the space {campaign.settings['space']}, not {settings.space}: "
            "measure this one."
        )
    layers = campaign.settings["cells"]
    if space.shaped_by_cells and settings.cells != layers:
        fail(
            f"{campaign.path} is of {settings.space} with --cells {layers}, this search has "
            f"{settings.cells}: give --cells {layers}, or measure such networks."
        )
    if campaign.settings.get("threads") is not None and not settings.any_device:
        device.pin(campaign.settings["threads"])
    if not settings.any_device:
        changed = device.differences(campaign.raw.header["device"], _device(campaign))
        if changed:
            fail(
                f"{campaign.path} was measured elsewhere: {'; '.join(changed)}. Measure on this "
                "device, or add --any-device to search by the model alone."
            )
    return Predictors(campaign, dataset.fit_predictor(campaign), others)


def _check_reductions(settings: SearchSettings, space: SearchSpace) -> None:
    """Raises ValueError for `reductions`: networks are counted and timed with the space's own."""
    reductions = {"--retrain.reductions": settings.retrain.reductions}
    if "search_reductions" in space.supports:
        reductions["--reductions"] = settings.reductions
    for flag, value in reductions.items():
        if value is not None:
            fail(
                f"{flag} cannot stand beside a target, which is of networks that halve the image "
                "where their space does: leave it out."
            )


def _others(words: Sequence[str]) -> dict[str, tuple[Predictor, float, str]]:
    """The models of --target-models by the names of their files."""
    predictors = {}
    for text in words:
        file, _, limit = text.rpartition("=")
        path = Path(file).expanduser()
        try:
            value = float(limit)
        except ValueError:
            value = math.nan
        if not file or not (math.isfinite(value) and value > 0):
            fail(f"--target-models: {text!r} is no FILE=MOST, the most a number above 0.")
        if path.stem in (*predictors, "ms", *COUNTED.values()):
            fail(f"--target-models: two targets are called {path.stem!r}; rename the file.")
        model = predictor_file.load(path)
        predictors[path.stem] = model, value, hashlib.sha256(path.read_bytes()).hexdigest()
    return predictors


def recipe(predictors: Predictors | None, retraining: Recipe) -> Recipe:
    """The recipe with the size of the network that the campaign timed.

    Raises ValueError if the settings have another size.
    """
    if predictors is None or predictors.campaign is None:
        return retraining
    campaign = predictors.campaign
    # In a space shaped by cells the genotype has their number.
    names = ("features",) if campaign.space.shaped_by_cells else ("features", "cells")
    for name in names:
        value, timed = getattr(retraining, name), getattr(campaign.size, name)
        if value is not None and value != timed:
            fail(
                f"--retrain.{name} is {value}, but {campaign.path} timed networks of {timed}: "
                "leave it out, or measure such networks."
            )
    return dataclasses.replace(retraining, **{name: getattr(campaign.size, name) for name in names})


def of_settings(
    predictors: Predictors | None,
    settings: SearchSettings,
    space: SearchSpace,
    image: tuple[int, int, int],
    classes: int,
) -> list[Constraint]:
    """The constraints of a search with a resolved recipe, on images of that shape.

    Raises ValueError for limits out of range, and if the campaign timed other images.
    """
    if predictors is None:
        return []
    size = NetworkSize(settings.retrain.features, settings.retrain.cells, classes, tuple(image), 1)
    constraints = []
    if (campaign := predictors.campaign) is not None:
        for name, actual in (("image", tuple(image)), ("classes", classes)):
            timed = getattr(campaign.size, name)
            if timed != actual:
                text = " ".join(map(str, actual)) if name == "image" else actual
                fail(
                    f"{campaign.path} timed networks of {name} {timed}, these data have {actual}: "
                    f"measure with --{name} {text}."
                )
        constraints.append(_latency(predictors, settings, space))
    for quantity, (predictor, limit, _) in predictors.others.items():
        model = cost.predicted(space, predictor, quantity)
        constraints.append(cost.check(Constraint(model, limit)))
    for flag, quantity in COUNTED.items():
        if (limit := getattr(settings, flag)) is not None:
            model = cost.counted(space, size, quantity, limit)
            constraints.append(cost.check(Constraint(model, limit)))
    return constraints


def _latency(predictors: Predictors, settings: SearchSettings, space: SearchSpace) -> Constraint:
    """The constraint in milliseconds; with only a weight the limit is the campaign's median."""
    limit = settings.target_ms
    if limit is None:
        limit = float(np.median(predictors.campaign.latency_ms))
    model = cost.predicted(space, predictors.latency)
    form = None
    if settings.latency_weight is not None:
        form = FixedWeight(settings.latency_form or "add-linear", settings.latency_weight)
    return cost.check(Constraint(model, limit, settings.risk or 0.0, form))


def select(
    predictors: Predictors,
    task: search_stages.SearchTask,
    result: search_stages.SearchResult,
    job: run.Run,
) -> Genotype:
    """The network that meets the constraints; writes `target.json` and the refitted predictor.

    With a weight and no limit it is the method's network, measured.
    """
    settings, space, folder, campaign = task.settings, task.space, job.folder, predictors.campaign
    measure = None
    if campaign is not None and not settings.any_device:
        measure = lambda networks, number: time_genotypes(
            campaign, networks, folder / ROUNDS / f"round-{number}", job.console, seed=number
        )
    constraints = task.constraints
    if settings.target_ms is None:
        constraints = [c for c in constraints if c.cost.quantity != MS]
    if not constraints:
        record = selection_record.unconstrained(space, result.genotype, predictors.latency, measure)
        _write_record(folder, record, campaign)
        return result.genotype
    probabilities = methods.get(settings.method).probabilities
    gates = result.finished.gates
    if probabilities is not None:
        gates = probabilities(space, result.finished.state)
    selected = constrained_selection.select(
        selection_record.SelectionProblem(
            space,
            constraints,
            sampling.sample_pool(space, gates, settings.seed),
            predictors.latency,
            campaign,
        ),
        supernet.shared_weights(space, result.finished.evaluate),
        measure=measure,
        log=lambda line: progress.print_line(job.console, line),
    )
    _write_record(folder, selected.record, campaign)
    if selected.predictor is not None:
        predictor_file.save(folder / MODEL, selected.predictor)
    return selected.genotype


def _write_record(folder: Path, record: Mapping, campaign: CampaignDataset | None) -> None:
    """Writes the record with the command that measures its campaign again."""
    refresh = None if campaign is None else latency_measure.command_again(campaign)
    files.write_text(folder / RECORD, json.dumps({**record, "refresh": refresh}, indent=2) + "\n")


def placeholders(settings: SearchSettings) -> list[Constraint]:
    """Constraints of constant cost, to restore a finished search's state: a multiplier for each."""
    form = None
    if settings.latency_weight is not None:
        form = FixedWeight(settings.latency_form or "add-linear", settings.latency_weight)
    counted = [name for flag, name in COUNTED.items() if getattr(settings, flag) is not None]
    constant = lambda quantity: CostModel(
        quantity, lambda rows: np.full(len(rows), 2.0), lambda gates: jnp.float32(2.0), (0.0, 4.0)
    )
    constraints = [
        Constraint(constant(quantity), 2.0) for quantity in (*settings.target_models, *counted)
    ]
    if in_ms(settings):
        constraints.append(Constraint(constant(MS), 2.0, form=form))
    return constraints


def read(folder: Path) -> dict[str, Any]:
    """The record of a selection. Raises ValueError for a broken file."""
    path = folder / RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"Cannot read {path} ({error}): give the run another --name.") from error


def fingerprinted(settings: SearchSettings, predictors: Predictors | None) -> dict[str, Any]:
    """The settings that constraints add to the record of a run."""
    recorded = {flag: getattr(settings, flag) for flag in FLAGS if getattr(settings, flag)}
    if predictors is not None and predictors.campaign is not None:
        recorded["latency"] = predictors.campaign.digest
    if predictors is not None and predictors.others:
        recorded["target_models"] = {
            name: [limit, sha] for name, (_, limit, sha) in predictors.others.items()
        }
    return recorded


def time_genotypes(
    measured: CampaignDataset,
    genotypes: Sequence[Genotype],
    folder: Path,
    console: rich.console.Console,
    *,
    seed: int = 0,
    sizes: Sequence[NetworkSize] | None = None,
) -> recheck.RecheckedTimes:
    """Genotypes timed by the campaign's protocol, on its scale: see `recheck.recheck`."""
    words = measured.settings.get("command")
    if words is None:
        sample_ms = measured.settings.get("sample_ms") or latency.LOCAL_MS
        prepare = functools.partial(timing.prepare, sample_ms=sample_ms)
        rounds = latency.LOCAL_ROUNDS
    else:
        prepare = functools.partial(
            remote.prepare,
            words=remote.parse_command(words),
            folder=folder / "exported",
            timeout_s=latency.REMOTE_S,
            platform=measured.settings.get("platform") or "cpu",
        )
        rounds = latency.REMOTE_ROUNDS
    protocol = campaign.Protocol(*rounds, seed=seed, warm_up=words is None)
    return recheck.recheck(
        measured, genotypes, folder, prepare, device=_device(measured), protocol=protocol,
        console=console, sizes=sizes,
    )  # fmt: skip


def _device(campaign: CampaignDataset) -> Mapping[str, Any]:
    """This device, as a campaign of the same settings would record it."""
    this_device = device.this_device()
    command = campaign.settings.get("command")
    if command is None:
        return this_device
    versions = {key: this_device[key] for key in ("jax", "jaxlib", "XLA_FLAGS", "python")}
    return versions | {"platform": "remote", "kind": command}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
