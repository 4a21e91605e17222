"""Scripted agents, verifiers and judges, and runs of tool-using strategies that are held to their cost law."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from strategy_runs import Said, boxed, recipe_of, solve, tried

from phronesis.core.result import Result
from phronesis.core.task import Task
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

TASK = Task(messages="How long is the name?", id="name")
MARKS = {
    "verifier": "You check an answer that somebody found",
    "judge": "Several answers to one question",
    "context": "A task is being worked on",
    "end": "No tool can be called any more",
}


def role_of(request: FakeRequest) -> str:
    return next((role for role, mark in MARKS.items() if mark in request.text), "agent")


def calls(*made: tuple[str, dict[str, Any]], thought: str = "Let me see.") -> str:
    """A turn that calls tools, in the prompted protocol."""
    if len(made) == 1:
        return json.dumps({"thought": thought, "tool": made[0][0], "arguments": made[0][1]})
    return json.dumps({"thought": thought, "calls": [{"tool": name, "arguments": given} for name, given in made]})


def look(*keys: str, thought: str = "Let me see.") -> str:
    return calls(("lookup", {"keys": list(keys)}), thought=thought)


def answer(value: object, thought: str = "I know.") -> str:
    return json.dumps({"thought": thought, "answer": str(value)})


def verdict(decision: str, *marks: str, summary: str = "It was looked up.", advice: str = "") -> str:
    checked = [{"constraint": f"demand {n}", "mark": mark} for n, mark in enumerate(marks or ("satisfied",))]
    details = {"failure_analysis": "", "useful_information": "", "strategic_recommendations": advice}
    said = {"check": "CODE", "verification": checked, "decision": decision, "justification": f"said {decision}"}
    return json.dumps({**said, "trajectory_summary": summary, "details": details})


def as_native(said: Said) -> Said:
    """The same turn as a server that parses calls sends it."""
    try:
        turn = json.loads(said) if isinstance(said, str) else None
    except ValueError:
        return said
    if not isinstance(turn, dict) or "thought" not in turn:
        return said
    made = turn.get("calls") or ([turn] if "tool" in turn else [])
    if not made:
        return FakeReply(f"{turn['thought']}\nThe answer is {turn['answer']}")
    return FakeReply(turn["thought"], tool_calls=[(item["tool"], item["arguments"]) for item in made])


@dataclass
class Script:
    """Replies by role in the order they are asked for; the last one of each is repeated."""

    agent: Sequence[Said | Callable[[FakeRequest], Said]]
    verifier: Sequence[Said] = (verdict("SUCCESS"),)
    judge: Sequence[Said] = ('{"reason": "why not", "choice": "A"}',)
    context: Sequence[Said] = ("So far: nothing.",)
    end: Sequence[Said] = (boxed(99),)
    asked: dict[str, list[FakeRequest]] = field(default_factory=dict)

    def __call__(self, request: FakeRequest, index: int) -> Said:
        role = role_of(request)
        seen = self.asked.setdefault(role, [])
        replies = getattr(self, role)
        said = replies[min(len(seen), len(replies) - 1)]
        seen.append(request)
        said = said(request) if callable(said) else said
        code = re.search(r'"check": "(\w+)"', request.text)
        return said.replace("CODE", code[1]) if code and isinstance(said, str) else said

    def count(self, role: str) -> int:
        return len(self.asked.get(role, []))

    def prompt(self, step: int) -> str:
        """The whole of what the agent was shown before its n-th turn, from 1, the rules of tools apart."""
        return "\n".join(m["content"] for m in self.asked["agent"][step - 1].messages if m["role"] != "system")


def run(
    strategy: str,
    script: Script,
    task: Task = TASK,
    *,
    faults: Callable[[FakeRequest, int], Fault | None] = lambda request, number: None,
    native: bool = False,
    **keys: Any,
) -> Result:
    """The Result; the cost law is held to what was asked."""

    def parsed(request: FakeRequest, index: int) -> Said:
        return as_native(script(request, index))

    with FakeServer(parsed if native else script, faults=faults, tools="parse" if native else "text") as server:
        recipe = recipe_of(strategy, server, **{"tools__use": ["lookup", "post"], **keys})
        result = solve(recipe, task)
        law = recipe.strategy.cost(recipe.knobs)
        seen = Counter(map(role_of, server.seen))
        observed = {"T": seen["agent"] + seen["end"], "S": seen["context"]}
        if strategy == "bats":
            again = sum(role_of(item) == "verifier" and "That cannot be used" in item.user for item in server.seen)
            observed |= {"V": seen["verifier"] - again, "X": again, "J": seen["judge"]}
        assert law.calls_at(**observed) == tried(result) == server.requests
        assert law.depth_at(**observed) == result.depth
        for name, value in observed.items():
            assert law.observables[name].low <= value <= law.observables[name].high, name
    for tool, limit in (keys.get("budget__tools") or {}).items():
        used = result.usage.tools.get(tool)
        assert used is None or used.units <= limit, "never more than the budget"
    return result


def decision(result: Result, rule: str) -> list[dict[str, Any]]:
    return [item for item in result.decisions if item.get("rule") == rule]


def block_of(text: str) -> list[tuple[str, int, int]]:
    """(tool, used, left) of each limited tool in the last budget block of a text."""
    last = text[text.rindex("Budget") :] if "Budget" in text else ""
    return [(name, int(used), int(left)) for name, used, left in re.findall(r"(\w+): (\d+) used, (\d+) left", last)]
