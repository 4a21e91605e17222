"""A server that plays solver, decomposer, checker, judge and advisor of DeepVerifier by script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from phronesis.testing import FakeReply, FakeRequest

_CODE = re.compile(r'"check": "(\w{4})')
_STARTS = {
    "Sum up what was done": "synopsis",
    "Look through a summary": "flag",
    "Somebody solved a task. Write questions": "ask",
    "Somebody solved a task. An assistant": "pick",
    "Judge whether an answer": "judge",
    "An answer to a task was found to be wrong": "feedback",
    "Find out a single thing with the tools": "agent",
    "Judge a proposed solution of a task by criteria": "rubric",
}
Said = str | FakeReply


def role_of(request: FakeRequest) -> str:
    """Who is asked: by how the prompt begins; ``check`` for a question that is to be answered, else ``solver``."""
    first = next(str(turn["content"]) for turn in request.messages if turn["role"] == "user")
    found = next((role for start, role in _STARTS.items() if first.startswith(start)), None)
    if found is not None:
        return found
    if "Somebody worked on this and wrote" in first:
        return "program"
    return "check" if "unknown where it cannot be settled" in first else "solver"


@dataclass
class Roles:
    """Scores, check answers and attempts in the order they are asked for; the last of each goes on for good."""

    answers: Sequence[str] = ("12",)
    scores: Sequence[object] = (3,)
    checked: Sequence[str] = ("yes",)
    checks: int = 2
    questions: Sequence[str] = ()
    """The checks' questions; empty = made up."""
    picks: Sequence[int] = (1,)
    """Numbers of the claims that are picked."""
    findings: Sequence[str] = ("F2.1",)
    instructions: Callable[[int], list[str]] = lambda number: [f"read the task again, try {number}"]
    suggested: str = ""
    raw: dict[str, Callable[[FakeRequest], Said]] = field(default_factory=dict)
    """A whole reply in the place of a role's own."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(role, last user message), in order."""

    def calls(self, role: str) -> int:
        return sum(1 for name, _ in self.asked if name == role)

    def prompts(self, role: str) -> list[str]:
        return [text for name, text in self.asked if name == role]

    def __call__(self, request: FakeRequest, index: int) -> Said:
        role = role_of(request)
        number = self.calls(role)
        self.asked.append((role, request.user))
        if role in self.raw:
            return self.raw[role](request)
        if role == "solver":
            return f"Step 1: we add.\nAnswer: {_at(self.answers, number)}"
        if role == "synopsis":
            return "Step 1\nSource: the task\nInfo: summary of it"
        code = _CODE.search(request.text)
        return json.dumps({"check": code[1] if code else "", **self._reply(role, number)})

    def _reply(self, role: str, number: int) -> dict[str, Any]:
        if role == "flag":
            return {"findings": [{"behavior": "stopped early", "taxonomy_id": id} for id in self.findings]}
        if role == "ask":
            asked = self.questions or tuple(f"Is fact {n} so?" for n in range(self.checks))
            return {"checks": [{"source": "the task", "question": question} for question in asked]}
        if role == "pick":
            return {"picks": list(self.picks)}
        if role == "check":
            return {"explanation": "looked at it", "answer": _at(self.checked, number)}
        if role == "judge":
            return {"explanation": "by the checks", "score": _at(self.scores, number)}
        said = {"reflection": "it was rash", "instructions": self.instructions(number)}
        return {**said, "suggested_answer": self.suggested}


def _at(values: Sequence[Any], number: int) -> Any:
    return values[min(number, len(values) - 1)]
