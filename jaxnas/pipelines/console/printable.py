"""Signs that an output cannot encode, replaced by ones that it can."""

import codecs
import unicodedata
from typing import Any

HANDLER = "jaxnas-printable"
# Others lose their accents, or become a question mark.
PLAIN = {
    "±": "+-", "×": "x", "·": "*", "–": "-", "—": "-", "‐": "-", "−": "-", "≤": "<=", "≥": ">=",
    "≈": "~", "→": "->", "←": "<-", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "µ": "u",
    "σ": "sigma", "ß": "ss", "•": "*", "°": " deg", "█": "#", "━": "-", "│": "|", "─": "-",
}  # fmt: skip


def replace_missing_signs(*streams: Any) -> None:
    """Lets streams of text replace what their encoding lacks, where it would be an error.

    Streams that are closed, missing or no TextIOWrapper are left as they are.
    """
    codecs.register_error(HANDLER, _plain)
    for stream in streams:
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = "".join(map(_sign, error.object[error.start : error.end]))
    return text, error.end


def _sign(sign: str) -> str:
    if sign in PLAIN:
        return PLAIN[sign]
    parts = unicodedata.normalize("NFKD", sign)
    return "".join(part for part in parts if part.isascii()) or "?"
