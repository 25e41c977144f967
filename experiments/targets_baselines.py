"""What a network of a target is compared with: random ones that meet it, one scaled to it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rich.console

from jaxnas.core.types import Constraint
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.pipelines import constraints
from jaxnas.pipelines.settings.limits import fail
from jaxnas.run import progress
from jaxnas.spaces import sampling
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import NetworkSize, SearchSpace
from jaxnas.strategies.selection_record import TOLERANCE

WIDTHS = 12  # that are timed at most, from a quarter of the campaign's to one and a half


def near(space: SearchSpace, limit: Constraint, seed: int = 0) -> np.ndarray:
    """i64[N, positions]: the networks whose cost is within 5 % below a limit.

    All of a space that can be enumerated; elsewhere as many as are drawn from equal gates.
    """
    gates = {name: np.ones(choice.shape) for name, choice in space.choices.items()}
    pool = sampling.sample_pool(space, gates, seed).genomes
    ratio = limit.cost.of_genomes(pool) / limit.limit
    return pool[(ratio <= 1) & (ratio >= 1 - TOLERANCE)]


def draw(space: SearchSpace, limit: Constraint, count: int, seed: int) -> np.ndarray:
    """i64[count, positions]: random ones of `near`. Raises ValueError where there are fewer."""
    networks = near(space, limit, seed)
    if len(networks) < count:
        fail(
            f"--random is {count}, but {len(networks)} networks are predicted within "
            f"{TOLERANCE:.0%} below {limit.limit:g} ms: give fewer, or another target."
        )
    # So that more of them begin with the same ones.
    return np.random.default_rng(seed).permutation(networks)[:count]


def time_widths(
    campaign: CampaignDataset, genotype: Genotype, folder: Path, console: rich.console.Console
) -> dict[int, float]:
    """Milliseconds by channels of the first cells, all of one run."""
    multiple = max(campaign.space.features_multiple, 2)
    features = campaign.size.features
    allowed = np.arange(multiple, 3 * features // 2 + 1, multiple)
    allowed = allowed[allowed >= min(features // 4, allowed[-1])]
    chosen = np.linspace(0, len(allowed) - 1, min(WIDTHS, len(allowed))).round().astype(int)
    widths = [int(width) for width in allowed[np.unique(chosen)]]
    sizes = [campaign.size._replace(features=width) for width in widths]
    times = time_all(campaign, [genotype] * len(widths), folder, console, sizes)
    return dict(zip(widths, times, strict=True))


def time_all(
    campaign: CampaignDataset,
    networks: Sequence[Genotype],
    folder: Path,
    console: rich.console.Console,
    sizes: Sequence[NetworkSize] | None = None,
) -> list[float]:
    """Milliseconds of networks, all of one run, which a later report reads again from `folder`.

    Says so where the device was too noisy for them to be believed.
    """
    times = constraints.time_genotypes(campaign, networks, folder, console, sizes=sizes)
    if times.noisy:
        progress.print_line(
            console,
            f"times: the device was busy ({'; '.join(times.noisy)}): delete {folder} and run the "
            "same command again when it is quiet",
        )
    return [float(ms) for ms in times.latency_ms]


def widest(times: Mapping[int, float], ms: float) -> int:
    """The widest network that takes no longer; the fastest where all take longer."""
    return max((width for width, t in times.items() if t <= ms), default=min(times, key=times.get))
