"""`jaxnas methods`: what a search can be done by, and what can be set."""

from collections.abc import Sequence

from jaxnas.cli.errors import UsageError

USAGE = """usage: jaxnas methods [NAME]

Lists the methods of `jaxnas search --method`, or the settings of one of them, to be given as
`--set name=value ...`. Defaults are the papers'; the quick preset changes those that it names.

examples:
  jaxnas methods
  jaxnas methods pc-darts
"""


def run(words: Sequence[str]) -> int:
    """Raises UsageError for words that make no sense and ValueError for an unknown method."""
    if any(word in ("-h", "--help") for word in words):
        print(USAGE, end="")
        return 0
    if len(words) > 1:
        raise UsageError(f"One method at a time, not {' '.join(words)}. See jaxnas methods --help.")
    for line in one(words[0]) if words else every():
        print(line)
    return 0


def every() -> list[str]:
    """A line a method."""
    from jaxnas.methods import selection

    names = selection.names()
    width = max(map(len, names))
    return [f"{name:{width}}  {selection.of(name).what}" for name in names]


def one(name: str) -> list[str]:
    """The settings of a method, its paper's and those of the quick preset."""
    from jaxnas.methods import overrides, selection

    method = selection.of(name)
    paper = {k: v for k, v in method.defaults.items() if k != "min_learning_rate"}
    quick = {k: v for k, v in (selection.QUICK | method.quick).items() if k in paper}
    width = max(map(len, paper))
    lines = [f"{name}: {method.what}"]
    for key, value in paper.items():
        flag = f"--{key.replace('_', '-')}" if key in overrides.FLAGS else key
        change = f"   quick: {shown(quick[key])}" if key in quick else ""
        lines.append(f"  {flag:{width + 2}}  {shown(value)}{change}")
    if method.relaxation:
        lines.append("  may be followed by --select perturbation, with:")
        lines += [f"    {k:{width}}  {shown(v)}" for k, v in selection.PT.items()]
    if method.takes_order:
        lines.append("  --order may be first, exact or finite-difference")
    return lines


def shown(value: object) -> str:
    """A setting as it is typed."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
