"""What `jaxnas explore` searches for: designs, goals and evaluator, from its settings."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxnas.core import names
from jaxnas.evaluators import cost, tabular
from jaxnas.evaluators import evaluator as evaluators
from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.hardware.measure import dataset as campaigns
from jaxnas.hardware.predict import predictor_file
from jaxnas.pipelines import setup
from jaxnas.pipelines.explore import free, scores, shared_weights, short_training
from jaxnas.pipelines.explore.short_training import NETWORK, RECIPE
from jaxnas.pipelines.settings import Recipe
from jaxnas.pipelines.settings.explore import ExploreSettings
from jaxnas.pipelines.settings.limits import fail
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import SearchSpace
from jaxnas.strategies import goals as goal_words
from jaxnas.strategies.designs import combine, design_space, networks
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goal
from jaxnas.strategies.workers import Task


class Exploration(NamedTuple):
    """A resolved and checked problem."""

    space: SearchSpace
    designs: DesignSpace
    goals: tuple[Goal, ...]
    evaluator: Evaluator
    digest: str | None  # of the data, table or weights that evaluate
    is_cheap: bool  # whether evaluations cost next to nothing


def resolve(settings: ExploreSettings) -> Exploration:
    """The problem of checked settings. Raises ValueError, and as `data.load`.

    Everything that cannot be is refused here; nothing is written or trained.
    """
    space = registry.get(settings.space, settings.cells)
    if settings.cells is not None and not space.shaped_by_cells:
        fail(f"--cells has no effect on {space.noun}: say --training.cells, or leave it out.")
    designs, varied = networks.of_space(space), values(settings.vary)
    evaluator, digest, known = _evaluator(settings, space, designs)
    if settings.latency is not None:
        latency = cost.predicted(space, _predictor(settings.latency))
        known |= free.of_evaluator(designs.decode, latency, tuple(latency.maximise))
        latency = evaluators.of_part(NETWORK, latency) if varied else latency
        evaluator = evaluators.merged(evaluator, latency)
    designs = designs._replace(known=known)
    if varied:
        width = len(designs.variables)
        designs = combine.product(**{NETWORK: designs, RECIPE: design_space.of_values(varied)})
        of_network = lambda of: lambda rows: of(rows[:, :width])
        designs = designs._replace(known={name: of_network(of) for name, of in known.items()})
    words = settings.goal or (f"max:{next(iter(evaluator.maximise))}",)
    goals = tuple(goal_words.parse(word) for word in words)
    goal_words.check(goals, tuple(evaluator.maximise))
    is_cheap = settings.evaluate not in ("training", "scores")
    return Exploration(space, designs, goals, evaluator, digest, is_cheap)


def task(settings: ExploreSettings) -> Task:
    """What a worker's process evaluates with."""
    exploration = resolve(settings)
    return Task(exploration.designs, exploration.evaluator, settings.seed)


def network(design: Any) -> Any:
    """The genotype of a decoded design."""
    return design[NETWORK] if isinstance(design, Mapping) else design


def values(words: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """`learning_rate=0.1,0.3` as values by name, each of the type of the recipe's field.

    Raises ValueError for a name that no recipe has, a value of another type, and one given twice.
    """
    fields = {field.name: str(field.type) for field in dataclasses.fields(Recipe)}
    kinds = {name: kind for name, kind in fields.items() if kind.split(" ")[0] in ("int", "float")}
    found: dict[str, tuple[Any, ...]] = {}
    for word in words:
        name, separator, text = word.partition("=")
        name = name.replace("-", "_")
        if name not in kinds or not separator:
            fail(
                f"--vary {word!r}: {names.hint(name, kinds)}give name=value,value with a name "
                f"among {', '.join(kinds)}."
            )
        number = int if kinds[name].startswith("int") else float
        try:
            of_name = tuple(number(part) for part in text.split(","))
        except ValueError:
            fail(f"--vary {word!r}: give {number.__name__} numbers with commas between.")
        if len(set(of_name)) < len(of_name) or name in found:
            fail(f"--vary {name} has a value twice: give each once.")
        found[name] = of_name
    return found


def _evaluator(
    settings: ExploreSettings, space: SearchSpace, designs: DesignSpace
) -> tuple[Evaluator, str | None, dict[str, free.Known]]:
    """(evaluator, digest of what it evaluates with, what is known without it)."""
    kind, _, run = settings.evaluate.partition(":")
    if kind == "supernet":
        return *shared_weights.evaluator(space, Path(run).expanduser()), {}
    if kind == "table":
        benchmark = tabular.of(space)
        path = benchmark.locate(settings.table)
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        evaluator = benchmark.evaluator(benchmark.load(path))
        known = free.of_evaluator(designs.decode, evaluator, ("parameters", "macs"))
        return evaluator, digest, known
    dataset = setup.load(settings.source, settings.train_fraction)
    recipe = settings.training
    for name, of_name in values(settings.vary).items():
        for value in of_name:
            recipe = dataclasses.replace(recipe, **{name: value})
            short_training.check(space, dataset, recipe)
    short_training.check(space, dataset, recipe)
    known = free.counted(space, designs, dataset, recipe)
    if kind == "scores":
        named = [goal_words.parse(word).figure for word in settings.goal]
        return scores.evaluator(space, dataset, recipe, named), dataset.digest, known
    return short_training.evaluator(space, dataset, recipe), dataset.digest, known


def _predictor(text: str):
    """A model's file, or the model of a campaign's folder. Raises ValueError."""
    path = Path(text).expanduser()
    if path.is_dir():
        return campaigns.fit_predictor(campaigns.load(path))
    return predictor_file.load(path)
