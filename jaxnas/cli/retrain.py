"""`jaxnas retrain`: trains the network of a genotype, tests it, reports."""

import json
from pathlib import Path

import rich.console

from jaxnas import catalogue, retrain, run
from jaxnas import genotype as genotype_text
from jaxnas.cli import genotypes, opening, telling
from jaxnas.nets import count
from jaxnas.report import page
from jaxnas.run import progress
from jaxnas.settings import RetrainSettings, command
from jaxnas.settings import recipe as recipes
from jaxnas.settings import retrain as retrains

GENOTYPE, SUMMARY = "genotype.json", "summary.json"


def main(settings: RetrainSettings, console: rich.console.Console | None = None) -> Path:
    """The whole run, from wherever its folder was left; gives the folder.

    Raises ValueError for settings that are impossible or have no effect, GenotypeError for
    what is no genotype, and what `data.load`, `run.claim` and `run.loop` raise.
    """
    console = console or rich.console.Console()
    note = lambda text="": progress.say(console, text)
    retrains.check(settings)
    genotype, label = genotypes.named(settings.genotype)
    name = f"{opening.label(settings.source.data)}-retrain-{opening.label(label)}"
    folder = opening.folder(settings.place, f"{name}-seed{settings.seed}")
    entry = catalogue.entry(settings.space) if settings.space else catalogue.of_genotype(genotype)
    run.cache.enable()
    found = opening.load(settings.source)
    shape = found.train.inputs.shape[1:]
    family = catalogue.family_of(genotype)
    recipe = recipes.resolved(settings.recipe, family, shape)
    retrain.refuse(entry, genotype, recipe, found)
    size = count.size(retrain.network(entry, genotype, recipe, len(found.class_names)), shape)
    cells = f"{recipe.cells} cells, " if recipe.cells else ""
    note(f"jaxnas trains the network of {label} on {found.name}: {opening.images(found)}")
    note(
        f"{recipe.epochs} epochs; {cells}{recipe.features} channels, "
        f"{size.parameters:,} parameters, {size.macs:,} MACs"
    )
    note(f"everything goes to {folder}")
    result = retrain.train(
        entry,
        genotype,
        recipe,
        settings.seed,
        found,
        folder=folder,
        title="retrain",
        saving=opening.saving(settings.place),
        mode=settings.place.mode,
        console=console,
    )
    run.write_text(folder / GENOTYPE, genotype_text.to_json(genotype))
    again = command("jaxnas retrain", settings, RetrainSettings(""))
    summary = {"found": result, "command": again, "resume": f"{again} --resume"}
    run.write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
    report = page.write(folder)
    for line in telling.comparison(result, [], len(found.test.labels)):
        note(line)
    note(f"report: {report}")
    return folder
