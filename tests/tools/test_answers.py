"""Answers: where they stand in a reply, their canonical form, which ones are equal."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.core.errors import ConfigurationError
from phronesis.core.task import AnswerFormat
from phronesis.tools.answers import ChoiceAnswers, NumberAnswers, TextAnswers, answer_space, representatives
from phronesis.tools.extraction import last_number, marked_answer
from phronesis.tools.numbers import parse_number, show_number

FORMATS: tuple[AnswerFormat, ...] = ("number", "choice", "text", "latex")
NUMBERS, CHOICES, TEXTS = NumberAnswers(), ChoiceAnswers(), TextAnswers()
fractions_ = st.fractions(max_denominator=10**6).filter(lambda value: abs(value) < 10**15)
decimals_ = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4)


class TestNumbers:
    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("42", "42"), ("+42", "42"), ("-42", "-42"), ("−42", "-42"), ("042", "42"), ("-0", "0"),
            ("3.0", "3"), ("3.50", "3.5"), (".5", "0.5"), ("5.", "5"), ("1e3", "1000"), ("1.5e-2", "0.015"),
            ("1,234", "1234"), ("1,234,567.80", "1234567.8"), ("1{,}234", "1234"), (r"1\,234", "1234"),
            ("1/2", "0.5"), ("6/3", "2"), ("1 / 3", "1/3"), ("-1/3", "-1/3"), ("2 1/2", "2.5"), ("-2 1/2", "-2.5"),
            (r"\frac{1}{2}", "0.5"), (r"\dfrac{3}{4}", "0.75"), (r"\tfrac{1}{3}", "1/3"), (r"\frac{-1}{2}", "-0.5"),
            (r"-\frac{1}{2}", "-0.5"), (r"2\frac{1}{2}", "2.5"), (r"\frac{1,000}{2}", "500"),
            ("$5", "5"), (r"\$1,200.50", "1200.5"), ("-$5", "-5"), ("$-5$", "-5"), ("€7", "7"), ("£7", "7"),
            ("50%", "50"), (r"50\%", "50"), ("50 percent", "50"), ("90°", "90"),
            ("7 apples", "7"), ("7 square metres", "7"), (r"7 \text{ cm}", "7"), (r"7\mathrm{kg}", "7"), ("12.5 kg.", "12.5"),
            ("x = 5", "5"), ("2 + 3 = 5", "5"), ("about 3", "3"), ("12 (twelve)", "12"), ("**7**", "7"),
            ("1/3", "1/3"), ("0.333333333", "0.333333333"),
        ],
    )  # fmt: skip
    def test_canonical(self, written: str, value: str) -> None:
        assert NUMBERS.canonical(written) == value

    @pytest.mark.parametrize(
        "written",
        ["", " ", "unknown", "x", "-", ".", "/", "3/0", "1/2/3", "3 or 4", "between 3 and 5", "10^6", "12:30", "1,23",
         "2+3", "$", "%", "nan", "inf", "-inf", "NaN", "infinity"],
    )  # fmt: skip
    def test_unreadable(self, written: str) -> None:
        assert NUMBERS.canonical(written) is None

    @pytest.mark.parametrize(
        "written", ["9" * 5000, "1/" + "9" * 5000, "0." + "1" * 5000, "1e99999", "1e-99999", "1" * 5000 + " 1/2"]
    )
    def test_a_runaway_number_is_no_crash(self, written: str) -> None:
        """Models repeat digits until they are cut off; one reply must not end the run."""
        NUMBERS.canonical(written)
        NUMBERS.extract(f"The answer is {written}")

    @pytest.mark.timeout(3)
    @pytest.mark.parametrize(
        "written",
        [
            "12 because each of the three children gets four apples, and nothing else",
            "5 " + "a" * 60 + "!",
            "5" + " percent of the people in the whole wide world" * 3 + " (rounded)",
            "7 " + ". a" * 40 + "?",
        ],
    )
    def test_prose_behind_a_number_is_read_at_once(self, written: str) -> None:
        """A pattern that backtracks exponentially would hold up the event loop for ever."""
        started = time.perf_counter()
        parse_number(written)
        assert time.perf_counter() - started < 0.2, "exponential backtracking"

    @given(fractions_)
    def test_shown_numbers_read_back_exactly(self, value: Fraction) -> None:
        assert parse_number(show_number(value)) == value

    @given(fractions_)
    def test_canonical_is_canonical(self, value: Fraction) -> None:
        once = NUMBERS.canonical(f"{value.numerator}/{value.denominator}")
        assert once == show_number(value) and NUMBERS.canonical(once) == once

    @given(decimals_, st.sampled_from(["{}", "${}", "{}%", "{} kg", "{}.", " {} ", r"{}\%", r"${}$", "x = {}"]))
    def test_decoration_does_not_change_the_value(self, number: object, around: str) -> None:
        assert NUMBERS.canonical(around.format(f"{number:f}")) == show_number(Fraction(str(number)))

    @given(st.integers(-(10**12), 10**12))
    def test_thousands_commas(self, value: int) -> None:
        assert NUMBERS.canonical(f"{value:,}") == str(value)

    @given(fractions_, fractions_)
    def test_equality_is_symmetric_and_reflexive(self, one: Fraction, other: Fraction) -> None:
        left, right = show_number(one), show_number(other)
        assert NUMBERS.equal(left, left) and NUMBERS.equal(left, right) == NUMBERS.equal(right, left)
        if one == other:
            assert NUMBERS.equal(left, right)

    @pytest.mark.parametrize(
        ("left", "right", "same"),
        [
            ("1/3", "0.3333333", True), ("1/3", "0.33333", False), ("0.5", "1/2", True), ("0", "0", True),
            ("0", "0.0000001", False), ("1000000", "1000001", True), ("100000", "100001", False), ("2", "-2", False),
            ("x", "x", False),
        ],
    )  # fmt: skip
    def test_equality(self, left: str, right: str, same: bool) -> None:
        assert NUMBERS.equal(left, right) is same

    @given(st.text(max_size=60))
    def test_any_text_is_read_or_is_none(self, text: str) -> None:
        for read in (NUMBERS.canonical(text), NUMBERS.extract(text)):
            assert read is None or parse_number(read) is not None


class TestWhereTheAnswerStands:
    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            (r"So \boxed{7}.", "7"),
            (r"\boxed{6} no, \boxed{7}", "7"),
            (r"Answer: 3" "\n" r"\boxed{7}" "\n#### 4", "7"),
            (r"\boxed{\frac{1}{2}}", "0.5"),
            (r"\boxed{\text{7 apples}}", "7"),
            (r"\boxed{x = 7}", "7"),
            ("Answer: 7\n#### 4", "7"),
            ("Answer: 6\nAnswer: 7", "7"),
            ("ANSWER: 7", "7"),
            ("**Answer:** 7", "7"),
            ("**Answer: 7**", "7"),
            ("Final answer: **7**.", "7"),
            ("The final answer is 7.", "7"),
            ("The answer is: $1,007$.", "1007"),
            ("answer = 7", "7"),
            ("#### 7", "7"),
            ("3 of 4\n#### 1,234", "1234"),
            ("First 3, then 4, so 7.", "7"),
            ("She pays $1,234.50 in total.", "1234.5"),
            ("It is 7 1/2 or so: 15/2", "7.5"),
            ("The change is -3.", "-3"),
        ],
    )
    def test_boxed_then_answer_then_hashes_then_the_last_number(self, text: str, answer: str) -> None:
        assert NUMBERS.extract(text) == answer

    @pytest.mark.parametrize("text", ["", "   ", "I cannot tell.", r"\boxed{unknown} 5", "Answer: none of the 3 and 4"])
    def test_unreadable(self, text: str) -> None:
        assert NUMBERS.extract(text) is None

    @pytest.mark.parametrize(
        "text",
        [
            "Step 1: I do not know.",
            "Step 1: Hm.\nStep 2: Nobody knows.",
            "### Step 3\nNo idea.",
            "**Step 2:** No idea.",
        ],
    )
    def test_the_number_of_a_step_is_no_answer(self, text: str) -> None:
        """The prefill alone would make every reply readable, with 1 as its vote."""
        assert NUMBERS.extract(text) is None

    def test_a_mark_that_cannot_be_read_is_not_replaced_by_another_number(self) -> None:
        assert NUMBERS.extract("We get 12.\nThe answer is \\boxed{x}") is None

    @pytest.mark.parametrize(
        ("text", "answer"),
        [
            ("we have 3 and 4 so", None),
            (r"\boxed{7} and then 12", "7"),
            (r"so 12 is \boxed{1", None),
            ("#### 7\nThe 12", "7"),
        ],
    )
    def test_a_cut_off_reply_is_read_by_its_mark_only(self, text: str, answer: str | None) -> None:
        assert NUMBERS.extract(text, cut_off=True) == answer

    @pytest.mark.parametrize(
        ("text", "answer"), [("so 7", None), (r"\boxed{7}", "7"), ("Answer: 7", "7"), ("#### 7", "7")]
    )
    def test_strict_reads_marks_only(self, text: str, answer: str | None) -> None:
        assert NumberAnswers("strict").extract(text) == answer

    @pytest.mark.parametrize(
        ("text", "inside"),
        [
            (r"\boxed{a{b{c}}d} tail", "a{b{c}}d"),
            (r"\boxed{}", None),
            (r"\boxed{ 7 }", "7"),
            ("nothing", None),
            ("Answer: `7`", "7"),
        ],
    )
    def test_marked(self, text: str, inside: str | None) -> None:
        assert marked_answer(text) == inside

    @pytest.mark.parametrize(
        ("text", "number"),
        [("v1.2.3 has 4", "4"), ("none", None), ("1,234 and 5", "5"), ("3/4", "3/4"), ("$ 5", "$ 5")],
    )
    def test_last_number(self, text: str, number: str | None) -> None:
        assert last_number(text) == number

    @given(st.text(max_size=80), st.integers(-999, 999))
    def test_a_box_wins_over_whatever_stands_before_it(self, before: str, value: int) -> None:
        assert NUMBERS.extract(f"{before}\n\\boxed{{{value}}}") == str(value)


class TestChoices:
    @pytest.mark.parametrize(
        ("written", "letter"),
        [
            ("B", "B"), ("b", "B"), ("(B)", "B"), ("(b)", "B"), ("B.", "B"), ("b.", "B"), ("B)", "B"), ("B: four", "B"),
            ("(C) seven", "C"), (r"\text{D}", "D"), ("**A**", "A"), ("`A`", "A"), ("$A$", "A"), ("J", "J"),
            ("K", None), ("Because", None), ("", None), ("7", None), ("AB", None), ("all", None),
        ],
    )  # fmt: skip
    def test_canonical(self, written: str, letter: str | None) -> None:
        assert CHOICES.canonical(written) == letter

    @pytest.mark.parametrize(
        ("text", "letter"),
        [
            (r"(A) is wrong, so \boxed{B}.", "B"),
            ("Answer: (C)\n", "C"),
            ("The answer is D.", "D"),
            ("#### E", "E"),
            ("Not (A), rather (B).", "B"),
            ("I weigh them.\nC", "C"),
            ("I weigh them.\nC.", "C"),
            ("I weigh them and like none.", None),
            (r"\boxed{7} (A)", None),
            ("", None),
        ],
    )
    def test_extract(self, text: str, letter: str | None) -> None:
        assert CHOICES.extract(text) == letter

    def test_cut_off_and_strict_read_marks_only(self) -> None:
        assert CHOICES.extract("rather (B)", cut_off=True) is None
        assert ChoiceAnswers("strict").extract("rather (B)") is None
        assert ChoiceAnswers("strict").extract("Answer: B") == "B"

    @given(st.text(max_size=40))
    def test_a_letter_or_none(self, text: str) -> None:
        for read in (CHOICES.canonical(text), CHOICES.extract(text)):
            assert read is None or (len(read) == 1 and read in "ABCDEFGHIJ")

    @given(st.sampled_from("ABCDEFGHIJ"))
    def test_canonical_is_canonical(self, letter: str) -> None:
        assert CHOICES.canonical(letter) == letter and CHOICES.equal(letter, letter)


class TestTexts:
    @pytest.mark.parametrize(
        ("written", "text"),
        [
            ("The  Nile.", "nile"), ("nile", "nile"), ("a dog", "dog"), ("An Apple!", "apple"), ('"Paris"', "paris"),
            (r"\text{New York}", "new york"), ("STRASSE", "strasse"), ("Straße", "strasse"), ("**Yes**", "yes"),
            ("theatre", "theatre"), ("another", "another"), ("", None), ("...", None), (" ", None),
        ],
    )  # fmt: skip
    def test_canonical(self, written: str, text: str | None) -> None:
        assert TEXTS.canonical(written) == text

    def test_extract(self) -> None:
        assert TEXTS.extract("Let me think.\nThe Nile.\n\n") == "nile"
        assert TEXTS.extract("Let me think.\nAnswer: the Nile\nSurely.") == "nile"
        assert TEXTS.extract("Let me think.\nThe Ni", cut_off=True) is None
        assert TextAnswers("strict").extract("The Nile.") is None
        assert TEXTS.extract("") is None

    @given(st.text(max_size=40))
    def test_canonical_is_canonical(self, written: str) -> None:
        once = TEXTS.canonical(written)
        if once is not None:
            assert TEXTS.equal(once, TEXTS.canonical(once.upper()) or "") or once.upper().casefold() != once


class TestRepresentatives:
    def test_the_first_member_in_index_order_stands_for_its_class(self) -> None:
        found = representatives(["0.3333333", None, "2", "1/3", "2", "0.33333333"], NUMBERS)
        assert found == ("0.3333333", None, "2", "0.3333333", "2", "0.3333333")

    def test_equal_texts_are_one_class_whatever_the_space_says(self) -> None:
        assert representatives(["x", "x", "y"], NUMBERS) == ("x", "x", "y")

    def test_a_chain_of_near_equals_is_cut_where_it_leaves_its_first(self) -> None:
        """1, 1 + 0.9e-6, 1 + 1.8e-6: the last equals the second, not the first."""
        assert representatives(["1", "1.0000009", "1.0000018"], NUMBERS) == ("1", "1", "1.0000018")

    @given(st.lists(st.none() | st.sampled_from(["1", "1.0000005", "1.000001", "2", "1/3", "0.3333333"]), max_size=10))
    def test_always(self, answers: list[str | None]) -> None:
        found = representatives(answers, NUMBERS)
        assert len(found) == len(answers)
        for index, (answer, leader) in enumerate(zip(answers, found, strict=True)):
            assert (answer is None) == (leader is None)
            if answer is not None and leader is not None:
                assert leader in answers[: index + 1] and NUMBERS.equal(answer, leader)
        assert representatives(found, NUMBERS) == found


def test_spaces_by_name() -> None:
    assert [answer_space(name).format for name in FORMATS] == list(FORMATS)
    with pytest.raises(ConfigurationError, match="'roman'"):
        answer_space("roman")  # type: ignore[arg-type]
