"""Chunks of a text: what they cover, how long they are, where they end, what they are called."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.core.errors import ConfigurationError
from phronesis.tools.knowledge.chunking import SMALLEST, check_chunking, spans
from phronesis.tools.knowledge.cutting import chunks_of
from phronesis.tools.knowledge.documents import Document, Section, normalised

TEXTS = st.lists(
    st.sampled_from(
        ["a", "word", "Ende.", "Was?", "naïve", "x" * 60, " ", "  ", "\n", "\n\n", "\t", "。", "字" * 9, "\u2028"]
    ),
    max_size=80,
).map("".join)


@given(text=TEXTS | st.text(max_size=400), size=st.integers(SMALLEST, 120), part=st.floats(0, 0.5), data=st.data())
def test_spans_hold_all_of_the_text(text: str, size: int, part: float, data: st.DataObject) -> None:
    overlap = int(size * part)
    sections = sorted(data.draw(st.sets(st.integers(0, max(0, len(text) - 1)), max_size=4)))
    found = spans(text, size=size, overlap=overlap, sections=sections)
    covered = 0
    for number, (start, end) in enumerate(found):
        assert 0 < end - start <= size
        assert not text[start].isspace() and not text[end - 1].isspace()
        assert text[covered:start].strip() == "", "a gap"
        if number:
            before = found[number - 1]
            assert before.start < start and before.end < end, "no progress"
            assert before.end - start <= overlap
        covered = end
    assert text[covered:].strip() == ""


@given(size=st.integers(SMALLEST, 200), part=st.floats(0, 0.5))
def test_a_text_without_breaks_overlaps_exactly(size: int, part: float) -> None:
    overlap = int(size * part)
    found = spans("x" * 1000, size=size, overlap=overlap)
    assert all(one.end - two.start == overlap for one, two in pairwise(found))
    assert all(span.end - span.start == size for span in found[:-1])


def test_the_overlap_begins_with_a_word() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    found = spans(text, size=40, overlap=12)
    assert [text[start:end] for start, end in found] == [
        "one two three four five six seven eight",
        "seven eight nine ten eleven twelve",
    ]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("The first paragraph is here. So.\n\nThe second one follows it.", "The first paragraph is here. So."),
        ("The first sentence is here. The second one follows it at once.", "The first sentence is here."),
        ("no end of a sentence anywhere in these words at all so far", "no end of a sentence anywhere in these"),
    ],
)
def test_the_best_end_is_taken(text: str, first: str) -> None:
    (start, end), *_ = spans(text, size=40, overlap=0)
    assert text[start:end] == first


def test_a_section_ends_a_chunk_and_is_not_overlapped() -> None:
    text = "a words of the first part here\n# Two\nand what stands in the second part"
    found = spans(text, size=50, overlap=20, sections=[text.index("#")])
    assert [text[start:end] for start, end in found] == [text[:30], text[31:]]


@pytest.mark.parametrize(("size", "overlap"), [(10, 0), (100, 51), (100, -1)])
def test_sizes_that_cannot_be_had_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ConfigurationError, match=str(size)):
        check_chunking(size, overlap)


def _document(**changes: object) -> Document:
    text = (
        "Intro words here, a few of them.\n# One\nText of one, some words.\n## Deep\nText of deep, some more.\n"
        "# Two\nText of two."
    )
    sections = (
        Section(text.index("# One"), ("One",)),
        Section(text.index("## Deep"), ("One", "Deep")),
        Section(text.index("# Two"), ("Two",)),
    )
    return Document(**{"source": "a.md", "text": text, "title": "Guide", "sections": sections, **changes})  # type: ignore[arg-type]


def test_a_chunks_title_is_the_headings_all_of_it_stands_under() -> None:
    found = chunks_of(_document(), size=60, overlap=0)
    assert [(chunk.text[:6], chunk.title) for chunk in found] == [
        ("Intro ", "Guide"),
        ("# One\n", "Guide > One"),
        ("## Dee", "Guide"),
    ]
    assert [chunk.title for chunk in chunks_of(_document(), size=40, overlap=0)][1:3] == [
        "Guide > One",
        "Guide > One > Deep",
    ]


def test_ids_stay_while_the_text_does() -> None:
    ids = [chunk.id for chunk in chunks_of(_document(), size=60, overlap=0)]
    changed = _document(text=_document().text + " More.", title="Handbook")
    again = [chunk.id for chunk in chunks_of(changed, size=60, overlap=0)]
    assert (again[:2], again[2] == ids[2]) == (ids[:2], False)
    assert ids != [chunk.id for chunk in chunks_of(_document(source="b.md"), size=60, overlap=0)]


def test_a_rows_own_id_is_the_passages() -> None:
    assert [chunk.id for chunk in chunks_of(Document("c.jsonl#p7", "short", id="p7"), size=60, overlap=0)] == ["p7"]
    found = chunks_of(Document("c.jsonl#p7", "word " * 30, id="p7"), size=60, overlap=0)
    assert [chunk.id for chunk in found] == ["p7#1", "p7#2", "p7#3"]


@given(st.text())
def test_normalised_text_can_be_stored(text: str) -> None:
    found = normalised(text)
    found.encode("utf-8")
    assert "\r" not in found and "\0" not in found
    assert normalised(found) == found.removeprefix("\ufeff")
