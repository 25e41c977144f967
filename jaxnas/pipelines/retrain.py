"""`jaxnas retrain`: trains the network of a genotype, tests it, reports."""

import json
from pathlib import Path

import rich.console

from jaxnas import run
from jaxnas.nets import count
from jaxnas.pipelines import genotypes, setup, training
from jaxnas.pipelines import summary as pipelines_summary
from jaxnas.pipelines.settings import RetrainSettings, command
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import retrain as retrains
from jaxnas.report import run_page
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry

GENOTYPE, SUMMARY = "genotype.json", "summary.json"


def main(settings: RetrainSettings, console: rich.console.Console | None = None) -> Path:
    """The whole run, from wherever its folder was left; gives the folder.

    Raises ValueError for settings that are impossible or have no effect, GenotypeError for
    what is no genotype, and what `data.load`, `run.claim` and `run.loop` raise.
    """
    console = console or rich.console.Console()
    note = lambda text="": progress.print_line(console, text)
    retrains.check(settings)
    genotype, label = genotypes.named(settings.genotype)
    name = f"{setup.label(settings.source.data)}-retrain-{setup.label(label)}"
    folder = setup.folder(settings.place, f"{name}-seed{settings.seed}")
    entry = registry.entry(settings.space) if settings.space else registry.of_genotype(genotype)
    compilation_cache.enable()
    found = setup.load(settings.source)
    shape = found.train.inputs.shape[1:]
    family = registry.family_of(genotype)
    recipe = recipes.resolved(settings.recipe, family, shape)
    training.check(entry, genotype, recipe, found)
    size = count.size(training.network(entry, genotype, recipe, len(found.class_names)), shape)
    cells = f"{recipe.cells} cells, " if recipe.cells else ""
    note(f"jaxnas trains the network of {label} on {found.name}: {setup.images(found)}")
    note(
        f"{recipe.epochs} epochs; {cells}{recipe.features} channels, "
        f"{size.parameters:,} parameters, {size.macs:,} MACs"
    )
    note(f"everything goes to {folder}")
    result = training.train(
        entry,
        genotype,
        recipe,
        settings.seed,
        found,
        folder=folder,
        title="retrain",
        saving=setup.saving(settings.place),
        mode=settings.place.mode,
        console=console,
    )
    run.write_text(folder / GENOTYPE, genotype_text.to_json(genotype))
    again = command("jaxnas retrain", settings, RetrainSettings(""))
    summary = {"found": result, "command": again, "resume": f"{again} --resume"}
    run.write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
    report = run_page.write(folder)
    for line in pipelines_summary.comparison(result, [], len(found.test.labels)):
        note(line)
    note(f"report: {report}")
    return folder
