"""The journal: whole lines, one owner, nothing twice, and a full disk that is said to be full."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError, JournalUnwritable, RunLocked
from phronesis.core.journal import FILE_NAME, Event, Journal, read_events


def written(folder: Path, *events: Event) -> Path:
    journal = Journal(folder)
    for event in events:
        journal.append(event)
    journal.close()
    return folder / FILE_NAME


def call(key: str, **data: object) -> Event:
    return Event("call", "t", key, {"value": 1, **data}, 0.5)


def child(script: str, *arguments: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=timeout, check=False
    )


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    events = [
        call("a", text="ein\nZeilen\rumbruch\u2028 und 素数"),
        Event("node", "", "b", {"x": [1, {"y": None}]}, 2.0),
    ]
    path = written(tmp_path / "run", *events)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes().count(b"\n") == 2
    found = list(read_events(path))
    assert [(e.type, e.task, e.key, e.elapsed) for e in found] == [("call", "t", "a", 0.5), ("node", "", "b", 2.0)]
    assert found[0].data["text"] == events[0].data["text"]
    assert found[1].data["x"] == [1, {"y": None}]


def test_a_line_survives_without_close(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from phronesis.core.journal import Event, Journal
journal = Journal(Path(sys.argv[1]))
journal.append(Event("call", "t", "a", {"value": 1}))
os.kill(os.getpid(), 9)
"""
    assert child(script, str(tmp_path)).returncode == -9
    journal = Journal(tmp_path)
    assert [event.key for event in journal.recovered] == ["a"]
    journal.close()


def test_a_torn_last_line_is_cut_off_wherever_it_was_torn(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole", call("a"), call("b"), call("c")).read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole) + 1):
        folder = tmp_path / "cut"
        folder.mkdir(exist_ok=True)
        (folder / FILE_NAME).write_bytes(whole[:cut])
        lines = sum(end <= cut for end in ends)
        assert [event.key for event in read_events(folder / FILE_NAME)] == list("abc"[:lines])
        journal = Journal(folder)
        assert [event.key for event in journal.recovered] == list("abc"[:lines])
        journal.append(call("next"))
        journal.close()
        assert [event.key for event in read_events(folder / FILE_NAME)] == [*"abc"[:lines], "next"]


def test_a_damaged_line_inside_the_file_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, call("a"), call("b"), call("c"))
    lines = path.read_bytes().splitlines(keepends=True)
    for damage in (b"{not json}\n", b"[]\n", b'{"type": "call"}\n', b"5\n"):
        path.write_bytes(lines[0] + damage + lines[2])
        with pytest.raises(ConfigurationError, match=r"journal\.jsonl:2 is not a journal event"):
            list(read_events(path))


def test_a_journal_that_cannot_be_read_is_not_left_locked(tmp_path: Path) -> None:
    path = written(tmp_path, call("a"))
    good = path.read_bytes()
    path.write_bytes(b"{not json}\n" + good)
    open_files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(2):
        with pytest.raises(ConfigurationError):
            Journal(tmp_path)
    if open_files:
        assert len(os.listdir("/proc/self/fd")) == open_files
    path.write_bytes(good)
    Journal(tmp_path).close()


def test_another_schema_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, Event("run_started", "", "run", {"schema": 99}))
    with pytest.raises(ConfigurationError, match="schema 99"):
        list(read_events(path))


def test_a_second_process_is_told_that_the_run_is_locked(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from phronesis.core.errors import RunLocked
from phronesis.core.journal import Journal
try:
    Journal(Path(sys.argv[1])).close()
except RunLocked as error:
    print("locked:", error.message)
else:
    print("open")
"""
    journal = Journal(tmp_path / "20260101-000000-abcdef")
    journal.append(call("a"))
    answer = child(script, str(journal.folder)).stdout
    assert answer.startswith("locked:") and "20260101-000000-abcdef" in answer
    with pytest.raises(RunLocked):
        Journal(tmp_path / "20260101-000000-abcdef")
    journal.append(call("b"))
    journal.close()
    journal.close()
    assert child(script, str(journal.folder)).stdout == "open\n"
    assert [event.key for event in read_events(tmp_path / "20260101-000000-abcdef" / FILE_NAME)] == ["a", "b"]


def test_the_lock_goes_with_the_process_that_held_it(tmp_path: Path) -> None:
    script = """
import sys, time
from pathlib import Path
from phronesis.core.journal import Journal
journal = Journal(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(RunLocked):
            Journal(tmp_path)
        holder.kill()
    Journal(tmp_path).close()


def test_notes_are_written_once_and_heard_every_time(tmp_path: Path) -> None:
    def note_all(journal: Journal) -> list[str]:
        heard: list[str] = []
        journal.listeners.append(lambda event: heard.append(event.key))
        for key in ("a", "b", "a"):
            journal.note(Event("decision", "t", key, {"x": key}))
        journal.note(Event("vote", "t", "a", {}))
        journal.note(Event("decision", "other", "a", {}))
        return heard

    first = Journal(tmp_path)
    assert note_all(first) == ["a", "b", "a", "a", "a"]
    first.close()
    size = (tmp_path / FILE_NAME).stat().st_size
    second = Journal(tmp_path)
    assert len(second.recovered) == 4
    assert note_all(second) == ["a", "b", "a", "a", "a"]
    second.close()
    assert (tmp_path / FILE_NAME).stat().st_size == size


def test_a_journal_in_memory_writes_no_file(tmp_path: Path) -> None:
    journal = Journal(None)
    heard: list[Event] = []
    journal.listeners.append(heard.append)
    journal.append(call("a"))
    journal.note(call("a"))
    journal.close()
    assert journal.path is None and len(heard) == 2
    assert list(tmp_path.iterdir()) == []


def test_data_cannot_take_the_place_of_the_heading(tmp_path: Path) -> None:
    path = written(tmp_path, Event("node", "t", "k", {"type": "call", "task": "other", "key": "else", "x": 1}))
    (event,) = read_events(path)
    assert (event.type, event.task, event.key) == ("node", "t", "k")


FULL = """
import json, resource, sys
from pathlib import Path
from phronesis.core.errors import JournalUnwritable
from phronesis.core.journal import Event, Journal
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
heard, refused = [], []
journal.listeners.append(lambda event: heard.append(event.key))
for number in range(12):
    try:
        journal.append(Event("call", "t", f"k{number}", {"value": "x" * 60}))
    except JournalUnwritable as error:
        refused.append(str(error))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(Event("call", "t", "after", {"value": 1}))
journal.close()
print(json.dumps({"heard": heard, "refused": refused}))
"""


@pytest.mark.parametrize("room", [0, 1, 100, 500, 777, 1000])
def test_a_full_disk_is_reported_and_leaves_whole_lines(tmp_path: Path, room: int) -> None:
    done = child(FULL, str(tmp_path), str(room))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    keys = [event.key for event in read_events(tmp_path / FILE_NAME)]
    assert keys == told["heard"], "what a node saw is journalled, what is journalled a node saw"
    assert keys[-1] == "after", "when there is room again the run goes on"
    assert len(keys) - 1 + len(told["refused"]) == 12 and told["refused"]
    assert all("free some space" in text and FILE_NAME in text for text in told["refused"])


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalUnwritable, match="PHRONESIS_HOME") as caught:
        Journal(tmp_path / "file" / "runs" / "r")
    assert str(tmp_path / "file") in str(caught.value) and caught.value.exit_code == 3
    (tmp_path / "run" / FILE_NAME).mkdir(parents=True)
    with pytest.raises(JournalUnwritable):
        Journal(tmp_path / "run")


def test_a_read_only_folder_is_named() -> None:
    script = """
import os, sys
from pathlib import Path
from phronesis.core.errors import JournalUnwritable
from phronesis.core.journal import Journal
if os.geteuid() == 0:
    os.setegid(65534); os.seteuid(65534)
for folder in (Path(sys.argv[1]), Path(sys.argv[1]) / "new"):
    try:
        Journal(folder)
    except JournalUnwritable as error:
        print(error.mend)
"""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        done = child(script, folder)
        assert done.stdout.count("PHRONESIS_HOME") == 2, done.stdout + done.stderr
        os.chmod(folder, 0o755)


def test_texts_left_out_are_left_out_of_every_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phronesis import Recipe, Task
    from phronesis.core.http import close_pools
    from phronesis.graphs.run import Run
    from phronesis.testing import FakeServer

    with FakeServer(lambda request, index: " The CANARY-REPLY says so.\nAnswer: 5") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)

        async def work() -> Path:
            async with await Run.start(Recipe.load("direct"), texts=False) as run:
                await run.solve(Task(messages="CANARY-QUESTION, how many?"))
            await close_pools()
            assert run.journal.path is not None
            return run.journal.path

        text = asyncio.run(work()).read_text()
    assert "CANARY-REPLY" not in text
    assert "CANARY-QUESTION" not in text
