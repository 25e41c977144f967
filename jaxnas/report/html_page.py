"""Self-contained HTML pages of titled sections: no scripts, no network, no other files."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnas.report import figures, style


def write(
    path: Path, kind: str, title: str, chips: Mapping[str, str], sections: Mapping[str, str]
) -> Path:
    """Writes a page and returns its path. Raises OSError.

    `kind` stands above the title, `chips` are short facts by name, `sections` are HTML by title,
    made with `figure`, `escape` and `table.html`.
    """
    keys = {name: re.sub(r"\W+", "-", name.lower()).strip("-") for name in sections}
    facts = "".join(f"<li><b>{escape(k)}</b> {escape(v)}</li>" for k, v in chips.items())
    parts = [(keys[name], escape(name), content) for name, content in sections.items()]
    text = page(kind, title, f'<ul class="chips">{facts}</ul>', "", parts)
    return figures.save_text(text, path)


def page(
    kind: str, title: str, chips: str, lead: str, sections: Sequence[tuple[str, str, str]]
) -> str:
    """A page as text: `chips` and `lead` are HTML, `sections` are (key, title, HTML)."""
    links = "".join(f'<a href="#{key}">{name}</a>' for key, name, _ in sections)
    body = "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-title">'
        f'<h2 id="{key}-title">{name}</h2>\n{content}</section>'
        for key, name, content in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{escape(title)} · jaxnas report</title>
<style>
{figures.stylesheet()}
{style.CSS}</style>
</head>
<body>
<header>
<p class="kind">{escape(kind)}</p>
<h1>{escape(title)}</h1>
{chips}
</header>
<main>
{lead}
<nav aria-label="Sections">{links}</nav>
{body}
</main>
<footer>Written by jaxnas. This file needs no network and runs no script.</footer>
</body>
</html>
"""


def escape(value: Any) -> str:
    """A string, or any other value as JSON, as HTML text without markup."""
    plain = value if isinstance(value, str) else json.dumps(value)
    # JSON may have half a surrogate pair, which UTF-8 cannot encode.
    return html.escape(plain.encode("utf-8", "replace").decode("utf-8"), quote=True)


def figure(picture: str, prefix: str, caption: str = "", wide: bool = False) -> str:
    """An `<svg>` in the page's colours, its ids beginning with `prefix`.

    `wide` ones scroll sideways where they do not fit.
    """
    inline = figures.themed(picture, prefix)
    # What scrolls must be reachable by keyboard.
    frame = '<div class="scroll" tabindex="0">' if wide else '<div class="fit">'
    caption = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{frame}{inline}</div>{caption}</figure>\n"
