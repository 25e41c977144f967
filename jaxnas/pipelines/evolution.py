"""Selection by evolution over the weights that a supernet shares. SPOS, section 3.4.

https://arxiv.org/abs/1904.00420, with regularised evolution in the place of its genetic algorithm.
"""

from collections.abc import Callable

import numpy as np

from jaxnas.core.stages import StageResult
from jaxnas.core.types import Gates
from jaxnas.evaluators import supernet
from jaxnas.methods import registry
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.pipelines.settings.search import Evolution
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace
from jaxnas.strategies import evaluation
from jaxnas.strategies.designs import networks
from jaxnas.strategies.goals import Goal, order
from jaxnas.strategies.regularised_evolution import regularised_evolution
from jaxnas.strategies.strategy import simulate

BATCH = 10  # networks that are asked for at once, which costs little (strategies in tens)


def check(settings: SearchSettings, space: SearchSpace) -> None:
    """Raises ValueError where evolution cannot follow the method, and for settings of it alone."""
    if settings.select != "evolution":
        if settings.evolution != Evolution():
            raise ValueError("--evolution has no effect without --select evolution: leave it out.")
        return
    if not registry.get(settings.method).samples_paths:
        able = ", ".join(name for name in registry.names() if registry.get(name).samples_paths)
        raise ValueError(
            f"Evolution does not follow the method {settings.method}, whose weights are not "
            f"trained for single networks: use one of {able}."
        )
    if space.edges_per_node is not None:
        raise ValueError(
            f"Evolution does not select cells of {space.name}, which keep some edges a node alone: "
            "use --select strongest."
        )
    if any(word.partition("=")[0] == "samples" for word in settings.set):
        raise ValueError("--set samples has no effect on --select evolution: leave it out.")
    budget = settings.evolution
    if not 1 <= budget.tournament <= budget.population <= budget.evaluations:
        raise ValueError(
            f"--evolution.tournament {budget.tournament}, --evolution.population "
            f"{budget.population} and --evolution.evaluations {budget.evaluations} must ascend, "
            "from 1."
        )


def select(settings: SearchSettings, space: SearchSpace, finished: StageResult) -> Genotype:
    """The network that scores best of all that were evaluated with the weights of the supernet."""
    best = evolve(space, finished.evaluate, settings.evolution, settings.seed)
    return space.genome.decode(best)


def evolve(
    space: SearchSpace,
    evaluate: Callable[[Gates], tuple[np.ndarray, np.ndarray]],
    budget: Evolution,
    seed: int,
) -> np.ndarray:
    """i64[positions]: the best network of a budget; `evaluate` is that of a `StageResult`.

    Of a space whose networks keep all edges.
    """
    evaluator = supernet.shared_weights(space, evaluate)
    goal = Goal(budget.by, 1 if evaluator.maximise[budget.by] else -1)
    designs = networks.of_space(space)
    history = simulate(
        regularised_evolution(
            designs, [goal], population=budget.population, tournament=budget.tournament, batch=BATCH
        ),
        evaluation.values(designs, [goal], evaluator, seed),
        budget.evaluations,
        seed,
    )
    return history.designs[order([goal], history.values)[0]]
