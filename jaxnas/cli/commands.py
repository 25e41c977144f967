"""The commands of `jaxnas` by name: their settings, help and functions."""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tyro.conf

from jaxnas.cli import texts
from jaxnas.pipelines import command_line
from jaxnas.pipelines.command_line import UsageError
from jaxnas.pipelines.settings import RetrainSettings, SearchSettings
from jaxnas.pipelines.settings.ablation import AblateSettings, CompareSettings, VerifySettings
from jaxnas.pipelines.settings.diagnose import DiagnoseSettings
from jaxnas.pipelines.settings.explore import ExploreSettings
from jaxnas.pipelines.settings.export import ClassifySettings, ExportSettings
from jaxnas.pipelines.settings.latency import (
    CheckTableSettings,
    FitSettings,
    MeasureSettings,
    PredictSettings,
    ReportPredictorSettings,
)
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.pipelines.settings.oracle import BuildSettings, QuerySettings

HELP = ("-h", "--help", "help")


@dataclasses.dataclass(frozen=True)
class ReportSettings:
    run: tyro.conf.Positional[str]
    """A folder that jaxnas search or jaxnas retrain wrote."""


@dataclasses.dataclass(frozen=True)
class DrawSettings:
    genotype: tyro.conf.Positional[str]
    """A genotype.json, a run folder, or a published name such as DARTS_V2."""
    out: str = "."
    """The folder for the pictures; created if it is missing."""


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    file: tyro.conf.Positional[str]
    """A Python file that defines a space, as in docs/extending.md."""


@dataclasses.dataclass(frozen=True)
class ListSettings:
    name: tyro.conf.Positional[str | None] = None
    """One of them; by default all are listed."""


@dataclasses.dataclass(frozen=True)
class MethodsSettings:
    name: tyro.conf.Positional[str | None] = None
    """One of them; by default all are listed."""
    axes: bool = False
    """All methods and strategies by space, strategy, acceleration and source of costs."""


class Command(NamedTuple):
    """`function`, as module:name, takes the settings; it may return an exit code.

    Modules are imported on demand, since jax takes seconds to import.
    """

    settings: type
    text: str
    function: str


COMMANDS: Mapping[str, Command] = {
    "search": Command(SearchSettings, texts.SEARCH, "jaxnas.pipelines.search:main"),
    "explore": Command(ExploreSettings, texts.EXPLORE, "jaxnas.pipelines.explore.explore:main"),
    "retrain": Command(RetrainSettings, texts.RETRAIN, "jaxnas.pipelines.retrain:main"),
    "narrow": Command(NarrowSettings, texts.NARROW, "jaxnas.pipelines.narrow:main"),
    "export": Command(ExportSettings, texts.EXPORT, "jaxnas.pipelines.export.export:main"),
    "predict": Command(ClassifySettings, texts.PREDICT, "jaxnas.pipelines.export.predict:main"),
    "report": Command(ReportSettings, texts.REPORT, "jaxnas.cli.commands:report"),
    "draw": Command(DrawSettings, texts.DRAW, "jaxnas.cli.commands:draw"),
    "check": Command(CheckSettings, texts.CHECK, "jaxnas.cli.commands:check"),
    "methods": Command(MethodsSettings, texts.METHODS, "jaxnas.cli.listing:methods"),
    "strategies": Command(ListSettings, texts.STRATEGIES, "jaxnas.cli.listing:strategies"),
    "spaces": Command(ListSettings, texts.SPACES, "jaxnas.cli.listing:spaces"),
    "ablate": Command(AblateSettings, texts.ABLATE, "jaxnas.pipelines.ablation.ablate:main"),
    "compare": Command(CompareSettings, texts.COMPARE, "jaxnas.pipelines.ablation.compare:main"),
    "verify": Command(VerifySettings, texts.VERIFY, "jaxnas.pipelines.ablation.verify:main"),
    "diagnose": Command(DiagnoseSettings, texts.DIAGNOSE, "jaxnas.pipelines.diagnose:main"),
    "oracle query": Command(QuerySettings, texts.ORACLE_QUERY, "jaxnas.pipelines.oracle:query"),
    "oracle build": Command(BuildSettings, texts.ORACLE_BUILD, "jaxnas.pipelines.oracle:build"),
    "latency measure": Command(
        MeasureSettings, texts.LATENCY_MEASURE, "jaxnas.pipelines.latency.measure:main"
    ),
    "latency fit": Command(
        FitSettings, texts.LATENCY_FIT, "jaxnas.pipelines.latency.predict:fit_model"
    ),
    "latency predict": Command(
        PredictSettings, texts.LATENCY_PREDICT, "jaxnas.pipelines.latency.predict:predict"
    ),
    "latency report": Command(
        ReportPredictorSettings, texts.LATENCY_REPORT, "jaxnas.pipelines.latency.predict:report"
    ),
    "latency check": Command(
        CheckTableSettings, texts.LATENCY_CHECK, "jaxnas.pipelines.latency.check:main"
    ),
}
# Help of commands with subcommands.
GROUPS: Mapping[str, str] = {"oracle": texts.ORACLE, "latency": texts.LATENCY}


def run(words: Sequence[str]) -> int:
    """Runs the command in `words`; returns its exit code. Raises UsageError."""
    if not words or words[0] in HELP:
        print(texts.JAXNAS, end="")
        return 0
    name, *arguments = words
    if name == "--version":
        from jaxnas.cli import version

        print(f"jaxnas {version.version()}")
        return 0
    if name == "--completion":
        from jaxnas.cli import completion

        shell = arguments[0] if arguments else ""
        settings_of = {name: command.settings for name, command in COMMANDS.items()}
        print(completion.script(shell, settings_of, GROUPS), end="")
        return 0
    if name in GROUPS:
        if not arguments or arguments[0] in HELP:
            print(GROUPS[name], end="")
            return 0
        group, (part, *arguments) = name, arguments
        name = f"{group} {part}"
    if name not in COMMANDS:
        raise _unknown(name)
    command = COMMANDS[name]
    settings = command_line.parse(command.settings, arguments, f"jaxnas {name}", command.text)
    if settings is None:
        return 0
    module, _, function = command.function.partition(":")
    code = getattr(importlib.import_module(module), function)(settings)
    return code if isinstance(code, int) else 0


def report(settings: ReportSettings) -> None:
    """Writes the report of a run folder again. Raises ValueError and OSError."""
    from pathlib import Path

    from jaxnas.report import run_page, run_reader

    run_reader.check_run(Path(settings.run))
    print(run_page.write(settings.run))


def draw(settings: DrawSettings) -> None:
    """Draws the cells of a genotype. Raises GenotypeError, ValueError and OSError."""
    from pathlib import Path

    from jaxnas.pipelines import genotypes

    genotype, _ = genotypes.named(settings.genotype)
    out = Path(settings.out).expanduser()
    out.mkdir(parents=True, exist_ok=True)
    for path in genotypes.pictures(genotype, out):
        print(path, path.with_suffix(".png"))
    for line in genotypes.warnings(genotype):
        print(line)


def check(settings: CheckSettings) -> int:
    """Checks a user's space; 0 if all claims hold."""
    from jaxnas.run import process
    from jaxnas.spaces.user import runner

    with process.unoptimised():
        return runner.run(settings.file)


def _unknown(name: str) -> UsageError:
    from jaxnas.core.names import hint

    group, _, part = name.rpartition(" ")
    if group:
        names = [other.rpartition(" ")[2] for other in COMMANDS if other.startswith(f"{group} ")]
    else:
        names = list(dict.fromkeys(other.partition(" ")[0] for other in COMMANDS))
        names += ["--help", "--version", "--completion"] if part.startswith("-") else []
    quoted = f"'{name}'" if group else repr(part)
    meant = hint(part, names)
    return UsageError(f"No command {quoted}: {meant}there are {', '.join(names)}.")
