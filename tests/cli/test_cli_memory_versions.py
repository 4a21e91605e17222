"""The memory's verbs for versions and archives, as a user meets them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from privileges import permissions_hold

from phronesis.cli.main import main
from phronesis.core.concept import Concept
from phronesis.core.errors import SetupError
from phronesis.core.settings import Settings
from phronesis.memory.mounts import MountedMemory
from phronesis.memory.session import Memory, names
from phronesis.testing import FakeServer

Phronesis = Callable[..., tuple[int, str, str]]
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")
EVIL = "\x1b[31mred\x1b[0m [bold]loud[/bold] \x07back"


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
def algebra(settings: Settings) -> None:
    """Two concepts, a snapshot, then one of each kind of change."""
    with Memory.open("algebra", settings=settings) as memory:
        memory.add([Concept(situation="pumps", suggestion="add the rates"), Concept(suggestion="draw it")])
        memory.write([TRAIN], operation="run")
        memory.snapshot("good", note=EVIL)
        memory.forget(["c1"], reason="wrong")
        memory.update("c2", Concept(suggestion=f"draw it {EVIL}", cues=("a figure",)), reason="better")
        for use in ("u1", "u2"):
            memory.record_use(["c3"], accepted=True, operation=use)
        memory.add([Concept(suggestion="new one")])


def in_algebra(phronesis: Phronesis, *arguments: str) -> Any:
    code, out, err = phronesis("memory", *arguments, "--session", "algebra", "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


@pytest.mark.usefixtures("algebra")
def test_differences_are_readable_and_never_drive_the_terminal(phronesis: Phronesis) -> None:
    code, out, _ = phronesis("memory", "diff", "good", "--session", "algebra")
    assert code == 0
    lines = out.splitlines()
    assert lines[:3] == ["+ c4  new one", "- c1  when pumps: add the rates", "~ c2  suggestion, cues"]
    assert lines[3].strip() == "- draw it"
    assert "loud[/bold]" in lines[4]
    assert lines[-2:] == ["! c3  probation -> active", "4 differences between version 3 and version 7"]
    _, listed, _ = phronesis("memory", "snapshots", "--session", "algebra")
    assert "\x1b" not in out + listed
    assert "good" in listed
    _, told, _ = phronesis("memory", "history", "--since", "good", "--session", "algebra")
    assert [line.split()[:4:2] for line in told.splitlines()] == [["4", "c1"], ["5", "c2"], ["6", "c3"], ["7", "c4"]]
    assert "wrong" in told
    assert phronesis("memory", "diff", "3", "good", "--session", "algebra")[1].startswith("no difference")


@pytest.mark.usefixtures("algebra")
def test_every_verb_has_json(phronesis: Phronesis, settings: Settings, tmp_path: Path) -> None:
    assert in_algebra(phronesis, "snapshot", "later")["version"] == 7
    assert [item["name"] for item in in_algebra(phronesis, "snapshots")] == ["good", "later"]
    assert in_algebra(phronesis, "snapshot", "later", "--drop") == {"dropped": "later"}
    found = in_algebra(phronesis, "diff", "good", "7")
    assert [item["id"] for item in found["removed"]] == ["c1"]
    assert in_algebra(phronesis, "restore", "good", "--dry-run")["after"] == 3
    assert [event["version"] for event in in_algebra(phronesis, "history", "c2")] == [2, 5]
    planned = in_algebra(phronesis, "branch", "copy", "--at", "good", "--dry-run")
    assert (planned["path"], planned["concepts"]) == (None, 3)
    assert names(settings) == ["algebra"]
    done = in_algebra(phronesis, "branch", "copy", "--at", "good")
    assert Path(done["path"]).is_dir()
    file = str(tmp_path / "a.phronesis-memory.zip")
    assert in_algebra(phronesis, "export", file)["concepts"] == 3
    assert in_algebra(phronesis, "import", file, "--dry-run")["duplicates"] == 3
    assert in_algebra(phronesis, "restore", "good", "--yes")["before"] == 7
    assert in_algebra(phronesis, "diff", "good")["added"] == []


@pytest.mark.usefixtures("algebra")
def test_a_restore_shows_asks_and_needs_a_terminal_for_that(phronesis: Phronesis, settings: Settings) -> None:
    code, out, err = phronesis("memory", "restore", "good", "--session", "algebra")
    assert code == 2
    assert "4 differences" in out
    assert "--yes" in err
    assert phronesis("memory", "restore", "good", "--dry-run", "--session", "algebra")[1].endswith("was changed\n")
    code, out, _ = phronesis("memory", "restore", "good", "--yes", "--session", "algebra")
    assert (code, "restored version 3" in out) == (0, True)
    assert "nothing was changed" in phronesis("memory", "restore", "good", "--session", "algebra")[1]
    with Memory.open("algebra", settings=settings) as memory:
        assert [item.id for item in memory.list()] == ["c1", "c2", "c3"]


@pytest.mark.usefixtures("algebra")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("snapshot", "12"), 2, "reads as a version"),
        (("snapshot", "good"), 2, "is version 3, not 7"),
        (("snapshot", "other", "--drop"), 2, "no snapshot 'other'"),
        (("diff", "god"), 2, "did you mean 'good'?"),
        (("diff", "99"), 2, "versions so far: 0 to 7"),
        (("restore", "99", "--yes"), 2, "no version 99"),
        (("branch", "algebra"), 2, "already"),
        (("branch", "algebra", "--dry-run"), 2, "already"),
        (("branch", "A B"), 2, "memory name 'A B'"),
        (("history", "c99"), 1, "no concept 'c99'"),
        (("export", "x.tar"), 2, "cannot tell the format"),
        (("import", "absent.zip"), 2, "cannot read 'absent.zip'"),
        (("import", "absent.zip", "--status", "trusted"), 2, "use one of probation, active, archived"),
    ],
)
def test_wrong_usage_names_the_value(phronesis: Phronesis, arguments: tuple[str, ...], code: int, said: str) -> None:
    found = phronesis("memory", *arguments, "--session", "algebra")
    assert found[0] == code
    assert said in found[2]
    assert "mend:" in found[2]


@pytest.mark.usefixtures("algebra")
def test_a_memory_travels(phronesis: Phronesis, settings: Settings, tmp_path: Path) -> None:
    file = str(tmp_path / "a.phronesis-memory.zip")
    code, out, _ = phronesis("memory", "export", file, "--version", "good", "--session", "algebra")
    assert (code, "3 concepts of version 3" in out) == (0, True)
    assert phronesis("memory", "export", file, "--session", "algebra")[0] == 2
    code, out, _ = phronesis("memory", "import", file, "--session", "elsewhere", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "3 would be added, 0 known word for word; session 'elsewhere'")
    assert "elsewhere" not in names(settings)
    code, out, _ = phronesis("memory", "import", file, "--session", "elsewhere")
    assert out.splitlines()[0] == "added      c1 -> c1  add the rates"
    assert phronesis("memory", "import", file, "--session", "elsewhere")[1].endswith("nothing changes\n")
    Path(file).write_bytes(b"broken")
    code, _, err = phronesis("memory", "import", file, "--session", "third")
    assert (code, "no readable ZIP" in err) == (1, True)
    assert "third" not in names(settings), "a file that is refused makes no memory"


@pytest.mark.usefixtures("algebra")
def test_a_run_can_mount_a_memory(phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    with FakeServer(lambda request, index: "The answer is \\boxed{3}.") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, out, _ = phronesis("run", "direct", "a new one", "--mount", "algebra", "--json")
        assert code == 0
        told = json.loads(out)["memory"]
        assert (told["session"], told["mode"]) == ("default", "read")
        assert "algebra/c4" in [item["id"] for item in told["recalled"]]
        code, _, err = phronesis("run", "direct", "x", "--mount", "algbra")
        assert (code, "cannot mount 'algbra'" in err) == (2, True)
        code, _, err = phronesis("run", "direct", "x", "--mount", "algebra", "--session", "algebra")
        assert (code, "mounted in itself" in err) == (2, True)


@pytest.mark.parametrize("verb", ["snapshot", "snapshots", "diff", "restore", "branch", "history", "export", "import"])
def test_help_has_an_example(phronesis: Phronesis, verb: str) -> None:
    code, out, _ = phronesis("memory", verb, "--help")
    assert code == 0
    assert "Example:" in out


# Mounts, here for the sake of permissions_hold


@pytest.fixture
def shared(settings: Settings) -> Path:
    with Memory.open("shared", settings=settings) as memory:
        memory.add([TRAIN])
        return memory.folder


def test_a_folder_nobody_may_write_to_can_be_mounted(settings: Settings, shared: Path) -> None:
    os.chmod(shared, 0o555)
    for path in shared.iterdir():
        path.chmod(0o444)
    try:
        with permissions_hold(), MountedMemory.open("mine", ["shared"], settings=settings) as memory:
            assert memory.recall(TRAIN.situation, k=1)[0].id == "shared/c1"
    finally:
        os.chmod(shared, 0o755)


def test_changes_that_a_read_only_folder_would_hide_are_refused(settings: Settings, shared: Path) -> None:
    log = next(shared.glob("ledger.sqlite3")).with_name("ledger.sqlite3-wal")
    log.write_bytes(b"not yet in the file")
    os.chmod(shared, 0o555)
    try:
        with permissions_hold(), pytest.raises(SetupError, match="changes that cannot be read"):
            MountedMemory.open("mine", ["shared"], settings=settings)
    finally:
        os.chmod(shared, 0o755)
