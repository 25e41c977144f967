"""Which of several names may be meant by one that is none of them."""

from collections.abc import Iterable


def hint(name: str, names: Iterable[str]) -> str:
    """`did you mean NAME? `, or nothing where none is near."""
    meant = nearest(name, names)
    return f"Did you mean {meant}? " if meant else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that is meant: equal but for case and hyphens, or of which `name` is a short form.

    A short form is its initials, or some of its letters in order from the first on. Of several
    names the shortest; None: there is none.
    """
    letters, ordered = _letters(name), sorted(names, key=len)
    if not letters:
        return None
    rules = (
        lambda other: _letters(other) == letters,
        lambda other: "".join(word[0] for word in _words(other)) == letters,
        lambda other: _letters(other)[:1] == letters[0] and _within(letters, _letters(other)),
        lambda other: len(letters) > 3 and _letters(other) and _one_apart(letters, _letters(other)),
    )
    for rule in rules:
        if (found := next((other for other in ordered if rule(other)), None)) is not None:
            return found
    return None


def _words(name: str) -> list[str]:
    return "".join(sign if sign.isalnum() else " " for sign in name.lower()).split()


def _letters(name: str) -> str:
    return "".join(_words(name))


def _within(short: str, text: str) -> bool:
    signs = iter(text)
    return len(short) > 1 and all(sign in signs for sign in short)


def _one_apart(one: str, other: str) -> bool:
    """Whether one letter too many, another one, or two exchanged make the difference."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), -1)
    if start < 0:
        return True
    a, b = one[start:], other[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
