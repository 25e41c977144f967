"""Overrides of a method's settings: flags, and words `name=value`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas.core import names

# These have flags of the run.
FLAGS = ("epochs", "learning_rate", "arch_learning_rate")
EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    tuple: "numbers with commas between",
    type(None): "a whole number",
}


def parse(
    owner: str, defaults: Mapping[str, Any], flags: Mapping[str, Any], words: Sequence[str]
) -> dict[str, Any]:
    """`defaults` changed by the `flags` that are not None, and by words.

    `owner`, "the method darts": for messages. A word's value is of its default's type. Raises
    ValueError for settings that the owner has not and for a value of another type.
    """
    settings = dict(defaults)
    for flag, value in flags.items():
        if value is None:
            continue
        if flag not in defaults:
            raise ValueError(f"--{flag.replace('_', '-')} has no effect on {owner}: leave it out.")
        # One number is the value of all stages.
        stages = defaults[flag]
        settings[flag] = (value,) * len(stages) if isinstance(stages, tuple) else value
    for word in words:
        key, separator, text = word.partition("=")
        key = key.replace("-", "_")
        if not separator or key not in defaults or key in FLAGS:
            settable = [k for k in defaults if k not in FLAGS]
            meant = names.hint(key, settable) if key not in FLAGS else ""
            flag = f"give --{key.replace('_', '-')}; " if key in FLAGS else ""
            raise ValueError(
                f"{word!r} is no setting of {owner}: {flag}{meant}give name=value, "
                f"where the name is among {', '.join(settable) or 'none at all'}."
            )
        settings[key] = _parsed(key, text, defaults[key])
    return settings


def as_word(name: str, value: Any) -> str:
    """A setting as the word that `parse` reads."""
    text = lambda v: str(v).lower() if isinstance(v, bool) else str(v)
    values = value if isinstance(value, list | tuple) else (value,)
    return f"{name}={','.join(map(text, values))}"


def _parsed(name: str, text: str, default: Any) -> Any:
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return tuple(type(default[0])(part) for part in text.split(","))
        value = int(text) if default is None else kind(text)
        if kind is float and not math.isfinite(value):
            raise ValueError
        return value
    except (KeyError, ValueError):
        raise ValueError(f"The setting {name} cannot be {text!r}: give {EXPECTED[kind]}.") from None
