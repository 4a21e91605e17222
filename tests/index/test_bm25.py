"""Lexical search in memory: words, order, scores, filters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.index.bm25 import K1, B, WordIndex, words


def test_words_are_without_case_and_accents() -> None:
    assert words("Élan, ÉLAN-vital: naïve_x 3.5") == ["elan", "elan", "vital", "naive_x", "3", "5"]
    assert words("Straße") == ["strasse"]
    assert words(" .,! ") == []


def _plain(texts: list[str], query: str) -> dict[int, float]:
    """BM25 as Lucene computes it, written out."""
    tokens = [words(text) for text in texts]
    mean = sum(map(len, tokens)) / len(tokens)
    scores: dict[int, float] = {}
    for word in set(words(query)):
        holding = sum(word in found for found in tokens)
        rarity = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        for row, found in enumerate(tokens):
            if count := found.count(word):
                part = count / (count + K1 * (1 - B + B * len(found) / mean))
                scores[row] = scores.get(row, 0.0) + rarity * part
    return scores


TEXTS = st.lists(
    st.lists(st.sampled_from(["red", "green", "blue", "pump", "tank", "valve"]), max_size=8).map(" ".join),
    min_size=1,
    max_size=12,
)


@given(texts=TEXTS, query=st.lists(st.sampled_from(["red", "blue", "pump", "oil"]), max_size=4).map(" ".join))
def test_scores_are_bm25_and_ties_go_by_row(texts: list[str], query: str) -> None:
    index = WordIndex(texts)
    found = index.nearest(query, 5)
    expected = _plain(texts, query) if any(map(words, texts)) else {}
    order = sorted(expected, key=lambda row: (-round(expected[row], 5), row))
    assert {match.row for match in index.nearest(query, 99)} == set(order)
    for match in found:
        assert match.score == pytest.approx(expected[match.row], abs=1e-4)
    assert [match.row for match in found] == sorted(
        (match.row for match in found), key=lambda row: (-dict(found)[row], row)
    )


def test_a_repeated_word_of_the_query_counts_once() -> None:
    index = WordIndex(["red pump", "green pump", "blue"])
    assert index.nearest("pump pump red", 3) == index.nearest("red pump", 3)


def test_only_allowed_rows_are_found() -> None:
    index = WordIndex(["pump", "pump", "pump and tank"])
    assert [match.row for match in index.nearest("pump", 3, allowed=np.array([False, True, True]))] == [1, 2]
    assert index.nearest("pump", 3, allowed=np.zeros(3, dtype=np.bool_)) == []


@pytest.mark.parametrize("texts", [[], [""], ["...", "!"]])
def test_without_words_nothing_is_found(texts: list[str]) -> None:
    assert WordIndex(texts).nearest("pump", 3) == []


def test_a_query_without_known_words_finds_nothing() -> None:
    index = WordIndex(["pump"])
    assert (
        index.nearest("", 3)
        == index.nearest("?!", 3)
        == index.nearest("unheard of", 3)
        == index.nearest("pump", 0)
        == []
    )
