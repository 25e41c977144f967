"""The file of a campaign: every sample that was taken, and a table for people and other tools.

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
    """A campaign that cannot be read, begin or go on: the message is one line."""


class Raw(NamedTuple):
    """R rows of P programs: a round each, unless one was cut short and went on in another row.

    Times are milliseconds of one call; NaN: not visited in this row, or spoilt by the clock.
    """

    header: Mapping[str, Any]  # device, settings, when, and how far the rounds are: JSON
    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    architectures: tuple[str, ...]  # JSON
    twin_of: np.ndarray  # i32[P], the twin's index, or -1
    calls: np.ndarray  # i32[P], in a sample
    facts: np.ndarray  # f64[P, len(timing.FACTS)]
    rounds_ms: np.ndarray  # f64[R, P]
    chains_ms: np.ndarray  # f64[R, P, 2], or f64[R, 0, 2] where no slope was asked for
    started_s: np.ndarray  # f64[R], Unix time
    session: np.ndarray  # i32[R], which process took the round, from 0


def pairs(raw: Raw) -> list[tuple[int, int]]:
    """The indices of each program and its twin."""
    return [(i, int(j)) for i, j in enumerate(raw.twin_of) if j >= 0]


def taken(raw: Raw) -> int:
    """How many rounds are whole: every program was visited in each."""
    # Files of old do not say it; their rows counted as rounds.
    return raw.header.get("rounds", len(raw.rounds_ms))


def left(raw: Raw) -> list[int]:
    """The programs that the round under way has yet to visit: all, where none is under way."""
    names = set(raw.header.get("left", ())) or raw.labels
    return [i for i, label in enumerate(raw.labels) if label in names]


def unsampled(raw: Raw) -> list[str]:
    """The labels of programs without a valid sample."""
    seen = np.isfinite(raw.rounds_ms).any(0)
    return [label for label, known in zip(raw.labels, seen, strict=True) if not known]


def sampled(raw: Raw) -> Raw:
    """The campaign without its programs that have no valid sample; their twins have none then."""
    kept = np.flatnonzero(np.isfinite(raw.rounds_ms).any(0))
    if len(kept) == len(raw.labels):
        return raw
    place = {int(old): new for new, old in enumerate(kept)}
    of = lambda texts: tuple(texts[i] for i in kept)
    return raw._replace(
        labels=of(raw.labels),
        kinds=of(raw.kinds),
        architectures=of(raw.architectures),
        twin_of=np.array([place.get(int(raw.twin_of[i]), -1) for i in kept], np.int32),
        calls=raw.calls[kept],
        facts=raw.facts[kept],
        rounds_ms=raw.rounds_ms[:, kept],
        chains_ms=raw.chains_ms[:, kept] if raw.chains_ms.shape[1] else raw.chains_ms,
    )


def some(labels: Sequence[str]) -> str:
    """One of several programs and how many more, for a line of text."""
    more = len(labels) - 1
    return repr(labels[0]) + (f" and {more} other program{'s' * (more != 1)}" if more else "")


def write(path: Path, raw: Raw) -> None:
    """Puts the whole file in place at once. Raises RunError if it cannot be written."""
    header = {"format": FORMAT, "version": VERSION} | dict(raw.header)
    arrays = {"header": np.array(json.dumps(header)), "fact_names": np.array(timing.FACTS)}
    for name, value in raw._asdict().items():
        if name != "header":
            arrays[name] = np.array(value) if isinstance(value, tuple) else value
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    files.write_bytes(path, buffer.getvalue())


def read(path: Path) -> Raw:
    """The campaign in a file. Raises CampaignError for anything else, and for impossible times."""
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
    """The table: a program a row, columns COLUMNS. Empty where nothing is known."""
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
            + [summary.samples[i], raw.calls[i], *map(_whole, raw.facts[i]), twin]
            + [name, raw.header["settings"].get("batch", ""), raw.architectures[i]]
        )
    files.write_text(path, text.getvalue())


def slope(raw: Raw, summary: round_statistics.Summary) -> tuple[np.ndarray, np.ndarray]:
    """(device milliseconds of a pass, overhead of a call), f64[P] each, NaN where unknown."""
    parts = timing.slope(raw.chains_ms[summary.kept] / summary.factors[summary.kept, None, None])
    medians = (np.ma.median(np.ma.masked_invalid(part), axis=0).filled(np.nan) for part in parts)
    # A pass that takes less than no time is noise, and no figure.
    per_pass, overhead = (np.where(median > 0, median, np.nan) for median in medians)
    return per_pass, overhead


def _number(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:.6g}"


def _whole(value: float) -> str:
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
    """Raises CampaignError unless the arrays belong together and the times are times."""
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
    numbers = taken(raw), raw.header.get("sessions", 0)
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
