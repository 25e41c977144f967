"""Evaluation with the shared weights of a finished search."""

from pathlib import Path

import jax

from jaxnas import data
from jaxnas.evaluators import supernet
from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.pipelines import diagnose
from jaxnas.spaces.search_space import SearchSpace


def evaluator(space: SearchSpace, folder: Path) -> tuple[Evaluator, str]:
    """Accuracy and loss on the run's validation images, and the fingerprint of the weights.

    Normalisation has the statistics of each validation batch. Raises ValueError for a run of
    another space or of several stages, and as `diagnose.load`.
    """
    searched = diagnose.load(folder)
    if dict(searched.stage.space) != dict(space.choices):
        raise ValueError(
            f"{folder} was searched in another space than {space.name}: give its --space."
        )
    if (folder / "stages").is_dir():
        raise ValueError(
            f"{folder} has several stages, whose weights are of parts of the space: give a search "
            "of one stage, such as --method spos."
        )
    valid = searched.dataset.valid
    draw = data.make_batch(
        searched.dataset.mean, searched.dataset.std, data.augment.none(), searched.batch_size
    )
    key = jax.random.key(0)
    steps = data.steps_per_epoch(len(valid.labels), searched.batch_size)
    evaluate = supernet.evaluator(searched.net, lambda images, step: draw(images, key, step), steps)
    images = data.to_device(valid)
    shared = supernet.shared_weights(space, lambda gates: evaluate(searched.state, gates, images))
    return shared, f"{folder.resolve().name} step {int(searched.state.step)}"
