"""The summary of a campaign: device, latencies, rounds, noise, ceiling."""

import json
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnas.hardware import device as hardware
from jaxnas.hardware import programs
from jaxnas.hardware.measure import campaign_file, round_statistics, session
from jaxnas.hardware.measure.campaign_file import Raw


def as_json(raw: Raw) -> dict[str, Any]:
    """The summary of a campaign as JSON values; times in milliseconds.

    Every program must have a valid sample.
    """
    summary = round_statistics.summarise(raw.rounds_ms)
    noise = round_statistics.noise(raw.rounds_ms, campaign_file.pairs(raw))
    ceiling = round_statistics.ceiling(summary.latency_ms, raw.rounds_ms, campaign_file.pairs(raw))
    networks = np.array([kind == programs.NETWORK for kind in raw.kinds])
    times = summary.latency_ms[networks] if networks.any() else summary.latency_ms
    return {
        **{name: raw.header[name] for name in ("device", "settings", "begun", "spent_s", "load")},
        "programs": {kind: raw.kinds.count(kind) for kind in dict.fromkeys(raw.kinds)},
        "latency_ms": {
            "least": float(times.min()),
            "median": statistics.median_high(times.tolist()),  # of an actual network
            "most": float(times.max()),
        },
        "spread": float(np.median(summary.spread_ms / summary.latency_ms)),
        "rounds": {
            "taken": campaign_file.rounds_done(raw),
            "sessions": len(np.unique(raw.session)),
            "left_out": int((~summary.used).sum()),
            "missing_samples": session.visits(raw) - int(np.isfinite(raw.rounds_ms).sum()),
            "slowest_over_fastest": float(
                summary.factors[summary.used].max() / summary.factors[summary.used].min()
            ),
        },
        "noise": {"noisy": bool(noise.reasons), **noise._asdict(), "reasons": [*noise.reasons]},
        "ceiling": None if ceiling is None else json.loads(json.dumps(ceiling._asdict())),
    }


def lines(result: Mapping[str, Any]) -> list[str]:
    """The summary as lines of text, of the result that `campaign.measure_all` returns."""
    fastest, median, slowest = (result["latency_ms"][k] for k in ("least", "median", "most"))
    program_counts, rounds = result["programs"], result["rounds"]
    noise, ceiling = result["noise"], result["ceiling"]
    kinds = ", ".join(
        f"{count} {kind}{'s' * (count != 1)}" for kind, count in program_counts.items()
    )
    text = [
        f"device    {hardware.description(result['device'])}; jax {result['device']['jax']}; "
        f"XLA_FLAGS {result['device']['XLA_FLAGS'] or 'none'}",
        f"programs  {kinds}: {fastest:.3g} to {slowest:.3g} ms, median {median:.3g} ms",
        f"rounds    {rounds['taken']} in {rounds['sessions']} "
        f"session{'s' * (rounds['sessions'] != 1)}, {rounds['left_out']} left out as wild, "
        f"{rounds['missing_samples']} samples missing",
    ]
    text += noise_lines(noise)
    if ceiling is not None:
        text.append(f"ceiling   {round_statistics.ceiling_text(ceiling)}")
    if noise["noisy"]:
        text.append(
            f"NOISY: {'; '.join(noise['reasons'])}. Stop other programs and run the same command "
            "again with more --rounds, or judge models by the ceiling."
        )
    return text


def noise_lines(noise: Mapping[str, Any]) -> list[str]:
    """Twins and retest in words, of the fields of a `MeasurementNoise` by name."""
    text = []
    if noise["twins"] is not None:
        pairs = "1 pair differs" if noise["pairs"] == 1 else f"{noise['pairs']} pairs differ"
        text.append(f"twins     {pairs} by {noise['twins']:.1%} (median)")
    if noise["retest"] is not None:
        text.append(
            f"retest    {noise['retest']:.0%} within 5 %, one half of the rounds against the other"
        )
    return text
