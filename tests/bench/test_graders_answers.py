"""Graders of answers: latex, choice, exact, yes_no, qa; what each takes for right, what it cannot read, what it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.bench.dataset import Example
from phronesis.bench.graders.choice import letter_of
from phronesis.bench.graders.exact import exact_text
from phronesis.bench.graders.grader import Attempted, Grade, Grader, GraderContext
from phronesis.bench.graders.qa import f1, qa_words
from phronesis.bench.graders.table import SHIPPED, find_grader, make_grader
from phronesis.bench.graders.yes_no import yes_or_no
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import load_settings
from phronesis.core.task import AnswerFormat, Task
from phronesis.tools.answers import answer_space
from phronesis.tools.latex import LatexAnswers
from phronesis.tools.latex_equality import COMPARER

LATEX = LatexAnswers()
words = st.lists(st.sampled_from(["red", "Green", "the", "a", "blue.", "yes", "1990", "U.S."]), max_size=6).map(
    " ".join
)


def grader(name: str) -> Grader:
    return make_grader(name, GraderContext(load_settings()))


def example(gold: str, *, format: AnswerFormat | None = "text", question: str = "Which?", **facts: Any) -> Example:
    return Example(Task(messages=question, id="q7", answer_format=format), gold, facts=facts)  # type: ignore[arg-type]


def grade(name: str, item: Example, text: str, retrieved: tuple[str, ...] | None = None) -> Grade:
    """The grade of a reply, its answer read as a recipe would."""
    answer = answer_space(item.task.answer_format or "text").extract(text)

    async def ask() -> Grade:
        judge = grader(name)
        judge.check(item)
        try:
            return await judge.grade(item, Attempted(answer, text, retrieved))
        finally:
            await judge.close()

    return asyncio.run(ask())


class TestLatex:
    @pytest.mark.parametrize(
        ("gold", "text", "correct"),
        [
            (r"\frac{1}{2}", r"\boxed{0.5}", True), ("(x+1)^2", r"So $\boxed{x^2 + 2x + 1}$", True),
            (r"\text{(C)}", r"\boxed{C}", True), (r"90^\circ", r"The angle is \boxed{90}", True),
            (r"3\sqrt{13}", r"\boxed{\sqrt{116}}", False), ("[1,2)", r"\boxed{(1,2)}", False),
        ],
    )  # fmt: skip
    def test_grades_formulas(self, gold: str, text: str, correct: bool) -> None:
        for name in ("latex", "answer"):
            found = grade(name, example(gold, format="latex"), text)
            assert found.correct is correct and found.parsed

    def test_what_is_no_formula_is_wrong_and_counted(self) -> None:
        for text in ("", r"\boxed{\frac{}"):
            assert not grade("latex", example("x+1", format="latex"), text).parsed
        found = grade("latex", example("x+1", format="latex"), r"\boxed{\sqrt[}")
        assert not found.correct and not found.parsed and found.read

    def test_a_hundred_equal_forms_start_no_process(self) -> None:
        async def ask() -> list[Grade]:
            await COMPARER.close()
            judge = grader("latex")
            pairs = [(f"\\frac{{{n}}}{{7}}", f"x = {n}/7") for n in range(100)]
            items = [(example(gold, format="latex"), LATEX.canonical(text)) for gold, text in pairs]
            return [await judge.grade(item, Attempted(answer)) for item, answer in items]

        assert all(found.correct for found in asyncio.run(ask())) and COMPARER.pid is None

    def test_needs_the_format(self) -> None:
        with pytest.raises(ConfigurationError, match=r"'q7' has answer_format = 'text'"):
            grader("latex").check(example("x"))

    def test_a_gold_answer_that_is_nothing_is_named(self) -> None:
        with pytest.raises(ConfigurationError, match="'q7'"):
            grader("latex").check(example("$", format="latex"))


OPTIONS = {"A": "12", "B": r"\frac{1}{2}", "C": "the red one", "D": "none of these"}


class TestChoice:
    @pytest.mark.parametrize(
        ("text", "read"),
        [
            (r"\boxed{B}", "B"), ("The answer is (b).", "B"), (r"\boxed{\frac12}", "B"), (r"\boxed{0.5}", "B"),
            (r"\boxed{12.0}", "A"), (r"\boxed{Red one}", "C"), (r"\boxed{\text{None of these}}", "D"),
        ],
    )  # fmt: skip
    def test_letters_and_texts_of_options(self, text: str, read: str) -> None:
        found = grade("choice", example("B", format="choice", options=OPTIONS), text)
        assert (found.read, found.correct) == (read, read == "B")

    def test_options_come_as_a_list_or_stand_in_the_question(self) -> None:
        question = "What is 6 + 6? The options are: (A) 11 (B) 12 (C) 13"
        assert grade("choice", example("B", format="choice", question=question), r"\boxed{12}").correct
        assert grade("choice", example("C", format="choice", options=["x", "y", "z"]), r"\boxed{z}").correct

    def test_what_is_no_option_is_unread(self) -> None:
        found = grade("choice", example("B", format="choice", options=OPTIONS), r"\boxed{77}")
        assert not found.correct and not found.parsed

    def test_an_option_that_stands_twice_stands_for_nothing(self) -> None:
        assert letter_of("5", {"A": "5", "B": "5.0"}) is None and letter_of("6", {"A": "5", "B": "6"}) == "B"

    @pytest.mark.parametrize(
        ("item", "said"),
        [
            (example("twelve", format="choice"), "'twelve' of 'q7' is no letter"),
            (example("E", format="choice", options=OPTIONS), "none of them is the gold answer E"),
            (example("A", format="choice", options=12), "neither a table"),
        ],
    )
    def test_refused_before_anything_is_spent(self, item: Example, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            grader("choice").check(item)


class TestExact:
    @pytest.mark.parametrize(
        ("gold", "text", "correct"),
        [
            ("(A)", "So the answer is (A).", True), ("(A)", r"\boxed{A}", True),
            ("(A)", "the answer is (A) 12/14/1937", True),
            ("(A)", r"\boxed{(B)}", False), ("valid", "So the answer is Valid.", True), ("invalid", "Answer: valid", False),
            ("] ) >", "The answer is ] ) >.", True), ("apple bear", "Answer: Apple  bear", True),
        ],
    )  # fmt: skip
    def test_rule_of_bbh(self, gold: str, text: str, correct: bool) -> None:
        assert grade("exact", example(gold), text).correct is correct

    def test_aliases_are_right_too(self) -> None:
        assert grade("exact", example("(K)", aliases=["(K)", "K"]), r"\boxed{k}").correct

    def test_nothing_is_unread(self) -> None:
        assert not grade("exact", example("(A)"), "").parsed

    @pytest.mark.parametrize(
        ("item", "said"), [(example(" . "), "nothing is left"), (example("a b", aliases="x"), "aliases")]
    )
    def test_refused(self, item: Example, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            grader("exact").check(item)

    @given(words)
    def test_the_text_of_a_text_is_itself(self, text: str) -> None:
        once = exact_text(text)
        assert exact_text(once.upper()) == exact_text(once)


class TestYesNo:
    @pytest.mark.parametrize(
        ("gold", "text", "correct"),
        [
            ("yes", "So the answer is yes.", True), ("yes", r"\boxed{True}", True),
            ("no", "Answer: False, as yes is wrong", True),
            ("No", "Answer: yes and no", False), ("False", r"\boxed{no}", True),
        ],
    )  # fmt: skip
    def test_the_first_word_counts(self, gold: str, text: str, correct: bool) -> None:
        assert grade("yes_no", example(gold), text).correct is correct

    def test_neither_is_unread(self) -> None:
        assert not grade("yes_no", example("yes"), "Answer: nobody knows").parsed
        assert yes_or_no("another note, untrue") is None

    @pytest.mark.parametrize("gold", ["maybe", "yes and no", "1"])
    def test_a_gold_answer_that_is_neither_is_named(self, gold: str) -> None:
        with pytest.raises(ConfigurationError, match="'q7' is neither"):
            grader("yes_no").check(example(gold))


class TestQa:
    def test_exact_match_and_overlap(self) -> None:
        item = example("The Eiffel Tower", aliases=["La tour Eiffel"])
        assert grade("qa", item, "Answer: eiffel tower!").figures == {"em": 1.0, "f1": 1.0}
        found = grade("qa", item, "Answer: the tall Eiffel tower")
        assert not found.correct and found.figures["em"] == 0.0 and found.score == pytest.approx(0.8)
        assert grade("qa", item, "Answer: la Tour Eiffel").correct
        assert grade("qa", item, "Answer: Big Ben").figures == {"em": 0.0, "f1": 0.0}

    def test_yes_and_no_have_no_share(self) -> None:
        assert f1(("yes",), ("yes", "sir")) == 0.0 and f1(("no",), ("yes",)) == 0.0 and f1(("yes",), ("yes",)) == 1.0

    def test_paragraphs_found(self) -> None:
        item = example("Paris", gold_pids=["p1", "p2"])
        assert "recall" not in grade("qa", item, "Answer: Paris").figures
        half = grade("qa", item, "Answer: Paris", retrieved=("p2", "p9")).figures
        assert (half["recall"], half["all_found"]) == (0.5, 0.0)
        assert grade("qa", item, "Answer: Paris", retrieved=("p2", "p1")).figures["all_found"] == 1.0
        nothing = grade("qa", item, "", retrieved=("p1", "p2"))
        assert not nothing.parsed and nothing.figures == {"em": 0.0, "f1": 0.0, "recall": 1.0, "all_found": 1.0}

    @pytest.mark.parametrize(
        ("item", "said"),
        [
            (example("the"), "nothing is left"),
            (example("x", aliases=[1]), "aliases"),
            (example("x", gold_pids="p1"), "gold_pids"),
        ],
    )
    def test_refused(self, item: Example, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            grader("qa").check(item)

    @given(words, words)
    def test_overlap_is_a_symmetric_share(self, left: str, right: str) -> None:
        first, second = qa_words(left), qa_words(right)
        share = f1(first, second)
        assert 0.0 <= share <= 1.0 and share == f1(second, first) and (share == 1.0) >= (first == second)
        assert qa_words(" ".join(first)) == first


def test_a_grader_nobody_has_is_refused_with_the_nearest() -> None:
    for name, near in (("latx", "latex"), ("yesno", "yes_no"), ("judgge", "judge")):
        with pytest.raises(ConfigurationError, match=near):
            find_grader(name)
    with pytest.raises(ConfigurationError, match="no option 'seconds'"):
        grader("qa(seconds=1)")
    assert {"latex", "choice", "exact", "yes_no", "qa", "judge"} <= set(SHIPPED)
