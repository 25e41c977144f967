"""What every part of the page is made of: safe text, and figures."""

import html
import json
from typing import Any

from jaxnas.report import figures


def text(value: Any) -> str:
    """Anything as text that HTML cannot mistake for markup."""
    plain = value if isinstance(value, str) else json.dumps(value)
    # Half a surrogate pair, which JSON can hold, has no bytes in UTF-8.
    return html.escape(plain.encode("utf-8", "replace").decode("utf-8"), quote=True)


def figure(picture: str, prefix: str, caption: str = "", wide: bool = False) -> str:
    """A picture in the page's colours; `wide` ones scroll sideways where they do not fit."""
    inline = figures.themed(picture, prefix)
    # What scrolls must be reachable by keyboard.
    hold = '<div class="scroll" tabindex="0">' if wide else '<div class="fit">'
    caption = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{hold}{inline}</div>{caption}</figure>\n"
