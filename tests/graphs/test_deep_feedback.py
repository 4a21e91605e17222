"""What the next attempt is told of a rejection: the paper's feedback as it is, or without a number that a check brought."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from deep_roles import Roles
from hypothesis import given
from hypothesis import strategies as st
from strategy_runs import recipe_of, solve

from phronesis.agents.verification.claimed_numbers import GAP, derived_numbers, masked
from phronesis.agents.verification.deep_feedback import ANEW, Feedback
from phronesis.core.result import Result
from phronesis.core.task import Task
from phronesis.testing import FakeRequest, FakeServer

TASK = Task(messages="Tom has 3 bags with 4 apples each. How many apples are there?", id="bags")


def ran(roles: Roles, **keys: Any) -> Result:
    values = {"rounds": 1, "max_checks": 1, "decide": "checks", "checker": "program", "questions": "pick", **keys}
    with FakeServer(roles) as server:
        return solve(recipe_of("deep_verifier", server, **values), TASK)


def said(reflection: str, *instructions: str, suggested: str = "") -> Any:
    def reply(request: FakeRequest) -> str:
        code = re.search(r'"check": "(\w{4})', request.text)
        found = {"reflection": reflection, "instructions": list(instructions), "suggested_answer": suggested}
        return json.dumps({"check": code[1] if code else "", **found})

    return reply


def told(roles: Roles, **keys: Any) -> tuple[str, str]:
    """What the writer was shown of the check, and what the second attempt was told."""
    ran(roles, **keys)
    return roles.prompts("feedback")[0], roles.prompts("solver")[1]


def rejected(feedback: Any) -> Roles:
    return Roles(answers=["11", "13"], raw={"program": lambda request: "    return 29", "feedback": feedback})


def test_the_papers_feedback_may_say_what_a_check_came_to() -> None:
    writing = said("The check gives 29.", "Count again.", suggested="29")
    shown, second = told(rejected(writing))
    assert "gives 29" in shown
    assert "The check gives 29.\n1. Count again.\nThe answer may be: 29" in second


def test_without_suggestions_no_number_of_a_check_reaches_writer_or_solver() -> None:
    writing = said("It says 11. The right answer is 29.", "Take 3 bags. They make 29.", "Say 29.", suggested="29")
    shown, second = told(rejected(writing), suggest=False)
    assert "29" not in shown and f"gives {GAP}; claimed is 11" in shown
    assert "29" not in second and "\nIt says 11.\n1. Take 3 bags.\n\n" in second


def test_where_nothing_may_be_told_the_task_is_worked_out_anew() -> None:
    _, second = told(rejected(said("It is 29.", "Say 29.")), suggest=False)
    assert f"\n{ANEW}\n\n" in second


def test_without_feedback_an_attempt_is_drawn_anew_from_the_same_words() -> None:
    roles = rejected(said("It is 29.", "Say 29."))
    result = ran(roles, feedback=False)
    first, second = roles.prompts("solver")
    assert first == second and result.answer == "13" and not roles.calls("feedback")


def test_a_greedy_solver_without_feedback_is_not_verified_twice() -> None:
    roles = Roles(answers=["11"], raw={"program": lambda request: "    return 29"})
    result = ran(roles, feedback=False, rounds=4)
    assert (result.stop_reason, roles.calls("solver"), roles.calls("program")) == ("repeated", 2, 1)


TEXTS = st.lists(st.sampled_from(["the", "so", "11", "29", "3,500", "2.5", "-4", "is", "it", "$7", "(8)"]), max_size=12)


@given(TEXTS, TEXTS)
def test_a_masked_text_has_no_number_that_is_not_known(text: list[str], known: list[str]) -> None:
    hidden = masked(" ".join(text), " ".join(known))
    assert derived_numbers(hidden, " ".join(known)) == ()
    assert len(hidden.split()) == len(text)
    assert masked(" ".join(text), " ".join([*known, *text])) == " ".join(text)


@given(st.lists(TEXTS, min_size=1, max_size=3), TEXTS)
def test_what_is_told_without_answers_has_no_number_that_is_not_known(parts: list[list[str]], known: list[str]) -> None:
    sentences = [" ".join(part) + " so." for part in parts]
    written = Feedback(check="", reflection=" ".join(sentences), instructions=(sentences[0],))
    found = re.sub(r"^\d\. ", "", written.without_answers(" ".join(known)), flags=re.M)
    assert derived_numbers(found, " ".join(known)) == ()


@pytest.mark.parametrize(("known", "kept"), [("3500 pounds", True), ("3,500 pounds", True), ("350 pounds", False)])
def test_a_number_is_known_however_it_is_written(known: str, kept: bool) -> None:
    written = Feedback(check="", reflection="It weighs 3,500.", instructions=("Weigh it.",))
    assert ("3,500" in written.without_answers(known)) == kept
