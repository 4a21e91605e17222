"""Replies of 100 KB that say nothing: whatever reads them stays linear and calls them what they are."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import BaseModel

from phronesis.agents.decode import decode
from phronesis.agents.scorers.arithmetic import Arithmetic
from phronesis.agents.scorers.backward import masked
from phronesis.agents.scorers.generative import read_verdict
from phronesis.agents.steps import annotate, split_steps, without_scores
from phronesis.core.chat import Completion
from phronesis.core.errors import MalformedReply
from phronesis.tools.answers import answer_space

SIZE = 100_000
UNITS = [
    " ", "\t", "\n", "\r\n", "\n \n", "\xa0", "\\", "{", "}", "[", "(", "*", "#", "/", "\\boxed{", "\\boxed{}", "\\text{",
    "\\frac{1}", "```", '"', '{"a": ', "1", "1,", "1/", "1 = ", "5 km ", "Step 1\n", "(Score: 1", "answer ", "answer: ",
    "final ", "####", "#### ", "verdict ", "the\n", "yes ", "not ", "x ",
]  # fmt: skip
HEADS = ["", "Answer:", "the answer is", "Verdict: yes", "Verdict", "```json", "####", '{"a": "', "5 * 3 = ", "(Score:"]
COMMON = [" ", "\n", "\\", "\\boxed{"]
READ = """
import faulthandler, sys
faulthandler.dump_traceback_later(250 if sys.argv[2] == "some" else 1000, exit=True)
sys.path.insert(0, sys.argv[1])
from test_huge_replies import COMMON, HEADS, SIZE, UNITS, read_all
some = [(head, unit, "") for unit in UNITS for head in (HEADS if unit in COMMON else [""])]
every = [(head, unit, tail) for unit in UNITS for head in HEADS for tail in ("", "!")]
for head, unit, tail in every if sys.argv[2] == "every" else some:
    read_all(head + unit * (SIZE // len(unit)) + tail)
print("read")
"""
"""A regular expression that backtracks without end holds the interpreter: only a process of its own can be stopped."""


class Lesson(BaseModel):
    a: str


def read_all(text: str) -> None:
    """What a run does with a reply, whoever wrote it."""
    for format in ("number", "choice", "text"):
        space = answer_space(format)  # type: ignore[arg-type]  # the three formats there are
        space.extract(text)
        space.canonical(text)
    split_steps(text)
    without_scores(text)
    Arithmetic().step(text)
    read_verdict(text)
    masked(text, 2)
    try:
        decode(Completion(text=text), Lesson)
    except MalformedReply:
        pass


@pytest.mark.parametrize("which", ["some", pytest.param("every", marks=[pytest.mark.soak, pytest.mark.timeout(1200)])])
def test_every_reader_is_done_with_100_kb_of_anything_repeated(which: str) -> None:
    command = [sys.executable, "-c", READ, __file__.rpartition("/")[0], which]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "read\n", done.stderr[-2000:]


@pytest.mark.parametrize("unit", [" ", "\n", "\t", "\r\n", "\n \n"])
def test_blanks_have_no_answer_no_step_and_no_verdict(unit: str) -> None:
    text = unit * (SIZE // len(unit))
    assert [answer_space(format).extract(text) for format in ("number", "choice", "text")] == [None] * 3  # type: ignore[arg-type]  # the formats there are
    assert split_steps(text) == () and read_verdict(text) is None
    with pytest.raises(MalformedReply, match="empty"):
        decode(Completion(text=text), Lesson)


@pytest.mark.parametrize("unit", [" ", "\n"])
def test_an_answer_behind_blanks_is_found(unit: str) -> None:
    text = f"Answer:{unit * SIZE}42{unit * SIZE}"
    assert answer_space("number").extract(text) == "42"
    assert answer_space("number").extract(f"7\nAnswer:{unit * 20}**: 42**{unit * 20}") == "42"
    assert split_steps(f"Step 1: a{unit * SIZE}\nStep 2: b") == ("Step 1: a", "Step 2: b")


@pytest.mark.parametrize("text", ["{" * 60, "[" * 3900, '{"a":' * 60, '{"a": [1,' * 60, "(" * 3900, "\\frac{1}" * 64])
def test_brackets_without_end_are_malformed_and_no_crash(text: str) -> None:
    with pytest.raises(MalformedReply):
        decode(Completion(text=text), Lesson)


def test_a_slip_in_a_long_reply_is_still_mended() -> None:
    reply = decode(Completion(text='{"a": "' + "\\pi{1} " * 40 + '",}'), Lesson)
    assert reply.a.startswith("\\pi{1}")


def test_scores_are_taken_out_with_the_blanks_before_them() -> None:
    steps = ["Step 1: a", "Step 2: b (Score: 7)"]
    assert without_scores(annotate(steps, [0.1, 0.9])) == "\n".join(steps)
    assert without_scores("a \t (Score: 3/10) (Score: 4/10)b") == "ab"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("\n\n  ** The final verdict:\nno", False),
        ("the\nVerdict is: yes", True),
        ("Final\n\nverdict: wrong", False),
        ("Verdict: yes / no", None),
        ("Verdict: no or yes", None),
        ("Verdict: yes" + "/" * 50 + "no", None),
        ("Verdict: (yes)", True),
    ],
)
def test_verdicts_are_read_as_before(text: str, verdict: bool | None) -> None:
    assert read_verdict(text) is verdict
