"""The grader ``arc``: grids in many dresses, programs, partial credit, hostile texts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.bench.dataset import Example
from phronesis.bench.graders.arc import ArcOptions, ByGrids
from phronesis.bench.graders.grader import WRONG, Attempted, Grade
from phronesis.bench.graders.grids import Grid, grids_of
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Message, Task

A: Grid = [[1, 0, 2], [0, 3, 0]]
B: Grid = [[5], [6]]


def example(**facts: Any) -> Example:
    return Example(Task(messages=(Message(role="user", content="q"),), id="e1"), "gold", facts=facts)


def grade(text: str, *outputs: Grid, seconds: float = 10.0, **facts: Any) -> Grade:
    grader = ByGrids(ArcOptions(seconds=seconds))
    row = example(outputs=list(outputs or (A,)), **facts)
    grader.check(row)
    return asyncio.run(grader.grade(row, Attempted(None, text)))


def drawn() -> st.SearchStrategy[Grid]:
    return st.integers(1, 6).flatmap(
        lambda width: st.lists(st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=2, max_size=6)
    )


class TestGrids:
    @given(drawn(), drawn())
    def test_every_dress_of_a_grid_is_read(self, first: Grid, second: Grid) -> None:
        for between, row, end in (("\n", "[{}]", ","), ("\n ", "[{}]", "")):
            joined = f"{end}{between}"
            shown = ["[" + joined.join(row.format((", " if end else " ").join(map(str, cells))) for cells in grid) + "]"
                     for grid in (first, second)]  # fmt: skip
            assert grids_of(f"Input:\n{shown[0]}\nthen\n{shown[1]} is it.") == [first, second]
        for sign in ("", " ", ", ", "|"):
            texts = ["\n".join(sign.join(map(str, cells)) for cells in grid) for grid in (first, second)]
            assert grids_of(f"Input:\n\n{texts[0]}\n\nOutput:\n{texts[1]}\n") == [first, second]

    @given(st.text(alphabet="[] ,\n0123456789a|", max_size=120))
    def test_any_text_has_grids_or_none(self, text: str) -> None:
        for grid in grids_of(text):
            assert grid and all(len(row) == len(grid[0]) for row in grid)

    @pytest.mark.parametrize(
        "text", ["[[1, 2], [3]]", "[[10]]", "[]", "[[]]", "[1, 2]", "[[1, -1]]", "[[1.5]]", "12 345", "[[[["]
    )
    def test_what_is_no_grid(self, text: str) -> None:
        assert grids_of(text) == []


class TestWritten:
    @pytest.mark.parametrize(
        "text",
        [
            json.dumps(A),
            f"The input {json.dumps(B)} becomes\n```json\n{json.dumps(A)}\n```",
            f"Answer: {json.dumps([A])}",
            f"Answer: {json.dumps(A)} because {json.dumps(B)} turns.",
            "\\boxed{" + json.dumps(A) + "}",
            "Output:\n1 0 2\n0 3 0\n",
            "102\n030",
        ],
    )
    def test_the_answer_is_found(self, text: str) -> None:
        found = grade(text)
        assert found.correct and found.score == 1.0

    @pytest.mark.parametrize(
        "grid", [[[1, 0, 2], [0, 3, 1]], [[1, 0, 2]], [[1, 0], [0, 3]], [[1, 0, 2, 0], [0, 3, 0, 0]]]
    )
    def test_every_cell_and_the_shape_count(self, grid: Grid) -> None:
        found = grade(json.dumps(grid))
        assert not found.correct and found.parsed and found.score == 0.0

    def test_all_outputs_must_match_and_the_score_is_their_share(self) -> None:
        assert grade(f"{json.dumps(A)}\n{json.dumps(B)}", A, B).correct
        assert grade(f"Answer: {json.dumps([A, B])}", A, B).correct
        half = grade(f"{json.dumps(A)}\n{json.dumps(A)}", A, B)
        assert (half.correct, half.score, half.read) == (False, 0.5, "1 of 2 grids")
        assert grade(json.dumps(A), A, B).score == 0.5
        assert grade(f"{json.dumps(B)}\n{json.dumps(A)}", A, B).score == 0.0

    @pytest.mark.parametrize("text", ["", "no grid", "Answer: 3x3"])
    def test_without_a_grid_it_is_unparsable(self, text: str) -> None:
        assert grade(text) == WRONG

    @pytest.mark.parametrize(
        "text", ["[" * 200_000, "[[1]," * 40_000, "0 " * 100_000, "]" * 9, "[[" + "9" * 100_000 + "]]", "\ud800[[²]]"]
    )
    def test_hostile_texts_are_only_wrong(self, text: str) -> None:
        assert not grade(text).correct


class TestPrograms:
    def test_a_transform_is_run_on_the_inputs(self) -> None:
        program = "```python\ndef transform(grid):\n    return [row[::-1] for row in grid]\n```"
        assert grade(program, A, B, inputs=[[row[::-1] for row in A], B]).correct
        assert grade(program, A, B, inputs=[A, B]).score == 0.5
        assert grade(program) == WRONG

    def test_tuples_and_changed_inputs_do_no_harm(self) -> None:
        program = "def transform(grid):\n    grid.append([9])\n    return tuple(tuple(row) for row in grid[:-1])"
        assert grade(program, A, A, inputs=[A, A]).correct

    @pytest.mark.parametrize(
        ("body", "says"),
        [
            ("return grid[99]", "IndexError"),
            ("return 5", "TypeError"),
            ("return [['x']]", "ValueError"),
            ("import numpy", "ModuleNotFoundError"),
            ("raise SystemExit", "SystemExit"),
            ("import os; os._exit(0)", "ended its process"),
            ("while True: pass", "TimeoutError"),
            ("return [[0] * 10**6]", "0 of 1"),
        ],
    )
    def test_programs_that_fail_are_wrong_and_say_how(self, body: str, says: str) -> None:
        found = grade(f"def transform(grid):\n    {body}", A, inputs=[A], seconds=1)
        assert not found.correct and found.score == 0.0 and says in found.read

    def test_a_program_that_does_not_compile_is_wrong(self) -> None:
        assert (
            "SyntaxError"
            in grade("```python\ndef transform(grid:\n```\n```python\ndef transform(\n```", A, inputs=[A]).read
        )


class TestRows:
    @pytest.mark.parametrize(
        ("facts", "says"),
        [
            ({}, "lacks 'outputs'"),
            ({"outputs": A}, "no list of grids"),
            ({"outputs": [[[1], [2, 3]]]}, "no list of grids"),
            ({"outputs": [A], "inputs": [A, B]}, "there are 1 outputs"),
            ({"outputs": [A], "inputs": [[[11]]]}, "inputs"),
        ],
    )
    def test_a_row_that_cannot_be_graded_is_named(self, facts: dict[str, Any], says: str) -> None:
        with pytest.raises(ConfigurationError) as raised:
            ByGrids(ArcOptions()).check(example(**facts))
        assert "'e1'" in raised.value.message and says in raised.value.message
