"""The grader ``expression`` and its parser: what is read, what is right, what is refused."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.bench.dataset import Example
from phronesis.bench.graders.arithmetic import expressions, parse_expression
from phronesis.bench.graders.expression import ByExpression
from phronesis.bench.graders.grader import WRONG, Attempted, Grade
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Message, Task


def example(**facts: Any) -> Example:
    return Example(Task(messages=(Message(role="user", content="q"),), id="e1"), "gold", facts=facts)


def grade(text: str, **facts: Any) -> Grade:
    return asyncio.run(ByExpression().grade(example(**facts), Attempted(None, text)))


def countdown(text: str) -> Grade:
    return grade(text, numbers=[12, 14, 6], target=20)


def equation(text: str) -> Grade:
    return grade(text, numbers=[14, 16, 20, 15, 23], target=25, ordered=True)


Tree = tuple[str, Any, Any]


def trees() -> st.SearchStrategy[int | Tree]:
    return st.recursive(
        st.integers(0, 60), lambda inner: st.tuples(st.sampled_from("+-*/"), inner, inner), max_leaves=12
    )


def value(tree: int | Tree) -> Fraction | None:
    if isinstance(tree, int):
        return Fraction(tree)
    left, right = value(tree[1]), value(tree[2])
    if left is None or right is None or (tree[0] == "/" and right == 0):
        return None
    return {"+": left.__add__, "-": left.__sub__, "*": left.__mul__, "/": left.__truediv__}[tree[0]](right)


def numbers(tree: int | Tree) -> list[int]:
    return [tree] if isinstance(tree, int) else numbers(tree[1]) + numbers(tree[2])


def plain(tree: int | Tree) -> str:
    return str(tree) if isinstance(tree, int) else f"({plain(tree[1])} {tree[0]} {plain(tree[2])})"


def sparing(tree: int | Tree) -> tuple[str, int]:
    """(the expression with no brackets but the needed ones, how strongly its last operator binds)."""
    if isinstance(tree, int):
        return str(tree), 3
    binds = 1 if tree[0] in "+-" else 2
    (left, at_left), (right, at_right) = sparing(tree[1]), sparing(tree[2])
    left = f"({left})" if at_left < binds else left
    right = f"({right})" if at_right <= binds else right
    return f"{left}{tree[0]}{right}", binds


def latex(tree: int | Tree) -> str:
    if isinstance(tree, int):
        return str(tree)
    left, right = latex(tree[1]), latex(tree[2])
    signs = {"+": "+", "-": "−", "*": "\\times "}
    return f"\\frac{{{left}}}{{{right}}}" if tree[0] == "/" else f"\\left({left} {signs[tree[0]]} {right}\\right)"


class TestParser:
    @given(trees())
    def test_brackets_latex_and_precedence_give_the_exact_value(self, tree: int | Tree) -> None:
        for text in (plain(tree), sparing(tree)[0], latex(tree)):
            found = parse_expression(text)
            assert found is not None, text
            assert found.value == value(tree), text
            assert [leaf.value for leaf in found.leaves] == numbers(tree)

    @given(st.text(alphabet="0123456789+-*/()[]{}=. x×÷\\frac\n", max_size=80))
    @settings(max_examples=300)
    def test_any_text_is_an_expression_or_none(self, text: str) -> None:
        found = parse_expression(text)
        assert found is None or found.leaves
        for one in expressions(text):
            assert len(one.leaves) > 1

    @pytest.mark.parametrize(
        "text",
        ["", "+", "(", "()", "1 +", "1 2", "2(3)", "2**3", "2^3", "x", "1,000", "(1]", "\\frac{1}(2)", "\\frac12", "1//2",
         "__import__('os')", "1" + "+1" * 400, "(" * 200 + "1" + ")" * 200, "-" * 300 + "1"],
    )  # fmt: skip
    def test_what_is_no_expression(self, text: str) -> None:
        assert parse_expression(text) is None

    @pytest.mark.parametrize(
        ("text", "shown"),
        [("8 ÷ (3 − 8/3)", "24"), ("[6 × 4]", "24"), ("6 x 4", "24"), ("-(2 - 5)", "3"), ("2.5 * 4", "10"),
         ("\\dfrac{8}{3-\\frac{8}{3}}", "24"), ("2 - -3", "5"), ("7 / 0", "None"), ("0 * (1 / 0)", "None")],
    )  # fmt: skip
    def test_values(self, text: str, shown: str) -> None:
        found = parse_expression(text)
        assert found is not None and str(found.value) == shown


class TestCountdown:
    @pytest.mark.parametrize(
        "text",
        ["(12 + 14) - 6", "14 - 6 + 12 = 20", "20 = 12 + 14 - 6", "Answer: 12+14−6 = 20", "\\boxed{12 + 14 - 6 = 20}",
         "- 12 + 14 - 6 = 20", "1. 12 + 14 - 6", "**12 + 14 - 6**", "`12 + 14 - 6`.", "$$12 + 14 - 6 = 20$$",
         "First 12 + 14 = 26, then 26 - 6 = 20.\nSo \\(12 + 14 - 6 = 20\\)\n\nAnswer: 20", "-6 + 12 + 14",
         "12 + 14 - 6 = 20\nCheck: 26 - 6 = 20, from 12, 14 and 6."],
    )  # fmt: skip
    def test_any_expression_that_makes_the_target_is_right(self, text: str) -> None:
        found = countdown(text)
        assert found.correct and found.score == 1.0 and found.parsed
        assert found.figures == {"numbers": 1.0}

    @pytest.mark.parametrize(
        ("text", "says", "used"),
        [("12 + 14 + 6 = 20", "= 32, not 20", 1.0), ("26 - 6", "the numbers are not the given ones", 0.0),
         ("12 + 14 - 6 + 0", "not the given ones", 0.0), ("12 + 14 - 6 - 6 + 6", "not the given ones", 0.0),
         ("12 / (14 - 14) - 6", "divides by zero", 0.0), ("Answer: 12 + 14", "= 26, not 20; the numbers", 0.0),
         ("12 + 14 - 6\nAnswer: 12 * 14 - 6", "= 162, not 20", 1.0)],
    )  # fmt: skip
    def test_a_wrong_one_says_why(self, text: str, says: str, used: float) -> None:
        found = countdown(text)
        assert not found.correct and found.parsed and found.score == 0.0
        assert says in found.read
        assert found.figures == {"numbers": used}

    @pytest.mark.parametrize(
        "text", ["", " \n", "20", "Answer: 20", "no idea", "12 ** 14 - 6", "print(12)", "12, 14, 6"]
    )
    def test_without_an_expression_it_is_unparsable(self, text: str) -> None:
        assert countdown(text) == WRONG

    def test_the_answer_is_read_where_there_is_no_text(self) -> None:
        found = asyncio.run(ByExpression().grade(example(numbers=[6, 4], target=24), Attempted(answer="4*6", text=" ")))
        assert found.correct

    def test_fractions_on_the_way_are_exact(self) -> None:
        assert grade("8 / (3 - 8 / 3)", numbers=[3, 3, 8, 8], target=24).correct
        assert not grade("8 / (3 - 2.6666666667)", numbers=[3, 3, 8, 8], target=24).correct

    def test_a_number_given_twice_is_used_twice(self) -> None:
        assert grade("2 * 2 * 6 * 1", numbers=[1, 2, 2, 6], target=24).correct
        assert not grade("2 * 6 * 2 * 1 * 1", numbers=[1, 2, 2, 6], target=24).correct

    def test_negative_numbers_may_be_given(self) -> None:
        assert grade("5 - (-1)", numbers=[5, -1], target=6).correct
        assert grade("5 * -1", numbers=["5", -1], target=-5).correct
        assert not grade("5 + 1", numbers=[5, -1], target=6).correct

    def test_a_single_number_is_an_expression_of_itself(self) -> None:
        assert grade("Answer: 7", numbers=[7], target=7).correct

    @pytest.mark.parametrize(
        "text",
        [
            "(" * 100_000,
            "1+" * 100_000,
            "= " * 100_000,
            "9" * 200_000,
            "\\frac{" * 30_000,
            "x1x" * 60_000,
            "\x00\ud800",
        ],
    )
    def test_hostile_texts_are_only_wrong(self, text: str) -> None:
        assert not countdown(text).correct


class TestEquations:
    @pytest.mark.parametrize("text", ["14 - 16 / 20 * 15 + 23 = 25", "Answer: 14-16÷20×15+23=25", "14 - 16/20*15 + 23"])
    def test_any_filling_that_holds_is_right(self, text: str) -> None:
        assert equation(text).correct

    @pytest.mark.parametrize(
        ("text", "says"),
        [("14 + 16 / 20 * 15 + 23 = 25", "= 49, not 25"), ("16 - 14 / 20 * 15 + 23 = 25", "in their order"),
         ("14 - (16 / 20) * 15 + 23 = 25", "brackets"), ("25 = 48 - 23", "in their order"),
         ("14 - \\frac{16}{20} * 15 + 23", "")],
    )  # fmt: skip
    def test_order_and_precedence_are_kept(self, text: str, says: str) -> None:
        found = equation(text)
        assert says in found.read
        assert found.correct is (not says)

    def test_another_filling_than_the_gold_one_counts(self) -> None:
        facts = {"numbers": [2, 2, 2], "target": 6, "ordered": True}
        assert grade("2 + 2 + 2 = 6", **facts).correct and grade("2 * 2 + 2 = 6", **facts).correct


class TestRows:
    @pytest.mark.parametrize(
        ("facts", "says"),
        [({"target": 1}, "lacks 'numbers'"), ({"numbers": [], "target": 1}, "numbers = []"),
         ({"numbers": [1, 2]}, "lacks 'target'"), ({"numbers": ["a"], "target": 1}, "'a' is no number"),
         ({"numbers": [1, True], "target": 1}, "True is no number"), ({"numbers": [1], "target": None}, "None is no number"),
         ({"numbers": [1], "target": 1, "ordered": "yes"}, "neither true nor false")],
    )  # fmt: skip
    def test_a_row_that_cannot_be_graded_is_named(self, facts: dict[str, Any], says: str) -> None:
        with pytest.raises(ConfigurationError) as raised:
            ByExpression().check(example(**facts))
        assert "'e1'" in raised.value.message and says in raised.value.message and raised.value.mend
