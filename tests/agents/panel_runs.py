"""Attempts before a jury or a debate, without a strategy around them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phronesis.agents.client.metered import Metered
from phronesis.agents.client.run_client import Journaled
from phronesis.agents.scorers.table import ScorerContext, choose_scorer
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import ChatRequest
from phronesis.core.effects import Effects
from phronesis.core.journal import Journal
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task
from phronesis.testing import ScriptedClient

TASK = Task(messages="Ann has 12 apples and buys 30 more. How many has she?", id="t")
SHOWN = re.compile(r"^Solution ([A-Z]):\nIt is (\S+)\.", re.MULTILINE)
CODE = re.compile(r'"check": "(\w{4})"')
Reply = Callable[[ChatRequest], str]


def attempts(*answers: str, words: str = "") -> tuple[Candidate, ...]:
    """One attempt for each answer, which it begins with; ``words`` follow."""
    return tuple(
        Candidate(id=f"c{number}", text=f"It is {answer}.{words}", answer=answer)
        for number, answer in enumerate(answers)
    )


def asked(request: ChatRequest) -> str:
    """The first turn."""
    return request.messages[0].content


def scoring(scores: Mapping[str, int]) -> Reply:
    """A judge that gives each answer a score of its own, or chooses the best, whatever stands around them."""

    def reply(request: ChatRequest) -> str:
        code = CODE.findall(asked(request))
        if not code:
            return "I have looked at them."
        shown = dict(SHOWN.findall(asked(request)))
        said: dict[str, Any] = {"scores": [scores[answer] for answer in shown.values()]}
        if '"choice"' in asked(request).splitlines()[-1]:
            said = {"choice": max(shown, key=lambda letter: scores[shown[letter]])}
        return json.dumps({"check": code[-1], "critique": "worked out", **said})

    return reply


@dataclass
class Panelled:
    """What came of it."""

    figures: tuple[float | None, ...]
    noted: dict[str, Mapping[str, Any]]
    """By key."""
    requests: dict[str, list[ChatRequest]]
    """By role."""
    account: Account

    @property
    def calls(self) -> int:
        return self.account.usage.calls


def panelled(
    scorer: str,
    of: Sequence[Candidate],
    reply: Reply | Mapping[str, Reply],
    *,
    account: Account | None = None,
    task: Task = TASK,
) -> Panelled:
    """The figures of a scorer; ``reply``: one for every role, or one for each. Calls stay within those announced."""
    chosen, account = choose_scorer(scorer), account or Account()
    noted: dict[str, Mapping[str, Any]] = {}
    effects = Effects(Journal(None), task.id)
    speaks = {role: reply if callable(reply) else reply[role] for role in chosen.roles}
    endpoints = {role: ScriptedClient(lambda request, index, say=say: say(request)) for role, say in speaks.items()}
    clients = {role: Journaled(Metered(end), effects, seed=0, task=task.id) for role, end in endpoints.items()}
    nobody: Any = None
    around = ScorerContext(
        client=lambda role: clients[role],
        sampling=lambda role, default: default,
        answers=nobody,
        programs=nobody,
        note=noted.__setitem__,
    )
    built = chosen.group(around)
    figures = asyncio.run(built.score(task, of, site=Site(Branch("", account), built.name)))
    made = sum(len(end.requests) for end in endpoints.values())
    assert account.usage.calls == made <= built.calls_for(of) <= chosen.calls.task or not made
    assert account.depth <= chosen.calls.task_depth
    return Panelled(figures, noted, {role: end.requests for role, end in endpoints.items()}, account)
