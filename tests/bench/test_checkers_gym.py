"""The grader ``gym``: reasoning-gym's scores from a worker, and what is left without the package."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from phronesis.bench.dataset import Example
from phronesis.bench.graders.grader import WRONG, Attempted, Grade
from phronesis.bench.graders.gym import ByGym, GymOptions, answer_of
from phronesis.core.errors import ConfigurationError, SetupError
from phronesis.core.task import Message, Task

SUMS: dict[str, Any] = {"generator": "chain_sum", "answer": "12", "metadata": {"num_terms": 2}}
MADE: dict[str, Any] = {
    "generator": "countdown",
    "answer": "12 + 14 - 6",
    "metadata": {"numbers": [12, 14, 6], "target": 20, "expression": "12 + 14 - 6"},
}


def example(facts: dict[str, Any], gold: str = "gold") -> Example:
    return Example(Task(messages=(Message(role="user", content="q"),), id="e1"), gold, facts=facts)


@pytest.fixture(scope="module")
def grader() -> Iterator[ByGym]:
    found = ByGym(GymOptions(seconds=20))
    yield found
    asyncio.run(found.close())


def grade(grader: ByGym, text: str, facts: dict[str, Any]) -> Grade:
    return asyncio.run(grader.grade(example(facts), Attempted(None, text)))


class TestScores:
    def test_the_generators_function_decides(self, grader: ByGym) -> None:
        pytest.importorskip("reasoning_gym")
        grader.check(example(SUMS))
        grader.check(example(MADE))
        assert grade(grader, "I add.\nAnswer: 12", SUMS).correct
        assert not grade(grader, "Answer: 13", SUMS).correct
        assert grade(grader, "\\boxed{14 - 6 + 12}", MADE).correct
        assert not grade(grader, "Answer: 14 + 6", MADE).correct
        part = grade(grader, "Answer: it is 12", SUMS)
        assert not part.correct and 0 < part.score < 1

    @pytest.mark.parametrize("text", ["__import__('os').getcwd()", "(" * 5000, "\x00", "9 " * 50_000, "lambda: 0"])
    def test_hostile_answers_are_only_wrong(self, grader: ByGym, text: str) -> None:
        pytest.importorskip("reasoning_gym")
        assert not grade(grader, f"<answer>{text}</answer>", MADE).correct
        assert grade(grader, "Answer: 12 + 14 - 6", MADE).correct

    def test_nothing_is_unparsable(self, grader: ByGym) -> None:
        assert grade(grader, " \n", SUMS) == WRONG

    def test_the_gold_answer_stands_in_for_the_reference(self, grader: ByGym) -> None:
        pytest.importorskip("reasoning_gym")
        row = example({key: value for key, value in SUMS.items() if key != "answer"}, gold="12")
        grader.check(row)
        assert asyncio.run(grader.grade(row, Attempted(None, "12"))).correct


class TestReading:
    @pytest.mark.parametrize(
        "text",
        [
            "7",
            "So\nAnswer: 7",
            "<answer> 7 </answer>",
            "\\boxed{7}",
            "thus\n\n7\n",
            "Answer:\n```\n7\n```",
            "a <answer>8</answer> <ANSWER>7</answer>",
        ],
    )
    def test_one_line(self, text: str) -> None:
        assert answer_of(text, several_lines=False) == "7"

    @pytest.mark.parametrize(
        "text",
        [
            "1 2\n3 4",
            "Answer: 1 2\n3 4\n",
            "x\n```\n1 2\n3 4\n```",
            "\\boxed{1 2\n3 4} done",
            "<answer>\n1 2\n3 4</answer>",
        ],
    )
    def test_several_lines(self, text: str) -> None:
        assert answer_of(text, several_lines=True) == "1 2\n3 4"


class TestWithoutThePackage:
    def test_exact_generators_are_compared(self) -> None:
        bare = ByGym(GymOptions(), installed=False)
        bare.check(example(SUMS))
        assert grade(bare, "Answer: 12", SUMS).correct and not grade(bare, "Answer: 12.0", SUMS).correct

    def test_the_others_name_the_extra(self) -> None:
        with pytest.raises(SetupError) as raised:
            ByGym(GymOptions(), installed=False).check(example(MADE))
        assert "'countdown'" in raised.value.message and raised.value.mend == "pip install 'phronesis[bench]'"


class TestRows:
    @pytest.mark.parametrize(
        ("facts", "says"),
        [
            ({}, "lacks 'generator'"),
            ({"generator": "chain_sum"}, "lacks 'metadata'"),
            ({**SUMS, "generator": "chain_summ"}, "none of that name"),
            ({**MADE, "answer": "12 + 14"}, "does not get the full score"),
        ],
    )
    def test_a_row_that_cannot_be_graded_is_named(self, grader: ByGym, facts: dict[str, Any], says: str) -> None:
        pytest.importorskip("reasoning_gym")
        with pytest.raises(ConfigurationError) as raised:
            grader.check(example(facts))
        assert "'e1'" in raised.value.message and says in raised.value.message
