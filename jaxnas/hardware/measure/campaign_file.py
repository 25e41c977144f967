"""The files of a campaign: all samples (.npz), and a table of results (.csv) for other tools.

docs/measuring.md describes both: `campaign.npz` (arrays and one JSON text) and `latency.csv`.
"""

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnas.hardware import timing
from jaxnas.hardware.measure import round_statistics
from jaxnas.hardware.programs import KINDS
from jaxnas.run import files

FORMAT, VERSION = "jaxnas latency campaign", 1
RAW, TABLE, RESULT = "campaign.npz", "latency.csv", "result.json"
COLUMNS = (
    "network", "kind", "latency_ms", "spread_ms", "minimum_ms", "slope_ms", "overhead_ms",
    "samples", "calls", *timing.FACTS, "twin_of", "device", "batch", "architecture",
)  # fmt: skip


class CampaignError(ValueError):
    """A campaign that cannot be read, started or resumed: the message is one line."""


class Raw(NamedTuple):
    """All samples: R rows of P programs. A row is a round, or part of one that was interrupted.

    Times are milliseconds of one call; NaN: not visited in this row, or spoilt by the clock.
    """

    header: Mapping[str, Any]  # JSON: device, settings, times, progress of the rounds
    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    architectures: tuple[str, ...]  # JSON
    twin_of: np.ndarray  # i32[P], the twin's index, or -1
    calls: np.ndarray  # i32[P], in a sample
    facts: np.ndarray  # f64[P, len(timing.FACTS)]
    rounds_ms: np.ndarray  # f64[R, P]
    chains_ms: np.ndarray  # f64[R, P, 2] of loops, or f64[R, 0, 2] without them
    started_s: np.ndarray  # f64[R], Unix time
    session: np.ndarray  # i32[R], number of the process that measured the row, from 0


def pairs(raw: Raw) -> list[tuple[int, int]]:
    """The indices of each program and its twin."""
    return [(i, int(j)) for i, j in enumerate(raw.twin_of) if j >= 0]


def rounds_done(raw: Raw) -> int:
    """Number of complete rounds, in which every program was visited."""
    # Older files lack the entry; each of their rows was a round.
    return raw.header.get("rounds", len(raw.rounds_ms))


def remaining(raw: Raw) -> list[int]:
    """Indices of programs not yet visited in the current round; all, between rounds."""
    names = set(raw.header.get("left", ())) or raw.labels
    return [i for i, label in enumerate(raw.labels) if label in names]


def unsampled(raw: Raw) -> list[str]:
    """The labels of programs without a valid sample."""
    valid = np.isfinite(raw.rounds_ms).any(0)
    return [label for label, has_sample in zip(raw.labels, valid, strict=True) if not has_sample]


def sampled(raw: Raw) -> Raw:
    """The campaign without programs that lack a valid sample; their twins lose the link."""
    indices = np.flatnonzero(np.isfinite(raw.rounds_ms).any(0))
    if len(indices) == len(raw.labels):
        return raw
    new_index = {int(old): new for new, old in enumerate(indices)}
    select = lambda texts: tuple(texts[i] for i in indices)
    return raw._replace(
        labels=select(raw.labels),
        kinds=select(raw.kinds),
        architectures=select(raw.architectures),
        twin_of=np.array([new_index.get(int(raw.twin_of[i]), -1) for i in indices], np.int32),
        calls=raw.calls[indices],
        facts=raw.facts[indices],
        rounds_ms=raw.rounds_ms[:, indices],
        chains_ms=raw.chains_ms[:, indices] if raw.chains_ms.shape[1] else raw.chains_ms,
    )


def first_and_count(labels: Sequence[str]) -> str:
    """The first label and the number of others, for a message."""
    others = len(labels) - 1
    return repr(labels[0]) + (f" and {others} other program{'s' * (others != 1)}" if others else "")


def write(path: Path, raw: Raw) -> None:
    """Writes the file atomically. Raises RunError if it cannot be written."""
    header = {"format": FORMAT, "version": VERSION} | dict(raw.header)
    arrays = {"header": np.array(json.dumps(header)), "fact_names": np.array(timing.FACTS)}
    for name, value in raw._asdict().items():
        if name != "header":
            arrays[name] = np.array(value) if isinstance(value, tuple) else value
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write_bytes(path, buffer.getvalue())


def read(path: Path) -> Raw:
    """The campaign in a file. Raises CampaignError for other files, and for impossible times."""
    arrays = _arrays(path)
    try:
        header = json.loads(str(arrays.pop("header")))
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            raise CampaignError(
                f"{path} is of format {header.get('format')!r}, version {header.get('version')}; "
                f"this jaxnas reads {FORMAT!r}, version {VERSION}."
            )
        if tuple(arrays.pop("fact_names")) != timing.FACTS:
            raise ValueError("other fact_names")
        texts = {
            name: tuple(map(str, arrays.pop(name))) for name in ("labels", "kinds", "architectures")
        }
        raw = Raw(header=header, **texts, **arrays)
    except CampaignError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CampaignError(
            f"{path} holds no campaign ({_short(error)}): measure again."
        ) from error
    _check(path, raw)
    return raw


def write_table(path: Path, raw: Raw) -> None:
    """Writes the table, a row a program, columns COLUMNS; entries are empty where unknown."""
    summary = round_statistics.summarise(raw.rounds_ms)
    slopes = overheads = [None] * len(raw.labels)
    if raw.chains_ms.shape[1]:
        slopes, overheads = slope(raw, summary)
    device = raw.header["device"]
    name = device["host_cpu"] if device.get("platform") == "cpu" else device["kind"]
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    for i, label in enumerate(raw.labels):
        times = (summary.latency_ms[i], summary.spread_ms[i], summary.minimum_ms[i])
        twin = raw.labels[raw.twin_of[i]] if raw.twin_of[i] >= 0 else ""
        out.writerow(
            [label, raw.kinds[i], *map(_number, (*times, slopes[i], overheads[i]))]
            + [summary.samples[i], raw.calls[i], *map(_integer, raw.facts[i]), twin]
            + [name, raw.header["settings"].get("batch", ""), raw.architectures[i]]
        )
    files.write_text(path, text.getvalue())


def slope(raw: Raw, summary: round_statistics.RoundSummary) -> tuple[np.ndarray, np.ndarray]:
    """(device milliseconds of a pass, overhead of a call), f64[P] each, NaN where unknown."""
    parts = timing.slope(raw.chains_ms[summary.used] / summary.factors[summary.used, None, None])
    medians = (np.ma.median(np.ma.masked_invalid(part), axis=0).filled(np.nan) for part in parts)
    # A negative time of a pass is noise.
    per_pass, overhead = (np.where(median > 0, median, np.nan) for median in medians)
    return per_pass, overhead


def _number(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"


def _integer(value: float) -> str:
    return "" if not np.isfinite(value) else f"{value:.0f}"


def _arrays(path: Path) -> dict[str, np.ndarray]:
    broken = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
    if not path.is_file():
        raise CampaignError(f"There is no {path}: give the folder of a campaign, or measure first.")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (*broken, AttributeError) as error:  # AttributeError: a single array
        raise CampaignError(
            f"{path} is no readable .npz file ({_short(error)}): delete it and measure again."
        ) from error


def _check(path: Path, raw: Raw) -> None:
    """Raises CampaignError unless shapes are consistent and all times positive."""
    count, programs = len(raw.rounds_ms), len(raw.labels)
    chains = raw.chains_ms.shape
    shapes = (
        raw.rounds_ms.shape == (count, programs)
        and len(chains) == 3 and chains[0] == count and chains[1] in (0, programs)
        and raw.facts.shape == (programs, len(timing.FACTS))
        and raw.started_s.shape == raw.session.shape == (count,)
        and raw.twin_of.shape == raw.calls.shape == (programs,)
        and len(raw.kinds) == len(raw.architectures) == programs > 0
    )  # fmt: skip
    if not shapes:
        raise CampaignError(f"{path}: its arrays do not belong together: measure again.")
    if len(set(raw.labels)) != programs or not set(raw.kinds) <= set(KINDS):
        raise CampaignError(
            f"{path}: a program stands twice, or is of an unknown kind: measure again."
        )
    if (raw.twin_of >= programs).any() or not isinstance(raw.header.get("device"), dict):
        raise CampaignError(f"{path}: a twin or the device is missing: measure again.")
    numbers = rounds_done(raw), raw.header.get("sessions", 0)
    counted = all(type(n) is int and n >= 0 for n in numbers) and numbers[0] <= count
    names = raw.header.get("left", [])
    if not counted or not isinstance(names, list) or any(n not in raw.labels for n in names):
        raise CampaignError(f"{path} does not say how far its rounds are: measure again.")
    for times in (raw.rounds_ms, raw.chains_ms):
        if np.isinf(times).any() or (times[np.isfinite(times)] <= 0).any():
            raise CampaignError(
                f"{path} has times that are zero, negative or infinite: measure again."
            )


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:80]
