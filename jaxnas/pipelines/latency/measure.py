"""`jaxnas latency measure`: the programs of settings, measured as a campaign."""

import dataclasses
import functools
import hashlib
import itertools
from pathlib import Path
from typing import Any

import rich.console

from jaxnas.hardware import device, programs, timing
from jaxnas.hardware.measure import campaign, design, remote, summary
from jaxnas.hardware.measure import stopping as protocols
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.hardware.programs import BLOCK, NETWORK, OPERATOR, Program
from jaxnas.pipelines import genotypes, setup
from jaxnas.pipelines.settings import command, flat, latency
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype, compact
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

# Settings that may change between two sessions of a campaign.
NOT_FINGERPRINTED = ("out", "name", "rounds", "budget_minutes", "timeout_s")


def main(settings: latency.MeasureSettings, console: rich.console.Console | None = None) -> Path:
    """Measures a campaign, or resumes it; returns its folder.

    Raises ValueError for settings that are invalid or have no effect, and as
    `campaign.measure_all`.
    """
    console = console or rich.console.Console()
    check(settings)
    settings = resolved(settings)
    words = None if settings.command is None else remote.parse_command(settings.command)
    if settings.threads is not None:
        device.pin(settings.threads)
    space = registry.get(settings.space, settings.cells)
    architectures = [genotypes.named(text)[0] for text in settings.genotypes]
    measured = programs_of(settings, space, architectures)
    compilation_cache.enable()
    this_device = device.this_device()
    if words is None and settings.threads is not None and this_device["platform"] != "cpu":
        fail(f"--threads has no effect on {this_device['platform']}: leave it out.")
    folder = Path(settings.out).expanduser() / (settings.name or name(settings))
    if words is None:
        sample_ms = latency.LOCAL_MS if settings.sample_ms is None else settings.sample_ms
        prepare = functools.partial(timing.prepare, sample_ms=sample_ms, loops=settings.slope)
        min_rounds, max_rounds = latency.LOCAL_ROUNDS
    else:
        # Times are another device's, but the exported programs depend on our versions.
        this_device = {key: this_device[key] for key in ("jax", "jaxlib", "XLA_FLAGS", "python")}
        this_device |= {"platform": "remote", "kind": settings.command}
        prepare = functools.partial(
            remote.prepare,
            words=words,
            folder=folder / "exported",
            timeout_s=latency.REMOTE_S if settings.timeout_s is None else settings.timeout_s,
            platform=settings.platform or "cpu",
        )
        min_rounds, max_rounds = latency.REMOTE_ROUNDS
    max_rounds = max_rounds if settings.rounds is None else settings.rounds
    protocol = campaign.Protocol(
        min(min_rounds, max_rounds),
        max_rounds,
        settings.budget_minutes,
        settings.seed,
        warm_up=words is None,
    )
    kinds, is_twin = [p.kind for p in measured], [p.twin_of is not None for p in measured]
    count, noun = programs.counted(kinds, is_twin)
    progress.print_line(
        console,
        f"measure: {count} {noun}{programs.extra_words(kinds, is_twin)}: {len(measured)} programs; "
        f"everything goes to {folder}",
    )
    result = campaign.measure_all(
        measured,
        folder,
        prepare,
        device=this_device,
        settings=fingerprinted(settings, space, architectures),
        protocol=protocol,
        console=console,
    )
    for line in summary.lines(result):
        progress.print_line(console, line)
    progress.print_line(console, f"table     {folder / 'latency.csv'}")
    return folder


def programs_of(
    settings: latency.MeasureSettings, space: SearchSpace, architectures: list[Genotype]
) -> list[Program]:
    """The reference, networks with their replicates, then their cells, then operations.

    Raises ValueError for networks that are not of the space, or images that it does not support.
    """
    size = NetworkSize(
        settings.features, settings.cells, settings.classes, settings.image, settings.batch
    )
    selected = [programs.reference()]
    budget = settings.budget_minutes is not None
    count = settings.networks or (latency.MOST if budget else latency.NETWORKS)
    networks = architectures
    if not architectures and settings.kinds != (OPERATOR,):
        networks = design.networks(space.genome, count, settings.seed, or_fewer=budget)
    if NETWORK in settings.kinds:
        for choice in design.with_replicates(
            networks, None if architectures else space.genome.space
        ):
            if choice.recompiled:
                # A replicate of the program before it.
                selected.append(programs.replicate(selected[-1]))
                continue
            twin_of = choice.twin_of and programs.label(choice.twin_of)
            selected.append(programs.of_genotype(choice.genotype, space, size, twin_of))
    if BLOCK in settings.kinds:
        selected += programs.blocks(networks, space, size)
    if OPERATOR in settings.kinds:
        selected += programs.operators(space, size)
    if NETWORK not in settings.kinds:
        # Replicates measure the noise, early, since a budget may stop the campaign.
        pairs = max(2, min(design.REPLICATES, len(selected) // 5))
        replicates = [
            program for p in selected[1 : 1 + pairs] for program in (p, programs.replicate(p))
        ]
        selected = [selected[0], *replicates, *selected[1 + pairs :]]
    return selected


def resolved(settings: latency.MeasureSettings) -> latency.MeasureSettings:
    """The settings with the default sizes of their space."""
    cells = settings.cells
    if cells is None:
        cells = registry.get(settings.space).campaign_cells
    return dataclasses.replace(
        settings,
        cells=cells,
        classes=latency.CLASSES if settings.classes is None else settings.classes,
    )


def check(settings: latency.MeasureSettings) -> None:
    """Raises ValueError for settings that are invalid or have no effect."""
    space = registry.get(settings.space)
    for flag, minimum in (("networks", 1), ("batch", 1), ("rounds", protocols.MIN_ROUNDS)):
        require(f"--{flag}", getattr(settings, flag), minimum=minimum)
    require("--seed", settings.seed, minimum=0)
    for flag in ("budget_minutes", "sample_ms", "timeout_s"):
        require(f"--{flag.replace('_', '-')}", getattr(settings, flag), above=0)
    if not settings.kinds or len(set(settings.kinds)) < len(settings.kinds):
        fail("--kinds names each of network, block and operator once at most, and one at least.")
    idle = {
        "--networks": settings.networks is not None
        and (settings.genotypes or settings.kinds == ("operator",)),
        "--genotypes": settings.genotypes and settings.kinds == ("operator",),
        "--timeout-s": settings.timeout_s is not None and settings.command is None,
        "--platform": settings.platform is not None and settings.command is None,
        "--threads": settings.threads is not None and settings.command is not None,
        "--sample-ms": settings.sample_ms is not None and settings.command is not None,
        "--slope": settings.slope and settings.command is not None,
        "--cells": settings.cells is not None
        and "network" not in settings.kinds
        and not space.shaped_by_cells,
        "--classes": settings.classes is not None and "network" not in settings.kinds,
    }
    for flag, is_idle in idle.items():
        if is_idle:
            fail(f"{flag} has no effect with the other settings: leave it out.")
    if space.blocks is None and BLOCK in settings.kinds:
        fail(f"--kinds block: the blocks of {settings.space} are its candidates; take operator.")
    if settings.features % space.features_multiple:
        fail(
            f"--features is {settings.features}: the stem of {space.noun} has a multiple of "
            f"{space.features_multiple}."
        )
    if settings.name is not None and (
        settings.name.strip(".") == "" or set(settings.name) & set("/\\\0")
    ):
        fail(f"--name is {settings.name!r}: a name has no slash; say where by --out.")


def name(settings: latency.MeasureSettings) -> str:
    """The default name of a campaign's folder."""
    height, width, _ = settings.image
    parts = [
        registry.label(settings.space),
        f"c{settings.features}",
        f"n{settings.cells}",
        f"{height}x{width}",
        f"b{settings.batch}",
    ]
    if settings.command is not None:
        parts.append(setup.label(settings.command.split()[0]))
    return "-".join([*parts, f"seed{settings.seed}"])


def command_again(measured: CampaignDataset) -> str:
    """The command that measures the networks of a campaign again, beside it in a new folder.

    Genotypes that were given are named as such: a campaign does not say their files.
    """
    folder, raw = measured.path.parent, measured.raw
    known = {field.name for field in dataclasses.fields(latency.MeasureSettings)}
    kept = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in measured.settings.items()
        if name in known and name != "genotypes"
    }
    if measured.settings.get("genotypes"):
        kept |= {"networks": None, "genotypes": ("GENOTYPES",)}
    else:
        is_network = [kind == NETWORK for kind in raw.kinds]
        networks = int(((raw.twin_of < 0) & is_network).sum())
        kept["networks"] = None if networks == latency.NETWORKS else networks
    number = next(
        n for n in itertools.count(2) if not (folder.parent / f"{folder.name}-{n}").exists()
    )
    settings = latency.MeasureSettings(
        **kept, out=str(folder.parent), name=f"{folder.name}-{number}"
    )
    return command("jaxnas latency measure", settings, latency.MeasureSettings())


def fingerprinted(
    settings: latency.MeasureSettings, space: SearchSpace, architectures: list[Genotype]
) -> dict[str, Any]:
    """The settings that identify a campaign, by the names of their flags."""
    table = {name: value for name, value in flat(settings).items() if name not in NOT_FINGERPRINTED}
    texts = "\n".join(map(compact, architectures))
    digest = hashlib.sha256(texts.encode()).hexdigest() if architectures else None
    return table | {"genotypes": digest, "space_sha256": space.digest}
