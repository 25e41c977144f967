"""Pictures of a search by evaluations: the best so far, fronts, parallel coordinates.

Figures go by name, f64[N] each; failed evaluations are NaN and are left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxnas.report import figures
from jaxnas.report.figures import LIGHT


def best_so_far(
    figure: str, curves: Mapping[str, np.ndarray], larger_is_better: bool, folder: Path, stem: str
) -> str:
    """The best value after each evaluation, a line a search; writes STEM.svg and .png.

    Returns the `<svg>` element. Raises OSError.
    """
    with figures.figure(600, 320) as fig:
        axes = fig.add_axes((0.12, 0.16, 0.84, 0.72))
        for colour, (name, values) in zip(_colours(), curves.items(), strict=False):
            accumulate = np.fmax.accumulate if larger_is_better else np.fmin.accumulate
            best = accumulate(np.asarray(values, float))
            axes.step(
                1 + np.arange(len(best)), best, where="post", color=LIGHT[colour],
                label=figures.printable(name),
            )  # fmt: skip
        axes.set(xlabel="evaluations", ylabel=figures.printable(figure), title="Best so far")
        axes.legend(frameon=False)
        axes.grid(axis="y")
        return _saved(fig, f"Best {figure} after each evaluation", folder, stem)


def fronts(
    axes_names: tuple[str, str],
    points: Mapping[str, np.ndarray],
    front_rows: Mapping[str, np.ndarray],
    folder: Path,
    stem: str,
) -> str:
    """All designs of each search as dots, its front as a line; f64[N, 2] and i[n] by name.

    Writes STEM.svg and .png, returns the `<svg>` element. Raises OSError.
    """
    with figures.figure(600, 420) as fig:
        axes = fig.add_axes((0.12, 0.13, 0.84, 0.77))
        for colour, (name, values) in zip(_colours(), points.items(), strict=False):
            axes.plot(*values.T, ".", color=LIGHT[colour], markersize=5, alpha=0.4)
            front = values[front_rows[name]]
            front = front[np.argsort(front[:, 0])]
            axes.plot(*front.T, "o-", color=LIGHT[colour], label=figures.printable(name))
        x, y = map(figures.printable, axes_names)
        axes.set(xlabel=x, ylabel=y, title="All designs, and the fronts")
        axes.legend(frameon=False)
        axes.grid()
        return _saved(fig, f"{y} against {x}, with the front of each search", folder, stem)


def parallel_coordinates(
    names: Sequence[str],
    labels: Sequence[Sequence[str]],
    designs: np.ndarray,
    score: np.ndarray,
    folder: Path,
    stem: str,
) -> str:
    """A line a design through its values, i64[N, variables], coloured by `score`, f64[N].

    `labels`: the values of each variable. Larger scores are darker and on top. Writes STEM.svg and
    .png, returns the `<svg>` element. Raises OSError.
    """
    width = max(600, 90 * len(names))
    with figures.figure(width, 380) as fig:
        axes = fig.add_axes((0.06, 0.2, 0.88, 0.68))
        known = np.isfinite(score)
        order = np.argsort(score[known], kind="stable")
        heights = designs / np.maximum([len(of) - 1 for of in labels], 1)
        for place, row in enumerate(heights[known][order]):
            share = (place + 1) / len(order)
            axes.plot(row, color=LIGHT["blue"], alpha=0.05 + 0.6 * share**3, linewidth=1.2)
        for column, of_variable in enumerate(labels):
            for value, text in enumerate(of_variable):
                height = value / max(len(of_variable) - 1, 1)
                axes.text(
                    column + 0.03, height, figures.printable(text)[:14], size=7,
                    color=LIGHT["muted"], va="bottom",
                )  # fmt: skip
        axes.set_xticks(range(len(names)), map(figures.printable, names), rotation=30, ha="right")
        axes.set_yticks([])
        axes.set_title("Designs by their values, the best darkest")
        axes.grid(axis="x")
        return _saved(fig, f"{len(designs)} designs by their values", folder, stem)


def _colours() -> tuple[str, ...]:
    return ("blue", "orange", "teal", "violet")


def _saved(fig: figures.Figure, label: str, folder: Path, stem: str) -> str:
    picture = figures.svg(fig, label)
    figures.save_png(fig, Path(folder) / f"{stem}.png")
    figures.save_text(picture, Path(folder) / f"{stem}.svg")
    return picture
