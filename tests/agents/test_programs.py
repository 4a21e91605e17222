"""What of a written program is run: ``solution()`` and what it needs, not what a model writes behind it."""

from __future__ import annotations

import pytest

from phronesis.agents.programmer import program_of


def result_of(reply: str) -> object:
    """What ``solution()`` of the reply's program returns."""
    space: dict[str, object] = {}
    exec(program_of(reply), space)  # the texts are those below
    solution = space["solution"]
    assert callable(solution)
    return solution()


SELF_TESTS = [
    "assert solution() == 11, 'the number is wrong'",
    "def check_solution():\n    assert solution() == 11\n\ncheck_solution()",
    "print(1 / 0)",
    "for wanted in (11, 12):\n    assert solution() == wanted",
    "if __name__ == '__main__':\n    raise SystemExit(3)",
    "try:\n    solution() / 0\nfinally:\n    raise ValueError",
    "input()",
    "while True:\n    pass",
]


@pytest.mark.parametrize("behind", SELF_TESTS)
def test_tests_with_made_up_values_behind_it_are_not_run(behind: str) -> None:
    assert result_of(f"    pupils = 24\n    return pupils - 3\n\n{behind}\n```\nThat is it.") == 21


@pytest.mark.parametrize(
    "reply",
    [
        "    return half(42)\n\ndef half(value):\n    return value // 2",
        "    return math.isqrt(441)\n\nimport math",
        "    return isqrt(441)\n\nfrom math import isqrt",
        "    return PUPILS - 3\n\nPUPILS: int = 24",
        "    return Class().size - 3\n\nclass Class:\n    size = 24",
        "    return twice() + 1\n\nfrom functools import cache\n\n@cache\ndef twice():\n    return 20",
        "    return total + 1\n\ntotal = 10\ntotal += 10",
        "    return total; print(3)\n\ntotal = 21; print('total')",
        "    note = '\u2028 \x0b \x1c'\n    return isqrt(441)\n\nfrom math import isqrt\nprint(1 / 0)",
        "    return 21\r\n\r\nprint(1 / 0)\r\n",
    ],
)
def test_what_it_needs_stays_wherever_it_stands(reply: str) -> None:
    assert result_of(reply) == 21


def test_the_text_of_what_stays_is_not_touched() -> None:
    body = "    # 24 pupils,   3 are ill\n    return (24\n            - 3)"
    assert program_of(f"\n{body}\n") == f"def solution():\n{body}\n"
    assert program_of(f"{body}\n\n# Run it\nprint(solution())\n") == f"def solution():\n{body}\n\n# Run it\n"


@pytest.mark.parametrize("reply", ["    return 24 -", "    return '\0'", "    return " + "(" * 500, "return 21"])
def test_what_is_no_python_stays_as_it_is(reply: str) -> None:
    assert program_of(reply) == f"def solution():\n{reply}\n"
