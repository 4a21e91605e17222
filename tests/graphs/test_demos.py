"""``phronesis demos make``: what is kept, numbers of citations, going on after a stop, wrong usage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from toy_documents import documents
from typer.testing import CliRunner

from phronesis.agents.demonstrations import read_demonstrations
from phronesis.cli.main import app
from phronesis.core.errors import ConfigurationError
from phronesis.testing import FakeRequest, FakeServer

TEXTS = {f"d{number}": f"topic{number} topic{number} is fact{number}." for number in range(1, 7)}
QUESTIONS = [
    {"id": "kept", "question": "topic1 and topic2?", "gold": "fact2"},
    {"id": "wrong", "question": "topic3 and topic4?", "gold": "another"},
    {"id": "alone", "question": "only topic5?", "gold": "fact5"},
]


def replies(request: FakeRequest, index: int) -> str:
    own = request.user.split("\n\nAn example of such lines")[0].split("Question: ")[-1]
    question = own.splitlines()[0]

    def line(kind: str, text: str) -> str:
        return orjson.dumps({"type": kind, "text": text}).decode()

    if "Answer this sub-question" in own:
        return line("intermediate", "It is said in [1], not in [77].")
    if question.startswith("only"):
        return line("final", "fact5")
    if '"sub_query","' not in own.split("If a fact is still missing")[0]:
        return line("sub_query", question.split()[-1].strip("?"))
    return line("final", "fact2" if "topic1" in question else "fact4")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in QUESTIONS))
    return path


def make(dataset: Path, out: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    kb = documents(TEXTS)
    command = ["demos", "make", "iterdrag", str(dataset), "--out", str(out), "--json", "--set", f"retrieval.kb={kb}"]
    command += ["--set", "knobs.k=1", "--set", "knobs.k_sub=2", "--set", "knobs.least=0"]
    done = CliRunner().invoke(app, [*command, *arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return dict(orjson.loads(done.stdout.splitlines()[-1]))


def test_right_traces_with_intermediate_answers_are_kept(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demos.jsonl"
    with FakeServer(replies) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        said = make(dataset, out)
        assert said["kept"] == 1 and said["left_out"] == {"wrong": 1, "no intermediate answer": 1}
        first = out.read_bytes()
        (item,) = read_demonstrations(str(out)).items
        assert (item.id, item.question, item.answer) == ("kept", "topic1 and topic2?", "fact2")
        assert "d2" in {passage.id for passage in item.passages}
        cited = int(item.trace[0].answer.split("[")[1].split("]")[0])
        assert "77" not in item.trace[0].answer
        assert cited == len(item.passages) > 1, "what the question found stands first, and so has the last number"
        before = server.calls
        out.unlink()
        make(dataset, out, "--run", said["run_id"])
        assert server.calls == before, "nothing is paid twice"
        assert out.read_bytes() == first


def test_what_was_made_can_be_shown(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demos.jsonl"
    with FakeServer(replies) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        make(dataset, out, "--most", "1")
        again = make(dataset, tmp_path / "more.jsonl", "--set", "knobs.m=1", "--set", f"knobs.demos={out}")
    assert again["kept"] == 1


def test_nothing_kept_is_a_failure(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(lambda request, index: '{"type": "final", "text": "x"}') as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert make(dataset, tmp_path / "demos.jsonl", code=1)["kept"] == 0


@pytest.mark.parametrize(
    ("recipe", "data", "out", "said"),
    [
        ("rag", "train.jsonl", "d.jsonl", "leaves no trace"),
        ("iterdrag", "none.jsonl", "d.jsonl", "none.jsonl"),
        ("iterdrag", "train.jsonl", "no/d.jsonl", "there is no folder"),
    ],
)
def test_wrong_usage(dataset: Path, recipe: str, data: str, out: str, said: str) -> None:
    arguments = ["demos", "make", recipe, str(dataset.parent / data), "--out", str(dataset.parent / out)]
    with pytest.raises(ConfigurationError) as caught:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert said in str(caught.value)
