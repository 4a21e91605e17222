"""``phronesis runs``: show, replay, resume --retry-failed and prune, as a user meets them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from privileges import permissions_hold

from phronesis.cli.decisions import in_words
from phronesis.cli.main import main
from phronesis.cli.plain import plain, plain_lines
from phronesis.cli.pruning import size
from phronesis.core.events import FILE_NAME, read_events
from phronesis.core.journal import Journal
from phronesis.core.settings import load_settings
from phronesis.graphs.prune import delete_run, prunable, sweep
from phronesis.graphs.run_folder import RunSummary, list_runs
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

Phronesis = Callable[..., tuple[int, str, str]]
EVIL = "\x1b[31mred\x1b[0m [bold]loud[/bold] \x07\x1b]0;title\x07\u202eback"
HARD = ("--set", "knobs.k=2", "--set", "knobs.rounds=1", "--set", "knobs.quality_floor=2", "--set", "knobs.confident=1")


def agents(request: FakeRequest, index: int) -> FakeReply:
    """Two chains that differ; reviews that try to draw on the terminal; one refined chain wins."""
    if "You are the reviewer" in request.user:
        return FakeReply(f" Step 1 is doubtful {EVIL}.")
    if "You are the refiner" in request.user:
        return FakeReply(" 7 + 5 = 12.\nStep 2: So it is \\boxed{12}", logprob=-0.01)
    return FakeReply(f" 7 + 5 = {20 + index}.\nStep 2: So it is \\boxed{{{20 + index}}}")


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
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(agents) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def run_of(phronesis: Phronesis, *arguments: str) -> str:
    return str(json.loads(phronesis("run", *arguments, "--json")[1].splitlines()[0])["run_id"])


def cut(run_id: str, before: bytes) -> None:
    """Leaves the run as a kill before that line would."""
    path = load_settings().runs / run_id / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if before in line)
    path.write_bytes(b"".join(lines[:at]))


# show


def test_show_draws_candidates_under_their_parents_with_scores_reviews_and_decisions(
    phronesis: Phronesis, server: FakeServer
) -> None:
    run_id = run_of(phronesis, "magicore", *HARD, "What is [bold]7 + 5[/bold]?")
    code, out, _ = phronesis("runs", "show", run_id)
    assert code == 0
    lines = out.splitlines()
    parent = next(number for number, line in enumerate(lines) if "c0  20" in line)
    child = next(number for number, line in enumerate(lines) if "c0.r1  12" in line)
    other = next(number for number, line in enumerate(lines) if "c1  21" in line)
    assert parent < child < other and lines[child].index("c0.r1") > lines[parent].index("c0")
    assert "reward" in lines[child] and "outcome" in lines[child] and "steps 0.97" in lines[child]
    assert "review  I begin with" in out
    assert "weighted vote (round1): 12 wins with 100%" in out
    assert "gate after round 0: hard" in out and "quality" in out
    for role in ("solver", "reviewer", "refiner"):
        assert any(role in line and " 2 " in line for line in lines), role
    assert lines[-1].startswith("└── answer  12")
    assert "What is [bold]7 + 5[/bold]?" in out
    assert all(len(line) <= 120 for line in lines)


def test_nothing_a_model_wrote_reaches_the_terminal_as_it_is(phronesis: Phronesis, server: FakeServer) -> None:
    run_id = run_of(phronesis, "magicore", *HARD, f"What is {EVIL} 7 + 5?")
    for arguments in (("runs", "show", run_id), ("runs", "show", run_id, "--full")):
        out = phronesis(*arguments)[1]
        assert "[bold]loud[/bold]" in out, "markup is text"
        assert not any(character in out for character in "\x1b\x07\u202e")
    assert "Step 2: So it is \\boxed{12}" in phronesis("runs", "show", run_id, "--full")[1]


def test_show_of_a_stopped_run_tells_what_was_done_and_how_to_go_on(phronesis: Phronesis, server: FakeServer) -> None:
    run_id = run_of(phronesis, "magicore", *HARD, "What is 7 + 5?")
    cut(run_id, b'"role":"refiner"')
    code, out, _ = phronesis("runs", "show", run_id)
    assert code == 0
    assert "interrupted" in out and "not finished" in out and f"phronesis runs resume {run_id}" in out
    assert "c1  21" in out and "gate after round 0: hard" in out and "r1.c0#reviewer.0" in out
    told = json.loads(phronesis("runs", "show", run_id, "--json")[1])
    assert told["status"] == "interrupted" and told["results"] == []
    assert [item["task_id"] for item in told["unfinished"]] == [task_of(run_id)]


def task_of(run_id: str) -> str:
    path = load_settings().runs / run_id / FILE_NAME
    return next(event.task for event in read_events(path) if event.type == "task_started")


def test_show_of_a_run_that_goes_on(phronesis: Phronesis, server: FakeServer) -> None:
    run_id = run_of(phronesis, "self_consistency", "--set", "knobs.k=2", "What is 7 + 5?")
    cut(run_id, b'"task_finished"')
    holder = Journal(load_settings().runs / run_id)
    out = phronesis("runs", "show", run_id)[1]
    holder.close()
    assert "running" in out and "c1  21" in out and "runs resume" not in out


def test_show_of_a_run_without_texts(phronesis: Phronesis, server: FakeServer) -> None:
    run_id = run_of(phronesis, "magicore", *HARD, "--no-texts", "What is 7 + 5?")
    code, out, _ = phronesis("runs", "show", run_id)
    assert code == 0
    assert "journalled without texts" in out and "c0.r1  12" in out and "What is" not in out
    code, _, err = phronesis("runs", "replay", run_id)
    assert code == 2 and "without texts" in err


def test_show_of_failures_names_them(phronesis: Phronesis, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRONESIS_RETRIES", "0")
    with FakeServer(agents, faults=lambda request, number: Fault(500, message="out of [red]memory[/red]")) as broken:
        monkeypatch.setenv("OPENAI_BASE_URL", broken.url)
        run_id = run_of(phronesis, "self_consistency", "--set", "knobs.k=2", "What is 7 + 5?")
    out = phronesis("runs", "show", run_id)[1]
    assert "no answer" in out and "c0  failed  ServerFailed" in out and "out of [red]memory[/red]" in out


def test_show_of_one_task_of_many(phronesis: Phronesis, server: FakeServer, tmp_path: Path) -> None:
    data = tmp_path / "in.jsonl"
    data.write_text("".join(f'{{"id": "q{number}", "question": "{number}?"}}\n' for number in range(25)))
    phronesis("run", "direct", "--dataset", str(data))
    run_id = list_runs(load_settings())[0].run_id
    out = phronesis("runs", "show", run_id)[1]
    assert out.count("\n") == 1 + 25 + 1 and "--task ID" in out
    assert "c0  20" in phronesis("runs", "show", run_id, "--task", "q7")[1]
    code, _, err = phronesis("runs", "show", run_id, "--task", "q77")
    assert code == 2 and "did you mean 'q7'" in err


def test_decisions_of_unknown_rules_are_shown_as_they_are() -> None:
    assert in_words({"type": "decision", "key": "k", "rule": "stop", "p": 0.123456, "because": "[x]"}) == (
        "stop: p 0.123, because [x]"
    )
    assert in_words({"type": "vote", "key": "vote", "rule": "majority", "weights": {}, "answer": None}) == (
        "majority vote: nobody could vote"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\tc", "a b c"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("x" * 20, "x" * 9 + "…"),
        ("素数", "素数"),
        ("\x9b31m", "31m"),
    ],
)
def test_plain_text_is_one_safe_line(text: str, shown: str) -> None:
    assert plain(text, 10) == shown


def test_plain_lines_keep_their_breaks() -> None:
    assert plain_lines("a\r\n\tb\x1b[2J\n\nc ") == "a\n    b\n\nc"


# replay


def test_a_replay_says_what_was_served_and_what_is_missing(phronesis: Phronesis, server: FakeServer) -> None:
    run_id = run_of(phronesis, "self_consistency", "--set", "knobs.k=4", "What is 7 + 5?")
    calls = server.calls
    code, out, err = phronesis("runs", "replay", run_id, "--set", "knobs.k=6")
    assert code == 0 and server.calls == calls
    assert f"replayed from {run_id}: 4 solver served" in err and "missing in the recording: 2 solver" in err
    assert "--calls 2" in err and "the recording has no reply for solver" in out
    newest = list_runs(load_settings())[0]
    assert newest.replayed_from == run_id and newest.status == "finished"
    assert f"replay of {run_id}" in phronesis("runs", "list")[1]
    shown = phronesis("runs", "show", newest.run_id)[1]
    assert f"replay of {run_id}: knobs.k = 6" in shown
    code, out, err = phronesis("runs", "replay", run_id, "--set", "knobs.k=6", "--calls", "2", "--json")
    result = json.loads(out)
    assert code == 0 and server.calls == calls + 2
    assert result["replayed_from"] == run_id and len(result["candidates"]) == 6 and not result["failures"]
    assert "2 solver made" in err


def test_a_dry_replay_writes_no_run(phronesis: Phronesis, server: FakeServer) -> None:
    run_id = run_of(phronesis, "self_consistency", "--set", "knobs.k=4", "What is 7 + 5?")
    told = json.loads(phronesis("runs", "replay", run_id, "--set", "knobs.k=6", "--dry-run", "--json")[1])
    assert (told["served"], told["missing"], told["tasks"]) == ({"solver": 4}, {"solver": 2}, 1)
    assert "missing: 2 solver" in phronesis("runs", "replay", run_id, "--set", "knobs.k=6", "--dry-run")[1]
    assert len(list_runs(load_settings())) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "knobs.kk=1"), "did you mean 'k'"),
        (("--set", "memory.mode=write"), "memory.mode"),
        (("--strategy", "magicor"), "did you mean 'magicore'"),
        (("--recipe", "nowhere.toml"), "nowhere.toml"),
        (("--calls", "-1"), "--calls"),
    ],
)
def test_wrong_replays_exit_2(phronesis: Phronesis, server: FakeServer, arguments: tuple[str, ...], says: str) -> None:
    run_id = run_of(phronesis, "self_consistency", "--set", "knobs.k=2", "What is 7 + 5?")
    code, _, err = phronesis("runs", "replay", run_id, *arguments)
    assert code == 2 and says in err


def test_a_run_of_which_nothing_was_recorded_cannot_be_replayed(phronesis: Phronesis, server: FakeServer) -> None:
    run_id = run_of(phronesis, "self_consistency", "What is 7 + 5?")
    cut(run_id, b'"type":"call"')
    code, _, err = phronesis("runs", "replay", run_id)
    assert code == 2 and "no reply was recorded" in err


# resume --retry-failed


def test_retry_failed_begins_failed_tasks_again_and_no_others(
    phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PHRONESIS_RETRIES", "0")
    data, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    data.write_text('{"id": "good", "question": "a?"}\n{"id": "bad", "question": "b?"}\n')
    broken = {"is": True}

    def faults(request: FakeRequest, number: int) -> Fault | None:
        return Fault(500) if broken["is"] and "b?" in request.user else None

    with FakeServer(agents, faults=faults) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        arguments = ("run", "self_consistency", "--set", "knobs.k=2", "--dataset", str(data), "--out", str(out))
        assert phronesis(*arguments)[0] == 1
        run_id = list_runs(load_settings())[0].run_id
        requests = server.requests
        assert phronesis("runs", "resume", run_id)[0] == 1, "without the option nothing is asked again"
        assert server.requests == requests and len(out.read_text().splitlines()) == 2
        assert phronesis("runs", "resume", run_id, "--retry-failed")[0] == 1, "it may fail again"
        assert server.requests == requests + 1
        broken["is"] = False
        assert phronesis("runs", "resume", run_id, "--retry-failed")[0] == 0
        assert server.requests == requests + 2
        assert phronesis("runs", "resume", run_id, "--retry-failed")[0] == 0, "now nothing is left to retry"
        assert server.requests == requests + 2
    assert list_runs(load_settings())[0][1:6] == ("finished", "self_consistency", "self_consistency", 2, 2)
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(item["task_id"], item["status"]) for item in lines if item["task_id"] == "good"] == [("good", "ok")]
    assert {item["task_id"]: item["status"] for item in lines} == {"good": "ok", "bad": "ok"}
    assert "c0  20" in phronesis("runs", "show", run_id, "--task", "bad")[1]


# prune


def runs(phronesis: Phronesis, count: int) -> list[str]:
    """Ids of that many finished runs, newest first."""
    for number in range(count):
        phronesis("run", "direct", f"What is {number}?")
    return [run.run_id for run in list_runs(load_settings())]


def kept() -> list[str]:
    return [run.run_id for run in list_runs(load_settings())]


def test_prune_asks_and_without_a_terminal_refuses(phronesis: Phronesis, server: FakeServer) -> None:
    ids = runs(phronesis, 2)
    code, out, err = phronesis("runs", "prune")
    assert code == 2 and "--yes" in err and all(id_ in out for id_ in ids)
    assert phronesis("runs", "prune", "--json")[0] == 2
    assert kept() == ids


def test_prune_keeps_the_newest_and_says_what_a_dry_run_would_do(phronesis: Phronesis, server: FakeServer) -> None:
    ids = runs(phronesis, 3)
    code, out, _ = phronesis("runs", "prune", "--keep", "1", "--dry-run")
    assert code == 0 and "2 runs (" in out and "would be deleted" in out and ids[0] not in out
    assert kept() == ids
    code, out, _ = phronesis("runs", "prune", "--keep", "1", "--yes", "--json")
    told = json.loads(out)
    assert code == 0 and told["deleted"] == ids[1:] and told["bytes"] > 0
    assert kept() == ids[:1]
    assert [item.name for item in load_settings().runs.iterdir()] == ids[:1]
    assert phronesis("runs", "prune", "--keep", "1", "--yes")[1].endswith("nothing was deleted\n")


def test_interrupted_runs_stay_unless_they_are_named(phronesis: Phronesis, server: FakeServer) -> None:
    stopped, finished = runs(phronesis, 2)
    cut(stopped, b'"run_finished"')
    phronesis("runs", "prune", "--yes")
    assert kept() == [stopped] and finished not in kept()
    phronesis("runs", "prune", "--status", "interrupted", "--yes")
    assert kept() == []


def test_a_run_that_is_worked_on_or_replayed_is_never_deleted(phronesis: Phronesis, server: FakeServer) -> None:
    (run_id,) = runs(phronesis, 1)
    folder = load_settings().runs / run_id
    holder = Journal(folder)
    assert phronesis("runs", "prune", "--status", "finished,failed,interrupted", "--yes")[1] == "nothing was deleted\n"
    assert not delete_run(folder) and kept() == [run_id]
    holder.close()
    assert delete_run(folder) and kept() == []
    assert not delete_run(folder)


def test_what_a_killed_prune_left_is_no_run_and_goes_with_the_next(phronesis: Phronesis, server: FakeServer) -> None:
    first, second = runs(phronesis, 2)
    folder = load_settings().runs / first
    folder.rename(folder.with_name(f".deleted-{first}-abc"))
    assert kept() == [second]
    assert phronesis("runs", "show", first)[0] == 2
    phronesis("runs", "prune", "--keep", "5", "--yes")
    assert [item.name for item in load_settings().runs.iterdir()] == [second]
    assert sweep(load_settings()) == 0


def test_prune_names_replays_of_what_goes(phronesis: Phronesis, server: FakeServer) -> None:
    (source,) = runs(phronesis, 1)
    phronesis("runs", "replay", source)
    replay = next(id_ for id_ in kept() if id_ != source)
    told = json.loads(phronesis("runs", "prune", "--keep", "1", "--dry-run", "--json")[1])
    assert [run["run_id"] for run in told["chosen"]] == [source]
    assert told["read_by"] == {source: [replay]}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--older-than", "soon"), "30d"),
        (("--older-than", "-3d"), "30d"),
        (("--status", "running"), "'running' cannot be pruned"),
        (("--status", ""), "cannot be pruned"),
        (("--keep", "-1"), "--keep"),
    ],
)
def test_wrong_prunes_exit_2_and_delete_nothing(
    phronesis: Phronesis, server: FakeServer, arguments: tuple[str, ...], says: str
) -> None:
    ids = runs(phronesis, 1)
    code, _, err = phronesis("runs", "prune", "--yes", *arguments)
    assert code == 2 and says in err and kept() == ids


def test_age_and_number_kept_are_both_asked_for() -> None:
    now = datetime(2026, 5, 12, 12, tzinfo=UTC)
    found = [
        RunSummary(f"202605{day:02d}-120000-abcdef", "finished", "r", "s", 1, 1, 1, f"202605{day:02d}-120000")
        for day in (12, 11, 10, 9)
    ]

    def days(**rule: object) -> list[str]:
        return [run.run_id[6:8] for run in prunable(found, now=now, **rule)]  # type: ignore[arg-type]

    assert days() == ["12", "11", "10", "09"]
    assert days(keep=3) == ["09"]
    assert days(older_than=timedelta(days=2)) == ["09"], "exactly two days is not older"
    assert days(keep=3, older_than=timedelta(days=1)) == ["09"]
    assert days(statuses=("failed",)) == []


def test_sizes_are_for_people() -> None:
    assert [size(count) for count in (0, 999, 1000, 1_234_567, 5 * 10**12)] == [
        "0 B", "999 B", "1.0 kB", "1.2 MB", "5000.0 GB",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_changed_is_named(phronesis: Phronesis, server: FakeServer) -> None:
    (run_id,) = runs(phronesis, 1)
    load_settings().runs.chmod(0o500)
    try:
        with permissions_hold():
            code, _, err = phronesis("runs", "prune", "--yes")
    finally:
        load_settings().runs.chmod(0o700)
    assert code == 3 and run_id in err
    assert (load_settings().runs / run_id).is_dir()
