"""Files to documents: each format, and files that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kb_files import jsonl, pdf, written

from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import Settings
from phronesis.tools.knowledge.adding import AddReport
from phronesis.tools.knowledge.base import KnowledgeBase
from phronesis.tools.knowledge.decoding import decoded
from phronesis.tools.knowledge.documents import Section
from phronesis.tools.knowledge.fields import Reading
from phronesis.tools.knowledge.html_text import page_of
from phronesis.tools.knowledge.markdown import sections_of
from phronesis.tools.knowledge.walking import find_files


@pytest.fixture
def base(settings: Settings) -> KnowledgeBase:
    return KnowledgeBase.open("kb", settings=settings)


def reasons(report: AddReport) -> dict[str, str]:
    return {Path(problem.where).name: problem.reason for problem in report.problems}


def test_markdown_headings_outside_of_code_are_sections() -> None:
    text = "# A\ntext\n```\n# no heading\n```\n## B ##\n~~~~\n```\n# no\n~~~~\n# C\n####### no\n#no\n"
    assert [section.headings for section in sections_of(text)] == [("A",), ("A", "B"), ("C",)]
    assert all(text[section.start] == "#" for section in sections_of(text))


def test_a_document_is_called_by_the_heading_over_all_of_it(base: KnowledgeBase, tmp_path: Path) -> None:
    base.add(written(tmp_path / "one.md", "intro\n# Guide\n## Use\nwater\n"))
    base.add(written(tmp_path / "two.md", "# Guide\nwater\n# Annex\nwater\n"))
    base.add(written(tmp_path / "none.html", "<p>water"))
    titles = {hit.source: hit.title for hit in base.search("water", 9, mode="lexical")}
    assert titles == {"one.md": "Guide", "two.md": "two", "none.html": "none"}


def test_html_is_read_as_people_see_it() -> None:
    page = page_of(
        "<!doctype html><html><head><title>T &amp;\n U</title><style>p{}</style></head><body><nav>Menu</nav>"
        "<script>if (a < b) { hidden() }</script><h1>One</h1><p>Some <b>bold</b>\n text&nbsp;here.<p>Next"
        "<ul><li>a<li>b</ul><h2>Two</h2><pre>x\n  y</pre><noscript>no</noscript>end</body></html>"
    )
    assert page.title == "T & U"
    assert page.text == "Menu\n\nOne\n\nSome bold text\xa0here.\n\nNext\n\na\nb\n\nTwo\n\nx\n  y\n\nend"
    assert page.sections == (Section(page.text.index("One"), ("One",)), Section(page.text.index("Two"), ("One", "Two")))


@pytest.mark.parametrize(
    "html",
    [
        "<p>never closed <b>bold",
        "<p>stray </p></p></div></script> ends",
        "<head><script>x</script><body>the script of a head",
        "<p>a <!-- comment --> b &bogus; &#13; &#0; <![CDATA[x]]>",
        "<" * 500,
        "<h1>" * 300,
    ],
)
def test_torn_html_is_read_all_the_same(html: str) -> None:
    text = page_of(html).text
    assert "\r" not in text and "\0" not in text


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        ("café".encode(), None, "café"),
        (b"\xef\xbb\xbfcaf\xc3\xa9", "cp1252", "café"),
        ("café".encode("utf-16"), None, "café"),
        ("café".encode("utf-32"), None, "café"),
        ("café".encode("cp1252"), "cp1252", "café"),
    ],
)
def test_encodings(data: bytes, encoding: str | None, text: str) -> None:
    assert decoded(data, encoding=encoding) == text


def test_a_page_may_say_its_encoding(base: KnowledgeBase, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    page.write_bytes("<html><head><meta charset='windows-1252'></head><body>café</body></html>".encode("cp1252"))
    assert not base.add(page).problems
    assert base.document("a.html") == "café"


def test_a_pdf_has_pages_and_a_title(base: KnowledgeBase, tmp_path: Path) -> None:
    (tmp_path / "m.pdf").write_bytes(pdf("The pump is old", "", "The filter is new", title="Manual"))
    assert not base.add(tmp_path / "m.pdf", chunk_size=40, overlap=0).problems
    (hit,) = base.search("filter", mode="lexical")
    assert (hit.title, hit.source) == ("Manual", "m.pdf")
    assert base.document("m.pdf") == "The pump is old\n\nThe filter is new"


def test_rows_keep_their_ids_titles_and_facts(base: KnowledgeBase, tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "c.jsonl",
        {"pid": "p7", "body": "Pumps move water.", "title": "Pump", "year": 1998, "old": True, "list": [1]},
        {"pid": 8, "body": "Tanks hold it."},
        {"body": "A row without an id."},
    )
    assert not base.add(file, reading=Reading(text="body", id="pid")).problems
    hit = base.get("p7")
    assert (hit.text, hit.title, hit.source) == ("Pumps move water.", "Pump", "c.jsonl#p7")
    assert hit.facts == {"id": "p7", "old": True, "year": 1998}
    assert base.get("8").source == "c.jsonl#8"
    assert base.document("c.jsonl#3") == "A row without an id."


def test_bad_rows_are_named_and_the_others_are_in(base: KnowledgeBase, tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"id": "a", "text": "first"}', b"{", b"[1]", b'{"id": "b"}', b'{"id": "c", "text": 3}',
        b'{"id": "d", "text": " "}', b'{"id": [1], "text": "x"}', b'{"id": "", "text": "x"}', b"", b'{"text": "caf\xe9"}',
        b'{"id": "a", "text": "again"}', b'{"id": "../../etc/passwd", "text": "a name, never opened"}',
        b'{"id": "big", "text": "' + b"x" * 300 + b'"}', b'{"id": "z", "text": "last"}',
    ]  # fmt: skip
    file = tmp_path / "c.jsonl"
    file.write_bytes(b"\n".join(lines))
    report = base.add(file, reading=Reading(max_bytes=200))
    found = reasons(report)
    assert report.documents == 3
    assert {item.where for item in report.problems if item.where.startswith("c.jsonl:")} == {
        f"c.jsonl:{line}" for line in (2, 3, 4, 5, 6, 7, 8, 10, 13)
    }
    assert "twice" in found["c.jsonl#a"] and "no field 'text' (it has 'id')" in found["c.jsonl:4"]
    assert "--max-bytes" in found["c.jsonl:13"]
    assert (base.document("c.jsonl#a"), base.document("c.jsonl#z")) == ("first", "last")
    assert base.get("../../etc/passwd").text == "a name, never opened"


def test_files_that_are_no_documents_are_named_and_the_others_are_in(base: KnowledgeBase, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, data in {
        "binary.txt": b"abc\0def", "binary.jsonl": b"\0\1\2", "empty.md": b"", "blank.txt": b" \n\t\n", "empty.jsonl": b"",
        "latin.txt": b"caf\xe9", "torn.pdf": pdf("some text")[:100], "no.pdf": b"plain text", "pictures.pdf": pdf("", ""),
        "script.html": b"<script>x</script>", "huge.txt": b"x" * 3000, "torn.txt": b"\xff\xfea\0b", "good.txt": b"good",
    }.items():  # fmt: skip
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe.txt")
    report = base.add([folder, tmp_path / "nowhere.txt", tmp_path / "docs" / "x.exe"], reading=Reading(max_bytes=2000))
    found = reasons(report)
    assert [file.source for file in base.list()] == ["docs/good.txt"]
    for name, words in {
        "binary.txt": "binary: byte 3 is zero", "binary.jsonl": "binary", "empty.md": "empty", "blank.txt": "empty",
        "latin.txt": "not utf-8: byte 3 is 0xe9", "torn.pdf": "damaged PDF", "no.pdf": "damaged PDF",
        "pictures.pdf": "no text in 2 PDF pages", "script.html": "empty", "huge.txt": "3,000 bytes, more than 2,000",
        "torn.txt": "not utf-16", "pipe.txt": "no regular file", "nowhere.txt": "No such file", "x.exe": "no such file",
    }.items():  # fmt: skip
        assert words in found[name], name


def test_a_document_that_cannot_be_read_any_more_stays_as_it_was(base: KnowledgeBase, tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt", "the pump")
    base.add(file)
    file.write_bytes(b"\0\0")
    assert len(base.add(file).problems) == 1
    assert base.document("a.txt") == "the pump"
    assert len(base.add(file).problems) == 1, "told again"


def test_folders_are_walked_without_hidden_files_links_and_unknown_suffixes(tmp_path: Path) -> None:
    outside = written(tmp_path / "secret.txt", "outside")
    folder = tmp_path / "docs"
    for name in ("a.md", "sub/b.TXT", "sub/.hidden.txt", ".git/c.txt", "d.exe"):
        written(folder / name, "text")
    (folder / "link.txt").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.md").symlink_to("nowhere")
    found = find_files([folder, folder / "a.md"])
    assert [source for _, source in found.files] == ["docs/a.md", "docs/sub/b.TXT", "a.md"]
    assert found.passed == {"hidden": 2, "symbolic link": 4, "unknown suffix": 1}
    assert [source for _, source in find_files([folder / "link.txt"]).files] == ["link.txt"], "named by the user"


def test_a_name_that_is_no_text_is_a_source(base: KnowledgeBase, tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.txt")).write_text("pump", encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such name")
    assert not base.add([Path(os.fsdecode(name)) for name in tmp_path.glob("*.txt")]).problems
    assert [file.source for file in base.list()] == ["caf\ufffd.txt"]


def test_an_unknown_encoding_is_wrong_usage(base: KnowledgeBase, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown encoding 'utf-9'"):
        base.add(written(tmp_path / "a.txt", "x"), reading=Reading(encoding="utf-9"))
