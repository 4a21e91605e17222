"""The bench's runner: what is solved, graded and written; banks, repeats, resume; and what goes wrong without harm."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.dataset import DataSet, Example
from phronesis.bench.graders.by_answer import ByAnswer
from phronesis.bench.graders.grader import Attempted, Grade, Grader
from phronesis.bench.running import grading
from phronesis.bench.running.bench_file import ArmEntry, arm_of
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.local import LocalExecutor
from phronesis.bench.running.plan import Arm, BenchPlan, Cell, cells
from phronesis.bench.running.runner import IN_A_ROW, Runner
from phronesis.bench.running.summary import summarise
from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import ConfigurationError, EndpointUnreachable, RunLocked, ToolError
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import Task
from phronesis.memory.session import Memory
from phronesis.testing import FakeRequest, FakeServer, Fault

MANY = 6


def number_of(request: FakeRequest) -> int:
    return int(request.user.split("What is ")[1].split(" ")[0])


def half_right(request: FakeRequest, index: int) -> str:
    """Right at even indexes; at odd ones only where the number is even."""
    number = number_of(request)
    return f"So \\boxed{{{2 * number + (index % 2) * (number % 2)}}}"


def examples(count: int = MANY) -> tuple[Example, ...]:
    return tuple(
        Example(Task(messages=f"What is {n} + {n}?", id=f"q{n}", answer_format="number"), str(2 * n))  # type: ignore[arg-type]  # a plain string is one message
        for n in range(1, count + 1)
    )


def arm(name: str, recipe: str = "self_consistency", *, bank: str = "", calls: int | None = None, **knobs: Any) -> Arm:
    overrides = {f"knobs.{key}": value for key, value in knobs.items()}
    return arm_of(ArmEntry(recipe=recipe, name=name, bank=bank, calls=calls, overrides=overrides), {})


def plan(*arms: Arm, repeats: int = 1) -> BenchPlan:
    return BenchPlan(sets=(SetRequest(spec="sums", name="sums"),), arms=arms, repeats=repeats)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(half_right) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("PHRONESIS_RETRIES", "0")
        yield running


def settings_for(path: Path) -> Settings:
    return load_settings().model_copy(update={"runs_folder": path / "runs"})


def bench(
    path: Path,
    wanted: BenchPlan,
    data: Sequence[Example] | None = None,
    *,
    grader: Grader | None = None,
    retry_failed: bool = False,
    parallel: int = 4,
    overlap: int = 0,
) -> list[Item]:
    """Runs or goes on with a bench; its items."""
    found = DataSet("sums", tuple(data if data is not None else examples()))
    with BenchFolder(path) as folder:
        whole = folder.begin(wanted, {"sums": found})
        runner = Runner(
            folder,
            whole,
            {"sums": found},
            {("sums", ""): grader or ByAnswer()},
            LocalExecutor(settings_for(path), parallel=parallel),
            retry_failed=retry_failed,
            overlap=overlap,
        )
        asyncio.run(runner.run())
        return list(folder.items())


def facts(items: Sequence[Item]) -> list[dict[str, Any]]:
    """What must be equal between two benches of the same plan."""
    left_out = {"seconds", "run_id", "calls"}
    return sorted((item.model_dump(exclude=left_out) for item in items), key=lambda item: (item["arm"], item["task"]))


class TestRunning:
    def test_every_task_is_graded_and_counted(self, server: FakeServer, tmp_path: Path) -> None:
        items = bench(tmp_path / "b", plan(arm("sc", k=4)))
        assert sorted(item.task for item in items) == [f"q{n}" for n in range(1, MANY + 1)]
        assert server.calls == 4 * MANY == sum(item.model_calls for item in items)
        odd = next(item for item in items if item.task == "q3")
        assert [attempt.correct for attempt in odd.attempts] == [True, False, True, False]
        assert odd.correct and odd.score == 1.0 and odd.parsed and odd.answer == "6" == odd.gold
        assert all(item.correct for item in items)

    def test_tokens_are_counted_along_the_critical_path(self, server: FakeServer, tmp_path: Path) -> None:
        (item,) = bench(tmp_path / "b", plan(arm("refine", "self_refine", rounds=1)), examples(1))
        assert [call.level for call in item.calls] == [1, 2, 3]
        assert [call.role for call in item.calls] == ["solver", "reviewer", "refiner"]
        assert item.depth == 3
        assert item.sequential_tokens == item.total_tokens == sum(call.completion_tokens for call in item.calls)
        (wide,) = bench(tmp_path / "c", plan(arm("sc", k=4)), examples(1))
        assert wide.sequential_tokens == max(attempt.tokens for attempt in wide.attempts)
        assert wide.total_tokens == sum(attempt.tokens for attempt in wide.attempts)

    def test_two_benches_of_one_plan_are_equal(self, server: FakeServer, tmp_path: Path) -> None:
        wanted = plan(arm("sc", k=4), arm("one", "direct"))
        first, second = bench(tmp_path / "a", wanted, parallel=1), bench(tmp_path / "b", wanted, parallel=6)
        assert facts(first) == facts(second)

    def test_repeats_have_seeds_of_their_own(self, server: FakeServer, tmp_path: Path) -> None:
        items = bench(tmp_path / "b", plan(arm("one", "direct"), repeats=2))
        assert sorted({item.repeat for item in items}) == [0, 1] and len(items) == 2 * MANY
        assert len({request.body["seed"] for request in server.seen}) == 2 * MANY
        (row,) = summarise(plan(arm("one", "direct"), repeats=2), items)
        assert row.questions == MANY and row.repeats == 2

    def test_the_next_cell_begins_while_the_last_tasks_of_one_are_waited_for(
        self, server: FakeServer, tmp_path: Path
    ) -> None:
        server.latency = lambda request: (
            1.5 if "What is 1 +" in request.text and request.body["temperature"] == 0 else 0.0
        )
        wanted = plan(arm("first", "direct"), arm("second", "direct", temperature=0.5), arm("third", bank="second"))
        for overlap, expected in ((4, ["second", "third", "first"]), (0, ["first", "second", "third"])):
            bench(tmp_path / f"b{overlap}", wanted, overlap=overlap)
            written = map(json.loads, (tmp_path / f"b{overlap}" / "items.jsonl").read_text().splitlines())
            order = [line["arm"] for line in written]
            assert sorted(expected, key=lambda name: len(order) - order[::-1].index(name)) == expected

    def test_an_arm_waits_for_whoever_changes_its_memory(self, server: FakeServer, tmp_path: Path) -> None:
        server.latency = lambda request: 0.05 if request.body["temperature"] == 0 else 0.0

        def reading(name: str, mode: str, session: str = "one", **more: Any) -> Arm:
            overrides = {"memory.mode": mode, "memory.session": session, **more}
            return arm_of(ArmEntry(recipe="direct", name=name, overrides=overrides), {})

        warm = {"knobs.temperature": 0.5}
        wanted = plan(
            reading("learns", "write"),
            reading("reads", "frozen", **warm),
            reading("mounts", "frozen", "two", **warm, **{"memory.mounts": ["one"]}),
            reading("apart", "frozen", "three", **warm),
        )
        for session in ("one", "two", "three"):
            Memory.open(session, settings=settings_for(tmp_path)).close()
        bench(tmp_path / "b", wanted, overlap=MANY)
        order = [json.loads(line)["arm"] for line in (tmp_path / "b" / "items.jsonl").read_text().splitlines()]
        last = len(order) - order[::-1].index("learns")
        assert sorted({*order[last:]}) == ["mounts", "reads"] and order[last:].count("reads") == MANY
        assert order.index("apart") < last

    def test_figures_are_those_of_the_items(self, server: FakeServer, tmp_path: Path) -> None:
        wanted = plan(arm("one", "direct", temperature=0.5))
        data = [*examples(4), Example(Task(messages="What is 5 + 5?", id="wrong", answer_format="number"), "11")]  # type: ignore[arg-type]  # as above
        (row,) = summarise(wanted, bench(tmp_path / "b", wanted, data))
        assert row.accuracy.value == 0.8 and row.accuracy.low <= 0.8 <= row.accuracy.high
        assert row.calls == 1 and row.failed == row.ungraded == row.unparsable == 0

    def test_rows_without_a_format_are_graded_as_the_recipe_reads_them(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        data = [Example(Task(messages="What is 600 + 600?", id="q"), "1,200")]  # type: ignore[arg-type]  # as above
        with FakeServer(lambda request, index: "So \\boxed{1200.0}") as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            (item,) = bench(tmp_path / "b", plan(arm("one", "direct")), data)
        assert item.correct and item.answer == "1200"


class TestBanks:
    def test_an_arm_draws_from_another_and_pays_nothing(self, server: FakeServer, tmp_path: Path) -> None:
        wanted = plan(arm("one", "direct", bank="wide", temperature=0.7, top_p=0.95), arm("wide", k=4))
        assert [cell.arm for cell in cells(wanted)] == ["wide", "one"]
        items = bench(tmp_path / "b", wanted)
        assert server.calls == 4 * MANY
        drawn = [item for item in items if item.arm == "one"]
        assert all(item.model_calls == 1 and item.paid_calls == 0 for item in drawn)
        wide = {item.task: item.attempts[0].answer for item in items if item.arm == "wide"}
        assert {item.task: item.answer for item in drawn} == wide

    def test_what_the_bank_lacks_is_paid(self, server: FakeServer, tmp_path: Path) -> None:
        items = bench(tmp_path / "b", plan(arm("four", k=4), arm("six", k=6, bank="four")))
        assert server.calls == 6 * MANY
        assert all((item.model_calls, item.paid_calls) == (6, 2) for item in items if item.arm == "six")

    def test_without_calls_what_is_missing_is_a_failure(self, server: FakeServer, tmp_path: Path) -> None:
        items = bench(tmp_path / "b", plan(arm("four", k=4), arm("other", k=4, max_tokens=9, bank="four", calls=0)))
        assert server.calls == 4 * MANY
        missing = [item for item in items if item.arm == "other"]
        assert {item.status for item in missing} == {"failed"} and not any(item.correct for item in missing)
        assert {failure.error for item in missing for failure in item.failures} == {"NotRecorded"}

    def test_a_circle_of_banks_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="waits for it"):
            list(cells(plan(arm("a", bank="b"), arm("b", bank="a"))))


class TestResuming:
    def test_a_finished_bench_asks_for_nothing(self, server: FakeServer, tmp_path: Path) -> None:
        wanted = plan(arm("sc", k=2))
        first = bench(tmp_path / "b", wanted)
        assert bench(tmp_path / "b", wanted) == first and server.calls == 2 * MANY

    def test_only_missing_items_are_made_and_nothing_is_paid_twice(self, server: FakeServer, tmp_path: Path) -> None:
        wanted, path = plan(arm("sc", k=2)), tmp_path / "b"
        first = bench(path, wanted)
        lines = (path / "items.jsonl").read_bytes().splitlines(keepends=True)
        (path / "items.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:-9])
        again = bench(path, wanted)
        assert server.calls == 2 * MANY, "the journal has the replies"
        assert facts(again) == facts(first) and len(list((path / "runs").iterdir())) == 1

    def test_arms_repeats_and_sets_may_be_added(self, server: FakeServer, tmp_path: Path) -> None:
        bench(tmp_path / "b", plan(arm("sc", k=2)))
        items = bench(tmp_path / "b", plan(arm("one", "direct"), repeats=2))
        assert {(item.arm, item.repeat) for item in items} == {("sc", 0), ("sc", 1), ("one", 0), ("one", 1)}

    def test_a_changed_recipe_is_refused_with_the_difference(self, server: FakeServer, tmp_path: Path) -> None:
        bench(tmp_path / "b", plan(arm("sc", k=2)))
        with pytest.raises(ConfigurationError, match=r"arm sc: recipe\.knobs\.k was 2 and is now 3"):
            bench(tmp_path / "b", plan(arm("sc", k=3)))

    def test_changed_data_are_refused(self, server: FakeServer, tmp_path: Path) -> None:
        bench(tmp_path / "b", plan(arm("sc", k=2)))
        with pytest.raises(ConfigurationError, match="set sums: its data are not what they were"):
            bench(tmp_path / "b", plan(arm("sc", k=2)), examples(MANY - 1))

    def test_two_benches_do_not_share_a_folder(self, tmp_path: Path) -> None:
        with (
            BenchFolder(tmp_path / "b"),
            pytest.raises(RunLocked, match="another bench works in"),
            BenchFolder(tmp_path / "b"),
        ):
            pass

    def test_a_folder_with_strange_contents_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "items.jsonl").write_text("{}\n")
        with BenchFolder(tmp_path) as folder, pytest.raises(ConfigurationError, match=r"results and no bench\.json"):
            folder.begin(plan(arm("sc")), {})
        with pytest.raises(ConfigurationError, match="is no bench folder"):
            BenchFolder(tmp_path / "absent").plan()


class TestFaults:
    def test_one_bad_problem_stops_nothing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def refuse(request: FakeRequest, number: int) -> Fault | None:
            return Fault(status=400, message="no") if "What is 2 +" in request.text else None

        with FakeServer(half_right, faults=refuse) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            items = {item.task: item for item in bench(tmp_path / "b", plan(arm("one", "direct")))}
            assert items["q2"].status == "failed" and items["q2"].failures and not items["q2"].correct
            assert [item.status for name, item in items.items() if name != "q2"] == ["ok"] * (MANY - 1)
            before = server.requests
            bench(tmp_path / "b", plan(arm("one", "direct")))
            assert server.requests == before, "a refusal is the task's own: it is not tried again"
            bench(tmp_path / "b", plan(arm("one", "direct")), retry_failed=True)
            assert server.requests == before + 1

    def test_an_endpoint_that_dies_stops_the_bench_and_another_goes_on(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        data, wanted = examples(3 * IN_A_ROW), plan(arm("one", "direct"))

        def dying(request: FakeRequest, number: int) -> Fault | None:
            return Fault(status=503, message="going down") if number >= 5 else None

        monkeypatch.setenv("PHRONESIS_RETRIES", "0")
        with FakeServer(half_right, faults=dying) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            with pytest.raises(EndpointUnreachable, match="for want of an endpoint"):
                bench(tmp_path / "b", wanted, data, parallel=2)
            assert server.requests < len(data), "it does not go through all the others"
        with FakeServer(half_right) as other:
            monkeypatch.setenv("OPENAI_BASE_URL", other.url)
            items = bench(tmp_path / "b", wanted, data)
            assert {item.status for item in items} == {"ok"} and len(items) == len(data)
            assert other.calls == len(data) - 5, "what came out before is kept"

    def test_a_task_that_lost_calls_is_noted_and_made_whole_on_demand(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PHRONESIS_RETRIES", "0")
        wanted, data = plan(arm("sc", k=2)), examples(1)

        def second(request: FakeRequest, number: int) -> Fault | None:
            return Fault(status=503, message="busy") if number == 1 else None

        with FakeServer(half_right, faults=second, max_n=1) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            items = bench(tmp_path / "b", wanted, data)
            assert items[0].status == "ok" and items[0].lost_calls and server.requests == 2
            assert "1 with lost calls" in summarise(wanted, items)[0].cells()[-1]
            assert bench(tmp_path / "b", wanted, data) == items and server.requests == 2
            (whole,) = bench(tmp_path / "b", wanted, data, retry_failed=True)
            assert not whole.lost_calls and len(whole.attempts) == 2 and server.requests == 3
            assert {attempt.status for attempt in whole.attempts} == {"ok"}

    def test_a_grader_that_hangs_or_breaks_leaves_items_ungraded(
        self, server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(grading, "SECONDS", 0.2)

        class Odd(ByAnswer):
            async def grade(self, example: Example, attempt: Attempted) -> Grade:
                if example.task.id == "q1":
                    await asyncio.sleep(60)
                if example.task.id == "q2":
                    raise ToolError("the checker is gone", mend="install it")
                if example.task.id == "q3":
                    raise KeyError("a defect")
                return await super().grade(example, attempt)

        wanted = plan(arm("one", "direct"))
        items = {item.task: item for item in bench(tmp_path / "b", wanted, grader=Odd())}
        assert [items[f"q{n}"].status for n in range(1, 5)] == ["ungraded"] * 3 + ["ok"]
        assert [items[f"q{n}"].failures[0].error for n in range(1, 4)] == ["TimedOut", "ToolError", "KeyError"]
        (row,) = summarise(wanted, list(items.values()))
        assert row.ungraded == 3 and row.accuracy.value == 1.0, "neither right nor wrong"
        again = bench(tmp_path / "b", wanted)
        assert {item.status for item in again} == {"ok"} and server.calls == MANY, "graded again at no cost"

    def test_no_grade_without_an_answer(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        with FakeServer(lambda request, index: "I cannot tell.") as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            wanted = plan(arm("one", "direct"))
            items = bench(tmp_path / "b", wanted)
            assert not any(item.parsed or item.correct for item in items)
            assert summarise(wanted, items)[0].unparsable == MANY

    def test_a_changed_item_is_named(self, server: FakeServer, tmp_path: Path) -> None:
        bench(tmp_path / "b", plan(arm("one", "direct")))
        path = tmp_path / "b" / "items.jsonl"
        path.write_text(path.read_text() + json.dumps({"arm": 3}) + "\n")
        with pytest.raises(ConfigurationError, match=rf"items\.jsonl:{MANY + 1} is no item"):
            list(BenchFolder(tmp_path / "b").items())


class TestDamage:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (b"[]", "has schema None"),
            (b'{"schema": "phronesis/bench/1", "plan": {"sets": [], "arms": []}}', "the data were"),
        ],
    )
    def test_a_plan_that_says_too_little_is_refused(self, tmp_path: Path, text: bytes, said: str) -> None:
        (tmp_path / "bench.json").write_bytes(text)
        with BenchFolder(tmp_path) as folder, pytest.raises(ConfigurationError, match=said):
            folder.begin(plan(arm("one", "direct")), {})

    @pytest.mark.parametrize("line", ["no JSON", "[]", '{"cell": "one@sums#0"}'])
    def test_a_changed_line_of_runs_is_named(self, server: FakeServer, tmp_path: Path, line: str) -> None:
        bench(tmp_path / "b", plan(arm("one", "direct")))
        path = tmp_path / "b" / "runs.jsonl"
        path.write_text(path.read_text() + line + "\n")
        with pytest.raises(ConfigurationError, match=r"runs\.jsonl:2 names no run"):
            BenchFolder(tmp_path / "b").runs_of(Cell("one", "sums", 0))

    def test_a_run_that_is_gone_is_named_and_may_be_given_up(self, server: FakeServer, tmp_path: Path) -> None:
        path, wanted = tmp_path / "b", plan(arm("one", "direct"))
        bench(path, wanted)
        (run,) = (path / "runs").iterdir()
        shutil.rmtree(run)
        (path / "items.jsonl").unlink()
        with pytest.raises(ConfigurationError, match=rf"run {run.name} of one@sums#0 is gone") as raised:
            bench(path, wanted)
        assert "delete its line" in str(raised.value.mend)
        (path / "runs.jsonl").write_text("")
        assert len(bench(path, wanted)) == MANY and server.calls == 2 * MANY

    @pytest.mark.parametrize("lost", ["line", "folder"])
    def test_a_bank_that_is_lost_is_not_paid_instead(self, server: FakeServer, tmp_path: Path, lost: str) -> None:
        path = tmp_path / "b"
        bench(path, plan(arm("four", k=4)))
        if lost == "line":
            (path / "runs.jsonl").write_text("")
        else:
            shutil.rmtree(path / "runs")
        with pytest.raises(ConfigurationError, match=r"of which no run holds|is gone from"):
            bench(path, plan(arm("four", k=4), arm("six", k=6, bank="four", calls=0)))
        assert server.calls == 4 * MANY


def test_cells_name_what_stands_twice() -> None:
    with pytest.raises(ConfigurationError, match="two arms are called 'sc'"):
        list(cells(plan(arm("sc"), arm("sc"))))
    assert Cell("a", "b", 1).key == "a@b#1"
