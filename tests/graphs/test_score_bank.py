"""Sample banks scored again: figures where they belong, nothing paid twice, no failure taken for a figure; and what runs
say of scorers that tested at chance."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.errors import ConceptStoreError, ConfigurationError, PhronesisError, RecipeError
from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import Task
from phronesis.graphs.banks import Banks
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.graphs.scorer_records import ScorerRecord, ScorerRecords
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

Serve = Callable[..., FakeServer]
REFUSED = Fault(status=400, message="scripted refusal")
TASKS = (Task(messages="What is 12 + 30?", id="a"), Task(messages="What is 7 + 5?", id="b"))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that answers as told and is the configured endpoint."""
    with ExitStack() as stack:

        def start(reply: Any, **options: Any) -> FakeServer:
            server = stack.enter_context(FakeServer(reply, **options))
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            return server

        yield start


def agents(request: FakeRequest, index: int) -> FakeReply | str:
    """Chains mark 42, 360, nothing; verifiers and judges like 42; programs say 42."""
    if "Is the final answer" in request.user or "step by step. It begins" in request.user:
        share = 0.75 if "42" in request.user else 0.25
        return FakeReply("Yes", top={" Yes": math.log(share), " No": math.log(1 - share)})
    if "Proposed solution" in request.user:
        likes, error = "boxed{42}" in request.user, "may hold an error" in request.user
        return f"Verdict: {'Yes' if likes != error else 'No'}"
    if request.prefill.startswith("The right solution"):
        share = 0.9 if "boxed{42}" in request.user.split("Solution B:")[0] else 0.1
        return FakeReply("A", top={" A": math.log(share), " B": math.log(1 - share)})
    if request.prefill:
        return "    return 42"
    if "hidden behind x" in request.user:
        return "x is \\boxed{30}"
    texts = ("12 + 30 = 42. So \\boxed{42}.", "12 * 30 = 360. So \\boxed{360}.", "I cannot tell.")
    return FakeReply(texts[index % 3], logprob=-0.1 * (index + 1))


def is_judge(request: FakeRequest, number: int = 0) -> bool:
    return "Proposed solution" in request.text or "Solution A" in request.text or bool("def solution" in request.text)


def solve(recipe: Recipe, tasks: Sequence[Task] = TASKS, *, texts: bool = True) -> tuple[str, list[Result]]:
    """(run id, results in the order of the tasks)."""

    async def go() -> tuple[str, list[Result]]:
        try:
            async with await Run.start(recipe, settings=load_settings(), texts=texts) as run:
                found = {result.task_id: result async for result in run.solve_all(tasks)}
            return run.id, [found[task.id] for task in tasks]
        finally:
            await close_pools()

    return asyncio.run(go())


def resume(run_id: str) -> list[Result]:
    async def go() -> list[Result]:
        try:
            async with await Run.resume(run_id, settings=load_settings()) as run:
                found = {result.task_id: result async for result in run.solve_all(run.tasks)}
            return [found[task.id] for task in run.tasks]
        finally:
            await close_pools()

    return asyncio.run(go())


def record(k: int = 3, tasks: Sequence[Task] = TASKS) -> str:
    return solve(Recipe.load("self_consistency", overrides={"knobs.k": k, "knobs.weights": "probability"}), tasks)[0]


def scoring(bank: str, *scorers: str, **more: Any) -> Recipe:
    data = {
        "schema": "phronesis/recipe/1",
        "name": "score_bank",
        "strategy": "score_bank",
        "knobs": {"bank": bank, "scorers": list(scorers)},
        "calibration": "frozen",
        **more,
    }
    return Recipe.from_data(data)


def figures(result: Result, scorer: str) -> list[float | None]:
    return [item.scores[scorer] for item in result.candidates]


class TestFigures:
    def test_every_kind_of_scorer_fills_its_column(self, serve: Serve) -> None:
        server = serve(agents)
        bank = record()
        drawn = server.calls
        names = (
            "self_certainty",
            "arithmetic",
            "judge",
            "generative(votes=1)",
            "execution(programs=2)",
            "pairwise",
            "step_judge",
        )
        _, (result, other) = solve(scoring(bank, *names))
        first, second, none = (pytest.approx(math.exp(-0.1 * number)) for number in (1, 2, 3))
        assert figures(result, "self_certainty") == [first, second, none]
        assert figures(result, "arithmetic") == [0.97, 0.97, 0.0]
        assert figures(result, "judge") == [pytest.approx(0.75), pytest.approx(0.25), pytest.approx(0.25)]
        assert figures(result, "generative(votes=1)") == [1.0, 0.0, 0.0]
        assert figures(result, "execution(programs=2)") == [1.0, 0.0, None]
        assert figures(result, "pairwise") == [pytest.approx(0.9), pytest.approx(0.1), None]
        assert figures(result, "step_judge") == [pytest.approx(0.75), pytest.approx(0.25), 0.0]
        assert (result.answer, result.stop_reason) == ("42", "finished")
        spent = result.usage.calls + other.usage.calls
        assert spent == server.calls - drawn == 2 * (3 + 6 + 2 + 2 + 2)
        assert [item.text for item in result.candidates] == [
            item.text for item in Banks(load_settings()).attempts(bank, "a")
        ]

    def test_nothing_is_drawn_and_failed_attempts_are_not_scored(self, serve: Serve) -> None:
        server = serve(agents, max_n=1, faults=[None, REFUSED, None])
        bank = record(tasks=TASKS[:1])
        before = server.requests
        _, (result,) = solve(scoring(bank, "judge", "self_certainty"), TASKS[:1])
        statuses = [item.status for item in result.candidates]
        assert sorted(statuses) == ["failed", "ok", "unparsable"] or sorted(statuses) == ["failed", "ok", "ok"]
        for item in result.candidates:
            assert (item.scores["judge"] is None) == (item.status == "failed")
        assert server.requests - before == 2

    def test_two_versions_of_one_scorer_do_not_mix(self, serve: Serve) -> None:
        serve(agents)
        bank = record(tasks=TASKS[:1])
        names = ("generative(votes=1)", "generative(votes=1, framing=correct)", "generative( votes=1 )")
        _, (result,) = solve(scoring(bank, *names), TASKS[:1])
        assert [figures(result, name) for name in names] == [[1.0, 0.0, 0.0]] * 3
        assert result.usage.calls == 6 + 3 + 6

    def test_the_cost_law_holds(self, serve: Serve) -> None:
        serve(agents)
        recipe = scoring(record(tasks=TASKS[:1]), "judge", "execution(programs=2)")
        _, (result,) = solve(recipe, TASKS[:1])
        law = recipe.strategy.cost(recipe.knobs)
        assert result.usage.calls == law.calls_at(C=5, D=2) and result.depth == law.depth_at(C=5, D=2)
        free = scoring("x", "self_certainty", "arithmetic")
        assert free.strategy.cost(free.knobs).most == (0, 0)


class TestFailures:
    @pytest.mark.parametrize(
        "scorer", ["generative(votes=1)", "pairwise", "execution(programs=1)", "backward(hidden=1)"]
    )
    def test_a_scorer_that_fails_has_no_figure_and_is_reported(self, serve: Serve, scorer: str) -> None:
        server = serve(agents)
        bank = record(tasks=TASKS[:1])
        server._faults = lambda request, number: REFUSED
        _, (result,) = solve(scoring(bank, scorer, "self_certainty"), TASKS[:1])
        assert figures(result, scorer) == [None] * 3
        assert all(figure is not None for figure in figures(result, "self_certainty"))
        assert result.failures and {failure.error for failure in result.failures} == {"Refused"}
        assert result.status == "ok" and result.answer == "42"

    @pytest.mark.parametrize("scorer", ["generative(votes=1)", "pairwise", "step_judge"])
    def test_what_the_banks_strategy_ranked_by_is_no_figure_of_a_scorer(self, serve: Serve, scorer: str) -> None:
        """magicore gives its chains rewards; a scorer that fails must not inherit them."""
        server = serve(agents)
        overrides = {"knobs.k": 3, "knobs.rounds": 0, "calibration": "frozen"}
        bank, (drawn,) = solve(Recipe.load("magicore", overrides=overrides), TASKS[:1])
        assert any(item.reward is not None for item in drawn.candidates)
        server._faults = lambda request, number: REFUSED
        _, (result,) = solve(scoring(bank, scorer), TASKS[:1])
        assert all(figure in (None, 0.0) for figure in figures(result, scorer))

    def test_a_figure_of_an_earlier_scorer_is_not_handed_on(self, serve: Serve) -> None:
        serve(agents, faults=lambda request, number: REFUSED if "Solution A" in request.text else None)
        bank = record(tasks=TASKS[:1])
        _, (result,) = solve(scoring(bank, "judge", "pairwise"), TASKS[:1])
        assert figures(result, "pairwise") == [None] * 3

    @pytest.mark.parametrize("calls", range(7))
    def test_a_cap_on_calls(self, serve: Serve, calls: int) -> None:
        """The judge needs 3 calls, the programs 2: who has been scored by then has a figure."""
        server = serve(agents)
        bank = record(tasks=TASKS[:1])
        before = server.calls
        recipe = scoring(bank, "judge", "execution(programs=2)", budget={"calls": calls})
        _, (result,) = solve(recipe, TASKS[:1])
        known = [figure is not None for figure in figures(result, "judge")]
        assert known == [index < calls for index in range(3)]
        assert (figures(result, "execution(programs=2)") == [None] * 3) == (calls < 5)
        assert server.calls - before == result.usage.calls <= calls
        assert result.stop_reason == ("finished" if calls >= 5 else "budget:calls")


class TestResume:
    def test_a_power_cut_after_every_line(self, serve: Serve) -> None:
        server = serve(agents)
        bank = record(tasks=TASKS[:1])
        run, (whole,) = solve(scoring(bank, "generative(votes=1)", "execution(programs=2)", "pairwise"), TASKS[:1])
        path = load_settings().runs / run / FILE_NAME
        lines = path.read_bytes().splitlines(keepends=True)
        events = [json.loads(line) for line in lines]
        start = next(number for number, event in enumerate(events) if event["type"] == "task_started")
        total = whole.usage.calls
        for count in range(start + 1, len(lines) + 1):
            path.write_bytes(b"".join(lines[:count]) + b'{"torn')
            paid = sum(event.get("count", 1) for event in events[:count] if event["type"] == "call")
            before = server.calls
            (again,) = resume(run)
            assert server.calls - before == total - paid, f"after {count} lines"
            assert again.comparable() == whole.comparable(), f"after {count} lines"

    def test_a_scoring_run_needs_its_bank_only_once(self, serve: Serve) -> None:
        serve(agents)
        bank = record(tasks=TASKS[:1])
        run, whole = solve(scoring(bank, "judge"), TASKS[:1])
        folder = load_settings().runs / bank
        (folder / FILE_NAME).unlink()
        assert [item.comparable() for item in resume(run)] == [item.comparable() for item in whole]

    def test_a_scorers_model_that_was_fitted_anew_does_not_change_a_run(self, serve: Serve, tmp_path: Path) -> None:
        def model(bias: float) -> str:
            head = f'schema = "phronesis/logistic/1"\ncalibrated_on = "a test"\nbias = {bias}\n'
            return head + "[features]\nright_equations = { weight = 1.0, mean = 0.0, scale = 1.0 }\n"

        path = tmp_path / "model.toml"
        path.write_text(model(0.0), encoding="utf-8")
        serve(agents)
        run, whole = solve(scoring(record(tasks=TASKS[:1]), f'signals(model="{path}")', "judge"), TASKS[:1])
        assert [item.comparable() for item in resume(run)] == [item.comparable() for item in whole]
        path.write_text(model(2.0), encoding="utf-8")
        with pytest.raises(PhronesisError, match=r"model\.toml"):
            resume(run)


class TestBanks:
    def test_a_run_that_is_not_there(self, serve: Serve) -> None:
        serve(agents)
        with pytest.raises(ConfigurationError, match="no run 'nobody'"):
            solve(scoring("nobody", "self_certainty"))

    def test_a_task_that_the_bank_lacks(self, serve: Serve) -> None:
        serve(agents)
        bank = record(tasks=TASKS[:1])
        with pytest.raises(ConfigurationError, match="no finished task 'b'"):
            solve(scoring(bank, "self_certainty"), TASKS)

    def test_only_finished_tasks_are_a_banks(self, serve: Serve) -> None:
        serve(agents)
        bank = record()
        path = load_settings().runs / bank / FILE_NAME
        lines = path.read_bytes().splitlines(keepends=True)
        last = max(n for n, line in enumerate(lines) if b'"task_finished"' in line)
        path.write_bytes(b"".join(lines[:last]))
        (kept,) = Banks(load_settings()).tasks(bank)
        assert kept in TASKS and len(Banks(load_settings()).attempts(bank, kept.id)) == 3

    def test_without_texts_there_is_nothing_to_score(self, serve: Serve) -> None:
        serve(agents)
        bank, _ = solve(Recipe.load("self_consistency", overrides={"knobs.k": 2}), TASKS[:1], texts=False)
        with pytest.raises(ConfigurationError, match="without texts"):
            Banks(load_settings()).attempts(bank, "a")

    def test_the_tasks_of_a_bank_without_texts_are_refused_too(self, serve: Serve) -> None:
        serve(agents)
        bank, _ = solve(Recipe.load("self_consistency", overrides={"knobs.k": 2}), TASKS[:1], texts=False)
        with pytest.raises(ConfigurationError, match="without texts"):
            Banks(load_settings()).tasks(bank)

    @pytest.mark.parametrize("scorer", ["jugde", "generative(votes=0)", "judge(x=1)", ""])
    def test_a_scorer_that_does_not_exist_is_refused_at_once(self, scorer: str) -> None:
        with pytest.raises(RecipeError):
            scoring("20260101-000000-abcdef", scorer)


def of_test(scorer: str = "self_certainty", auroc: float | None = 0.42, **more: Any) -> ScorerRecord:
    fields = {"model": "fake", "format": "number", "low": 0.3, "high": 0.5, "attempts": 64, "questions": 16}
    fields |= {"day": "2026-01-01", "run": "20260101-000000-abcdef"}
    return ScorerRecord(scorer=scorer, auroc=auroc, **{**fields, **more})  # type: ignore[arg-type]  # a plain dict


class TestRecords:
    MAGICORE = {"knobs.k": 2, "knobs.rounds": 0, "calibration": "frozen", "knobs.outcome": "self_certainty"}

    def records(self, settings: Settings) -> ScorerRecords:
        return ScorerRecords(settings.home / "statistics.sqlite3")

    def test_the_latest_of_each_is_kept(self, settings: Settings) -> None:
        records = self.records(settings)
        assert records.latest() == []
        records.save([of_test(auroc=0.4), of_test("judge", auroc=None, low=None, high=None)])
        records.save([of_test(auroc=0.7), of_test(model="other")])
        found = {(item.model, item.scorer): item for item in records.latest()}
        assert set(found) == {("fake", "self_certainty"), ("fake", "judge"), ("other", "self_certainty")}
        assert found["fake", "self_certainty"].auroc == 0.7 and not found["fake", "self_certainty"].at_chance
        assert not found["fake", "judge"].at_chance and "not both seen" in found["fake", "judge"].text

    @pytest.mark.parametrize(("auroc", "warned"), [(0.5, True), (0.2, True), (0.51, False), (None, False)])
    def test_at_chance_and_below_is_said(self, settings: Settings, auroc: float | None, warned: bool) -> None:
        records = self.records(settings)
        records.save([of_test(auroc=auroc)])
        found = records.warnings({"solver": "fake"}, ["self_certainty", "self_certainty"], "number")
        assert len(found) == int(warned)
        assert not records.warnings({"solver": "other"}, ["self_certainty"], "number")
        assert not records.warnings({"solver": "fake"}, ["self_certainty"], "text")
        assert not records.warnings({"solver": "fake"}, ["judge"], "number")

    def test_a_result_says_it_and_says_it_again_after_a_resume(self, serve: Serve, settings: Settings) -> None:
        serve(agents)
        self.records(settings).save([of_test()])
        run, (result,) = solve(Recipe.load("magicore", overrides=self.MAGICORE), TASKS[:1])
        (said,) = [text for text in result.degraded if "no better than chance" in text]
        assert "self_certainty" in said and "0.42" in said and "fake" in said
        self.records(settings).save([of_test(auroc=0.9)])
        assert resume(run)[0].degraded == result.degraded

    @pytest.mark.parametrize("changed", [{"model": "other"}, {"format": "text"}, {"scorer": "judge"}, {"auroc": 0.8}])
    def test_another_model_format_or_scorer_says_nothing(
        self, serve: Serve, settings: Settings, changed: dict[str, Any]
    ) -> None:
        serve(agents)
        self.records(settings).save([of_test(**changed)])
        _, (result,) = solve(Recipe.load("magicore", overrides=self.MAGICORE), TASKS[:1])
        assert not [text for text in result.degraded if "chance" in text]

    def test_a_damaged_file_names_itself(self, settings: Settings) -> None:
        records = self.records(settings)
        records.path.parent.mkdir(parents=True, exist_ok=True)
        Path(records.path).write_text("this is no database, whatever its name says" * 50, encoding="utf-8")
        with pytest.raises(ConceptStoreError, match=r"statistics\.sqlite3"):
            records.latest()
