"""Asking a person before a tool is called: what is asked, what may be answered, and that nothing is lost on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from guarded_tools import SENT, agent, answered, guarded, install, task, turn
from strategy_runs import go, journal_of, recipe_of

from phronesis.core.asking import Answer, Asker, Question, open_questions, read_answer, read_answers
from phronesis.core.budget import Account, Budget
from phronesis.core.effects import Effects
from phronesis.core.errors import AwaitingAnswer, ConfigurationError, ReplayDiverged
from phronesis.core.events import EventIndex
from phronesis.core.journal import Journal
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.nodes.asking import Person, ask
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.replay import Changes, start_replay
from phronesis.graphs.run import Run
from phronesis.graphs.run_folder import list_runs
from phronesis.testing import FakeRequest, FakeServer

HELLO = task("hello")
KEY = "s1#agent.0.c0?"


@pytest.fixture(autouse=True)
def guarded_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


def stopped(recipe: Recipe, *tasks: Task, **start: Any) -> tuple[str, list[Result]]:
    """A run that ends with open questions: its id, and the Results of tasks that do not wait."""
    found: list[Result] = []

    async def work() -> str:
        async with await Run.start(recipe, **start) as run:
            with pytest.raises(AwaitingAnswer):
                async for result in run.solve_all(tasks or (HELLO,), parallel=2):
                    found.append(result)
        return run.id

    return go(work()), found


def gone_on(run_id: str, *answers: str, asker: Asker | None = None) -> dict[str, Result]:
    async def work() -> dict[str, Result]:
        async with await Run.resume(run_id, answers=answers, asker=asker) as run:
            return {result.task_id: result async for result in run.solve_all(tuple(run.tasks))}

    found = go(work())
    assert isinstance(found, dict)
    return found


def journal(run_id: str) -> Path:
    return load_settings().runs / run_id / "journal.jsonl"


def questions(run_id: str) -> tuple[Question, ...]:
    return open_questions(EventIndex(journal(run_id)))


def always(choice: str, **more: Any) -> Asker:
    return lambda question: Answer(choice=choice, **more)


class TestWithoutAnybody:
    def test_the_run_is_interrupted_and_says_what_is_asked(self) -> None:
        with FakeServer(agent) as server:
            run_id, results = stopped(guarded(server))
            assert (server.calls, SENT, results) == (1, [], [])
        (summary,) = list_runs(load_settings())
        assert (summary.status, summary.questions) == ("interrupted", 1)
        (question,) = questions(run_id)
        assert (question.name, question.kind) == (f"hello:{KEY}", "approval")
        assert question.request == {"tool": "send", "arguments": {"text": "hello"}}

    def test_run_says_how_to_go_on(self) -> None:
        with FakeServer(agent) as server, pytest.raises(AwaitingAnswer) as caught:
            guarded(server).run(HELLO)
        (summary,) = list_runs(load_settings())
        assert caught.value.mend == f"phronesis runs resume {summary.run_id} --answer 'hello:{KEY}=approve'"

    @pytest.mark.parametrize(
        ("said", "answer", "sent"),
        [
            ("approve", "1", ["hello"]),
            ("reject", "2", []),
            ("reject: it is late", "2", []),
            ('edit: {"text": "good = bye: ok"}', "1", ["good = bye: ok"]),
        ],
    )
    def test_an_answer_lets_it_go_on_and_nothing_is_paid_again(self, said: str, answer: str, sent: list[str]) -> None:
        with FakeServer(agent) as server:
            run_id, _ = stopped(guarded(server))
            result = gone_on(run_id, f"hello:{KEY}={said}")["hello"]
            assert (result.answer, SENT, server.calls) == (answer, sent, 2)
            assert (answer == "2") == ("did not allow" in server.seen[-1].text)
            assert ("it is late" in server.seen[-1].text) == ("late" in said)
            assert result.usage.tools["send"].refused == (answer == "2")
            again = gone_on(run_id)["hello"]
            assert again.comparable() == result.comparable() and (SENT, server.calls) == (sent, 2)
        assert questions(run_id) == () and list_runs(load_settings())[0].status == "finished"

    def test_without_an_answer_a_resume_stops_at_the_same_question_for_nothing(self) -> None:
        with FakeServer(agent) as server:
            run_id, _ = stopped(guarded(server))
            before = journal(run_id).read_bytes()
            with pytest.raises(AwaitingAnswer):
                gone_on(run_id)
            assert server.calls == 1 and journal(run_id).read_bytes() == before

    @pytest.mark.parametrize(
        ("answers", "told"),
        [
            (["hello:s9#agent.0.c0?=approve"], f"open: hello:{KEY}"),
            (["approve"], f"write --answer 'hello:{KEY}=approve'"),
            ([f"hello:{KEY}=aprove"], "did you mean 'approve'?"),
            ([f"hello:{KEY}=edit"], 'write edit: {"argument": value}'),
            ([f"hello:{KEY}=edit: [1]"], 'write edit: {"argument": value}'),
            ([f"hello:{KEY}=edit: {{text}}"], 'write edit: {"argument": value}'),
            ([f"hello:{KEY}=approve", f"hello:{KEY}=reject"], "leave one of the answers out"),
            ([f"hello:{KEY}=approve", "no:k=approve"], f"open: hello:{KEY}"),
        ],
    )
    def test_a_wrong_answer_is_refused_before_anything_is_written(self, answers: list[str], told: str) -> None:
        with FakeServer(agent) as server:
            run_id, _ = stopped(guarded(server))
            before = journal(run_id).read_bytes()
            with pytest.raises(ConfigurationError) as caught:
                gone_on(run_id, *answers)
            assert told in (caught.value.mend or "")
            assert journal(run_id).read_bytes() == before and SENT == []

    def test_an_answered_question_is_not_open_any_more(self) -> None:
        with FakeServer(agent) as server:
            run_id, _ = stopped(guarded(server))
            gone_on(run_id, f"hello:{KEY}=approve")
            with pytest.raises(ConfigurationError, match="answers no open question"):
                gone_on(run_id, f"hello:{KEY}=reject")

    def test_other_tasks_go_on_and_every_question_is_asked(self) -> None:
        def reply(request: FakeRequest, index: int) -> str:
            return answered(5) if "Plain" in request.text else agent(request, index)

        tasks = [task("a"), Task(messages="Plain", id="p"), task("b:c=d"), Task(messages="Plain too", id="q")]
        with FakeServer(reply) as server:
            run_id, results = stopped(guarded(server), *tasks)
            assert sorted(result.task_id for result in results) == ["p", "q"] and server.calls == 4
            assert [question.task for question in questions(run_id)] == ["a", "b:c=d"]
            found = {}
            with pytest.raises(AwaitingAnswer):
                found = gone_on(run_id, f"b:c=d:{KEY}=approve")
            assert SENT == ["b:c=d"] and found == {}
            found = gone_on(run_id, f"a:{KEY}=reject")
            assert {name: result.answer for name, result in found.items()} == {
                "a": "2",
                "p": "5",
                "b:c=d": "1",
                "q": "5",
            }
            assert (SENT, server.calls) == (["b:c=d"], 6)

    def test_calls_of_one_turn_are_all_asked_before_the_task_waits(self) -> None:
        both = json.dumps({"thought": "", "calls": [{"tool": "send", "arguments": {"text": text}} for text in "xy"]})

        def reply(request: FakeRequest, index: int) -> str:
            return answered(3) if "sent '" in request.text else both

        with FakeServer(reply) as server:
            run_id, _ = stopped(guarded(server, parallel_calls=2))
            names = [question.key for question in questions(run_id)]
            assert names == ["s1#agent.0.c0?", "s1#agent.0.c1?"]
            result = gone_on(
                run_id, *(f"hello:{name}={said}" for name, said in zip(names, ("approve", "reject"), strict=True))
            )
        assert SENT == ["x"] and result["hello"].answer == "3"

    def test_a_run_without_texts_is_refused_where_it_could_never_be_answered(self) -> None:
        with FakeServer(agent) as server:
            with pytest.raises(ConfigurationError, match="a run without texts cannot be resumed"):
                go(Run.start(guarded(server), texts=False))
            assert server.calls == 0 and list_runs(load_settings()) == []

    @pytest.mark.parametrize("batch", [1, 2])
    def test_a_memory_that_is_written_to_keeps_the_order_of_the_tasks(self, batch: int) -> None:
        keys: dict[str, Any] = {"memory__session": "s", "memory__mode": "write", "memory__batch": batch}
        with FakeServer(agent) as server:
            run_id, results = stopped(guarded(server, **keys), task("a"), task("b"), task("c"))
            assert results == [] and SENT == []
            assert [question.task for question in questions(run_id)] == ["a", "b"][:batch]
            calls = server.calls
            assert calls == batch
            with pytest.raises(AwaitingAnswer):
                gone_on(run_id, *(f"{name}:{KEY}=approve" for name in ["a", "b"][:batch]))
            assert ["a", "b"][:batch] == SENT


class TestSomebodyThere:
    def test_a_function_is_asked_and_its_answer_is_kept(self) -> None:
        asked: list[Question] = []

        def person(question: Question) -> Answer:
            asked.append(question)
            return Answer(choice="approve")

        with FakeServer(agent) as server:
            result = guarded(server).run(HELLO, asker=person)
        kinds = [event["type"] for event in journal_of(result)]
        assert result.answer == "1" and [item.key for item in asked] == [KEY]
        at = kinds.index("question")
        assert kinds[at : at + 4] == ["question", "effect", "intent", "effect"]

    def test_a_coroutine_function_is_asked_too_one_question_at_a_time(self) -> None:
        open, most = 0, 0

        async def person(question: Question) -> Answer:
            nonlocal open, most
            open += 1
            most = max(most, open)
            await asyncio.sleep(0)
            open -= 1
            return Answer(choice="approve")

        async def work() -> list[Result]:
            async with await Run.start(guarded(server), asker=person) as run:
                return [result async for result in run.solve_all([task(name) for name in "abcdef"], parallel=6)]

        with FakeServer(agent) as server:
            assert [result.answer for result in go(work())] == ["1"] * 6
        assert most == 1 and sorted(SENT) == list("abcdef")

    def test_who_does_not_answer_leaves_the_question_open(self) -> None:
        with FakeServer(agent) as server:
            run_id, _ = stopped(guarded(server), asker=lambda question: None)
            assert len(questions(run_id)) == 1
            assert gone_on(run_id, asker=always("reject", reason="no"))["hello"].answer == "2"

    @pytest.mark.parametrize(
        "wrong", [always("yes"), always("edit"), always("approve", edited={}), always("reject", edited={"text": ""})]
    )
    def test_what_is_no_answer_is_refused(self, wrong: Asker) -> None:
        with FakeServer(agent) as server, pytest.raises(ConfigurationError):
            guarded(server).run(HELLO, asker=wrong)
        assert SENT == []

    def test_a_stream_asks_too(self) -> None:
        async def work() -> list[str]:
            return [event.type async for event in guarded(server).astream(HELLO, asker=always("approve"))]

        with FakeServer(agent) as server:
            kinds = go(work())
        assert kinds[-1] == "run_finished" and "question" in kinds

    def test_a_stream_without_anybody_ends_with_the_question(self) -> None:
        kinds: list[str] = []

        async def work() -> None:
            async for event in guarded(server).astream(HELLO):
                kinds.append(event.type)

        with FakeServer(agent) as server, pytest.raises(AwaitingAnswer):
            go(work())
        assert kinds[-1] == "question"

    def test_waiting_for_a_person_is_not_the_tasks_time(self) -> None:
        now = 0.0
        account = Account(Budget(seconds=5), clock=lambda: now)
        child = account.split({"b": 1})["b"]

        def person(question: Question) -> Answer:
            nonlocal now
            now += 1000
            return Answer(choice="approve")

        async def work() -> None:
            nonlocal now
            effects = Effects(Journal(None), "t")
            for number in range(2):
                question = Question(key=f"k{number}", task="t", kind="approval", choices=("approve",))
                await ask(effects, question, Person("run", person), account=child)
                now += 1

        asyncio.run(work())
        assert account.seconds == child.seconds == 2.0 and account.seconds_left == 3.0


class TestWhichCallsAreAsked:
    @pytest.mark.parametrize(("approve", "open"), [("dangerous", 0), ("all", 1), ("none", 0)])
    def test_a_harmless_tool_is_asked_only_with_all(self, approve: str, open: int) -> None:
        def reply(request: FakeRequest, index: int) -> str:
            return answered(4) if "= 4" in request.text else turn("calculator", expression="2 + 2")

        with FakeServer(reply) as server:
            recipe = recipe_of("react", server, tools__use=["calculator"], tools__approve=approve)
            if open:
                run_id, _ = stopped(recipe)
                assert len(questions(run_id)) == 1
            else:
                assert recipe.run(HELLO).status == "ok"

    def test_nobody_is_asked_with_none(self) -> None:
        with FakeServer(agent) as server:
            assert guarded(server, tools__approve="none").run(HELLO).answer == "1"
        assert SENT == ["hello"]

    def test_a_tool_that_is_not_there_is_no_question(self) -> None:
        def reply(request: FakeRequest, index: int) -> str:
            return answered(4) if "there is no tool" in request.text else turn("sendd", text="x")

        with FakeServer(reply) as server:
            assert guarded(server, tools__approve="all").run(HELLO).answer == "4"


def test_a_power_cut_at_every_line_loses_nothing_and_repeats_nothing() -> None:
    with FakeServer(agent) as server:
        whole = guarded(server).run(HELLO, asker=always("edit", edited={"text": "changed"}))
        path, total = Path(whole.journal), server.calls
        lines = path.read_bytes().splitlines(keepends=True)
        kinds = [json.loads(line)["type"] for line in lines]
        begun, ended = kinds.index("intent"), kinds.index("intent") + 1
        assert kinds[begun - 1 : begun + 2] == ["effect", "intent", "effect"]
        for count in range(kinds.index("task_started") + 1, len(lines) + 1):
            SENT.clear()
            path.write_bytes(b"".join(lines[:count]) + b'{"type": "effect", "torn')
            paid = sum(kind == "call" for kind in kinds[:count])
            before = server.calls
            answers: Sequence[str] = ()
            if "question" not in kinds[:count] or count < begun:
                with pytest.raises(AwaitingAnswer):
                    gone_on(whole.run_id)
                answers = [f'hello:{KEY}=edit: {{"text": "changed"}}']
            if count == begun + 1:
                stopped = gone_on(whole.run_id)["hello"]
                assert (stopped.status, stopped.answer) == ("failed", None)
                assert "outcome is unknown" in stopped.failures[0].message
                assert SENT == []
                continue
            again = gone_on(whole.run_id, *answers)["hello"]
            assert again.comparable() == whole.comparable(), f"after {count} lines"
            assert server.calls - before == total - paid, f"after {count} lines"
            assert (["changed"] if count <= begun else []) == SENT, f"after {count} lines"
            assert count > ended or questions(whole.run_id) == ()


def test_an_answer_holds_for_its_own_request_only() -> None:
    with FakeServer(agent) as server:
        whole = guarded(server).run(HELLO, asker=always("approve"))
        path = Path(whole.journal)
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        place = next(number for number, line in enumerate(lines) if line["type"] == "effect" and "asked" in line)
        lines[place]["hash"] = "another"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines[: place + 1]), encoding="utf-8")
        assert [question.key for question in questions(whole.run_id)] == [KEY]
        SENT.clear()
        with pytest.raises(ReplayDiverged):
            gone_on(whole.run_id)
    assert SENT == []


class TestReplays:
    def test_recorded_answers_are_served_and_nobody_is_asked(self) -> None:
        with FakeServer(agent) as server:
            first = guarded(server).run(HELLO, asker=always("approve"))
            opened, again = replayed(first.run_id)
            assert again.comparable() == first.comparable() and server.calls == 2 and SENT == ["hello"]
        assert (opened["answer of a person"], opened["tool send"]) == (1, 1)

    def test_an_answer_that_is_missing_is_a_failure_that_says_so(self) -> None:
        with FakeServer(agent) as server:
            first = guarded(server, tools__approve="none").run(HELLO)
            _, again = replayed(first.run_id, overrides={"tools.approve": "all"})
        assert again.status == "failed" and SENT == ["hello"]
        assert any("a replay asks nobody" in failure.message for failure in again.failures)

    def test_consent_is_never_lent(self) -> None:
        async def work() -> None:
            async with await Run.start(guarded(server), draws_from=first.run_id) as run:
                with pytest.raises(AwaitingAnswer):
                    await run.solve(HELLO)

        with FakeServer(agent) as server:
            first = guarded(server).run(HELLO, asker=always("approve"))
            go(work())
            assert server.calls == 2 and SENT == ["hello"]


def replayed(run_id: str, **changes: Any) -> tuple[dict[str, int], Result]:
    async def work() -> tuple[dict[str, int], Result]:
        opened = await start_replay(run_id, Changes(**changes))
        async with opened.run as run:
            (result,) = [result async for result in run.solve_all(opened.tasks)]
        return dict(opened.served), result

    found = go(work())
    assert isinstance(found, tuple)
    return found


def test_answers_are_read_whatever_they_hold() -> None:
    question = Question(key="k", task="t", kind="approval", choices=("approve", "reject", "edit"))
    assert read_answer(" reject :  a: b = c ", question) == Answer(choice="reject", reason="a: b = c")
    assert read_answer('edit:{"a": {"b": 1}}', question).edited == {"a": {"b": 1}}
    longer = question.model_copy(update={"task": "t:k=x", "key": "j"})
    found = read_answers(["t:k=x:j=approve"], [question, longer])
    assert found == [(longer, Answer(choice="approve"))]


def test_a_task_that_begins_again_asks_again_and_keeps_its_answers() -> None:
    def reply(request: FakeRequest, index: int) -> str:
        return "" if "sent '" in request.text and not mended else agent(request, index)

    mended = False
    with FakeServer(reply) as server:
        keys = {"most_problems": 1, "at_horizon": "none"}
        run_id, _ = stopped(guarded(server, **keys))
        first = gone_on(run_id, f"hello:{KEY}=approve")["hello"]
        assert (first.answer, SENT) == (None, ["hello"])
        mended = True
        path = journal(run_id)
        with path.open("ab") as file:
            file.write(b'{"type":"retry","task":"hello","key":"retry0","elapsed":0.0}\n')
        assert questions(run_id) == ()
        assert gone_on(run_id)["hello"].status == first.status and SENT == ["hello"], "nothing is asked or sent twice"
