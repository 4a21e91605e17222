"""The retriever of lines: what it finds, and by its name and options."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError
from phronesis.core.retrieval import Retriever, SearchRequest
from phronesis.core.settings import Settings
from phronesis.tools.retrievers import open_retriever, retriever_names


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.txt"
    file.write_text("The pump moves water.\n\nThe tank holds water.\nThe pump moves water.\n", encoding="utf-8")
    return file


def opened(notes: Path, tmp_path: Path) -> Retriever:
    return open_retriever(f'line_notes(file="{notes}")', Settings(home=tmp_path))


def test_it_finds_lines_and_says_where_they_stand(notes: Path, tmp_path: Path) -> None:
    retriever = opened(notes, tmp_path)
    requests = [
        SearchRequest(query="which pump moves water?"),
        SearchRequest(query="water", where={"line": ("3",)}),
        SearchRequest(query="zebra"),
        SearchRequest(query=""),
    ]
    found = asyncio.run(retriever.search(requests))
    assert [[hit.id for hit in hits] for hits in found] == [["line00001", "line00003"], ["line00003"], [], []]
    hit = found[0][1]
    assert notes.read_text(encoding="utf-8")[hit.start : hit.end] == hit.text


def test_the_fingerprint_follows_the_file(notes: Path, tmp_path: Path) -> None:
    first = opened(notes, tmp_path).fingerprint
    assert opened(notes, tmp_path).fingerprint == first
    notes.write_text("Another line.", encoding="utf-8")
    assert opened(notes, tmp_path).fingerprint != first


def test_it_is_found_by_its_name_and_checks_its_options(tmp_path: Path) -> None:
    assert "line_notes" in retriever_names()
    with pytest.raises(ConfigurationError) as caught:
        open_retriever("line_notes(file=x, files=y)", Settings(home=tmp_path))
    assert caught.value.mend == "did you mean 'file'?"
    with pytest.raises(ConfigurationError, match="cannot read the notes"):
        opened(tmp_path / "nowhere.txt", tmp_path)
