"""Word problems with a number, competition problems in LaTeX, choices."""

from __future__ import annotations

import re

from phronesis.bench.dataset import Example
from phronesis.bench.sets.adapter import Fields, example, text


def gsm8k(fields: Fields) -> Example:
    """Grouped by the calculation marks of the official solution."""
    steps = fields.get("n_steps")
    return _number(fields, group="" if steps is None else f"{steps} steps")


def svamp(fields: Fields) -> Example:
    return _number(fields, group=fields.get("type") or "")


def gsm_symbolic(fields: Fields) -> Example:
    """Instances of one template are one cluster."""
    return _number(fields, cluster=f"template {text(fields, 'template')}")


def chain(fields: Fields) -> Example:
    """A generated chain of steps."""
    return _number(fields, group=f"{text(fields, 'steps')} steps")


def _number(fields: Fields, *, group: str = "", cluster: str = "") -> Example:
    question, gold = text(fields, "question"), text(fields, "answer")
    return example(fields, question, gold, format="number", grader="answer", group=group, cluster=cluster)


def math500(fields: Fields) -> Example:
    """Grouped by level; the solution stays out."""
    level = f"level {text(fields, 'level')}"
    question, gold = text(fields, "question"), text(fields, "answer")
    return example(fields, question, gold, format="latex", grader="latex", group=level)


_OPTION = re.compile(r"(?<![^\s,;])\(?([A-Z])\)\s*")


def lettered(fields: Fields) -> Example:
    """A question that names its options and asks for a letter itself (MMLU, SAT as MAgICoRE gives them)."""
    question, gold = text(fields, "question"), text(fields, "answer")
    options = options_of(question.split("The options are:")[-1].split("\nYour final answer")[0])
    return example(fields, question, gold, format="choice", grader="choice", facts={"options": options})


def options_of(text: str) -> dict[str, str]:
    """Letter -> option, from ``A) ... B) ...`` or ``(A) ... (B) ...``; letters count up from A, others belong to the text."""
    found: list[tuple[str, int, int]] = []
    for mark in _OPTION.finditer(text):
        if mark[1] == chr(ord("A") + len(found)):
            found.append((mark[1], mark.start(), mark.end()))
    ends = [start for _, start, _ in found[1:]] + [len(text)] * bool(found)
    return {letter: text[begin:end].strip() for (letter, _, begin), end in zip(found, ends, strict=True)}
