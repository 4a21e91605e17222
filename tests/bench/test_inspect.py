"""With inspect_ai: a bench's logs read back by its own reader, and a recipe as a solver of an evaluation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from phronesis.bench.inspect_solver import messages_of, phronesis_solver
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.cli.main import app
from phronesis.core.errors import ConfigurationError, RecipeError
from phronesis.testing import FakeRequest, FakeServer, Fault


def doubled(request: FakeRequest, index: int) -> str:
    """Right at even indexes and for even numbers; ``seven`` is always wrong."""
    number = int(request.user.split("What is ")[1].split(" ")[0])
    return f"Attempt {index}: \\boxed{{{2 * number + (index % 2) * (number % 2) + (number == 7)}}}"


def fails(request: FakeRequest, number: int) -> Fault | None:
    return Fault(400, message="no threes") if "What is 3 " in request.text else None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(doubled, faults=fails) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@pytest.fixture
def bench(server: FakeServer, tmp_path: Path) -> Path:
    """A bench of two arms over questions 1 to 7; the third fails, the seventh is wrong."""
    rows = [
        {"id": f"q{n}", "question": f"What is {n} + {n}?", "gold": str(2 * n), "answer_format": "number"}
        for n in range(1, 8)
    ]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ["bench", "run", "--recipe", "direct", "--recipe", "refine=self_refine", "--recipe", "self_consistency"]
    words += ["--dataset", str(tmp_path / "sums.jsonl"), "--set", "seed=1", "--out", str(tmp_path / "b")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 1, done.output
    return tmp_path / "b"


def items_of(bench: Path, arm: str) -> dict[str, Item]:
    return {item.task: item for item in BenchFolder(bench).items() if item.arm == arm}


def write_logs(bench: Path, out: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["bench", "inspect", str(bench), "--out", str(out), *words])


class TestLogs:
    def test_inspects_reader_finds_the_benchs_figures(self, bench: Path, tmp_path: Path) -> None:
        from inspect_ai.log import list_eval_logs, read_eval_log

        done = write_logs(bench, tmp_path / "logs", "--json")
        assert done.exit_code == 0, done.output
        rows = json.loads(done.stdout)
        assert [row["cell"] for row in rows] == ["direct@sums#0", "refine@sums#0", "self_consistency@sums#0"]
        assert len(list_eval_logs(str(tmp_path / "logs"))) == 3
        for row in rows:
            log, items = read_eval_log(row["log"]), items_of(bench, row["cell"].partition("@")[0])
            assert log.status == "success" and log.samples is not None and log.results is not None
            assert {sample.id for sample in log.samples} == set(items) and log.results.total_samples == len(items) == 7
            right = sum(item.correct for item in items.values())
            assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(right / 7)
            spent = log.stats.model_usage["fake"]
            assert spent.output_tokens == sum(item.total_tokens for item in items.values())
            assert spent.input_tokens == sum(item.prompt_tokens for item in items.values())
            for sample in log.samples:
                item = items[str(sample.id)]
                assert sample.scores is not None and sample.output.usage is not None
                assert sample.scores["grade"].value == ("C" if item.correct else "I")
                assert sample.scores["grade"].answer == item.answer
                assert sample.output.usage.output_tokens == item.total_tokens
                assert set(sample.role_usage) == {call.role for call in item.calls}
                assert Path(sample.metadata["journal"]).is_file()

    def test_a_sample_holds_question_gold_and_every_attempt_with_the_chosen_one_first(
        self, bench: Path, tmp_path: Path
    ) -> None:
        from inspect_ai.log import read_eval_log

        write_logs(bench, tmp_path / "logs")
        log = read_eval_log(str(tmp_path / "logs" / "sums_self_consistency_0.eval"))
        items = items_of(bench, "self_consistency")
        sample = next(sample for sample in log.samples or [] if sample.id == "q2")
        assert sample.input[-1].text == "What is 2 + 2?" and sample.target == "4"  # type: ignore[union-attr]  # a chat
        assert len(sample.output.choices) == len(items["q2"].attempts) >= 2
        assert sample.output.completion == "Attempt 0: \\boxed{4}"
        assert sample.messages[-1].text == sample.output.completion

    def test_a_failed_task_is_a_sample_with_its_error(self, bench: Path, tmp_path: Path) -> None:
        from inspect_ai.log import read_eval_log

        write_logs(bench, tmp_path / "logs")
        log = read_eval_log(str(tmp_path / "logs" / "sums_direct_0.eval"))
        sample = next(sample for sample in log.samples or [] if sample.id == "q3")
        assert sample.error is not None and "no threes" in sample.error.message
        assert log.results is not None and log.results.completed_samples == 6

    def test_without_journals_the_figures_stay(self, bench: Path, tmp_path: Path) -> None:
        from inspect_ai.log import read_eval_log

        shutil.rmtree(bench / "runs")
        done = write_logs(bench, tmp_path / "logs")
        assert done.exit_code == 0 and "7 samples, 7 without texts" in done.output
        log = read_eval_log(str(tmp_path / "logs" / "sums_direct_0.eval"))
        assert log.samples is not None and "is gone" in str(log.samples[0].input)
        assert log.results is not None and log.results.scores[0].metrics["accuracy"].value == pytest.approx(5 / 7)

    def test_a_folder_that_is_no_bench_is_refused(self, tmp_path: Path) -> None:
        done = write_logs(tmp_path, tmp_path / "logs")
        assert isinstance(done.exception, ConfigurationError) and "is no bench folder" in str(done.exception)
        assert not (tmp_path / "logs").exists()


def evaluate(tmp_path: Path, solver: Any, *, samples: int = 2, epochs: int = 1, first: int = 1) -> Any:
    """The log of an evaluation of sums."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import match

    asked = [Sample(input=f"What is {n} + {n}?", target=str(2 * n), id=f"s{n}") for n in range(first, first + samples)]
    task = Task(dataset=asked, solver=solver, scorer=match(location="any", numeric=True), epochs=epochs)
    (log,) = eval(task, model="none", log_dir=str(tmp_path / "logs"), display="none", fail_on_error=False)
    return log


class TestSolver:
    def test_a_recipe_solves_an_evaluation(self, server: FakeServer, tmp_path: Path, home: Path) -> None:
        log = evaluate(tmp_path, phronesis_solver("self_consistency", {"knobs.k": 4}, answer_format="number"))
        assert log.status == "success" and server.calls == 8
        assert log.results.scores[0].metrics["accuracy"].value == 1.0
        for sample in log.samples:
            account = sample.metadata["phronesis"]
            assert account["calls"] == 4 and account["answer"] == sample.target
            assert sample.output.usage.output_tokens == account["completion_tokens"] > 0
            assert Path(account["journal"]).parent.name == account["run_id"]
            assert sample.messages[-1].text == sample.output.completion == sample.target
            assert account["text"].startswith("Attempt ")

    def test_the_whole_attempt_can_be_the_output(self, server: FakeServer, tmp_path: Path) -> None:
        (sample,) = evaluate(tmp_path, phronesis_solver("direct", output="attempt"), samples=1).samples
        assert sample.output.completion == "Attempt 0: \\boxed{2}"

    def test_epochs_have_seeds_of_their_own(self, server: FakeServer, tmp_path: Path) -> None:
        evaluate(tmp_path, phronesis_solver("direct", {"seed": 5}), samples=1, epochs=3)
        seeds = [request.body["seed"] for request in server.seen]
        assert len(seeds) == 3 == len(set(seeds))

    def test_a_failed_run_is_a_sample_error_and_no_answer(self, server: FakeServer, tmp_path: Path) -> None:
        log = evaluate(tmp_path, phronesis_solver("direct"), samples=2, first=3)
        errors = {sample.id: sample.error for sample in log.samples}
        assert errors["s4"] is None and "no threes" in errors["s3"].message

    def test_a_wrong_override_is_refused_at_once(self) -> None:
        with pytest.raises(RecipeError, match="knobs"):
            phronesis_solver("direct", {"knobs.kk": 4})

    def test_a_tools_turn_is_refused(self) -> None:
        from inspect_ai.model import ChatMessageTool, ChatMessageUser

        assert [message.role for message in messages_of([ChatMessageUser(content="hello")])] == ["user"]
        with pytest.raises(ConfigurationError, match="tool"):
            messages_of([ChatMessageTool(content="42")])
