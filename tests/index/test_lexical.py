"""FTS5 search: quoting, order, scores."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phronesis.index.lexical import MAX_TERMS, match_expression, text_matches


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE texts USING fts5 (body, tokenize = 'porter unicode61')")
        connection.executemany(
            "INSERT INTO texts VALUES (?)",
            [("two pumps fill a tank",), ("a discount on a price",), ("the tank is drained",), ("Größe NOT null",)],
        )
        yield connection


def test_best_match_first_with_scores_between_0_and_1(database: sqlite3.Connection) -> None:
    found = list(text_matches(database, "texts", "filling the tank with pumps"))
    assert [match.row for match in found] == [1, 3]
    assert all(0 < match.score <= 1 for match in found)
    assert found[0].score > found[1].score


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=80))
def test_no_text_is_syntax(database: sqlite3.Connection, text: str) -> None:
    list(text_matches(database, "texts", text))


@pytest.mark.parametrize("text", ['tank" OR "', "tank*", "body:tank", "NEAR(tank pumps)", "tank AND NOT tank", "(tank"])
def test_operators_are_words(database: sqlite3.Connection, text: str) -> None:
    assert 1 in [match.row for match in text_matches(database, "texts", text)]


def test_a_text_without_words_matches_nothing(database: sqlite3.Connection) -> None:
    assert list(text_matches(database, "texts", "?!  --")) == []


def test_long_queries_are_bounded() -> None:
    assert match_expression(" ".join(f"word{n}" for n in range(1000))).count('"') == 2 * MAX_TERMS
