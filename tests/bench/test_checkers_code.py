"""The grader ``code``: programs out of replies, run with their tests; alternatives, failures, hangs and attacks."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.dataset import Example
from phronesis.bench.graders.code import ByTests, CodeOptions
from phronesis.bench.graders.code_blocks import python_sources
from phronesis.bench.graders.grader import WRONG, Attempted, Grade
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Message, Task
from phronesis.tools.code_answers import fenced

PROMPT = (
    "from typing import List\n\n\n"
    'def total(xs: List[int]) -> int:\n    """ Sum them.\n    >>> total([1])\n    1\n    """\n'
)
CHECK = "def check(candidate):\n    assert candidate([]) == 0\n    assert candidate([1, 2]) == 3\n"
ASSERTS = ["assert total([1, 2]) == 3", "assert total([]) == 0", "assert total([-1]) == -1"]
RIGHT = "def total(xs):\n    return sum(xs)"


def example(**facts: Any) -> Example:
    return Example(Task(messages=(Message(role="user", content="q"),), id="e1"), "gold", facts=facts)


def grade(text: str, *, seconds: float = 10.0, memory: int = 1024, **facts: Any) -> Grade:
    options = CodeOptions(seconds=seconds, memory=memory)
    return asyncio.run(ByTests(options).grade(example(**facts), Attempted(None, text)))


def human(text: str, **facts: Any) -> Grade:
    return grade(text, tests=[CHECK], entry_point="total", preamble=PROMPT, **facts)


def asserts(text: str, **limits: float) -> Grade:
    return grade(text, tests=ASSERTS, **limits)  # type: ignore[arg-type]  # numbers of either kind


class TestPrograms:
    @pytest.mark.parametrize(
        "text",
        [
            "    return sum(xs)\n",
            "return sum(xs)",
            "out = 0\n    for x in xs:\n        out += x\n    return out",
            f"Here it is:\n```python\n{RIGHT}\n```\nIt sums.",
            f"```python\n{PROMPT}    return sum(xs)\n```",
            f"```\n{RIGHT}\n```\nFor example:\n```python\nprint(total([1, 2]))\n```",
            f"```python\ndef total(xs):\n    return 0\n```\nNo, better:\n```python\n{RIGHT}\n",
            f"Sure!\n\n{RIGHT}\n\nThis works because sum adds up,\nand so on.",
            "```python\ntotal = sum\n```",
            "```python\n    return sum(xs)\n```",
            "```python\nclass Adder:\n    def add(self, xs: List[int]):\n        return sum(xs)\ntotal = Adder().add\n```",
        ],
    )
    def test_a_body_or_a_whole_function_in_any_dress_is_run(self, text: str) -> None:
        found = human(text)
        assert found.correct, found.read
        assert found.figures["tests_passed"] == 1.0

    def test_without_an_entry_point_the_names_the_tests_call_are_looked_for(self) -> None:
        assert asserts(f"```python\n{RIGHT}\n```\n```python\nimport sys\n```").correct

    def test_each_test_counts_by_itself(self) -> None:
        found = asserts("```python\ndef total(xs):\n    return abs(sum(xs))\n```")
        assert not found.correct and found.score == 0.0
        assert found.figures["tests_passed"] == pytest.approx(2 / 3)
        assert "AssertionError" in found.read

    def test_a_test_that_calls_check_itself_is_not_called_again(self) -> None:
        counted = "calls = []\ndef check(f):\n    calls.append(f)\n    assert len(calls) == 1\n\ncheck(total)\n"
        assert grade(RIGHT, tests=[counted], entry_point="total").correct

    def test_the_main_part_of_a_script_is_not_run(self) -> None:
        assert asserts(f"```python\n{RIGHT}\nif __name__ == '__main__':\n    raise SystemExit(1)\n```").correct

    def test_sets_of_texts_have_one_order(self) -> None:
        program = "```python\ndef total(xs):\n    return list({'a', 'b', 'c', 'd', 'e'})\n```"
        said = {grade(program, tests=["raise ValueError(total([]))"]).read for _ in range(3)}
        assert len(said) == 1


class TestFurtherTests:
    PLUS = [
        {"input": [[1, 2, 3]], "expected": 6, "tuple": False},
        {"input": [[-5]], "expected": -5, "tuple": False},
    ]

    def test_both_are_figures(self) -> None:
        assert human("    return sum(xs)", plus_tests=self.PLUS).figures == {"tests_passed": 1.0, "plus_passed": 1.0}
        half = human("    return abs(sum(xs))", plus_tests=self.PLUS)
        assert half.correct and half.figures == {"tests_passed": 1.0, "plus_passed": 0.5}

    def test_a_program_that_fails_the_tests_passes_no_further_one(self) -> None:
        found = human("    return 6", plus_tests=self.PLUS)
        assert not found.correct and found.figures == {"tests_passed": 0.0, "plus_passed": 0.0}

    @pytest.mark.parametrize(
        ("returns", "call", "passes"),
        [
            ("x + 0.0000001", {"input": [1.0], "expected": 1.0}, True),
            ("x + 0.001", {"input": [1.0], "expected": 1.0}, False),
            ("(x, [x, (x, x)])", {"input": [1], "expected": [1, [1, [1, 1]]], "tuple": True}, True),
            ("[x, x]", {"input": [1], "expected": [1, 1], "tuple": True}, False),
            ("(x, x)", {"input": [1], "expected": [1, 1], "tuple": False}, False),
            ("{1: [x + 1e-9]}", {"input": [0.5], "expected": {"1": [0.5]}}, True),
            ("{1: x, '1': x}", {"input": [1], "expected": {"1": 1}}, False),
            ("None", {"input": [1], "expected": None}, True),
            ("'1'", {"input": [1], "expected": 1.0}, False),
            ("x", {"input": [1], "expected": [1]}, False),
        ],
    )
    def test_results_are_compared_as_the_rows_mean_them(self, returns: str, call: dict[str, Any], passes: bool) -> None:
        facts = {"tests": ["assert callable(f)"], "entry_point": "f", "plus_tests": [call], "atol": 0}
        found = grade(f"```python\ndef f(x):\n    return {returns}\n```", **facts)
        assert found.correct and found.figures["plus_passed"] == float(passes), found.read

    def test_inputs_that_a_program_changes_are_its_own(self) -> None:
        calls = [{"input": [[1, 2]], "expected": 2, "tuple": False}] * 2
        program = "```python\ndef f(xs):\n    n = len(xs)\n    xs.clear()\n    return n\n```"
        facts = {"tests": ["assert callable(f)"], "entry_point": "f", "plus_tests": calls}
        assert grade(program, **facts).figures["plus_passed"] == 1.0


class TestWrongAndHostile:
    def test_nothing_is_unparsable(self) -> None:
        assert asserts(" \n") == WRONG

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("I do not know.", "SyntaxError"),
            ("```python\ndef total(xs:\n    return\n```", "SyntaxError"),
            ("```python\ndef other(xs):\n    return 0\n```", "total"),
            ("```python\nimport numpy\ndef total(xs):\n    return 0\n```", "ModuleNotFoundError"),
            ("```python\ndef total(xs):\n    raise SystemExit(0)\n```", "SystemExit"),
            ("```python\nimport os\nos._exit(0)\ndef total(xs):\n    return sum(xs)\n```", "ended its process"),
            ("```python\ndef total(xs):\n    return total(xs)\n```", "RecursionError"),
            (
                "```python\nimport os\nos.kill(os.getpid(), 11)\ndef total(xs): ...\n```",
                "ended its process with code -11",
            ),
            ("```python\ndef total(xs):\n    return input()\n```", "EOFError"),
        ],
    )
    def test_programs_that_fail_are_wrong_and_say_how(self, text: str, says: str) -> None:
        found = asserts(text)
        assert not found.correct and found.figures["tests_passed"] == 0.0
        assert says in found.read

    def test_an_endless_loop_is_ended(self) -> None:
        found = asserts("```python\ndef total(xs):\n    while True:\n        pass\n```", seconds=1)
        assert not found.correct and "TimeoutError" in found.read

    def test_memory_that_runs_away_is_stopped(self) -> None:
        found = asserts("```python\ndef total(xs):\n    return len('x' * 10**10)\n```", memory=256)
        assert not found.correct and "MemoryError" in found.read

    def test_a_large_file_cannot_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / "f"
        program = f"def total(xs):\n    open({str(path)!r}, 'w').write('x' * 10**7)\n    return sum(xs)"
        assert not asserts(f"```python\n{program}\n```").correct
        assert not path.exists() or path.stat().st_size <= 2**20

    @pytest.mark.parametrize(
        "reply", ['{"passed": [true, true, true], "error": ""}', "[]", '{"value": "{}", "error": "", "output": ""}']
    )
    def test_what_is_printed_is_no_verdict(self, reply: str) -> None:
        assert not asserts(f"```python\nprint({reply!r})\ndef total(xs):\n    return 1\n```").correct

    @pytest.mark.parametrize(
        "text", ["```" * 60_000, "def total(xs):\n" * 10_000, "(" * 200_000, "\x00\ud800", "`" * 10]
    )
    def test_hostile_texts_are_only_wrong(self, text: str) -> None:
        assert not asserts(text).correct


class TestBlocks:
    def test_fences_of_both_kinds_and_an_open_one(self) -> None:
        text = "a\n```Python\nx\n```\n~~~sql\ny\n~~~\n  ```\nz"
        assert fenced(text) == [("python", "x"), ("sql", "y"), ("", "z")]

    def test_the_last_block_that_defines_the_name_is_the_program(self) -> None:
        text = "```python\ndef f(): ...\n```\n```python\nf()\n```\n```json\n{}\n```"
        assert python_sources(text, ["f"]) == ["def f(): ..."]
        assert python_sources(text, ["g"]) == ["f()"]


class TestRows:
    @pytest.mark.parametrize(
        ("facts", "says"),
        [
            ({}, "lacks 'tests'"),
            ({"tests": "assert f()"}, "tests = 'assert f()'"),
            ({"tests": [1]}, "1 is no Python source"),
            ({"tests": ["assert ("]}, "does not compile"),
            ({"tests": [CHECK]}, "lacks 'entry_point'"),
            ({"tests": ["f()"], "entry_point": "a b"}, "no name"),
            ({"tests": ["f()"], "entry_point": "f", "plus_tests": [{"input": [1]}]}, "'expected'"),
            ({"tests": ["f()"], "plus_tests": [{"input": [1], "expected": 1}]}, "lacks 'entry_point'"),
            ({"tests": ["f()"], "atol": "x"}, "no number"),
        ],
    )
    def test_a_row_that_cannot_be_graded_is_named(self, facts: dict[str, Any], says: str) -> None:
        with pytest.raises(ConfigurationError) as raised:
            ByTests(CodeOptions()).check(example(**facts))
        assert "'e1'" in raised.value.message and says in raised.value.message
