"""The plan of a budget-aware agent: a tree of steps that only grows, read from checklist marks.

Source: BATS (arXiv 2511.17006), planning rules: marks, a cost log per step, nothing deleted. A step is written
``1.2 [x] find the year``; marks are ``[ ]`` pending, ``[x]`` done, ``[!]`` failed and ``[~]`` partly done.
Differs from the paper: the cost log is kept by us, not by the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Status = Literal["pending", "done", "failed", "partial"]
_MARKS: Mapping[str, Status] = {" ": "pending", "": "pending", "x": "done", "!": "failed", "~": "partial"}
_SHOWN: Mapping[Status, str] = {"pending": " ", "done": "x", "failed": "!", "partial": "~"}
_HEAD = r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){0,4})[.):]?[ \t]*\[([ xX!~]?)\]"
_STEP = re.compile(rf"{_HEAD}[ \t]*(.*?)(?={_HEAD}|\n|$)")
MOST_STEPS = 40
"""Of a plan; what would be added beyond is left out."""
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a plan."""

    id: str
    """``1.2`` is a part of ``1``."""
    text: str
    status: Status = "pending"
    cost: Mapping[str, int] = field(default_factory=dict)
    """Units of tools spent while it was the open one."""

    @property
    def line(self) -> str:
        spent = ", ".join(f"{tool} {units}" for tool, units in sorted(self.cost.items()))
        return f"{self.id} [{_SHOWN[self.status]}] {self.text}" + (f" ({spent})" if spent else "")


Plan = tuple[Step, ...]


def read_plan(text: str) -> Plan:
    """The steps that a text writes, in its order; of one id the last. Nothing else of the text counts."""
    found: dict[str, Step] = {}
    for match in _STEP.finditer(text):
        words = " ".join(match[3].split()).rstrip(";,| ")[:_LONGEST]
        found[match[1]] = Step(match[1], words, _MARKS[match[2].lower()])
    return tuple(found.values())


def merged(old: Plan, new: Sequence[Step]) -> Plan:
    """The old plan with the new statuses, wordings and steps, in the order of ids. No step is ever removed.

    A step that is known keeps its costs, and its text where the new one has none; a new one without a text is no step."""
    steps = {step.id: step for step in old}
    for item in new:
        known = steps.get(item.id)
        if known is not None:
            steps[item.id] = replace(known, text=item.text or known.text, status=item.status)
        elif item.text and len(steps) < MOST_STEPS:
            steps[item.id] = item
    return tuple(sorted(steps.values(), key=lambda step: [int(part) for part in step.id.split(".")]))


def open_step(plan: Plan) -> str | None:
    """Id of the first step that is pending or partly done and has no such part of its own; None = there is none."""
    waiting = [step.id for step in plan if step.status in ("pending", "partial")]
    return next((id for id in waiting if not any(other.startswith(f"{id}.") for other in waiting)), None)


def charged(plan: Plan, units: Mapping[str, int]) -> Plan:
    """The plan with the units booked on its open step."""
    at, spent = open_step(plan), {tool: count for tool, count in units.items() if count}
    if at is None or not spent:
        return plan
    return tuple(
        replace(step, cost={tool: step.cost.get(tool, 0) + spent.get(tool, 0) for tool in {**step.cost, **spent}})
        if step.id == at
        else step
        for step in plan
    )


def shown_plan(plan: Iterable[Step]) -> str:
    """One step a line."""
    return "\n".join(step.line for step in plan)
