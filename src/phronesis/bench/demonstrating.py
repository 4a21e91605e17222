"""Demonstrations from runs of iterdrag: traces with intermediate answers and a right final one (Yue et al. 2024)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from phronesis.agents.demonstrations import Demonstration, ShownPassage, SubAnswer
from phronesis.bench.dataset import Example
from phronesis.bench.graders.grader import Attempted, Grader
from phronesis.core.events import Event
from phronesis.core.result import Result
from phronesis.core.retrieval import Passage

_MARK = re.compile(r"\s*\[(\d+(?:\s*[,;]\s*\d+)*)\]")


def found_passages(events: Iterable[Event]) -> dict[str, Passage]:
    """The passages that the searches of a task brought, by id."""
    found: dict[str, Passage] = {}
    for event in events:
        if event.type == "effect" and event.data.get("role") == "search" and "value" in event.data:
            for row in event.data["value"]["found"]:
                found.update((item["id"], Passage.model_validate(item)) for item in row)
    return found


async def demonstration_of(
    example: Example, result: Result, passages: Mapping[str, Passage], grader: Grader
) -> Demonstration | str:
    """The demonstration of a task, or why it makes none. Raises what the grader raises."""
    trace: Mapping[str, Any] = next((item for item in result.decisions if item.get("rule") == "trace"), {})
    if trace.get("final") is None:
        return "no final answer"
    pairs = [pair for pair in trace["pairs"] if pair["query"]]
    if not pairs:
        return "no intermediate answer"
    grade = await grader.grade(example, Attempted(result.answer, result.answer_text))
    if not grade.correct:
        return "wrong"
    best_first = list(reversed(trace["documents"]))
    numbers = {old: new for new, old in enumerate(reversed(trace["numbers"]), start=1)}
    return Demonstration(
        id=example.task.id,
        question=example.task.question,
        passages=tuple(ShownPassage(**passages[id].model_dump(include={"id", "title", "text"})) for id in best_first),
        trace=tuple(SubAnswer(query=pair["query"], answer=_renumbered(pair["answer"], numbers)) for pair in pairs),
        answer=str(trace["final"]),
    )


def _renumbered(text: str, numbers: Mapping[int, int]) -> str:
    """Citations by the numbers that the demonstration shows its passages with; those of others are left out."""

    def put(match: re.Match[str]) -> str:
        known = [numbers[int(part)] for part in re.findall(r"\d+", match[1]) if int(part) in numbers]
        return f" [{', '.join(map(str, known))}]" if known else ""

    return _MARK.sub(put, text).strip() or text
