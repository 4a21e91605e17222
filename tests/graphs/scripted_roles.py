"""A FakeServer replier made of one function per role, and the recipe and figures that the strategy tests share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from phronesis.core.result import Candidate, Result
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeReply, FakeRequest

Said = str | FakeReply
Speaker = Callable[[FakeRequest, int], Said]

MAGICORE = """
schema = "phronesis/recipe/1"
name = "under test"
strategy = "magicore"
[knobs]
k = 4
rounds = 2
quality_floor = 2.0
[answer]
format = "number"
"""
"""No reward reaches the floor, so that the spread of the answers alone decides between easy and hard."""


def magicore(**overrides: Any) -> Recipe:
    """The recipe above; ``rounds=1`` is a knob, ``budget_calls=3`` a key of another section."""
    sections = ("budget_", "models_", "memory_")
    keys = {
        name.replace("_", ".", 1) if name.startswith(sections) or name == "seed" else f"knobs.{name}": value
        for name, value in overrides.items()
        if name not in ("seed", "calibration")
    }
    keys |= {name: overrides[name] for name in ("seed", "calibration") if name in overrides}
    return Recipe.parse(MAGICORE, overrides=keys)


def attempt(answer: object, *, outcome: float = 0.9, right: bool = True, tag: str = "") -> FakeReply:
    """A chain of one step whose reward is ``outcome`` + 0.97, or + 0.1 when its sum is wrong."""
    sum_ = "1 + 1 = 2" if right else "1 + 1 = 3"
    return FakeReply(f" {tag}: {sum_}.\nThe answer is \\boxed{{{answer}}}.", logprob=math.log(outcome))


def unreadable(tag: str = "") -> FakeReply:
    """A chain that marks an answer which is no number."""
    return FakeReply(f" {tag}: who knows.\nThe answer is \\boxed{{unknown}}.", logprob=math.log(0.9))


def role_of(request: FakeRequest) -> str:
    user = request.user
    if "You are the reviewer" in user:
        return "reviewer"
    if "You are the refiner" in user:
        return "refiner"
    if "Is the final answer of this solution correct?" in user:
        return "judge"
    return "abstractor" if "Write down the one idea" in user else "solver"


def shown(request: FakeRequest) -> str:
    """What a reviewer or refiner is shown beyond the prompt's own example."""
    return request.user.split("Now the real one.")[-1]


def chain_of(request: FakeRequest) -> int:
    """Number of the chain in question, from the tag ``chain<i>`` that the scripts below put into every attempt."""
    found = re.findall(r"chain(\d+)", shown(request))
    assert found, f"no chain is named in {shown(request)!r}"
    return int(found[0])


def round_of(request: FakeRequest) -> int:
    """Round of the chain that a reviewer, refiner or judge is shown: 0 for a sample."""
    found = re.findall(r"round(\d+)", shown(request))
    return int(found[0]) if found else 0


def verdict(probability: float) -> FakeReply:
    """A judge's reply with this P(Yes)."""
    return FakeReply("Yes", top={" Yes": math.log(probability), " No": math.log(1 - probability)})


def feedback(chain: int) -> str:
    return f" Feedback number {chain}: add again."


@dataclass
class Roles:
    """Every role's script; the defaults make a question that stays hard: in every round the chains score a little better
    and all answers differ."""

    solver: Speaker = lambda request, index: attempt(10 + index, outcome=0.5, tag=f"chain{index}")
    refined: Callable[[int, int], Said] = lambda chain, number: attempt(
        100 * number + chain, outcome=0.5 + 0.1 * number, tag=f"chain{chain} round{number}"
    )
    """(chain, round) -> the revised attempt."""
    reviewer: Speaker = lambda request, index: feedback(chain_of(request))
    judge: Speaker = lambda request, index: verdict(0.5 + 0.1 * round_of(request))
    asked: dict[str, list[FakeRequest]] = field(default_factory=dict)
    """Requests by role; order of arrival."""

    def __call__(self, request: FakeRequest, index: int) -> Said:
        role = role_of(request)
        self.asked.setdefault(role, []).append(request)
        if role == "refiner":
            return self.refined(chain_of(request), round_of(request) + 1)
        return {"solver": self.solver, "reviewer": self.reviewer, "judge": self.judge}[role](request, index)

    def count(self, role: str) -> int:
        return len(self.asked.get(role, []))


def chains(*replies: Said) -> Speaker:
    """A solver whose i-th sample is the i-th reply."""
    return lambda request, index: replies[index]


def of_round(result: Result, number: int) -> list[Candidate]:
    return [candidate for candidate in result.candidates if candidate.round == number]


def gates(result: Result) -> list[dict[str, Any]]:
    return [item for item in result.decisions if item.get("rule") == "gate"]


def votes(result: Result) -> list[dict[str, Any]]:
    return [item for item in result.decisions if item["type"] == "vote"]


def observed(result: Result) -> dict[str, int]:
    """What the cost law asks for: rounds, refined chains, samples that came out."""
    return {
        "R": max((candidate.round for candidate in result.candidates), default=0),
        "P": sum(candidate.round > 0 for candidate in result.candidates),
        "s": sum(candidate.status != "failed" for candidate in of_round(result, 0)),
    }


def tried(result: Result) -> int:
    return result.usage.calls + result.usage.failed_calls


def answers(candidates: Sequence[Candidate]) -> list[str | None]:
    return [candidate.answer for candidate in candidates]
