"""Steps of an attempt, and the checker of their arithmetic, which must never call a right equation wrong."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from phronesis.agents.scorers.arithmetic import Arithmetic, equations, evaluate
from phronesis.agents.steps import annotate, split_steps

CHECK = Arithmetic()


class TestSteps:
    def test_numbered_steps(self) -> None:
        assert split_steps("Step 1: a\nmore\nStep 2: b") == ("Step 1: a\nmore", "Step 2: b")

    def test_numbers_past_nine(self) -> None:
        text = "\n".join(f"Step {i}: value {i}" for i in range(1, 25))
        assert split_steps(text) == tuple(f"Step {i}: value {i}" for i in range(1, 25))

    @pytest.mark.parametrize(
        "mark",
        [
            "**Step {}:** x",
            "### Step {}\nx",
            "> Step {}: x",
            "__Step {}__ x",
            "  step {}. x",
            "**STEP {}** x",
            "# **Step {}** x",
        ],
    )
    def test_markdown(self, mark: str) -> None:
        assert len(split_steps("\n".join(mark.format(i) for i in (1, 2, 10)))) == 3

    def test_text_before_the_first_step_belongs_to_it(self) -> None:
        assert split_steps("Let us go.\nStep 1: a\nStep 2: b") == ("Let us go.\nStep 1: a", "Step 2: b")

    def test_text_before_a_later_step_is_one_of_its_own(self) -> None:
        """What follows the prefill ``Step 1:`` when the heading itself is not repeated."""
        assert split_steps("a is 3.\nStep 2: b") == ("a is 3.", "Step 2: b")

    def test_a_step_named_inside_a_line_is_no_heading(self) -> None:
        assert split_steps("Step 1: see Step 2\nStep 2: as Step 1 says") == (
            "Step 1: see Step 2",
            "Step 2: as Step 1 says",
        )

    def test_words_that_only_begin_like_a_step(self) -> None:
        assert split_steps("Stepwise 3\nsteps 4\nstep five") == ("Stepwise 3", "steps 4", "step five")

    def test_paragraphs_then_lines(self) -> None:
        assert split_steps("a\nb\n\nc\n  \nd") == ("a\nb", "c", "d")
        assert split_steps("a\nb\n\n") == ("a", "b")
        assert split_steps("a") == ("a",)

    @pytest.mark.parametrize("text", ["", " ", "\n \n"])
    def test_nothing(self, text: str) -> None:
        assert split_steps(text) == ()

    @given(
        st.lists(st.sampled_from(["Step 1: a", "Step 12: b", "**Step 3** c", "d", "", "  ", "1 + 1 = 2"]), max_size=12)
    )
    def test_nothing_is_lost_and_no_step_is_empty(self, lines: list[str]) -> None:
        text = "\n".join(lines)
        steps = split_steps(text)
        assert all(step.strip() for step in steps)
        assert "".join("".join(steps).split()) == "".join(text.split())

    @pytest.mark.timeout(3)
    @pytest.mark.parametrize("rule", ["_" * 26, "*" * 26, "#" * 26, "> " * 28, "* " * 28, "-" * 200])
    def test_a_line_drawn_across_the_page_takes_no_time(self, rule: str) -> None:
        """A pattern that backtracks exponentially would hold up the event loop for ever."""
        started = time.perf_counter()
        assert split_steps(f"Step 1: a\n{rule}\nStep 2: b") == (f"Step 1: a\n{rule.strip()}", "Step 2: b")
        assert time.perf_counter() - started < 0.2, "exponential backtracking"

    def test_annotation_in_tenths(self) -> None:
        """n = 10 * round(p, 1)."""
        shown = annotate(("Step 1: a", "Step 2: b", "c", "d", "e"), (0.97, 0.1, 0.0, 0.44, 1.0))
        assert shown == (
            "Step 1: a (Score: 10/10)\nStep 2: b (Score: 1/10)\nc (Score: 0/10)\nd (Score: 4/10)\ne (Score: 10/10)"
        )
        with pytest.raises(ValueError):
            annotate(("a", "b"), (0.5,))

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
    def test_every_step_has_its_score(self, scores: list[float]) -> None:
        lines = annotate([f"s{i}" for i in range(len(scores))], scores).splitlines()
        assert lines == [f"s{i} (Score: {int(10 * round(score, 1) + 0.5)}/10)" for i, score in enumerate(scores)]


class TestEvaluate:
    @pytest.mark.parametrize(
        ("expression", "value"),
        [
            ("1 + 2 * 3", 7), ("(1 + 2) * 3", 9), ("8 / 4 / 2", 1), ("8 - 4 - 2", 2), ("-3 + 5", 2), ("2 * -3", -6),
            ("0.1 + 0.2", Fraction(3, 10)), ("1 / 3", Fraction(1, 3)), ("((2))", 2), ("7", 7),
        ],
    )  # fmt: skip
    def test_exact(self, expression: str, value: Fraction) -> None:
        assert evaluate(expression) == value

    @pytest.mark.parametrize(
        "text",
        ["", "x", "1 +", "* 2", "1 / 0", "(1", "1)", "1 2", "2 ** 3", "2^3", "1 // 2", "()", "1..2", "a + 1", "+"],
    )
    def test_what_is_no_expression(self, text: str) -> None:
        assert evaluate(text) is None

    @pytest.mark.parametrize("text", ["(" * 3000 + "1 + 1", "-" * 3000 + "5 + 3", "(" * 3000 + "1" + ")" * 3000])
    def test_runaway_brackets_are_no_crash(self, text: str) -> None:
        """Models repeat a character until they are cut off; one reply must not end the run."""
        evaluate(text)
        equations(f"{text} = 8")

    def test_a_runaway_number_is_no_crash(self) -> None:
        equations("1 + 1 = " + "9" * 5000)
        equations("9" * 5000 + " + 1 = 3")


RIGHT = [
    "3 + 4 = 7", "3+4=7", "3 × 4 = 12", "3 x 4 = 12", "3x4 = 12", "3 · 4 = 12", "12 ÷ 4 = 3", "3 − 5 = −2", "3 - 5 = -2",
    "12 / 8 = 1.5", "10 / 3 = 3.33", "10 / 3 ≈ 3.3", "2 / 3 = 0.667", "0.1 + 0.2 = 0.3", "1/2 + 1/4 = 3/4",
    "1,234 + 1 = 1,235", "$5 + $3 = $8", r"\$5 + \$3 = \$8", "2 * (3 + 4) = 14", "2(3) + 0 = 6",
    "2 + 3 = 5 = 10 / 2", "2 * 3 + 4 = 6 + 4 = 10", "5 * (2 + 3) = 5 * 5 = 25", "5 * 3 = 15 apples", "5 * 3 = 15 cm^2",
    r"\frac{1}{2} \times 8 = 4", r"\frac{3 + 5}{2} = 4", r"3 \cdot 4 = 12", r"12 \div 4 = 3", r"\(3 + 4 = 7\)", "$3 + 4 = 7$",
    r"5 \text{ apples} + 3 \text{ apples} = 8", "**3 + 4 = 7**", "Step 2: 3 + 4 = 7", "1. 3 + 4 = 7", "1) 3 + 4 = 7",
    "So 3 + 4 = 7, and 7 - 2 = 5.", "x = 3 + 4 = 7", "3 + 4 = 7; 7 * 2 = 14", "20% of 50 = 10", "50 * 20% = 10",
    "10 / 50 = 20%", "3 apples + 4 apples = 7 apples", "5 m * 2 = 10 m", "3 + 4 = 7 = x", "2^3 = 8", "2**3 = 8", "7 // 2 = 3",
    "7 mod 2 = 1", "|3 - 5| = 2", "3 + 4 > 6", "3 + 4 != 8", "3 + 4 == 7", "2x + 3 = 7", "x + 3 = 10", "5 + 3 = 8.0",
]  # fmt: skip
HARD_BUT_RIGHT = {
    "a list mark is no sign": ["- 5 + 3 = 8", "- 3 * 12 = 36", "– 5 + 3 = 8"],
    "an unknown before a minus": ["x - 3 + 5 = 7", "2x - 3 + 5 = 7", "Total - (2 + 3) = 7", r"\text{Total} - 3 - 2 = 5"],
    "a unit before a minus": ["10 apples - 2 - 3 = 5 apples", "12 km - (2 + 3) = 7 km"],
    "a power before the sum": ["2^3 + 1 = 9", "3 * 10^2 + 5 = 305", "5² - 1 + 3 = 27", r"2^{3} - 1 + 4 = 11"],
    "a function before the sum": ["sqrt(16) + 2 = 6", "√16 + 2 = 6", "ceil(7/2) = 4", "f(3) + 4 = 10"],
    "an operator it does not know": ["3 ⋅ 4 + 2 = 14", "3 ∗ 4 + 2 = 14"],
    "a time or a decimal comma": ["3:30 + 2 = 5:30", "1,5 * 2 = 3"],
    "a percentage in LaTeX": [r"50 \times 20\% = 10", r"10 / 50 = 20\%", r"0.1 + 0.1 = 20 \%"],
    "a fraction or product that ends a sentence": [
        "1/2 + 1/4 = 3/4.", "1/2 + 1/4 = 3/4)", "1/2 + 1/4 = 3/4 (of a cup)", "5 + 3 = 4 * 2.", "1/2 + 1/4 = 3/4 - as said",
    ],
    "a mixed number": ["7 / 2 = 3 1/2", r"7/2 = 3\frac{1}{2}", "7 / 2 = 3 ½"],
    "a power or factorial on the right": [
        "10 * 10 = 10^2", "10 * 10 = 10**2", "5 * 5 = 5²", "3 * 2 = 3!", "40 * 50 = 2 × 10^3", "40 * 50 = 2e3",
    ],
    "an unknown on the right": ["15 + 5 = 2x", "15 - 3 = 2 * x", "12 + 8 = 4 + x", "15 + 5 = 2(x + 1)"],
    "thousands set apart": [r"500 \times 4 = 2{,}000", r"500 \times 4 = 2\,000", "500 * 4 = 2 000"],
    "a remainder": ["17 / 5 = 3 remainder 2", "17 / 5 = 3 R 2", "17 ÷ 5 = 3 r2"],
    "rounded to a whole number": ["20 / 3 ≈ 7", "20 / 3 ≈ 7 boxes"],
    "a repeating decimal": ["2 / 3 = 0.666...", "2 / 3 = 0.66…", r"2 / 3 = 0.\overline{6}"],
    "a word for the magnitude": ["2 * 500,000 = 1 million"],
    "a congruence": ["3 * 4 = 2 (mod 10)"],
}  # fmt: skip
WRONG = [
    "3 + 4 = 8", "3 × 4 = 13", "10 / 3 = 3.34", "10 / 4 = 2.6", "1/2 + 1/4 = 2/3", "2 * (3 + 4) = 10", "5 * 3 = 16 apples",
    r"\frac{1}{2} \times 8 = 5", "1,234 + 1 = 1,236", "$5 + $3 = $9", "3 - 5 = 2", "So 12 * 4 = 46, as said.", "8 / 2 = -4",
    r"5 \text{ apples} + 3 \text{ apples} = 9", "36 - 8 * 12 = 336", "100 * 0.2 = 200",
]  # fmt: skip


class TestEquations:
    @pytest.mark.parametrize("text", RIGHT)
    def test_a_right_equation_is_never_called_wrong(self, text: str) -> None:
        assert all(equation.holds for equation in equations(text)), equations(text)

    @pytest.mark.parametrize(
        "text", [pytest.param(text, id=f"{why}: {text}") for why, texts in HARD_BUT_RIGHT.items() for text in texts]
    )
    def test_nor_is_one_that_is_hard_to_read(self, text: str) -> None:
        """Silence is always allowed; a false alarm never is."""
        assert all(equation.holds for equation in equations(text)), equations(text)

    @pytest.mark.parametrize("text", WRONG)
    def test_a_wrong_equation_is_found(self, text: str) -> None:
        assert CHECK.step(text) == CHECK.wrong, equations(text)

    @pytest.mark.parametrize(
        "text",
        ["3 + 4 = 7", "3 × 4 = 12", "10 / 3 = 3.33", "1/2 + 1/4 = 3/4", r"\frac{1}{2} \times 8 = 4", "5 * 3 = 15 apples",
         "1,234 + 1 = 1,235", "Step 2: $5 + $3 = $8", "2 + 3 = 5 = 10 / 2", "-3 + 5 = 2"],
    )  # fmt: skip
    def test_plain_right_equations_are_recognised(self, text: str) -> None:
        assert CHECK.step(text) == CHECK.right, equations(text)

    @pytest.mark.parametrize(
        "text", ["", "No numbers.", "There are 12 apples.", "x = 7", "2x + 3 = 7", "20% of 50 = 10", "7 / 0 = 0"]
    )
    def test_what_cannot_be_checked_is_silent(self, text: str) -> None:
        assert CHECK.step(text) == CHECK.silent

    def test_one_wrong_equation_makes_the_step_wrong(self) -> None:
        assert CHECK.step("3 + 4 = 7, so 7 * 2 = 15") == CHECK.wrong
        assert [equation.holds for equation in equations("3 + 4 = 6 + 1 = 8\n2 * 2 = 4")] == [True, False, True]

    def test_figures_lie_in_order(self) -> None:
        assert 0 < CHECK.wrong < CHECK.silent < CHECK.right <= 1


numbers_ = st.integers(0, 999).map(lambda n: (str(n), Fraction(n))) | st.integers(1, 99999).map(
    lambda n: (f"{n // 100}.{n % 100:02d}", Fraction(n, 100))
)
operators_ = st.sampled_from(["+", "-", "*", "/", "×", "÷", "−", r"\times", r"\cdot", r"\div", "·"])
MEANING = {"×": "*", "·": "*", r"\times": "*", r"\cdot": "*", "÷": "/", r"\div": "/", "−": "-"}
Written = tuple[str, Fraction]


@st.composite
def expressions(draw: st.DrawFn, deepest: int = 2) -> Written:
    """An expression as written, with its exact value; every operand that is itself a sum stands in brackets."""

    def operand(left: int) -> Written:
        if left == 0 or draw(st.booleans()):
            return draw(numbers_)
        text, value = node(left - 1)
        return f"({text})", value

    def node(left: int) -> Written:
        (a, x), (b, y) = operand(left), operand(left)
        sign = draw(operators_)
        space = draw(st.sampled_from([" ", ""])) if not sign.startswith("\\") else " "
        meaning = MEANING.get(sign, sign)
        assume(meaning != "/" or y != 0)
        value = {"+": x + y, "-": x - y, "*": x * y, "/": x / y if y else Fraction(0)}[meaning]
        return f"{a}{space}{sign}{space}{b}", value

    return node(deepest)


def as_decimal(value: Fraction, places: int) -> str:
    """Rounded half away from 0 to so many places."""
    scaled = int(abs(value) * 10**places + Fraction(1, 2))
    sign = "-" if value < 0 and scaled else ""
    return f"{sign}{scaled // 10**places}.{scaled % 10**places:0{places}d}" if places else f"{sign}{scaled}"


around_ = st.sampled_from([
    ("", ""), ("So ", "."), ("Step 12: ", ""), ("The total is ", ", as said."), ("x = ", " apples."), ("**", "**"),
    ("$", "$"), (r"\(", r"\)"), ("Hence: ", " dollars"), ("Now, ", "; next"), ("", "\n"),
])  # fmt: skip


class TestGeneratedEquations:
    @given(expressions(), around_, st.integers(1, 6))
    def test_exact_and_rounded_results_hold(self, written: Written, around: tuple[str, str], places: int) -> None:
        text, value = written
        result = as_decimal(value, 0) if value.denominator == 1 else as_decimal(value, places)
        line = f"{around[0]}{text} = {result}{around[1]}"
        assert all(equation.holds for equation in equations(line)), f"{line!r}: {equations(line)}"

    @given(expressions(), around_)
    def test_plain_ones_are_seen(self, written: Written, around: tuple[str, str]) -> None:
        text, value = written
        line = (
            f"{around[0]}{text} = {as_decimal(value, 0) if value.denominator == 1 else as_decimal(value, 4)}{around[1]}"
        )
        assert CHECK.step(line) == CHECK.right, f"{line!r}: {equations(line)}"

    @given(expressions(), around_, st.integers(1, 50), st.booleans())
    def test_results_that_are_off_by_a_whole_number_are_wrong(
        self, written: Written, around: tuple[str, str], by: int, up: bool
    ) -> None:
        text, value = written
        line = f"{around[0]}{text} = {as_decimal(value + (by if up else -by), 3)}{around[1]}"
        assert CHECK.step(line) == CHECK.wrong, f"{line!r}: {equations(line)}"

    @given(expressions(), expressions(), st.integers(1, 99))
    def test_chains_hold(self, first: Written, second: Written, number: int) -> None:
        """a = b = number, where b is worked out from a."""
        text, value = first
        line = f"{text} = {value.numerator} / {value.denominator} = {as_decimal(value, 3)}"
        assert all(equation.holds for equation in equations(line)), f"{line!r}: {equations(line)}"

    @given(expressions())
    def test_evaluation_is_exact(self, written: Written) -> None:
        text, value = written
        plain = text
        for sign, meaning in MEANING.items():
            plain = plain.replace(sign, meaning)
        assert evaluate(plain) == value

    @given(st.text(alphabet="0123456789.+-*/()= xX%,$^{}\\\n≈×÷−abfrctimes", max_size=80))
    def test_no_text_is_a_crash(self, text: str) -> None:
        assert all(isinstance(equation.holds, bool) for equation in equations(text))
