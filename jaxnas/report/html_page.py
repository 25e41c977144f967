"""A self-contained page of titled sections: no script, no network, nothing beside the file."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxnas.report import figures, markup, style


def write(
    path: Path, kind: str, title: str, chips: Mapping[str, str], sections: Mapping[str, str]
) -> Path:
    """Writes the page and gives its path; raises OSError.

    `chips` are short facts by name, `sections` HTML by title, made with `markup` and `table`.
    """
    keys = {name: re.sub(r"\W+", "-", name.lower()).strip("-") for name in sections}
    facts = "".join(f"<li><b>{markup.text(k)}</b> {markup.text(v)}</li>" for k, v in chips.items())
    parts = [(keys[name], markup.text(name), content) for name, content in sections.items()]
    text = html(kind, title, f'<ul class="chips">{facts}</ul>', "", parts)
    return figures.save_text(text, path)


def html(
    kind: str, title: str, chips: str, lead: str, sections: Sequence[tuple[str, str, str]]
) -> str:
    """The page: HTML under the title and before the sections, which are (key, title, HTML)."""
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
<title>{markup.text(title)} · jaxnas report</title>
<style>
{figures.stylesheet()}
{style.CSS}</style>
</head>
<body>
<header>
<p class="kind">{markup.text(kind)}</p>
<h1>{markup.text(title)}</h1>
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
