"""The classes of a source: one for all modules that compute the same up to some integers."""

import collections
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jaxnas.nets.standalone import expressions
from jaxnas.nets.standalone.expressions import Expression
from jaxnas.nets.standalone.layers import SourceError, mark
from jaxnas.nets.standalone.trace import Constant, Equation, ModuleCall, Path, Value

MARKED = re.compile(r"«(\w+)=(-?[0-9]+)»")
NETWORK = "Network"  # the class of the whole
LONGEST, LONGEST_CALL = 60, 0  # of an expression, of a call, that stands within another one
VERBS = {"add": "total", "concatenate": "joined"}  # the name of a variable, by its operation


class Use(NamedTuple):
    """How a module is written where it is called."""

    text: str  # Python that makes it or, for a mere function, computes it; {x} is its argument
    is_function: bool
    trains: bool  # whether its call takes `train`


class Written(NamedTuple):
    """The body of a module's call, integers marked."""

    call: ModuleCall
    arguments: tuple[str, ...]
    lines: tuple[str, ...]
    trains: bool


class SourceClass(NamedTuple):
    """A class of the source, and the modules that are of it."""

    name: str
    about: str
    fields: tuple[str, ...]
    arguments: tuple[str, ...]
    lines: tuple[str, ...]
    trains: bool
    paths: tuple[Path, ...]


def of_network(whole: ModuleCall) -> list[SourceClass]:
    """The classes of a traced network, inner ones first; the last one is the network's.

    Modules of one class of ours are one class of the source if their calls differ in integers
    alone, which become its fields. Raises SourceError for what cannot be written.
    """
    uses: dict[Path, Use] = {}
    classes: list[SourceClass] = []
    by_height = collections.defaultdict(list)
    for call in _all(whole):
        by_height[_height(call)].append(call)
    for height in sorted(by_height):
        alike = collections.defaultdict(list)
        for call in by_height[height]:
            if call.layer is not None:
                uses[call.path] = Use(call.layer.text, False, call.layer.trains)
                continue
            written = _written(call, uses)
            if (function := _as_function(written)) is not None:
                uses[call.path] = Use(function, True, False)
                continue
            skeleton = MARKED.sub("«»", "\n".join(written.lines))
            alike[call.kind, skeleton, written.arguments].append(written)
        for (kind, *_), members in alike.items():
            used = {NETWORK, *(other.name for other in classes)}
            name = _free_name(kind, used) if members[0].call.path else NETWORK
            new, values = _class(name, members)
            classes.append(new)
            for member, numbers in zip(members, values, strict=True):
                pairs = zip(new.fields, numbers, strict=True)
                text = ", ".join(f"{field}={mark(n, field)}" for field, n in pairs)
                uses[member.call.path] = Use(f"{new.name}({text}", False, new.trains)
    return classes


def _all(call: ModuleCall) -> Iterator[ModuleCall]:
    if call.layer is None:
        for item in call.body:
            if isinstance(item, ModuleCall):
                yield from _all(item)
    yield call


def _height(call: ModuleCall) -> int:
    if call.layer is not None:
        return 0
    inner = [_height(item) for item in call.body if isinstance(item, ModuleCall)]
    return 1 + max(inner, default=0)


def _free_name(kind: str, used: set[str]) -> str:
    name, number = kind, 1
    while name in used:
        number += 1
        name = f"{kind}{number}"
    return name


def _as_function(written: Written) -> str | None:
    """The expression of a module without weights, if it is only one."""
    if len(written.lines) != 1 or len(written.arguments) != 1 or "name=" in written.lines[0]:
        return None
    if "self." in written.lines[0]:
        return None
    text, argument = written.lines[0].removeprefix("return "), written.arguments[0]
    if text != argument and not text.startswith("nn."):
        return None  # an expression that might need brackets
    return re.sub(rf"\b{argument}\b", "{x}", text)


def _class(name: str, members: Sequence[Written]) -> tuple[SourceClass, list[tuple[int, ...]]]:
    """The class of modules alike, and the values of its fields for each of them."""
    texts = ["\n".join(member.lines) for member in members]
    names = [name for name, _ in MARKED.findall(texts[0])]
    rows = [[int(number) for _, number in MARKED.findall(text)] for text in texts]
    fields: dict[tuple[int, ...], str] = {}
    words = []
    for name_of_number, column in zip(names, zip(*rows, strict=True), strict=True):
        if len(set(column)) == 1:
            words.append(str(column[0]))
            continue
        if column not in fields:
            own = _own_name(column, members) or name_of_number
            fields[column] = _free_name(own, set(fields.values()))
        words.append(f"self.{fields[column]}")
    places = iter(words)
    lines = MARKED.sub(lambda _: next(places), texts[0]).split("\n")
    new = SourceClass(
        name, members[0].call.about, tuple(fields.values()), members[0].arguments, tuple(lines),
        members[0].trains, tuple(member.call.path for member in members),
    )  # fmt: skip
    return new, list(zip(*fields, strict=True)) if fields else [() for _ in members]


def _own_name(column: Sequence[int], members: Sequence[Written]) -> str | None:
    """The setting of our module that has these values."""
    for name in members[0].call.fields:
        if tuple(member.call.fields.get(name) for member in members) == tuple(column):
            return name
    return None


def _written(call: ModuleCall, uses: Mapping[Path, Use]) -> Written:
    """The body of a module's call as lines of Python."""
    counts = _counts(call)
    texts: dict[int, Expression] = {
        value.number: Expression(name) for value, name in zip(call.inside, call.names, strict=True)
    }
    batch = f"{call.names[0]}.shape[0]"
    taken, lines, weights, trains = set(call.names) | {"train"}, [], {}, False

    def get(value: Value | Constant) -> Expression:
        if isinstance(value, Constant):
            return Expression(repr(value.number).replace("inf", "jnp.inf"))
        if value.number not in texts and value.weight is not None:
            weights[value.number] = _weight(call, value)
            texts[value.number] = Expression(value.weight[-1])
        if value.number not in texts:
            raise SourceError(
                f"The module {'/'.join(call.path)} takes an array that is not one of its arguments."
            )
        return texts[value.number]

    def keep(value: Value, expression: Expression, name: str, longest: int = LONGEST) -> None:
        """Under a name, unless it stands once and is short."""
        if counts[value.number] == 1 and _length(expression) <= longest:
            texts[value.number] = expression
            return
        name = _free_name(name, taken)
        taken.add(name)
        lines.append(f"{name} = {expression.text}")
        texts[value.number] = Expression(name)

    for item in call.body:
        if isinstance(item, Equation):
            expression = expressions.of(item, [get(value) for value in item.inputs], batch)
            if expression.mean is not None or expression in texts.values():
                texts[item.output.number] = expression
            else:
                keep(item.output, expression, VERBS.get(item.name, "y"))
            continue
        use, arguments = uses[item.path], [get(value).text for value in item.outside]
        if use.is_function:
            expression = Expression(use.text.replace("{x}", arguments[0]))
            keep(item.output, expression, item.path[-1])
            continue
        trains |= use.trains
        arguments += ["train"] if use.trains and use.text[:3] != "nn." else []
        start = use.text + ("" if use.text.endswith("(") else ", ")
        made = Expression(f'{start}name="{item.path[-1]}")({", ".join(arguments)})')
        keep(item.output, made, item.path[-1], LONGEST_CALL)
    result = get(call.result).text
    if lines and lines[-1].startswith(f"{result} = "):
        result = lines.pop().removeprefix(f"{result} = ")
    lines = [*weights.values(), *lines, f"return {result}"]
    return Written(call, call.names, tuple(lines), trains)


def _weight(call: ModuleCall, value: Value) -> str:
    """The line that declares a weight of a module itself."""
    collection, *path, name = value.weight
    if tuple(path) != call.path:
        raise SourceError(f"The module {'/'.join(call.path)} takes a weight of another one.")
    shape = expressions.shape_text(value.shape, "")
    if collection == "params":
        return f'{name} = self.param("{name}", nn.initializers.normal(0.02), {shape})'
    return f'{name} = self.variable("batch_stats", "{name}", jnp.zeros, {shape}).value'


def _length(expression: Expression) -> int:
    return len(MARKED.sub(r"\2", expression.text))


def _counts(call: ModuleCall) -> collections.Counter:
    """How often each value stands in a module's call."""
    counts = collections.Counter([call.result.number])
    for item in call.body:
        values = item.inputs if isinstance(item, Equation) else item.outside
        counts.update(value.number for value in values if isinstance(value, Value))
    return counts
