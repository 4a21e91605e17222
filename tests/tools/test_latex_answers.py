"""LaTeX answers: where they stand, one spelling for each, equality without a process where that will do, and the limits of
the process where it will not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.core.errors import SetupError, ToolError
from phronesis.core.worker import Worker
from phronesis.tools.answers import answer_space, representatives
from phronesis.tools.latex import LatexAnswers
from phronesis.tools.latex_equality import COMPARER, Comparer, settled
from phronesis.tools.latex_forms import canonical_latex, number_of, words_of

LATEX = LatexAnswers()
pieces = st.sampled_from(
    [
        "\\frac", "{1}", "{2}", "12", "\\sqrt", "3", "x", "=", " ", "\\left(", "\\right)", "\\text{ cm}", "\\text{", "}", "{",
        "^\\circ", "\\%", "$", "\\$", ",", "{,}", ".", "\\,", "\\!", "\\ ", "\\\\", "\\boxed{", "-", "+", "/", "\\pi", "\\in",
        "meters", "am", "\\dfrac", "\\(", "\\)", "√", "≤", "~", "\n", "1,000", "0.50", "**", "`", ":", "\\displaystyle",
    ]
)  # fmt: skip
texts = st.lists(pieces, max_size=9).map("".join) | st.text(max_size=20)


class TestForms:
    @pytest.mark.parametrize(
        ("written", "form"),
        [
            ("$\\dfrac12$", r"\frac{1}{2}"), (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"), ("1/2", r"\frac{1}{2}"),
            (r"\frac 59", r"\frac{5}{9}"), (r"\frac{270}7\text{ degrees}", r"\frac{270}{7}"), (r"\sqrt3", r"\sqrt{3}"),
            ("√13", r"\sqrt{13}"), ("x = 5.", "5"), ("x=1, x=2", "x=1,x=2"), (r"x \in [1,2]", "[1,2]"),
            (r"x\in(-\infty,2)", r"(-\infty,2)"), ("y = 2x + 3", "2x+3"), ("f(x) = x^2", "x^2"), ("5!", "5!"),
            (".5", "0.5"), ("+5.0", "5"), ("-0", "0"), ("007", "7"), (r"90^\circ", "90"), (r"90^{\circ}", "90"),
            ("90°", "90"), (r"50\%", "50"), (r"\$1,234.50", "1234.5"), (r"10,\!080", "10080"), (r"1{,}000", "1000"),
            ("(1,234)", "(1,234)"), (r"5\text{ cm}", "5"), (r"5 \text{ cm}^2", "5"), ("5 meters", "5"), ("2 pi", "2pi"),
            (r"5 \pi \text{ cm}", r"5\pi"), (r"10\text{ AM}", "10AM"), (r"\text{(C)}", "(C)"), (r"\text{east}", "east"),
            (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"), (r"\text{three hundred}", "three hundred"),
            (r"\pi r^2", r"\pi r^2"), (r"2\times 3", r"2\cdot3"), (r"a \leq b", r"a\le b"), (r"\{1, 2\}", r"\{1,2\}"),
            (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"), ("**5**", "5"), (r"\(x\)", "x"),
            ("The quick fox", "The quick fox"), ("5:30", "5:30"),
        ],
    )  # fmt: skip
    def test_one_spelling(self, written: str, form: str) -> None:
        assert canonical_latex(written) == form

    @pytest.mark.parametrize("nothing", ["", "  ", "$", "$$", ".", "\\,", "^\\circ", "x" * 1001])
    def test_nothing_is_left(self, nothing: str) -> None:
        assert canonical_latex(nothing) is None

    @given(texts)
    @settings(max_examples=500)
    def test_the_form_of_a_form_is_itself(self, text: str) -> None:
        form = canonical_latex(text)
        assert form is None or canonical_latex(form) == form

    @given(st.fractions(max_denominator=10**6))
    def test_fractions_keep_their_value(self, value: Fraction) -> None:
        for written in (
            f"{value.numerator}/{value.denominator}",
            f"\\dfrac{{{value.numerator}}}{{{value.denominator}}}",
        ):
            form = canonical_latex(f"$ {written} $")
            assert form is not None and number_of(form) == value

    @given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=4))
    def test_decimals_keep_their_value(self, value: object) -> None:
        form = canonical_latex(f"x = {value:,f}")
        assert form is not None and number_of(form) == Fraction(str(value))

    def test_words_are_no_products_of_letters(self) -> None:
        assert words_of("East and  West") == "east and west"
        assert words_of("abc") is None and words_of(r"\sin x") is None and words_of("2xyzw") is None


class TestExtraction:
    @pytest.mark.parametrize(
        ("reply", "answer"),
        [
            (r"So \boxed{1} ... no, \boxed{\frac{\sqrt{2}}{3}}.", r"\frac{\sqrt{2}}{3}"),
            (r"\boxed{\text{if } x_{1} = \{2\}}", "if x_{1}=\\{2\\}"),
            (r"Step 1: $x^2 = 4$. The answer is $x = 2$.", "2"),
            (r"The final answer is: $\frac{1}{2}$ because $3 > 2$ is not asked. Answer: $\frac{3}{4}$", r"\frac{3}{4}"),
            (r"It costs \$5 and we get \[x = \frac12\]", r"\frac{1}{2}"),
            ("We find $x = 3$. That makes 12 in all.", "12"),
            ("#### 42", "42"),
            (r"Answer: \$5", "5"),
            ("I do not know.", None),
        ],
    )
    def test_lenient(self, reply: str, answer: str | None) -> None:
        assert LATEX.extract(reply) == answer

    def test_strict_and_cut_off_replies_need_a_mark(self) -> None:
        assert LatexAnswers("strict").extract("We find $x = 3$.") is None
        assert LATEX.extract("We find $x = 3$.", cut_off=True) is None
        assert LatexAnswers("strict").extract(r"\boxed{3}", cut_off=True) == "3"

    @given(texts)
    def test_what_is_extracted_is_canonical(self, text: str) -> None:
        found = LATEX.extract(f"Thus \\boxed{{{text}}}")
        assert found is None or LATEX.canonical(found) == found


class TestEquality:
    @pytest.mark.parametrize(
        ("left", "right", "equal"),
        [
            (r"\frac{3}{4}", "0.75", True), ("0.3333333", r"\frac{1}{3}", True), ("0.33", r"\frac{1}{3}", False),
            ("5", "6", False), ("east", "East", True), ("east", "seat", False), ("x", "x", True),
        ],
    )  # fmt: skip
    def test_settled_without_a_process(self, left: str, right: str, equal: bool) -> None:
        found = settled(left, right)
        assert found is not None and found.equal is equal

    @pytest.mark.parametrize(
        ("left", "right", "equal"),
        [
            ("x^2+2x+1", "(x+1)^2", True), (r"3\sqrt{13}", r"\sqrt{117}", True), ("2+2i", "2i+2", True),
            (r"\{1,2\}", r"\{2,1\}", True), ("[1,2)", "(1,2)", False), ("(1,2)", "(2,1)", False), ("p-q", "q-p", False),
            (r"\frac{\pi}{2}", r"0.5\pi", True),
            (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1\\3\end{pmatrix}", False),
        ],
    )  # fmt: skip
    def test_by_algebra_in_both_orders(self, left: str, right: str, equal: bool) -> None:
        assert settled(left, right) is None
        assert LATEX.equal(left, right) is equal and LATEX.equal(right, left) is equal

    def test_votes_join_equal_answers(self) -> None:
        answers = [
            LATEX.canonical(raw)
            for raw in (r"\frac{\sqrt{3}}{3}", "7", r"\frac{1}{\sqrt{3}}", "7.0", r"\dfrac{\sqrt3}{3}")
        ]
        found = representatives(answers, LATEX)
        assert found == (answers[0], "7", answers[0], "7", answers[0])

    def test_an_answer_without_a_value_is_not_equal(self) -> None:
        assert not asyncio.run(COMPARER.compare("x", r"\frac{1}{0}")).equal

    def test_an_answer_that_is_no_formula_is_known_as_such(self) -> None:
        assert not asyncio.run(COMPARER.compare("x+1", r"\frac{")).answer_read


_COUNT = """
import subprocess
from phronesis.tools.latex import LatexAnswers
from phronesis.tools.latex_equality import COMPARER
space = LatexAnswers()
for n in range(100):
    left, right = space.canonical(f"$x = {n}/7$"), space.extract(f"So \\\\boxed{{\\\\dfrac{{{n}}}{{7}}}}.")
    assert space.equal(left, right), (left, right)
    assert space.equal(space.canonical(f"{n}.0"), space.canonical(f"{n}\\\\text{{ cm}}"))
    assert not space.equal(f"{n}", f"{n + 1}")
print(COMPARER.pid, open("/proc/self/task/%d/children" % __import__("os").getpid()).read())
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
def test_equal_forms_start_no_process() -> None:
    said = subprocess.run((sys.executable, "-c", _COUNT), capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["None"]


def test_a_pair_is_compared_once() -> None:
    comparer = Comparer()
    space = LatexAnswers(comparer=comparer)
    assert space.equal("z^2-1", "(z-1)(z+1)") and comparer.pid is not None
    asyncio.run(comparer.close())
    assert space.equal("z^2-1", "(z-1)(z+1)") and comparer.pid is None


def hang(gold: str, answer: str) -> None:
    """Stands in for math-verify in a child."""
    threading.Event().wait()


def crash(gold: str, answer: str) -> None:
    """Stands in for math-verify in a child."""
    os.abort()


@pytest.mark.parametrize(("what", "said"), [("hang", r"took longer than 0\.3 s"), ("crash", "code -6")])
def test_an_undecided_pair_is_not_equal_in_a_vote_and_an_error_for_a_grader(
    what: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    comparer = Comparer(Worker(f"{Path(__file__).stem}:{what}", seconds=0.3))
    assert not LatexAnswers(comparer=comparer).equal("u+1", "1+u")
    with pytest.raises(ToolError, match=said):
        asyncio.run(comparer.compare("u+1", "1+u"))
    assert comparer.pid is None
    assert comparer.equal("u+1", "u+1"), "what is settled by its spelling needs nobody"


def test_a_killed_process_is_started_again() -> None:
    comparer = Comparer()
    assert comparer.equal("v+1", "1+v")
    pid = comparer.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ToolError, match="code -9"):
        asyncio.run(comparer.compare("v+2", "2+v"))
    assert asyncio.run(comparer.compare("v+2", "2+v")).equal
    asyncio.run(comparer.close())


def test_without_math_verify_the_format_is_refused_when_it_is_first_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(SetupError, match=r"pip install 'phronesis\[math\]'"):
        answer_space("latex")
    assert answer_space("number").format == "number"


def test_the_format_loads_no_algebra() -> None:
    code = "import sys; from phronesis.tools.answers import answer_space; answer_space('latex'); print([*sys.modules])"
    said = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert "phronesis.tools.latex" in said.stdout and "sympy" not in said.stdout
