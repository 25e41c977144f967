"""One row of an ablation: a search, and further trainings of the cell that it finds."""

from pathlib import Path

import rich.console

from jaxnas.pipelines import genotypes, retrain, search
from jaxnas.pipelines.settings import SearchSettings

# Between the seeds of the trainings of one cell; a search's own seed is that of the first.
# Our own choice: far from the seeds that people give.
SEED_STEP = 100_003


def run(settings: SearchSettings, trainings: int, console: rich.console.Console) -> Path:
    """Runs the row, or resumes it from its folder; returns that. Raises as `search.main`."""
    folder = search.main(settings, console)
    if trainings > 1:
        task = search.resolve(settings, console).search
        genotype = genotypes.read(folder / search.GENOTYPE)
        for number in range(1, trainings):
            seed = (settings.seed + SEED_STEP * number) % 2**32
            retrain.train(
                retrain.TrainingTask(
                    task.space, genotype, task.settings.retrain, seed, task.dataset, mesh=task.mesh
                ),
                folder / "retrain" / f"found-{number}",
                title=f"retrain found, training {number + 1} of {trainings}",
                place=settings.place,
                console=console,
                timed=False,
            )
    return folder
