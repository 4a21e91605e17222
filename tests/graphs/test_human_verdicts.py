"""A person's word on verdicts: when it is asked, what it changes, that it becomes feedback, and that nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from strategy_runs import go, journal_of, recipe_of

from phronesis.core.asking import Answer, Asker, Question, answer_command, open_questions, read_answer
from phronesis.core.errors import AwaitingAnswer, ConfigurationError, RecipeError
from phronesis.core.events import EventIndex
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.core.verdict import CriterionVerdict, Verdict
from phronesis.graphs.nodes.human_verdict import as_said, is_asked
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.graphs.run_folder import list_runs
from phronesis.testing import FakeRequest, FakeServer, Fault

SUM = Task(messages="What is 7 + 5?", id="sum")
FIRST, SECOND = "verify0#person.0?", "verify1#person.0?"


def replier(verdict: str, *, right: str = "12") -> Callable[[FakeRequest, int], str]:
    """Answers 11, and ``right`` when it is told something; every verdict is the same."""

    def reply(request: FakeRequest, index: int) -> str:
        if "Proposed solution" in request.user:
            return f"I looked at it.\nVerdict: {verdict}"
        return f"Answer: {right if 'was checked and not accepted' in request.user else '11'}"

    return reply


UNSURE = "arithmetic"
"""Finds nothing to check in these attempts, so it cannot tell; it makes no call."""


def verified(server: FakeServer, ask: str, **keys: Any) -> Recipe:
    values = {"verify__strategy": 'generative(votes=1, framing="correct")', "verify__rounds": 2, **keys}
    return recipe_of("direct", server, verify__ask=ask, **values)


def says(*answers: Answer) -> tuple[Asker, list[Question]]:
    """An asker that gives the answers one after another, and what it was asked."""
    asked: list[Question] = []

    def person(question: Question) -> Answer | None:
        asked.append(question)
        return answers[len(asked) - 1] if len(asked) <= len(answers) else None

    return person, asked


def run(recipe: Recipe, person: Asker | None = None) -> Result:
    result = go(recipe.arun(SUM, asker=person))
    assert isinstance(result, Result)
    return result


def gone_on(run_id: str, *answers: str, asker: Asker | None = None) -> dict[str, Result]:
    async def work() -> dict[str, Result]:
        async with await Run.resume(run_id, answers=answers, asker=asker) as opened:
            return {result.task_id: result async for result in opened.solve_all(tuple(opened.tasks))}

    found = go(work())
    assert isinstance(found, dict)
    return found


def stopped(recipe: Recipe, *tasks: Task) -> str:
    async def work() -> str:
        async with await Run.start(recipe) as opened:
            with pytest.raises(AwaitingAnswer):
                _ = [result async for result in opened.solve_all(tasks or (SUM,))]
        return opened.id

    return str(go(work()))


def questions(run_id: str) -> tuple[Question, ...]:
    return open_questions(EventIndex(load_settings().runs / run_id / "journal.jsonl"))


def told(result: Result) -> str:
    """The prompt of the second attempt."""
    prompts = [str(event["request"]) for event in journal_of(result) if event.get("role") == "solver"]
    return prompts[1]


APPROVE = Answer(choice="approve")


@pytest.mark.parametrize(
    ("verdict", "asked"),
    [
        ("Yes", {"none": 0, "accept": 1, "reject": 0, "unsure": 0, "all": 1}),
        ("No", {"none": 0, "accept": 0, "reject": 1, "unsure": 0, "all": 1}),
        (UNSURE, {"none": 0, "accept": 0, "reject": 0, "unsure": 1, "all": 1}),
    ],
)
def test_the_knob_says_which_verdicts_are_asked_about(verdict: str, asked: dict[str, int]) -> None:
    named = {"verify__strategy": UNSURE} if verdict == UNSURE else {}
    for ask, count in asked.items():
        person, found = says(APPROVE)
        with FakeServer(replier(verdict)) as server:
            run(verified(server, ask, verify__rounds=0, **named), person)
        assert len(found) == count, ask


def test_a_verdict_that_contradicts_itself_is_unsure() -> None:
    assert is_asked(Verdict(label="accept", consistent=False), "unsure")
    assert not is_asked(Verdict(label="accept"), "unsure")


def test_the_question_holds_all_that_the_verdict_rests_on() -> None:
    person, asked = says(APPROVE)
    with FakeServer(replier("Yes")) as server:
        result = run(verified(server, "all"), person)
    (question,) = asked
    assert (question.name, question.kind) == (f"sum:{FIRST}", "verdict")
    assert question.choices == ("approve", "overrule") and question.reasoned == ("overrule",)
    about = question.request
    assert (about["question"], about["attempt"], about["answer"]) == ("What is 7 + 5?", "Answer: 11", "11")
    assert (about["label"], about["score"], about["consistent"], about["criteria"]) == ("accept", 1.0, True, [])
    assert (result.answer, result.stop_reason, server.calls) == ("11", "accepted", 2)
    kinds = [event["type"] for event in journal_of(result)]
    assert kinds.index("question") < kinds.index("effect") < kinds.index("task_finished")


def test_an_overruled_acceptance_tries_again_with_the_persons_reason() -> None:
    person, asked = says(Answer(choice="overrule", reason="count the fives again"), APPROVE)
    with FakeServer(replier("Yes")) as server:
        result = run(verified(server, "accept"), person)
    assert (result.answer, result.stop_reason, server.calls) == ("12", "accepted", 4)
    assert [item.key for item in asked] == [FIRST, SECOND]
    assert "count the fives again" in told(result)
    first, second = [item for item in result.decisions if item.get("rule") == "verdict"]
    assert (first["label"], first["score"], first["reason"]) == ("reject", 0.0, "count the fives again")
    assert first["details"]["person"] == {
        "choice": "overrule",
        "reason": "count the fives again",
        "verifier": {"label": "accept", "score": 1.0, "reason": second["reason"]},
    }


def test_an_overruled_rejection_ends_it() -> None:
    person, _ = says(Answer(choice="overrule", reason="7 + 5 in base 11 is 11"))
    with FakeServer(replier("No")) as server:
        result = run(verified(server, "reject"), person)
    assert (result.answer, result.stop_reason, server.calls) == ("11", "accepted", 2)


def test_a_rejection_that_is_approved_with_a_reason_is_told_in_the_persons_words() -> None:
    person, _ = says(Answer(choice="approve", reason="seven, not six"), Answer(choice="overrule", reason="yes"))
    with FakeServer(replier("No")) as server:
        result = run(verified(server, "reject"), person)
    assert result.answer == "12" and "seven, not six" in told(result)


@pytest.mark.parametrize(
    ("said", "answer", "stop", "calls"),
    [
        (Answer(choice="overrule", reason="it is right"), "11", "accepted", 1),
        (Answer(choice="reject", reason="it is twelve"), "12", "accepted", 2),
        (Answer(choice="approve", reason="look at the units"), "12", "accepted", 2),
        (APPROVE, "11", "repeated", 2),
    ],
)
def test_what_could_not_be_told_a_person_can_tell(said: Answer, answer: str, stop: str, calls: int) -> None:
    person, asked = says(said, Answer(choice="overrule", reason="now it is"))
    with FakeServer(replier("Yes")) as server:
        result = run(verified(server, "unsure", verify__rounds=1, verify__strategy=UNSURE), person)
    assert asked[0].choices == ("approve", "overrule", "reject")
    assert (result.answer, result.stop_reason, server.calls) == (answer, stop, calls)


def test_a_verifier_that_fails_could_not_tell() -> None:
    def fault(request: FakeRequest, number: int) -> Fault | None:
        return Fault(status=400) if "Proposed solution" in request.user else None

    person, asked = says(Answer(choice="overrule", reason="I checked it"))
    with FakeServer(replier("Yes"), faults=fault) as server:
        result = run(verified(server, "unsure"), person)
    assert asked[0].request["label"] == "unknown" and result.stop_reason == "accepted"
    assert any("generative" in failure.where for failure in result.failures)


def test_what_a_person_rejects_is_the_last_to_be_kept() -> None:
    """The first attempt could not be told, the second a person rejects: the first stands."""
    person, _ = says(Answer(choice="approve", reason="go on"), Answer(choice="reject", reason="it is eleven"))
    with FakeServer(replier("Yes")) as server:
        result = run(verified(server, "unsure", verify__rounds=1, verify__strategy=UNSURE), person)
    assert (result.answer, result.stop_reason) == ("11", "rounds")


def test_an_overruling_needs_a_reason() -> None:
    person, _ = says(Answer(choice="overrule", reason="  "))
    with FakeServer(replier("Yes")) as server, pytest.raises(ConfigurationError) as caught:
        run(verified(server, "all"), person)
    assert caught.value.mend == "write 'overrule: reason'"
    question = Question(key="k", task="t", kind="verdict", choices=("approve", "overrule"), reasoned=("overrule",))
    assert read_answer("overrule: no: 3 = 3", question) == Answer(choice="overrule", reason="no: 3 = 3")
    assert answer_command("r", question, "overrule") == "phronesis runs resume r --answer 't:k=overrule: reason'"
    for said in ("overrule", "overrule:", "overrule:   "):
        with pytest.raises(ConfigurationError, match="lacks a reason"):
            read_answer(said, question)


def test_a_persons_word_leaves_the_verifiers_own_in_the_details() -> None:
    before = Verdict(
        label="reject",
        score=0.25,
        reason="off by one",
        criteria=(CriterionVerdict(criterion="sum", score=0.0),),
        feedback="add again",
        details={"votes": 3},
    )
    approved = as_said(before, APPROVE)
    assert approved.feedback == "add again" and approved.label == "reject" and approved.details["votes"] == 3
    overruled = as_said(before, Answer(choice="overrule", reason="no"))
    assert (overruled.label, overruled.score, overruled.feedback) == ("accept", 1.0, "")
    assert overruled.details["person"]["verifier"] == {"label": "reject", "score": 0.25, "reason": "off by one"}


class TestWithoutAnybody:
    def test_the_run_stops_with_the_question_open_and_says_how_to_go_on(self) -> None:
        with FakeServer(replier("Yes")) as server:
            with pytest.raises(AwaitingAnswer) as caught:
                run(verified(server, "accept"))
            (summary,) = list_runs(load_settings())
            assert (summary.status, summary.questions) == ("interrupted", 1)
            assert caught.value.mend == f"phronesis runs resume {summary.run_id} --answer 'sum:{FIRST}=approve'"
            found = gone_on(summary.run_id, f"sum:{FIRST}=approve")["sum"]
        assert (found.answer, found.stop_reason, server.calls) == ("11", "accepted", 2)

    def test_answers_come_one_after_another_and_nothing_is_paid_again(self) -> None:
        with FakeServer(replier("Yes")) as server:
            run_id = stopped(verified(server, "accept"))
            with pytest.raises(AwaitingAnswer):
                gone_on(run_id, f"sum:{FIRST}=overrule: count again")
            assert [question.key for question in questions(run_id)] == [SECOND] and server.calls == 4
            found = gone_on(run_id, f"sum:{SECOND}=approve")["sum"]
            assert (found.answer, server.calls, found.usage.calls) == ("12", 4, 4)

    def test_a_wrong_answer_is_refused_before_anything_is_written(self) -> None:
        with FakeServer(replier("Yes")) as server:
            run_id = stopped(verified(server, "accept"))
            journal = load_settings().runs / run_id / "journal.jsonl"
            before = journal.read_bytes()
            for said, mend in (("overrule", "write 'overrule: reason'"), ("overule: x", "did you mean 'overrule'?")):
                with pytest.raises(ConfigurationError) as caught:
                    gone_on(run_id, f"sum:{FIRST}={said}")
                assert caught.value.mend == mend
            assert journal.read_bytes() == before

    def test_every_task_comes_to_its_question(self) -> None:
        tasks = [Task(messages=f"What is 7 + {number}?", id=f"t{number}") for number in range(3)]
        with FakeServer(replier("Yes")) as server:
            run_id = stopped(verified(server, "all"), *tasks)
            assert [question.task for question in questions(run_id)] == ["t0", "t1", "t2"] and server.calls == 6
            found = gone_on(run_id, *(f"t{number}:{FIRST}=approve" for number in range(3)))
        assert [result.stop_reason for result in found.values()] == ["accepted"] * 3 and server.calls == 6

    @pytest.mark.parametrize("batch", [1, 2])
    def test_a_memory_that_is_written_to_keeps_the_order_of_the_tasks(self, batch: int) -> None:
        tasks = [Task(messages=f"What is 7 + {number}?", id=f"t{number}") for number in range(3)]
        keys: dict[str, Any] = {"memory__session": "s", "memory__mode": "write", "memory__batch": batch}
        with FakeServer(replier("Yes")) as server:
            run_id = stopped(verified(server, "all", **keys), *tasks)
            waiting = [question.task for question in questions(run_id)]
            assert waiting == ["t0", "t1"][:batch] and server.calls == 2 * batch
            with pytest.raises(AwaitingAnswer):
                gone_on(run_id, *(f"{name}:{FIRST}=approve" for name in waiting))
            assert questions(run_id)[0].task == f"t{batch}"

    def test_a_run_without_texts_is_refused_before_it_begins(self) -> None:
        with FakeServer(replier("Yes")) as server:
            with pytest.raises(ConfigurationError, match=r"about verdicts \(verify.ask = 'all'\)") as caught:
                go(Run.start(verified(server, "all"), texts=False))
            assert caught.value.mend == 'keep the texts, or set verify.ask = "none"'
            assert server.calls == 0 and list_runs(load_settings()) == []

    def test_asking_about_nothing_is_refused(self) -> None:
        with FakeServer(replier("Yes")) as server, pytest.raises(RecipeError, match=r"names no verifier"):
            verified(server, "all", verify__strategy="")


def test_verdicts_of_a_run_without_texts_keep_figures_and_no_words() -> None:
    person, _ = says(Answer(choice="overrule", reason="a secret reason"), APPROVE)

    async def work() -> Result:
        async with await Run.start(verified(server, "all"), texts=False, asker=person) as opened:
            return await opened.solve(SUM)

    with FakeServer(replier("Yes")) as server:
        result = go(work())
    text = Path(result.journal).read_text(encoding="utf-8")
    assert "a secret reason" not in text and "I looked at it" not in text
    assert [event["label"] for event in journal_of(result) if event.get("rule") == "verdict"] == ["reject", "accept"]


def test_waiting_for_a_person_is_not_the_tasks_time() -> None:
    import time

    def slow(question: Question) -> Answer:
        time.sleep(0.4)
        return APPROVE

    with FakeServer(replier("No")) as server:
        result = run(verified(server, "all", budget__seconds=0.7, verify__rounds=2), slow)
    assert result.stop_reason == "repeated" and result.usage.seconds < 0.7


def test_a_power_cut_at_every_line_asks_once_and_pays_once() -> None:
    person, asked = says(Answer(choice="overrule", reason="count again"), APPROVE)
    with FakeServer(replier("Yes")) as server:
        whole = run(verified(server, "accept"), person)
        path, total = Path(whole.journal), server.calls
        lines = path.read_bytes().splitlines(keepends=True)
        events = [json.loads(line) for line in lines]
        start = next(number for number, event in enumerate(events) if event["type"] == "task_started")
        assert len(asked) == 2
        for count in range(start + 1, len(lines) + 1):
            path.write_bytes(b"".join(lines[:count]) + b'{"type": "effect", "torn')
            said = [event["key"] for event in events[:count] if "asked" in event and event["type"] == "effect"]
            left = (Answer(choice="overrule", reason="count again"), APPROVE)[len(said) :]
            paid = sum(event["type"] == "call" for event in events[:count])
            again_person, again_asked = says(*left)
            before = server.calls
            again = gone_on(whole.run_id, asker=again_person)["sum"]
            assert again.comparable() == whole.comparable(), f"after {count} lines"
            assert server.calls - before == total - paid, f"after {count} lines"
            assert [item.key for item in again_asked] == [FIRST, SECOND][len(said) :], f"after {count} lines"
