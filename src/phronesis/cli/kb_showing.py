"""Passages and files of knowledge bases, as lines for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import typer

from phronesis.cli.plain import counted, plain, plain_lines
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.retrieval import Passage
from phronesis.index.bm25 import words
from phronesis.tools.knowledge.base import KnowledgeBase, KnownFile

EXCERPT = 240
"""Characters of an excerpt."""
_WORD = re.compile(r"\w+")


def summary_of(name: str) -> dict[str, Any]:
    """Counts of a knowledge base; of one that cannot be read, the error."""
    try:
        with KnowledgeBase.open(name, read_only=True) as base:
            files = base.list()
    except PhronesisError as error:
        return {"name": name, "error": error.message}
    return {
        "name": name,
        "files": len(files),
        "documents": sum(file.documents for file in files),
        "chunks": sum(file.chunks for file in files),
    }


def summary_line(summary: dict[str, Any]) -> str:
    if "error" in summary:
        return f"{summary['name']}  {summary['error']}"
    counts = (counted(summary[nouns], nouns.removesuffix("s")) for nouns in ("files", "documents", "chunks"))
    return f"{summary['name']}  {', '.join(counts)}"


def file_line(file: KnownFile) -> str:
    rows = f"{file.documents} documents, " if file.documents != 1 else ""
    return f"{plain(file.source)}  {rows}{counted(file.chunks, 'chunk')}, added {file.added}"


def parse_where(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``["kind=a", "kind=b"]`` to ``{"kind": ("a", "b")}``: one of the values of each name. Raises ConfigurationError."""
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"--where {text!r} is no FACT=VALUE", mend="for example --where source=notes.md")
        found[name] = (*found.get(name, ()), value)
    return found


def hit_lines(rank: int, hit: Passage, query: str) -> str:
    """Two lines: place and title, and an excerpt around the words of the query, which are bold on a terminal."""
    page = f" page {hit.facts['page']}" if "page" in hit.facts else ""
    place = f"{plain(hit.source)}:{hit.start}-{hit.end}{page}"
    head = f"{rank:>2}  {hit.score:.4f}  {plain(hit.id)}  {place}  {plain(hit.title, 100)}"
    return f"{head}\n    {excerpt(hit.text, query)}"


def excerpt(text: str, query: str) -> str:
    """About ``EXCERPT`` characters of the text, from where the most different words of the query stand."""
    wanted = set(words(query))
    hits = [(match.start(), words(match[0])) for match in _WORD.finditer(text)]
    places = [(start, found[0]) for start, found in hits if found and found[0] in wanted]
    best, most = 0, 0
    for start, _ in places:
        inside = len({word for place, word in places if start <= place < start + EXCERPT - 40})
        if inside > most:
            best, most = start, inside
    begin = max(0, best - 40)
    if begin:
        begin = text.find(" ", begin, best) + 1 or best
    piece = plain(text[begin:], EXCERPT)
    shown = _WORD.sub(lambda match: _bold(match[0]) if set(words(match[0])) & wanted else match[0], piece)
    return f"…{shown}" if begin else shown


def _bold(text: str) -> str:
    return typer.style(text, bold=True)


def passage_lines(passage: Passage) -> str:
    """The whole passage under what is known of it."""
    facts = [f"{plain(name)}: {plain(str(value), 200)}" for name, value in sorted(passage.facts.items())]
    place = f"{plain(passage.source)}:{passage.start}-{passage.end}"
    return "\n".join([f"{plain(passage.id)}  {place}", plain(passage.title), *facts, "", plain_lines(passage.text)])
