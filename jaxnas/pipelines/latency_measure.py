"""`jaxnas latency measure`, done: settings to programs, programs to a campaign."""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import rich.console

from jaxnas.hardware import device, programs
from jaxnas.hardware.measure import campaign, design, remote, sampling, summary
from jaxnas.hardware.measure import stopping as protocols
from jaxnas.hardware.programs import BLOCK, NETWORK, OPERATOR, Program
from jaxnas.pipelines import genotypes, setup
from jaxnas.pipelines.settings import flat, latency
from jaxnas.pipelines.settings.limits import refuse, require
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype, compact
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

# What may change between two sessions of a campaign.
NOT_FINGERPRINTED = ("out", "name", "rounds", "budget_minutes", "timeout_s")


def main(asked: latency.MeasureSettings, console: rich.console.Console | None = None) -> Path:
    """Measures what the settings ask for, or goes on with it; gives the campaign's folder.

    Raises ValueError for settings that are impossible or have no effect, and what
    `campaign.measure_all` raises.
    """
    console = console or rich.console.Console()
    check(asked)
    asked = resolved(asked)
    words = None if asked.command is None else remote.command(asked.command)
    if asked.threads is not None:
        device.pin(asked.threads)
    space = registry.get(asked.space, asked.cells)
    given = [genotypes.named(text)[0] for text in asked.genotypes]
    found = chosen(asked, space, given)
    compilation_cache.enable()
    here = device.this_device()
    if words is None and asked.threads is not None and here["platform"] != "cpu":
        refuse(f"--threads has no effect on {here['platform']}: leave it out.")
    folder = Path(asked.out).expanduser() / (asked.name or name(asked))
    if words is None:
        sample_ms = latency.LOCAL_MS if asked.sample_ms is None else asked.sample_ms
        prepare = functools.partial(sampling.local, sample_ms=sample_ms, chain=asked.slope)
        least, most = latency.LOCAL_ROUNDS
    else:
        # The time is another device's; our versions still decide what it is given.
        here = {key: here[key] for key in ("jax", "jaxlib", "XLA_FLAGS", "python")}
        here |= {"platform": "remote", "kind": asked.command}
        prepare = functools.partial(
            remote.ready,
            words=words,
            where=folder / "exported",
            timeout_s=latency.REMOTE_S if asked.timeout_s is None else asked.timeout_s,
            platform=asked.platform or "cpu",
        )
        least, most = latency.REMOTE_ROUNDS
    most = most if asked.rounds is None else asked.rounds
    protocol = campaign.Protocol(
        min(least, most), most, asked.budget_minutes, asked.seed, warm_up=words is None
    )
    progress.print_line(console, f"measure: {len(found)} programs; everything goes to {folder}")
    result = campaign.measure_all(
        found, folder, prepare, device=here, settings=fingerprinted(asked, space, given),
        protocol=protocol, console=console,
    )  # fmt: skip
    for line in summary.lines(result):
        progress.print_line(console, line)
    progress.print_line(console, f"table     {folder / 'latency.csv'}")
    return folder


def chosen(
    asked: latency.MeasureSettings, space: SearchSpace, given: list[Genotype]
) -> list[Program]:
    """The reference, networks with their twins, then their cells, then operations.

    Raises ValueError where the space has no such networks, or makes them of no such images.
    """
    size = NetworkSize(asked.features, asked.cells, asked.classes, asked.image, asked.batch)
    found = [programs.reference()]
    count = asked.networks or (latency.MOST if asked.budget_minutes else latency.NETWORKS)
    networks = given
    if not given and asked.kinds != (OPERATOR,):
        networks = design.networks(space.genome, count, asked.seed)
    if NETWORK in asked.kinds:
        for choice in design.with_replicates(networks, None if given else space.genome.space):
            if choice.again:
                # Its twin is the program before it.
                found.append(programs.again(found[-1]))
                continue
            twin_of = choice.twin_of and programs.label(choice.twin_of)
            found.append(programs.of_genotype(choice.genotype, space, size, twin_of))
    if BLOCK in asked.kinds:
        found += programs.blocks(networks, space, size)
    if OPERATOR in asked.kinds:
        found += programs.operators(space, size)
    if NETWORK not in asked.kinds:
        # The noise is measured here too, and early, since a budget may cut.
        pairs = max(2, min(design.REPLICATES, len(found) // 5))
        twins = [each for p in found[1 : 1 + pairs] for each in (p, programs.again(p))]
        found = [found[0], *twins, *found[1 + pairs :]]
    return found


def resolved(asked: latency.MeasureSettings) -> latency.MeasureSettings:
    """The settings with the sizes that their space has by default."""
    cells = asked.cells
    if cells is None:
        cells = registry.get(asked.space).campaign_cells
    return dataclasses.replace(
        asked,
        cells=cells,
        classes=latency.CLASSES if asked.classes is None else asked.classes,
    )


def check(asked: latency.MeasureSettings) -> None:
    """Raises ValueError for settings that are impossible or have no effect."""
    space = registry.get(asked.space)
    for flag, least in (("networks", 1), ("batch", 1), ("rounds", protocols.FEWEST_ROUNDS)):
        require(f"--{flag}", getattr(asked, flag), least=least)
    require("--seed", asked.seed, least=0)
    for flag in ("budget_minutes", "sample_ms", "timeout_s"):
        require(f"--{flag.replace('_', '-')}", getattr(asked, flag), above=0)
    if not asked.kinds or len(set(asked.kinds)) < len(asked.kinds):
        refuse("--kinds names each of network, block and operator once at most, and one at least.")
    idle = {
        "--networks": asked.networks is not None
        and (asked.genotypes or asked.kinds == ("operator",)),
        "--genotypes": asked.genotypes and asked.kinds == ("operator",),
        "--timeout-s": asked.timeout_s is not None and asked.command is None,
        "--platform": asked.platform is not None and asked.command is None,
        "--threads": asked.threads is not None and asked.command is not None,
        "--sample-ms": asked.sample_ms is not None and asked.command is not None,
        "--slope": asked.slope and asked.command is not None,
        "--cells": asked.cells is not None
        and "network" not in asked.kinds
        and not space.shaped_by_cells,
        "--classes": asked.classes is not None and "network" not in asked.kinds,
    }
    for flag, is_idle in idle.items():
        if is_idle:
            refuse(f"{flag} has no effect beside the other settings: leave it out.")
    if space.blocks is None and BLOCK in asked.kinds:
        refuse(f"--kinds block: the blocks of {asked.space} are its candidates; take operator.")
    if asked.features % space.features_multiple:
        refuse(
            f"--features is {asked.features}: the stem of {space.noun} has a multiple of "
            f"{space.features_multiple}."
        )
    if asked.networks is not None and asked.budget_minutes is not None:
        refuse("Give --networks or --budget-minutes: the minutes decide how many networks it is.")
    if asked.name is not None and (asked.name.strip(".") == "" or set(asked.name) & set("/\\\0")):
        refuse(f"--name is {asked.name!r}: a name has no slash; say where by --out.")


def name(asked: latency.MeasureSettings) -> str:
    """The folder of a campaign that was given no name."""
    space = Path(asked.space).stem if asked.space.endswith(".py") else asked.space
    height, width, _ = asked.image
    parts = [space, f"c{asked.features}", f"n{asked.cells}", f"{height}x{width}", f"b{asked.batch}"]
    if asked.command is not None:
        parts.append(setup.label(asked.command.split()[0]))
    return "-".join([*parts, f"seed{asked.seed}"])


def fingerprinted(
    asked: latency.MeasureSettings, space: SearchSpace, given: list[Genotype]
) -> dict[str, Any]:
    """All settings that decide what is measured, by the names of their flags."""
    table = {name: value for name, value in flat(asked).items() if name not in NOT_FINGERPRINTED}
    texts = "\n".join(map(compact, given))
    digest = hashlib.sha256(texts.encode()).hexdigest() if given else None
    plain = {f.name: f.default for f in dataclasses.fields(asked)}
    minutes = asked.budget_minutes is not None
    networks = None if minutes or given else asked.networks or plain["networks"]
    return table | {"networks": networks, "genotypes": digest, "space_sha256": space.digest}
