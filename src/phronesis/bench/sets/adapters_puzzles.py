"""Puzzles that a program checks: Countdown, the Game of 24, equations with blanks, reasoning-gym, ARC."""

from __future__ import annotations

import json
import re
from typing import Any

from phronesis.bench.dataset import Example
from phronesis.bench.sets.adapter import Fields, example, items, text, whole


def countdown(fields: Fields) -> Example:
    """Any expression that uses each number once and makes the target is right."""
    return _expression(fields, whole(fields, "target"), group=fields.get("level"), gold=text(fields, "answer"))


def game24(fields: Fields) -> Example:
    """Grouped by fifths of the 1,362 puzzles in their order of difficulty; the set holds no solution, so gold is the 24."""
    return _expression(fields, 24, group=f"fifth {(whole(fields, 'rank') - 1) * 5 // 1362 + 1}", gold="24")


def _expression(fields: Fields, target: int, *, group: Any, gold: str) -> Example:
    numbers = items(fields, "numbers")
    question = (
        f"Make {target} from the numbers {', '.join(map(str, numbers))}. Use each number exactly once, with + - * / and "
        "brackets. The answer is one expression, without an equals sign."
    )
    facts = {"numbers": numbers, "target": target, "ordered": False}
    return example(fields, question, gold, format="text", grader="expression", facts=facts, group=group)


def balancer(fields: Fields) -> Example:
    """Any filling that makes the equation true is right; the numbers keep their order. Grouped by blanks."""
    asked = text(fields, "question")
    numbers = [int(number) for number in re.findall(r"\d+", asked.split("=")[0])]
    if asked.split("=")[0].count("?") != len(numbers) - 1 or len(numbers) < 2:
        raise ValueError(f"question = {asked!r} is no equation with blanks")
    target = whole(fields, "target_value")
    question = (
        f"Replace each ? by + - * or / so that the equation holds, with the usual precedence and no brackets:\n{asked}\n"
        "The answer is the whole equation."
    )
    facts = {"numbers": numbers, "target": target, "ordered": True}
    group = f"{len(numbers) - 1} blanks"
    return example(
        fields, question, text(fields, "answer"), format="text", grader="expression", facts=facts, group=group
    )


def gym(fields: Fields) -> Example:
    """Scored by the generator's own scorer, which reads its metadata; grouped by generator."""
    generator, gold = text(fields, "generator"), text(fields, "answer")
    if not isinstance(fields.get("metadata"), dict):
        raise ValueError(f"metadata = {fields.get('metadata')!r} is no object")
    facts = {"generator": generator, "answer": gold, "metadata": fields["metadata"]}
    return example(fields, text(fields, "question"), gold, format="text", grader="gym", facts=facts, group=generator)


def arc(fields: Fields) -> Example:
    """Training pairs and test inputs as JSON grids; the test outputs stay out of the task. Grouped by split."""
    shown = [
        f"Input {number}: {_grid(pair['input'])}\nOutput {number}: {_grid(pair['output'])}"
        for number, pair in enumerate(items(fields, "train"), start=1)
    ]
    tests = items(fields, "test")
    inputs = [_grid(pair["input"]) for pair in tests]
    outputs = [pair["output"] for pair in tests]
    if len(tests) == 1:
        asked = f"Test input: {inputs[0]}\n\nThe answer is the test output, a grid in the same JSON form."
    else:
        lines = "\n".join(f"Test input {number}: {grid}" for number, grid in enumerate(inputs, start=1))
        asked = (
            f"{lines}\n\nThe answer is a JSON list of the {len(tests)} test outputs, grids in the same form, in order."
        )
    question = (
        "A rule turns each input grid into its output grid. Grids are JSON lists of rows; numbers from 0 to 9 are colours. "
        "Find the rule and apply it.\n\n" + "\n\n".join([*shown, asked])
    )
    facts = {"inputs": [pair["input"] for pair in tests], "outputs": outputs}
    gold = _grid(outputs[0] if len(outputs) == 1 else outputs)
    return example(fields, question, gold, format="text", grader="arc", facts=facts, group=fields.get("split"))


def _grid(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
