"""The model card of an exported network, in Markdown.

Its sections follow Mitchell et al. 2019, https://arxiv.org/abs/1810.03993, as far as a run knows
what belongs there.
"""

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxnas.pipelines.export.trained import TrainedNetwork
from jaxnas.report import formatting, table
from jaxnas.spaces import dataflow

CARD = "MODEL_CARD.md"
Z = 1.96  # of a 95 % interval


def text(trained: TrainedNetwork, exports: Mapping[str, Mapping[str, Any]]) -> str:
    """The card. `exports`: the figures of `check.run` by format, with `file` and `bytes`."""
    parts = (
        _title(trained), _data(trained), _protocol(trained), _figures(trained), _files(exports),
        _limits(trained), _reproduction(trained),
    )  # fmt: skip
    return "\n\n".join(parts) + "\n"


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many images. Wilson 1927."""
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + (Z / count) ** 2 / 4)
    return centre - half, centre + half


def seeds(trained: TrainedNetwork) -> dict[int, float]:
    """The test accuracy of the runs beside this one that differ in the seed alone, by seed."""
    own = _settings(trained.run)
    accuracies = {}
    for other in sorted(trained.run.resolve().parent.iterdir()):
        settings = _settings(other)
        result = other / trained.folder.relative_to(trained.run) / "result.json"
        is_alike = (
            settings is not None
            and own is not None
            and all(
                settings.get(key) == own.get(key)
                for key in settings.keys() | own.keys()
                if key not in ("seed", "split_seed")
            )
        )
        if is_alike and result.exists():
            try:
                top1 = json.loads(result.read_text(encoding="utf-8"))["top1"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            accuracies[settings.get("seed")] = float(top1)
    return accuracies


def _settings(folder: Path) -> dict[str, Any] | None:
    try:
        record = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        return {**record["settings"], "data": record["data"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _title(trained: TrainedNetwork) -> str:
    record, result = trained.record, trained.result
    height, width, channels = record.image
    pruned = ", pruned by `jaxnas narrow`" if record.pruned else ""
    return (
        f"# {trained.run.resolve().name}\n\n"
        f"An image classifier of {len(record.class_names)} classes: a network of the space "
        f"`{trained.genotype.space}` trained by jaxnas{pruned}. It takes "
        f"{height}x{width} images of {channels} channel{'s' * (channels > 1)}, a byte each, "
        f"normalises them itself, and gives a logit a class. {result['parameters']:,} parameters, "
        f"{result['macs']:,} multiply-adds an image.\n\n"
        f"Classes: {', '.join(record.class_names)}."
    )


def _data(trained: TrainedNetwork) -> str:
    record = trained.record
    count = sum(trained.result["reliability"]["count"])
    return (
        f"## Data\n\n`{trained.settings['data']}`: {record.images:,} images to learn from, "
        f"{int(count):,} to test on. Their licence, origin and biases are those of that data; "
        "jaxnas knows nothing of them."
    )


def _protocol(trained: TrainedNetwork) -> str:
    recipe = trained.recipe
    size = f"{recipe.cells} cells, " if recipe.cells else ""
    parts = [
        f"{size}{recipe.features} channels",
        f"{recipe.epochs} epochs of batches of {recipe.batch_size}",
        f"SGD with momentum 0.9, learning rate {recipe.learning_rate} falling to 0 by a cosine",
        f"weight decay {recipe.weight_decay}, gradients clipped to {recipe.clip_norm}",
        f"padding {recipe.pad}, {'flips' if recipe.flip else 'no flips'}, cutout {recipe.cutout}",
        f"drop-path {recipe.drop_path}, auxiliary classifier {recipe.auxiliary}",
    ]
    parts += [f"the average of the weights (decay {recipe.ema}) was tested"] if recipe.ema else []
    lines = "\n".join(f"- {part}" for part in parts)
    start = "## Protocol\n\nTrained on all training images, then tested once."
    return f"{start}\n\n{lines}\n- seed {trained.settings['seed']}"


def _figures(trained: TrainedNetwork) -> str:
    result, count = trained.result, int(sum(trained.result["reliability"]["count"]))
    digits = formatting.digits_for(count)
    percent = lambda value: formatting.percent(value, digits).replace(formatting.SPACE, " ")
    low, high = wilson(result["top1"], count)
    accuracies = seeds(trained)
    if len(accuracies) > 1:
        mean, spread = statistics.mean(accuracies.values()), statistics.stdev(accuracies.values())
        spread_text = (
            f"{100 * mean:.{digits}f} ± {100 * spread:.{digits}f} % over {len(accuracies)} seeds "
            f"({', '.join(map(str, sorted(accuracies)))}; standard deviation)"
        )
    else:
        spread_text = "one seed: its spread is not known; run it with other seeds beside this one"
    rows = [
        ("test accuracy", f"{percent(result['top1'])} of {count:,} images"),
        ("95 % interval of the images", f"{percent(low)} to {percent(high)} (Wilson)"),
        ("over seeds", spread_text),
        ("top-5", percent(result["top5"])),
        ("cross entropy", f"{result['loss']:.3g} nats"),
        ("calibration", f"{100 * result['ece']:.2f} % expected error (ECE)"),
    ]
    if result.get("latency_ms"):
        device = _environment(trained).get("device", {}).get("kind", "the device it ran on")
        rows.append(("latency", f"{result['latency_ms']:.4g} ms an image, in jaxnas on {device}"))
    return "## Figures\n\n" + table.markdown(table.TextTable(("figure", "value"), rows)).rstrip()


def _files(exports: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        (
            f"`{figures['file']}`", figures["runtime"], f"{figures['bytes'] / 1e3:,.0f} kB",
            f"{100 * figures['top1']:.2f} %", f"{figures['max_difference']:.1e}",
            f"{figures['latency_ms']:.3g} ms",
        )
        for figures in exports.values()
    ]  # fmt: skip
    head = ("file", "checked in", "size", "test accuracy", "logits differ by", "latency")
    device = next((figures["device"] for figures in exports.values()), "")
    return (
        "## Files\n\nEach was run in a process without jaxnas on all test images, on one image at "
        f"a time for the latency (median; {device}, shared with whatever else ran):\n\n"
        + table.markdown(table.TextTable(head, rows)).rstrip()
        + "\n\nInput `u8[B, H, W, C]`, output logits `f32[B, classes]`, for any B."
    )


def _limits(trained: TrainedNetwork) -> str:
    lines = [
        "It names one of its classes for any picture, whatever it shows.",
        "The figures hold for images like the test images: same source, same cropping and scaling.",
        "Its confidence is off by the calibration error on average, on other images by more.",
        "Nobody looked at who or what it fails on: test it on the groups that matter to you.",
    ]
    lines += [
        f"Of the output of the cell {name}, node {', '.join(map(str, nodes))} is always 0."
        for name, nodes in dataflow.dead_outputs(trained.genotype).items()
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _reproduction(trained: TrainedNetwork) -> str:
    environment = _environment(trained)
    versions = environment.get("versions", {})
    known = ", ".join(f"{name} {version}" for name, version in versions.items())
    commit = environment.get("commit")
    return (
        f"## Reproduce\n\n```\n{trained.summary.get('command', '')}\n```\n\n"
        f"{known}{f', commit {commit}' if commit else ''}. The same seed gives the same bytes on "
        "the same machine and number of cores. SHA-256 of the final state: "
        f"`{trained.result['digest']}`."
    )


def _environment(trained: TrainedNetwork) -> Mapping[str, Any]:
    try:
        record = json.loads((trained.folder / "settings.json").read_text(encoding="utf-8"))
        return record["environment"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
