"""``phronesis memory`` update, forget, erase, revive, review, list --all, show and add --file, as a user meets them."""

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
from phronesis.core.concept import Concept, Evidence, Parameter
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory

Phronesis = Callable[..., tuple[int, str, str]]
PUMPS = Concept(situation="two pumps fill a tank", suggestion="add the rates", source="user")
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds", source="user")


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls the command; returns exit code, output and messages."""
    monkeypatch.setenv("COLUMNS", "120")

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
def two(settings: Settings) -> Settings:
    """The default memory with two concepts."""
    with Memory.open("default", settings=settings) as memory:
        memory.add([PUMPS, TRAIN])
    return settings


def test_update_changes_what_is_given_and_keeps_the_rest(phronesis: Phronesis, two: Settings) -> None:
    code, out, _ = phronesis("memory", "update", "c1", "add all rates", "--reason", "clearer")
    assert (code, out) == (0, "c1 is at version 2: add all rates\n")
    code, out, _ = phronesis("memory", "update", "c1", "--when", "pumps", "--json")
    changed = json.loads(out)
    assert (changed["version"], changed["concept"]["situation"]) == (3, "pumps")
    assert changed["concept"]["suggestion"] == "add all rates"
    for arguments, code, words in (
        (("c1", "x", "--expect", "1"), 1, "at version 3, not 1"),
        (("c1", "subtract the speeds", "--when", "a train overtakes a car"), 1, "c2 says the same word for word"),
        (("c1",), 2, "nothing of c1 is to be changed"),
        (("c1", " \x01 "), 2, "the suggestion is empty"),
        (("c9", "x"), 1, "'c9'"),
        (("c1", "x" * 70_000), 2, "65,536 are allowed"),
        (("c1", "x", "--session", "other"), 1, "no memory 'other'"),
    ):
        found, _, err = phronesis("memory", "update", *arguments)
        assert found == code and words in err, arguments


def test_reviving_what_is_not_withdrawn_says_that_nothing_was_changed(phronesis: Phronesis, two: Settings) -> None:
    code, out, _ = phronesis("memory", "revive", "c1")
    assert (code, out) == (0, "c1 is active already: nothing was changed; it is at version 1\n")
    assert phronesis("memory", "forget", "c1", "--yes")[0] == 0
    assert phronesis("memory", "revive", "c1")[1].startswith("c1 is active again, at version ")


@pytest.mark.parametrize("verb", [("list",), ("consolidate", "--dry-run"), ("verify",)])
def test_without_any_memory_the_mend_says_how_one_is_made(phronesis: Phronesis, verb: tuple[str, ...]) -> None:
    code, _, err = phronesis("memory", *verb, "--session", "first")
    assert code == 1 and "there is no memory 'first'" in err
    assert "there is none yet; phronesis memory add --session first" in err


def test_forget_list_all_show_and_revive(phronesis: Phronesis, two: Settings) -> None:
    code, _, err = phronesis("memory", "forget", "c1")
    assert code == 2 and "no terminal to ask at" in err and "--yes" in err
    code, out, _ = phronesis("memory", "forget", "c1", "--dry-run")
    assert code == 0 and out == "c1  add the rates\n"
    assert len(json.loads(phronesis("memory", "list", "--json")[1])) == 2
    code, out, _ = phronesis(
        "memory", "forget", "c1", "--yes", "--reason", "misled a run", "--superseded-by", "c2", "--json"
    )
    assert (code, json.loads(out)) == (0, {"dry_run": False, "chosen": ["c1"], "forgotten": ["c1"]})
    assert phronesis("memory", "forget", "c1", "--yes")[1] == "nothing was forgotten\n"
    assert [item["id"] for item in json.loads(phronesis("memory", "list", "--json")[1])] == ["c2"]
    everything = json.loads(phronesis("memory", "list", "--all", "--json")[1])
    assert [(item["id"], item["trust"], item["superseded_by"]) for item in everything] == [
        ("c1", "withdrawn", "c2"),
        ("c2", "given", None),
    ]
    assert everything[0]["reason"] == "misled a run"
    assert "(forgotten: misled a run, now c2)" in phronesis("memory", "list", "--all")[1]
    shown = phronesis("memory", "show", "c1")[1]
    assert "invalid" in shown and "withdrawn" in shown and "v2 forgotten" in shown and "misled a run" in shown
    code, out, _ = phronesis("memory", "revive", "c1", "--reason", "it did not")
    assert (code, out) == (0, "c1 is active again, at version 3\n")
    assert [item["change"] for item in json.loads(phronesis("memory", "show", "c1", "--json")[1])["versions"]] == [
        "created",
        "forgotten",
        "revived",
    ]
    assert phronesis("memory", "forget", "c1", "c9", "--yes")[0] == 1
    assert phronesis("memory", "forget", "c1", "--erase", "--superseded-by", "c2")[0] == 2


def test_show_tells_everything_a_concept_has(phronesis: Phronesis, settings: Settings) -> None:
    whole = Concept(
        name="rate-sum", kind="routine", subtype="rates", typing="rate", situation="pumps", suggestion="adds rates",
        cues=("per hour",), avoid=("in turn",), parts=("fraction",), implementation=("common denominator first",),
        parameters=(Parameter(name="r", typing="list of rates", description="one per pump"),),
    )  # fmt: skip
    with Memory.open("default", settings=settings) as memory:
        evidence = Evidence(
            run="run-1", task="t1", verdict="accepted", verifier="agreement/1", score=0.75, note="4 of 4"
        )
        memory.write([whole], operation="w", evidence=evidence)
    out = phronesis("memory", "show", "c1")[1]
    for part in (
        "rate-sum", "trial", "per hour", "in turn", "fraction", "common denominator first", "r: list of rates (one per pump)",
        "routine (rates)", "accepted 0.75 by agreement/1 (run run-1, task t1): 4 of 4", "v1 created", "memory 1 to now",
    ):  # fmt: skip
        assert part in out, part
    told = json.loads(phronesis("memory", "show", "c1", "--json")[1])
    assert told["trust"] == "trial" and told["evidence"][0]["note"] == "4 of 4" and told["versions"][0]["since"] == 1


def test_erase_asks_shows_the_places_and_says_what_is_left(phronesis: Phronesis, two: Settings) -> None:
    journal = two.runs / "20260101-000000-000001" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    lines = [
        {"type": "run_started", "task": "", "key": "run", "schema": 1, "recipe": {"name": "r"}},
        {"type": "recall", "task": "t", "key": "k", "hits": [{"concept": {"suggestion": "a train overtakes a car"}}]},
    ]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, out, _ = phronesis("memory", "forget", "c2", "--erase", "--dry-run")
    assert code == 0 and "c2 of memory 'default': would be erased" in out and "vectors: 1" in out
    assert "mend: phronesis runs prune 20260101-000000-000001" in out
    code, out, err = phronesis("memory", "forget", "c2", "--erase")
    assert (code, out) == (2, "") and "would be erased" in err and "erase c2 for good" in err
    assert json.loads(phronesis("memory", "show", "c2", "--json")[1])["status"] == "active"
    code, out, _ = phronesis("memory", "forget", "c2", "--erase", "--yes")
    assert code == 1 and "run 20260101-000000-000001 quotes it" in out and "erase again" in out
    code, out, _ = phronesis("runs", "prune", "20260101-000000-000001", "--yes")
    assert code == 0 and not journal.exists()
    code, out, _ = phronesis("memory", "forget", "c2", "--erase", "--yes", "--json")
    receipt = json.loads(out)
    assert code == 0 and receipt["complete"] and receipt["journals"] == []
    assert phronesis("memory", "revive", "c2")[0] == 1


def test_prune_by_name_refuses_what_it_cannot_mean(phronesis: Phronesis, two: Settings) -> None:
    code, _, err = phronesis("runs", "prune", "20260101-000000-00000f", "--yes")
    assert code == 2 and "20260101-000000-00000f" in err
    code, _, err = phronesis("runs", "prune", "20260101-000000-00000f", "--keep", "3")
    assert code == 2 and "--keep" in err


def propose(settings: Settings) -> None:
    with Memory.open("default", settings=settings) as memory:
        memory.propose("update", ids=["c1"], concept=PUMPS.model_copy(update={"suggestion": "sum"}), reason="shorter")
        memory.propose("forget", ids=["c2"], reason="\x1b[31mnever helped")
        memory.propose("add", concept=Concept(suggestion="new thing"), reason="learned")


def test_review_lists_accepts_and_rejects(phronesis: Phronesis, two: Settings) -> None:
    assert phronesis("memory", "review")[1] == "nothing waits for review in 'default'\n"
    propose(two)
    code, out, _ = phronesis("memory", "review")
    assert code == 0
    for part in (
        "1  update c1: shorter",
        "- c1 suggestion: add the rates",
        "+ c1 suggestion: sum",
        "2  forget c2",
        "new thing",
    ):
        assert part in out
    assert "\x1b" not in out
    listed = json.loads(phronesis("memory", "review", "--json")[1])
    assert listed[0]["difference"] == [{"id": "c1", "field": "suggestion", "old": "add the rates", "new": "sum"}]
    phronesis("memory", "update", "c1", "changed meanwhile")
    assert "stale: c1 is at version 2, not 1" in phronesis("memory", "review")[1]
    code, out, err = phronesis("memory", "review", "accept", "1", "3")
    assert code == 1 and "proposal 1: c1 is at version 2, not 1" in err and out == "3 accepted: written c3: new\n"
    code, out, _ = phronesis("memory", "review", "reject", "1", "2", "--reason", "no", "--json")
    assert code == 0 and [item["status"] for item in json.loads(out)] == ["rejected", "rejected"]
    assert phronesis("memory", "review", "accept", "1")[0] == 1
    assert phronesis("memory", "review", "accept", "99")[0] == 1
    assert phronesis("memory", "review", "accept", "one")[0] == 2
    assert json.loads(phronesis("memory", "review", "--json")[1]) == []
    assert len(json.loads(phronesis("memory", "review", "--all", "--json")[1])) == 3


def test_review_in_another_session(phronesis: Phronesis, settings: Settings) -> None:
    with Memory.open("algebra", settings=settings) as memory:
        memory.propose("add", concept=PUMPS, reason="x")
        memory.propose("add", concept=TRAIN, reason="x")
    assert "1  add: x" in phronesis("memory", "review", "--session", "algebra")[1]
    assert phronesis("memory", "review", "accept", "1", "--session", "algebra")[0] == 0
    assert phronesis("memory", "review", "--session", "algebra", "accept", "2")[0] == 0
    assert phronesis("memory", "review", "accept", "1")[0] == 1


def test_review_at_a_terminal_asks_for_each(two: Settings) -> None:
    propose(two)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from phronesis.cli.main import main; main()", "memory", "review"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True) as child:
        os.close(theirs)
        os.write(ours, b"x\na\nr\nit may yet\ns\n")
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
    os.close(ours)
    assert child.returncode == 0, shown.decode()
    with Memory.open("default", settings=two) as memory:
        assert [(item.status, item.outcome) for item in memory.proposals(None)] == [
            ("accepted", "changed c1"),
            ("rejected", "it may yet"),
            ("open", ""),
        ]


def test_a_file_is_added_in_batches_in_order_and_bad_lines_are_named(phronesis: Phronesis, tmp_path: Path) -> None:
    lines = [
        json.dumps({"suggestion": f"do {n}", "situation": f"case {n}\u2028{n}"}, ensure_ascii=False) for n in range(250)
    ]
    lines[120] = '{"suggestion": "  "}'
    lines[130] = "not json"
    lines[140] = json.dumps({"suggestion": "word " * 2_000_000})
    lines[150] = "[1]"
    lines[160] = ""
    lines[170] = lines[0]
    path = tmp_path / "concepts.jsonl"
    path.write_bytes("\ufeff".encode() + "\n".join(lines).encode())
    code, out, err = phronesis("memory", "add", "--file", str(path))
    assert code == 1
    ids = out.split()
    assert len(ids) == 245 and ids[165] == "c1" and ids[:3] == ["c1", "c2", "c3"] and ids[-1] == "c244"
    for number, words in (
        (121, "empty"),
        (131, "invalid literal"),
        (141, "the concept takes 10,000,166 bytes, 65,536 are allowed"),
        (151, "no JSON object"),
    ):
        (line,) = [line for line in err.splitlines() if f"concepts.jsonl:{number}:" in line]
        assert words in line, line
    listed = json.loads(phronesis("memory", "list", "--json")[1])
    assert [item["id"] for item in listed] == [f"c{n}" for n in range(1, 245)]
    assert listed[0]["concept"]["situation"] == "case 0 0"
    assert phronesis("memory", "add", "--file", str(tmp_path / "absent"))[0] == 2
    assert phronesis("memory", "add", "\x00\u202e")[0] == 2
