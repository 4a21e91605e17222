"""The command line as a user meets it: output, exit codes, messages."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from phronesis.cli.main import main
from phronesis.testing import FakeRequest, FakeServer

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
def server(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a generator fixture
    with FakeServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def test_run_prints_the_contracts_result(phronesis: Phronesis, server: FakeServer) -> None:
    code, out, _ = phronesis("run", "magicore", "--json", "--set", "knobs.k=4", "What is 3 + 4?")
    result = json.loads(out)
    assert code == 0
    for name in ("answer", "candidates", "usage", "depth", "stop_reason", "degraded", "failures", "memory", "run_id"):
        assert name in result
    assert result["usage"]["calls"] == server.calls
    assert Path(result["journal"]).is_file()


def test_run_shows_answer_candidates_and_how_to_look_closer(phronesis: Phronesis, server: FakeServer) -> None:
    code, out, err = phronesis("run", "self_consistency", "--set", "knobs.k=3", "What is 3 + 4?")
    assert code == 0
    assert out.startswith("answer  ")
    assert "c2" in out and "phronesis runs show" in out
    assert "vote:" in err


def test_a_decision_is_shown_in_words(phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(lambda request, index: " 3 + 4 = 7.\nAnswer: 7") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, _, err = phronesis("run", "best_of_n", "--set", "knobs.n=2", "What is 3 + 4?")
    assert code == 0
    assert "majority: answer 7, chosen c0" in err.splitlines()


def test_a_question_comes_from_standard_input(
    phronesis: Phronesis, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO("What is 3 + 4?\n"))
    code, out, _ = phronesis("run", "direct", "--json", "-")
    assert code == 0 and json.loads(out)["answer"] is not None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "magicor", "q"), "did you mean 'magicore'"),
        (("run", "magicore", "  "), "empty"),
        (("run", "magicore"), "QUESTION or --dataset"),
        (("run", "magicore", "q", "--set", "knobs.kk=3"), "did you mean 'k'"),
        (("run", "magicore", "q", "--set", "knobs.k"), "KEY=VALUE"),
        (("run", "magicore", "q", "--set", "knobs.k=many"), "knobs.k = 'many'"),
        (("run", "magicore", "q", "--set", "knobs.outcome=juge"), "did you mean 'judge'"),
        (("run", "magicore", "q", "--budget", "call=3"), "did you mean 'calls'"),
        (("run", "magicore", "q", "--memory", "sometimes"), "memory.mode"),
        (("run", "nowhere.toml", "q"), "nowhere.toml"),
        (("run", "magicore", "--dataset", "nowhere.jsonl"), "nowhere.jsonl"),
        (("runs", "show", "20260101-000000-abcdef"), "there is no run"),
        (("runs", "resume", "../../etc"), "there is no run"),
        (("memory", "add", "--session", "../up", "text"), "../up"),
        (("memory", "add"), "TEXT or --file"),
        (("nonsense",), "No such command"),
    ],
)
def test_wrong_usage_names_the_value_and_exits_2(phronesis: Phronesis, arguments: tuple[str, ...], says: str) -> None:
    code, _, err = phronesis(*arguments)
    assert code == 2
    assert says in err


def test_a_dead_endpoint_says_how_to_start_one_and_exits_3(
    phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    code, _, err = phronesis("run", "direct", "What is 3 + 4?")
    assert code == 3
    assert "127.0.0.1:9" in err and "phronesis models serve" in err
    assert phronesis("runs", "list")[1].startswith("no runs yet")


def test_a_model_that_was_not_pulled_says_how_to_pull_it(phronesis: Phronesis) -> None:
    code, _, err = phronesis("run", "direct", "What is 3 + 4?")
    assert code == 3
    assert "phronesis models pull" in err


def test_a_server_without_logprobs_is_refused_before_anything_is_paid(
    phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer(logprobs=False) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, _, err = phronesis("run", "magicore", "What is 3 + 4?")
        assert code == 3
        assert "logprobs" in err and "solver" in err
        assert server.calls == 0


def test_a_dataset_runs_around_bad_lines_and_resumes(phronesis: Phronesis, server: FakeServer, tmp_path: Path) -> None:
    data, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    data.write_text(
        '{"id": "a", "question": "What is 1 + 1?", "answer": "2"}\nnot json\n{"id": "b", "question": ""}\n'
        '{"id": "c", "question": "What is 2 + 2?"}\n{"id": "a", "question": "again"}\n',
        encoding="utf-8",
    )
    code, shown, err = phronesis("run", "direct", "--dataset", str(data), "--out", str(out))
    assert code == 1
    for number in (2, 3, 5):
        assert f"in.jsonl:{number}:" in err
    results = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted(item["task_id"] for item in results) == ["a", "c"]
    assert "2 tasks" in shown
    assert '"answer": "2"' not in (Path(results[0]["journal"]).read_text(encoding="utf-8"))
    before = server.calls
    code, _, _ = phronesis("run", "direct", "--dataset", str(data), "--out", str(out))
    assert server.calls == before and code == 1


def test_a_failed_run_exits_1_and_keeps_what_was_paid(phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch) -> None:
    from phronesis.testing import Fault

    monkeypatch.setenv("PHRONESIS_RETRIES", "0")
    with FakeServer(faults=lambda request, number: Fault(500)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, out, _ = phronesis("run", "self_consistency", "--json", "--set", "knobs.k=2", "What is 3 + 4?")
    result = json.loads(out)
    assert code == 1
    assert result["status"] == "failed" and result["answer"] is None
    assert result["usage"]["failed_calls"] == 2
    assert {failure["error"] for failure in result["failures"]} == {"ServerFailed"}


def test_a_tool_that_the_recipe_names_already_may_be_named_again(phronesis: Phronesis) -> None:
    again = ("--tool", "calculator", "--tool", "python(seconds=5)")
    assert phronesis("run", "react", *again, "--dry-run", "What is 2 + 2?")[0] == 0


def test_recipes_can_be_listed_shown_validated_and_priced(phronesis: Phronesis, tmp_path: Path) -> None:
    names = [item["name"] for item in json.loads(phronesis("recipes", "list", "--json")[1])]
    assert {"direct", "self_consistency", "magicore", "demo"} <= set(names)
    for name in names:
        assert phronesis("recipes", "validate", name)[0] == 0
        assert json.loads(phronesis("recipes", "show", name, "--json")[1])["name"] == name
        cost = json.loads(phronesis("recipes", "cost", name, "--json")[1])
        assert 1 <= cost["calls"]["least"] <= cost["calls"]["most"]
    assert "The paper's: 40" in phronesis("recipes", "show", "magicore")[1]
    assert "[retrieval]\n  kb = ''" in phronesis("recipes", "show", "rag")[1]
    assert "use = ['calculator', 'python(seconds=5)']" in phronesis("recipes", "show", "react")[1]
    broken = tmp_path / "mine.toml"
    broken.write_text(
        'schema = "phronesis/recipe/1"\nname = "mine"\nstrategy = "magicore"\n\n[knobs]\nroundz = 2\n', encoding="utf-8"
    )
    code, _, err = phronesis("recipes", "validate", str(broken))
    assert code == 2
    assert "mine.toml, line 6" in err and "did you mean 'rounds'" in err


def test_the_recipe_schema_describes_every_shipped_recipe(phronesis: Phronesis) -> None:
    import tomllib

    import jsonschema

    schema = json.loads(phronesis("recipes", "schema")[1])
    for file in (Path(__file__).parent.parent.parent / "recipes").glob("*.toml"):
        jsonschema.validate(tomllib.loads(file.read_text(encoding="utf-8")), schema)


def test_dry_run_prices_a_dataset_without_a_call(phronesis: Phronesis, server: FakeServer, tmp_path: Path) -> None:
    data = tmp_path / "in.jsonl"
    data.write_text('{"question": "one?"}\n{"question": "two?"}\n', encoding="utf-8")
    code, out, _ = phronesis("run", "magicore", "--dataset", str(data), "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0 and server.calls == 0 and server.probes == 0
    assert plan["calls"] == {"least": 16, "most": 2 * (8 + 2 * 8 * 3)}


def test_memory_adds_finds_and_shows(phronesis: Phronesis, tmp_path: Path) -> None:
    code, out, _ = phronesis("memory", "add", "--when", "packs are bought and pieces used", "turn packs into pieces")
    first = out.strip()
    assert code == 0 and first
    lines = tmp_path / "concepts.jsonl"
    lines.write_text(
        '{"suggestion": "draw the journey", "situation": "a cyclist rides"}\n{"oops": 1}\n', encoding="utf-8"
    )
    code, out, err = phronesis("memory", "add", "--file", str(lines))
    assert code == 1 and len(out.split()) == 1 and "concepts.jsonl:2" in err
    hits = json.loads(phronesis("memory", "search", "--json", "--k", "5", "a pack of pieces")[1])
    assert hits[0]["id"] == first
    assert hits[0]["concept"]["suggestion"] == "turn packs into pieces"
    assert len(json.loads(phronesis("memory", "list", "--json")[1])) == 2
    assert "turn packs into pieces" in phronesis("memory", "show", first)[1]
    assert phronesis("memory", "show", "c99")[0] == 1


def test_session_turns_learning_on_and_the_next_run_recalls(
    phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agree(request: FakeRequest, index: int) -> str:
        if "Write down the one idea" in request.user:
            return '{"situation": "two numbers are added", "suggestion": "add them from the right"}'
        return " 3 + 4 = 7\nStep 2: \\boxed{7}"

    with FakeServer(agree) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        question = "Two numbers are added: 3 and 4. What comes out?"
        first = json.loads(phronesis("run", "self_consistency", "--session", "s", "--json", question)[1])
        assert [item["outcome"] for item in first["memory"]["written"]] == ["written"]
        second = json.loads(phronesis("run", "self_consistency", "--session", "s", "--json", question + " Now.")[1])
        (recalled,) = second["memory"]["recalled"]
        assert recalled["id"] == first["memory"]["written"][0]["id"] and recalled["rendered"]
        solver = [request for request in server.seen if "Now." in request.user and "numbered steps" in request.user]
        assert "add them from the right" in solver[0].user
        off = json.loads(
            phronesis("run", "self_consistency", "--session", "s", "--memory", "off", "--json", question)[1]
        )
        assert off["memory"] is None


def test_doctor_names_what_is_missing(phronesis: Phronesis, server: FakeServer) -> None:
    code, out, _ = phronesis("doctor", "--json")
    found = {item["what"]: item for item in json.loads(out)["findings"]}
    assert code == 0
    assert server.url in found["endpoint"]["found"]


def test_doctor_exits_3_for_a_dead_endpoint(phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    code, out, _ = phronesis("doctor")
    assert code == 3 and "MISSING  endpoint" in out


def test_a_data_folder_that_cannot_be_written_is_named(
    phronesis: Phronesis, server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("PHRONESIS_HOME", str(tmp_path / "file" / "home"))
    code, _, err = phronesis("run", "direct", "What is 3 + 4?")
    assert code == 3
    assert "PHRONESIS_HOME" in err


def test_a_server_that_is_still_loading_exits_3_and_says_so(
    phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As llama.cpp answers while it reads its model: 503 to everything."""

    class Loading(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503, "Loading model")

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("PHRONESIS_RETRIES", "0")
    with ThreadingHTTPServer(("127.0.0.1", 0), Loading) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
        code, _, err = phronesis("run", "direct", "What is 3 + 4?")
        server.shutdown()
    assert code == 3
    assert "not ready" in err and "wait" in err
