"""Which of several names may be meant by one that is none of them."""

import difflib
from collections.abc import Iterable

# Of difflib's ratio: two letters exchanged in six, or one wrong in five.
CLOSE = 0.75


def hint(name: str, names: Iterable[str]) -> str:
    """`Did you mean NAME? `, or nothing where none is near."""
    meant = nearest(name, names)
    return f"Did you mean {meant}? " if meant else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that is meant: equal but for case and hyphens, or of which `name` is a short form.

    A short form is its initials, or some of its letters in order from the first on: the shortest
    of such names. Else the one that is spelt most alike; None: none is near.
    """
    letters, ordered = _letters(name), sorted(names, key=len)
    if not letters:
        return None
    rules = (
        lambda other: _letters(other) == letters,
        lambda other: "".join(word[0] for word in _words(other)) == letters,
        lambda other: _letters(other)[:1] == letters[0] and _within(letters, _letters(other)),
    )
    for rule in rules:
        if (found := next((other for other in ordered if rule(other)), None)) is not None:
            return found
    return next(iter(alike(name, ordered)), None)


def alike(name: str, names: Iterable[str]) -> list[str]:
    """At most three names that are spelt nearly as one of four letters or more, the nearest first.

    Of equally near ones that of the same letters, in another order.
    """
    letters = _letters(name)
    spelt = {_letters(other): other for other in names}
    near = difflib.get_close_matches(letters, spelt, cutoff=CLOSE) if len(letters) > 3 else []
    near.sort(key=lambda other: sorted(other) != sorted(letters))
    return [spelt[other] for other in near]


def _words(name: str) -> list[str]:
    return "".join(sign if sign.isalnum() else " " for sign in name.lower()).split()


def _letters(name: str) -> str:
    return "".join(_words(name))


def _within(short: str, text: str) -> bool:
    signs = iter(text)
    return len(short) > 1 and all(sign in signs for sign in short)
