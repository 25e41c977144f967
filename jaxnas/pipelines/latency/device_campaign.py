"""The short campaign of a target that names none: measured once on this device, then found again.

Its name ends with a digest of the device, of its compiler and of what else decides the times.
"""

import dataclasses
import hashlib
import itertools
import json
from pathlib import Path

import rich.console

from jaxnas.hardware import device
from jaxnas.hardware.measure import campaign_file
from jaxnas.pipelines.latency import measure
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.pipelines.settings.latency import MeasureSettings
from jaxnas.run import progress
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

NETWORKS, MINUTES = 40, 6.0  # at most; our own choice


def settings_of(settings: SearchSettings, space: SearchSpace, size: NetworkSize) -> MeasureSettings:
    """The campaign of networks like the one that a search will retrain, on this device."""
    measured = MeasureSettings(
        space=settings.space,
        networks=NETWORKS,
        budget_minutes=MINUTES,
        **size._asdict() | {"cells": settings.cells if space.shaped_by_cells else size.cells},
    )
    this_device = device.this_device()
    decisive = {name: this_device[name] for name in device.IDENTITY}
    decisive |= {"classes": size.classes, "space_sha256": space.digest}
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
    name = f"{measure.name(measured)}-{digest[:8]}"
    return dataclasses.replace(measured, name=name)


def find_or_measure(
    settings: SearchSettings, space: SearchSpace, size: NetworkSize, console: rich.console.Console
) -> Path:
    """The folder of the campaign, which is measured, or gone on with, where it is not complete.

    One that was measured again later (`measure.command_again`) takes its place. Raises as
    `measure.main`.
    """
    measured = settings_of(settings, space, size)
    again = (
        Path(measured.out) / (measured.name if number == 1 else f"{measured.name}-{number}")
        for number in itertools.count(1)
    )
    complete = list(itertools.takewhile(lambda f: (f / campaign_file.RESULT).exists(), again))
    if complete:
        progress.print_line(console, f"latency: as measured before on this device, {complete[-1]}")
        return complete[-1]
    progress.print_line(
        console,
        f"latency: no campaign is given, so {NETWORKS} networks like the one to be trained are "
        f"timed on this device first, in {MINUTES:g} minutes at most; it is found again by the "
        "next search (--latency FOLDER takes another)",
    )
    return measure.main(measured, console)
