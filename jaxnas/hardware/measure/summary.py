"""What a campaign says of its device and of itself."""

import statistics
from typing import Any

import numpy as np

from jaxnas.hardware import programs
from jaxnas.hardware.measure import campaign_file, round_statistics, session
from jaxnas.hardware.measure.campaign_file import Raw


def of(raw: Raw) -> dict[str, Any]:
    """What a campaign says of its device and of itself, as JSON values; times in milliseconds.

    Every program has a valid sample.
    """
    summary = round_statistics.summarise(raw.rounds_ms)
    noise = round_statistics.noise(raw.rounds_ms, campaign_file.pairs(raw))
    away = round_statistics.differences(summary.latency_ms, campaign_file.pairs(raw))
    ceiling = round_statistics.ceiling(summary.latency_ms, away)
    networks = np.array([kind == programs.NETWORK for kind in raw.kinds])
    times = summary.latency_ms[networks] if networks.any() else summary.latency_ms
    return {
        **{name: raw.header[name] for name in ("device", "settings", "begun", "spent_s", "load")},
        "programs": {kind: raw.kinds.count(kind) for kind in dict.fromkeys(raw.kinds)},
        "latency_ms": {
            "least": float(times.min()),
            "median": statistics.median_high(times.tolist()),  # what a network takes
            "most": float(times.max()),
        },
        "spread": float(np.median(summary.spread_ms / summary.latency_ms)),
        "rounds": {
            "taken": campaign_file.taken(raw),
            "sessions": len(np.unique(raw.session)),
            "left_out": int((~summary.kept).sum()),
            "missing_samples": session.visits(raw) - int(np.isfinite(raw.rounds_ms).sum()),
            "slowest_over_fastest": float(
                summary.factors[summary.kept].max() / summary.factors[summary.kept].min()
            ),
        },
        "noise": {"noisy": bool(noise.reasons), **noise._asdict(), "reasons": [*noise.reasons]},
        "ceiling": None if ceiling is None else ceiling._asdict(),
    }
