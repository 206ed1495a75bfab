# SPDX-License-Identifier: MIT
"""How do pages come about that people open from a file? One document that loads nothing else, and the theme that all
of Hornito's pages share: light and dark, narrow and wide."""

from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files


def asset(package: str, name: str) -> str:
    """A style sheet or a script that lies beside a package's modules."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def document(title: str, style: str, body: Iterable[str], script: str) -> Iterator[str]:
    """A page's lines: its heading is the title; the theme stands before ``style``, ``script`` behind the body. Lines of
    the body are HTML, the title is plain text."""
    yield "<!DOCTYPE html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title><style>{asset(__name__, 'theme.css')}{style}</style></head><body>"
    yield f"<h1>{escape(title)}</h1>"
    yield from body
    yield f"<script>{script}</script></body></html>"
