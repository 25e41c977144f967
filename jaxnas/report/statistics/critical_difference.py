"""The critical-difference diagram: mean ranks on an axis, bars over those that may be equal."""

from pathlib import Path

from jaxnas.report import figures
from jaxnas.report.statistics import ranks
from jaxnas.report.statistics.ranks import Ranks

AXIS = 300  # its width in CSS pixels


def save(ranked: Ranks, folder: Path, stem: str) -> str:
    """Writes STEM.svg and STEM.png into a folder and returns the `<svg>` element.

    Demšar 2006, figure 1. The axis has rank 1, the best, at the left. Raises OSError.
    """
    names = [figures.printable(name) for name in ranked.mean]
    mean, count = list(ranked.mean.values()), len(ranked.mean)
    bars = ranks.groups(mean, ranked.critical_difference)
    left = (count + 1) // 2  # the better half has its names at the left
    height = 96 + 10 * len(bars) + 22 * left
    margin = 60 + 6.5 * max(map(len, names))
    width = AXIS + 2 * margin
    with figures.figure(width, height) as fig:
        axes = fig.add_axes((margin / width, 0, AXIS / width, 1))
        axes.set_xlim(1, count)
        axes.set_ylim(height, 0)
        axes.axis("off")
        ink, muted = figures.LIGHT["ink"], figures.LIGHT["muted"]
        axis = 62
        axes.plot([1, count], [axis, axis], color=ink, linewidth=1.2, clip_on=False)
        for rank in range(1, count + 1):
            axes.plot([rank] * 2, [axis - 6, axis], color=ink, linewidth=1.2, clip_on=False)
            axes.text(rank, axis - 10, str(rank), ha="center", size=9, color=muted)
        # Wider than the axis it has no second end.
        end, orange = 1 + ranked.critical_difference, figures.LIGHT["orange"]
        axes.plot([1, min(end, count)], [30, 30], color=orange, linewidth=1.2, clip_on=False)
        for rank in (1, end)[: 1 + (end <= count)]:
            axes.plot([rank] * 2, [27, 33], color=orange, linewidth=1.2, clip_on=False)
        axes.text(
            1, 22, f"critical difference {ranked.critical_difference:.2f}", size=9,
            color=figures.LIGHT["orange"],
        )  # fmt: skip
        for number, (first, last) in enumerate(bars):
            y = axis + 10 + 10 * number
            axes.plot(
                [mean[first], mean[last]], [y, y], color=figures.LIGHT["blue"], linewidth=4,
                clip_on=False,
            )  # fmt: skip
        below = axis + 22 + 10 * len(bars)
        for place, (name, rank) in enumerate(zip(names, mean, strict=True)):
            is_left = place < left
            y = below + 22 * (place if is_left else count - 1 - place)
            side = 0.0 if is_left else 1.0
            x = 1 + side * (count - 1)
            axes.plot([rank, rank, x], [axis, y, y], color=muted, linewidth=0.9, clip_on=False)
            axes.annotate(
                f"{name}  {rank:.2f}" if is_left else f"{rank:.2f}  {name}", (x, y),
                (-6 if is_left else 6, 0), textcoords="offset points", va="center", size=9.5,
                ha="right" if is_left else "left", color=ink, annotation_clip=False,
            )  # fmt: skip
        label = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(names, mean, strict=True))
        picture = figures.svg(
            fig,
            f"Mean ranks over {ranked.blocks} seeds, critical difference "
            f"{ranked.critical_difference:.2f}: {label}",
        )
        figures.save_png(fig, Path(folder) / f"{stem}.png")
    figures.save_text(picture, Path(folder) / f"{stem}.svg")
    return picture
