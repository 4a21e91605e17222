"""Lexical search: SQLite FTS5 with bm25, for stores without an embedder and beside vectors."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

_TERM = re.compile(r"\w+")
MAX_TERMS = 64
"""Terms of a query that are searched for; the first distinct ones count."""


class TextMatch(NamedTuple):
    row: int
    score: float
    """In (0, 1): bm25 relevance b as b / (1 + b); higher is better."""


def match_expression(text: str) -> str:
    """An FTS5 expression that matches any word of the text, or an empty one. Nothing of the text acts as syntax."""
    terms = dict.fromkeys(term for term in _TERM.findall(text.casefold()))
    return " OR ".join(f'"{term}"' for term in list(terms)[:MAX_TERMS])


def text_matches(connection: sqlite3.Connection, table: str, text: str) -> Iterator[TextMatch]:
    """Rows of an FTS5 table that share a word with the text, best first; ties by row number."""
    expression = match_expression(text)
    if not expression:
        return
    # The table's name is the caller's constant, never user text.
    statement = f"SELECT rowid, bm25({table}) AS relevance FROM {table} WHERE {table} MATCH ? ORDER BY relevance, rowid"
    for row, relevance in connection.execute(statement, (expression,)):
        strength = max(-float(relevance), 1e-9)
        yield TextMatch(int(row), strength / (1.0 + strength))
