"""``phronesis kb`` as a user meets it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phronesis.cli.main import main

Phronesis = Callable[..., tuple[int, str, str]]


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls the command; returns exit code, output and messages."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phronesis", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "pump.md").write_text(
        "# Pump\n\nThe pump moves water.\n\n## Filter\n\nChange it yearly.\n", encoding="utf-8"
    )
    (folder / "rows.jsonl").write_text(
        '{"pid": "p1", "body": "The tank holds water.", "kind": "tank"}\n', encoding="utf-8"
    )
    return folder


@pytest.fixture
def added(phronesis: Phronesis, docs: Path) -> Path:
    code, _, err = phronesis("kb", "add", "man", str(docs), "--text", "body", "--id-field", "pid")
    assert (code, err) == (0, "")
    return docs


def test_add_says_what_it_did(phronesis: Phronesis, docs: Path) -> None:
    arguments = ("kb", "add", "man", str(docs), "--text", "body", "--id-field", "pid")
    code, out, _ = phronesis(*arguments, "--dry-run")
    assert code == 0 and out.startswith("man: 2 files would be added")
    assert phronesis("kb", "list")[1] == "no knowledge base yet: phronesis kb add NAME FILES...\n"
    code, out, _ = phronesis(*arguments)
    assert code == 0 and out.startswith("man: 2 files added, 0 changed, 0 unchanged; 2 documents in 2 chunks written")
    code, out, _ = phronesis("kb", "add", "man", str(docs), "--json")
    assert (code, json.loads(out)["unchanged"]) == (0, 2), "the fields are remembered"


def test_what_cannot_be_read_is_named_and_the_exit_code_is_1(phronesis: Phronesis, docs: Path) -> None:
    (docs / "bad\x1b[31m.txt").write_bytes(b"a\0")
    (docs / ".hidden").write_text("x", encoding="utf-8")
    code, out, err = phronesis("kb", "add", "man", str(docs), str(docs / "none.txt"), "--text", "body")
    assert code == 1
    assert "1 hidden" in out and "2 files added" in out
    assert "docs/bad.txt: binary: byte 1 is zero; left out" in err and "none.txt: cannot be read" in err
    assert "\x1b" not in err
    code, out, _ = phronesis("kb", "add", "man", str(docs), "--json")
    assert code == 1 and len(json.loads(out)["problems"]) == 1


def test_list(phronesis: Phronesis, added: Path) -> None:
    assert phronesis("kb", "list") == (0, "man  2 files, 2 documents, 2 chunks\n", "")
    assert json.loads(phronesis("kb", "list", "--json")[1]) == [
        {"name": "man", "files": 2, "documents": 2, "chunks": 2}
    ]
    assert [row["source"] for row in json.loads(phronesis("kb", "list", "man", "--json")[1])] == [
        "docs/pump.md",
        "docs/rows.jsonl",
    ]
    assert "docs/pump.md  1 chunk, added 2" in phronesis("kb", "list", "man")[1]


def test_list_names_one_that_is_damaged_and_goes_on(phronesis: Phronesis, added: Path, home: Path) -> None:
    folder = home / "kb" / "broken"
    folder.mkdir()
    (folder / "kb.sqlite3").write_bytes(b"no database" * 100)
    code, out, _ = phronesis("kb", "list")
    assert code == 0 and "man  2 files" in out and "broken  the knowledge base" in out


def test_search_shows_where_it_stands(phronesis: Phronesis, added: Path) -> None:
    code, out, err = phronesis("kb", "search", "man", "filter of the pump", "--mode", "lexical")
    first, second = out.splitlines()[:2]
    assert (code, err) == (0, "")
    assert first.startswith(" 1  ") and "docs/pump.md:0-59  Pump" in first
    assert "Change it yearly" in second
    hits = json.loads(phronesis("kb", "search", "man", "water", "--where", "kind=tank", "--json")[1])
    assert [hit["id"] for hit in hits] == ["p1"]
    assert phronesis("kb", "search", "man", "zebra", "--mode", "lexical")[:2] == (0, "nothing found\n")


def test_show_prints_the_whole_passage(phronesis: Phronesis, added: Path) -> None:
    code, out, _ = phronesis("kb", "show", "man", "p1")
    assert code == 0 and "docs/rows.jsonl#p1:0-21" in out and "kind: tank" in out and "The tank holds water." in out
    assert json.loads(phronesis("kb", "show", "man", "p1", "--json")[1])["text"] == "The tank holds water."


def test_remove(phronesis: Phronesis, added: Path) -> None:
    assert phronesis("kb", "remove", "man", "docs/pump.md") == (0, "removed docs/pump.md (1 document)\n", "")
    code, _, err = phronesis("kb", "remove", "man")
    assert code == 2 and "--yes" in err
    assert phronesis("kb", "remove", "man", "--yes", "--json")[:2] == (0, '{"removed":"man"}\n')
    assert phronesis("kb", "list", "--json")[1] == "[]\n"
    assert added.exists(), "one's own files stay"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("search", "none", "x"), 2, "there is no knowledge base 'none'"),
        (("list", "../x"), 2, "is not allowed"),
        (("add", "a/b", "x.txt"), 2, "is not allowed"),
        (("search", "man", " "), 2, "the query is empty"),
        (("search", "man", "x", "--mode", "both"), 2, "--mode 'both'"),
        (("search", "man", "x", "--where", "kind"), 2, "--where 'kind'"),
        (("search", "man", "x", "--rerank", "nowhere"), 3, "is no cross-encoder"),
        (("show", "man", "p9"), 2, "no passage 'p9'"),
        (("remove", "man", "p9"), 2, "no source 'p9'"),
        (("remove", "none", "--yes"), 2, "there is no knowledge base 'none'"),
        (("add", "man", "x.txt", "--chunk-size", "5"), 2, "chunks of 1000 characters"),
        (("add", "new", "x.txt", "--chunk-size", "5"), 2, "chunk size of 5"),
        (("add", "man", "x.txt", "--encoding", "utf-9"), 2, "unknown encoding"),
    ],
)
def test_wrong_usage_is_named(
    phronesis: Phronesis, added: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    found, _, err = phronesis("kb", *arguments)
    assert (found, words in err) == (code, True), err


def test_without_an_embedder_search_says_so(phronesis: Phronesis, added: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRONESIS_EMBEDDER", "none")
    code, out, err = phronesis("kb", "search", "man", "tank")
    assert code == 0 and "p1" in out and err == "degraded: there is no embedder: the search is lexical\n"
    assert phronesis("kb", "reembed", "man")[0] == 2
    monkeypatch.setenv("PHRONESIS_EMBEDDER", "hash")
    assert phronesis("kb", "reembed", "man")[:2] == (0, "0 vectors made\n")


def test_text_of_strangers_is_safe_on_a_terminal(phronesis: Phronesis, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("# T\x1b]0;owned\x07itle\n\nwater \x1b[2J\x9b31m gone\n", encoding="utf-8")
    phronesis("kb", "add", "man", str(tmp_path / "a.md"))
    for arguments in (("search", "man", "water"), ("show", "man", json.loads(
        phronesis("kb", "search", "man", "water", "--json")[1])[0]["id"])):  # fmt: skip
        out = phronesis("kb", *arguments)[1]
        assert "water" in out and not {"\x1b", "\x07", "\x9b"} & set(out)


def test_a_terminal_sees_progress(docs: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "phronesis", "kb", "add", "man", str(docs), "--text", "body"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=slave, check=False)
    os.close(slave)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0
    assert "2 files, added: docs/rows.jsonl" in shown and "embedding 2/2" in shown
