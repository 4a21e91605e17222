"""Programs and queries as answers: what is read from a reply, what is equal, and how they are asked for."""

from __future__ import annotations

import pytest

from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.task import Task
from phronesis.testing import ScriptedClient
from phronesis.tools.answers import answer_space, representatives

SPACE = answer_space("code")
REPLY = "I add them.\n```python\ndef add(a, b):\n    return a + b  \n```\n"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (REPLY, "def add(a, b):\n    return a + b"),
        ("```sql\nSELECT 1\n```\nor\n```sql\nSELECT Name FROM t\n```", "SELECT Name FROM t"),
        ("Sure.\ndef add(a, b):\n    return a + b", "def add(a, b):\n    return a + b"),
        ("```python\nx = 1", "x = 1"),
        ("```python\n\n```\nNothing to say.", None),
        ("I cannot do that.", None),
        ("", None),
    ],
)
def test_the_last_block_is_the_answer(text: str, answer: str | None) -> None:
    assert SPACE.extract(text) == answer


def test_without_a_fence_only_lenient_and_whole_replies_are_read() -> None:
    bare = "def f():\n    pass"
    assert answer_space("code", "strict").extract(bare) is None
    assert SPACE.extract(bare, cut_off=True) is None and SPACE.extract(bare) == bare


def test_case_and_line_breaks_count_and_blanks_at_ends_do_not() -> None:
    first, second = SPACE.canonical("SELECT a\n"), SPACE.canonical("```sql\nSELECT a  \n```")
    assert first == second and first is not None
    assert representatives([first, second, "select a"], SPACE) == (first, first, "select a")


def test_a_program_is_asked_for_without_forbidding_code() -> None:
    solver = Solver(client=ScriptedClient(""), sampling=Sampling())  # type: ignore[arg-type]  # only the request is made
    asked = solver.request(Task(messages="Write add(a, b)."), "code").messages[-1].content  # type: ignore[arg-type]  # plain text
    assert "no program code" not in asked and "fenced block" in asked and "Write add(a, b)." in asked
