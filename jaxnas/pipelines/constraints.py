"""The targets of `jaxnas search`: flags to aims, a finished search to a network that holds them."""

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

from jaxnas.core.objectives import constraints
from jaxnas.core.stages import StageResult
from jaxnas.core.types import Gates
from jaxnas.hardware import cost, device, programs
from jaxnas.hardware.cost import Aim
from jaxnas.hardware.measure import campaign, dataset, recheck, remote, sampling
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.hardware.predict import predictor_file
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.methods import selection
from jaxnas.pipelines import latency, search_stages
from jaxnas.pipelines.settings import Recipe, SearchSettings
from jaxnas.pipelines.settings.limits import refuse, require
from jaxnas.run import files, progress
from jaxnas.spaces import genome, registry
from jaxnas.spaces.genotype import Genotype
from jaxnas.strategies import constrained_selection, pool

RECORD, MODEL, ROUNDS = "target.json", "latency_model.json", "latency"
COUNTED = {"target_macs": "macs", "target_parameters": "parameters"}
FLAGS = (
    "target_ms", *COUNTED, "target_models", "latency", "latency_weight", "latency_form", "risk",
    "any_device",
)  # fmt: skip


class Goal(NamedTuple):
    """What was asked for, and the campaign and models it rests on, if any."""

    campaign: CampaignDataset | None
    model: Predictor | None
    others: Mapping[str, tuple[Predictor, float, str]] = {}  # with the most, and the file's SHA-256


def wanted(settings: SearchSettings) -> bool:
    """Whether there is a target. Raises ValueError for flags that need one and have none."""
    for flag in ("target_ms", *COUNTED):
        require(_flag(flag), getattr(settings, flag), above=0)
    require("--risk", settings.risk, above=0)
    require("--latency-weight", settings.latency_weight, above=0)
    if settings.latency_weight is None and settings.latency_form is not None:
        refuse("--latency-form has no effect without --latency-weight: give that, or leave it.")
    if settings.target_ms is None and settings.risk is not None:
        refuse("--risk has no effect without --target-ms: give that, or leave it.")
    by_ms = settings.target_ms is not None or settings.latency_weight is not None
    if not by_ms:
        for flag in ("latency", "any_device"):
            if getattr(settings, flag):
                refuse(f"{_flag(flag)} has no effect without --target-ms: give that, or leave it.")
    elif settings.latency is None:
        given = "--latency-weight" if settings.target_ms is None else "--target-ms"
        refuse(
            f"{given} needs --latency: the folder of a campaign, which `jaxnas latency measure` "
            "makes."
        )
    some = by_ms or bool(settings.target_models)
    some = some or any(getattr(settings, flag) for flag in COUNTED)
    if some and settings.select != "strongest":
        refuse("--select has no effect beside a target, which decides what is taken: leave it out.")
    return some


def open_goal(settings: SearchSettings) -> Goal | None:
    """What the flags name, checked; None without a target.

    Call it before JAX opens its devices: a campaign of few threads keeps this process to as many.
    Raises ValueError for a campaign that cannot serve, on another device without --any-device too.
    """
    if not wanted(settings):
        return None
    _refuse_reductions(settings)
    others = _others(settings.target_models)
    if settings.latency is None:
        return Goal(None, None, others)
    found = dataset.load(Path(settings.latency))
    entry = registry.measured(settings.space, settings.cells)
    same_file = entry.digest is not None and entry.digest == found.entry.digest
    if found.settings["space"] != settings.space and not same_file:
        refuse(
            f"{found.path} is of the space {found.settings['space']}, not {settings.space}: "
            "measure this one."
        )
    layers = found.settings["cells"]
    if genome.is_chain(found.entry.space) and settings.cells != layers:
        of = "" if settings.space == registry.GRID else " a stage"
        refuse(
            f"{found.path} is of {settings.space} with {layers} layers{of}, this search has "
            f"{settings.cells}: give --cells {layers}, or measure such networks."
        )
    if found.settings.get("threads") is not None and not settings.any_device:
        device.pin(found.settings["threads"])
    if not settings.any_device:
        changed = device.differences(found.raw.header["device"], _here(found))
        if changed:
            refuse(
                f"{found.path} was measured elsewhere: {'; '.join(changed)}. Measure on this "
                "device, or add --any-device to search by the model alone."
            )
    return Goal(found, dataset.fitted(found), others)


def _refuse_reductions(settings: SearchSettings) -> None:
    """What is counted and timed halves the image where its space does."""
    given = {"--retrain.reductions": settings.retrain.reductions}
    if settings.space == registry.GRID:  # a path keeps the layers of its search
        given["--reductions"] = settings.reductions
    for flag, value in given.items():
        if value is not None:
            refuse(
                f"{flag} cannot stand beside a target, which is of networks that halve the image "
                "where their space does: leave it out."
            )


def _others(words: Sequence[str]) -> dict[str, tuple[Predictor, float, str]]:
    """The models of --target-models by the names of their files."""
    found = {}
    for word in words:
        file, _, most = word.rpartition("=")
        path = Path(file).expanduser()
        try:
            value = float(most)
        except ValueError:
            value = math.nan
        if not file or not (math.isfinite(value) and value > 0):
            refuse(f"--target-models: {word!r} is no FILE=MOST, the most a number above 0.")
        if path.stem in (*found, "ms", *COUNTED.values()):
            refuse(f"--target-models: two targets are called {path.stem!r}; rename the file.")
        model = predictor_file.load(path)
        found[path.stem] = model, value, hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def recipe(goal: Goal | None, given: Recipe) -> Recipe:
    """The recipe with the size of the network that the campaign timed.

    Raises ValueError where another size was given.
    """
    if goal is None or goal.campaign is None:
        return given
    size = goal.campaign.size
    # A genotype of a chain says its layers by itself.
    chain = genome.is_chain(goal.campaign.entry.space)
    taken = {name: getattr(size, name) for name in ("features", "cells")[: 1 if chain else 2]}
    for name, timed in taken.items():
        value = getattr(given, name)
        if value is not None and value != timed:
            refuse(
                f"--retrain.{name} is {value}, but {goal.campaign.path} timed networks of "
                f"{timed}: leave it out, or measure such networks."
            )
    return dataclasses.replace(given, **taken)


def found_aims(
    goal: Goal | None,
    settings: SearchSettings,
    entry: registry.Entry,
    image: tuple[int, int, int],
    classes: int,
) -> list[Aim]:
    """The targets of a search whose recipe is decided, on images of that shape.

    Raises ValueError for targets out of range, and where the campaign timed other images.
    """
    if goal is None:
        return []
    size = programs.NetworkSize(
        settings.retrain.features, settings.retrain.cells, classes, tuple(image), 1
    )
    found = []
    if goal.campaign is not None:
        for name, here in (("image", tuple(image)), ("classes", classes)):
            timed = getattr(goal.campaign.size, name)
            if timed != here:
                words = " ".join(map(str, here)) if name == "image" else here
                refuse(
                    f"{goal.campaign.path} timed networks of {name} {timed}, these data have "
                    f"{here}: measure with --{name} {words}."
                )
        found.append(_by_ms(goal, settings, entry))
    for name, (model, most, _) in goal.others.items():
        found.append(cost.of_model(entry, model, most, name=name))
    for flag, name in COUNTED.items():
        if (most := getattr(settings, flag)) is not None:
            found.append(cost.of_counts(entry, size, name, most))
    return found


def _by_ms(goal: Goal, settings: SearchSettings, entry: registry.Entry) -> Aim:
    """The target in milliseconds; with a weight alone the campaign's median is its reference."""
    most = settings.target_ms
    if most is None:
        most = float(np.median(goal.campaign.latency_ms))
    found = cost.of_model(entry, goal.model, most, settings.risk or 0.0)
    if settings.latency_weight is None:
        return found
    form = settings.latency_form or "add-linear"
    return found._replace(fixed=constraints.FixedWeight(form, settings.latency_weight))


def settled(
    goal: Goal,
    settings: SearchSettings,
    entry: registry.Entry,
    found: list[Aim],
    learned: search_stages.Learned,
    folder: Path,
    console: rich.console.Console,
) -> Genotype:
    """The network for the targets; writes `target.json` and the refitted model into the folder.

    Where there is none, but a weight, the method's own network, measured.
    """
    again = None
    if goal.campaign is not None and not settings.any_device:
        again = lambda networks, number: timed(
            goal.campaign, networks, folder / ROUNDS / f"round-{number}", console, seed=number
        )
    if settings.target_ms is None:
        found = [aim for aim in found if aim.name != "ms"]
    if not found:
        record = constrained_selection.alone(entry, learned.genotype, goal.model, again)
        files.write_text(folder / RECORD, json.dumps(record, indent=2) + "\n")
        return learned.genotype
    verdict = constrained_selection.settle(
        entry,
        found,
        pool.pool(entry, chances(settings, entry, learned.finished), settings.seed),
        learned.finished,
        model=goal.model,
        campaign=goal.campaign,
        measure=again,
        note=lambda line: progress.print_line(console, line),
    )
    files.write_text(folder / RECORD, json.dumps(verdict.record, indent=2) + "\n")
    if verdict.model is not None:
        predictor_file.save(folder / MODEL, verdict.model)
    return verdict.genotype


def chances(settings: SearchSettings, entry: registry.Entry, finished: StageResult) -> Gates:
    """The probabilities that a search ended with: its gates, unless they are hard."""
    shares = selection.of(settings.method).shares
    return finished.gates if shares is None else shares(entry.space, finished.state)


def remembered(settings: SearchSettings) -> list[constraints.Limit]:
    """What stands for the targets of a search that is over, of settings as settings.json has them.

    Its state remembers a weight for each; what gates cost is not judged again, and is constant.
    """
    fixed = None
    if settings.latency_weight is not None:
        fixed = constraints.FixedWeight(
            settings.latency_form or "add-linear", settings.latency_weight
        )
    named = [name for flag, name in COUNTED.items() if getattr(settings, flag) is not None]
    constant = lambda gates: jnp.float32(2.0)
    found = [constraints.Limit(name, 2.0, constant) for name in (*settings.target_models, *named)]
    if settings.latency is not None:
        found.append(constraints.Limit("ms", 2.0, constant, fixed))
    return found


def read(folder: Path) -> dict[str, Any]:
    """The record of a run that was settled. Raises ValueError for a broken file."""
    path = folder / RECORD
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"Cannot read {path} ({error}): give the run another --name.") from error


def fingerprinted(settings: SearchSettings, goal: Goal | None) -> dict[str, Any]:
    """What a target adds to the settings of a run: nothing where there is none."""
    named = {flag: getattr(settings, flag) for flag in FLAGS if getattr(settings, flag)}
    if goal is not None and goal.campaign is not None:
        named["latency"] = goal.campaign.digest
    if goal is not None and goal.others:
        named["target_models"] = {name: [most, sha] for name, (_, most, sha) in goal.others.items()}
    return named


def timed(
    old: CampaignDataset,
    found: Sequence[Genotype],
    folder: Path,
    console: rich.console.Console,
    *,
    seed: int = 0,
    size: programs.NetworkSize | None = None,
) -> recheck.RecheckedTimes:
    """Genotypes timed by the campaign's protocol, on its scale: see `recheck.recheck`."""
    words = old.settings.get("command")
    if words is None:
        sample_ms = old.settings.get("sample_ms") or latency.LOCAL_MS
        prepare = functools.partial(sampling.local, sample_ms=sample_ms)
        rounds = latency.LOCAL_ROUNDS
    else:
        prepare = functools.partial(
            remote.ready,
            words=remote.command(words),
            where=folder / "exported",
            timeout_s=latency.REMOTE_S,
            platform=old.settings.get("platform") or "cpu",
        )
        rounds = latency.REMOTE_ROUNDS
    protocol = campaign.Protocol(*rounds, seed=seed, warm_up=words is None)
    return recheck.recheck(
        old, found, folder, prepare, device=_here(old), protocol=protocol, console=console,
        size=size,
    )  # fmt: skip


def _here(old: CampaignDataset) -> Mapping[str, Any]:
    """The device as a campaign of the same settings would record it now."""
    here = device.this_device()
    command = old.settings.get("command")
    if command is None:
        return here
    kept = {key: here[key] for key in ("jax", "jaxlib", "XLA_FLAGS", "python")}
    return kept | {"platform": "remote", "kind": command}


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
