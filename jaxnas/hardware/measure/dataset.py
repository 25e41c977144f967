"""A campaign's folder as what a model is fitted to: networks, their times, and of what size."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnas.hardware import device as hardware
from jaxnas.hardware import programs
from jaxnas.hardware.measure import campaign_file, round_statistics, sampling
from jaxnas.hardware.measure.campaign_file import Raw
from jaxnas.hardware.predict import fit
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces import genotype, layers, registry
from jaxnas.spaces.genotype import Genotype, GenotypeError
from jaxnas.spaces.mobile import sizing, workload
from jaxnas.strategies import codes

SIZES = ("features", "cells", "classes", "image", "batch")


class TargetError(ValueError):
    """A campaign that is no use for a search, or a target out of range: the message is one line."""


LEAST = 2  # networks that a model is fitted to


class CampaignDataset(NamedTuple):
    """The networks of a campaign. What it timed beside them is in `raw`.

    Programs that have no valid sample yet are in neither.
    """

    path: Path  # of its samples
    digest: str  # SHA-256 of them
    raw: Raw
    settings: Mapping[str, Any]
    entry: registry.Entry
    size: programs.NetworkSize
    genotypes: tuple[Genotype, ...]
    networks: np.ndarray  # i64[N, positions]
    latency_ms: np.ndarray  # f64[N]
    work: np.ndarray | None  # f64[positions, candidates, quantities] of a chain
    unsampled: tuple[str, ...] = ()  # labels of the programs left out for want of a sample

    @property
    def device(self) -> str:
        """The device in a few words."""
        return hardware.description(self.raw.header["device"])


def load(folder: Path) -> CampaignDataset:
    """The campaign in a folder. Raises FileError or TargetError, one line each.

    A campaign that was stopped counts as far as it went. Programs that are no networks are left
    out, and those without a valid sample.
    """
    path = Path(folder).expanduser() / campaign_file.RAW
    whole = campaign_file.read(path)
    raw, unsampled = campaign_file.sampled(whole), tuple(campaign_file.unsampled(whole))
    settings = raw.header.get("settings")
    if not isinstance(settings, dict) or any(name not in settings for name in ("space", *SIZES)):
        raise TargetError(
            f"{path} does not say its space and the networks' size: measure with "
            "`jaxnas latency measure`."
        )
    entry = registry.measured(settings["space"], settings["cells"])
    if entry.digest != settings.get("space_sha256"):
        raise TargetError(
            f"{path} was measured for another {settings['space']}: the file has changed since; "
            "measure again."
        )
    if programs.NETWORK not in whole.kinds:
        raise TargetError(f"{path} has no whole networks: measure with --kinds network.")
    if not len(raw.rounds_ms):
        raise TargetError(f"{path} has no rounds yet: go on with `jaxnas latency measure`.")
    rows = [i for i, kind in enumerate(raw.kinds) if kind == programs.NETWORK]
    if len(rows) < LEAST and unsampled:
        raise TargetError(
            f"{path} has times of {len(rows) or 'no'} network, and no valid sample of "
            f"{campaign_file.some(unsampled)}: go on with `jaxnas latency measure`."
        )
    try:
        found = tuple(genotype.from_json(raw.architectures[i]) for i in rows)
    except GenotypeError as error:
        raise TargetError(f"{path} has a network that is none ({error}): measure again.") from error
    networks = np.array([codes.of_genotype(entry.space, each) for each in found])
    size = programs.NetworkSize(
        **{name: settings[name] for name in SIZES} | {"image": tuple(settings["image"])}
    )
    ms = round_statistics.summarise(raw.rounds_ms).latency_ms[rows]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    known = _work(settings["space"], size)
    return CampaignDataset(
        path, digest, raw, settings, entry, size, found, networks, ms, known, unsampled
    )  # fmt: skip


def _work(space: str, size: programs.NetworkSize) -> np.ndarray | None:
    if space == registry.GRID:
        return layers.work_of(size)
    if space not in sizing.CHAINS:
        return None
    chain = sizing.sized(space, features=size.features, repeats=size.cells)
    height, width = size.image[:2]
    return workload.of_chain(sizing.for_image(chain, height, width), height, width)


def facts(found: CampaignDataset, name: str) -> np.ndarray:
    """f64[N] of what the compiler says of the networks: one of `sampling.FACTS`.

    Raises TargetError for another name, and where the device's compiler does not say it.
    """
    if name not in sampling.FACTS:
        raise TargetError(
            f"A campaign has no column {name!r}, only {', '.join(sampling.FACTS)}: leave it out "
            "for milliseconds."
        )
    rows = [i for i, kind in enumerate(found.raw.kinds) if kind == programs.NETWORK]
    values = found.raw.facts[rows, sampling.FACTS.index(name)]
    if np.isnan(values).all():
        raise TargetError(f"The compiler of {found.device} does not say {name} of a network.")
    return values


def fitted(found: CampaignDataset) -> Predictor:
    """The latency model of a campaign. Raises FitError as `fit.fit`."""
    return fit.fit(
        found.entry.space, found.networks, found.latency_ms, device=found.device, work=found.work
    )
