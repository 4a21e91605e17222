"""Rubric judge: for each criterion a reason first, then one of its choices, or unknown.

A reply repeats a code that depends on every letter of the solution, so that choices which stand in it are none. Source: ours;
the order of the fields is that of generative reward models (critique before scores, arXiv 2504.02495).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, create_model

from phronesis.agents.bounded import Brief
from phronesis.agents.check_code import code_of, coded
from phronesis.agents.decode import ask
from phronesis.agents.prompt import load_prompt
from phronesis.agents.verification.rubric import UNKNOWN, Criterion
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task
from phronesis.core.verdict import CriterionVerdict

_LONGEST = 8000


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Said(_Value):
    reason: Brief


class _Judged(_Value):
    check: str


def keys_of(criteria: Sequence[Criterion]) -> tuple[str, ...]:
    """What each criterion is called in a reply: its name as a key, told apart where two come out equal."""
    keys: list[str] = []
    for item in criteria:
        key = re.sub(r"\W+", "_", item.name.strip().casefold()).strip("_") or "criterion"
        key = f"c_{key}" if key[0].isdigit() or key in ("check", "model_config") or key.startswith("model_") else key
        keys.append(key if key not in keys else f"{key}_{len(keys)}")
    return tuple(keys)


def described(criteria: Sequence[Criterion]) -> str:
    """The criteria as the prompt shows them."""
    lines: list[str] = []
    for key, item in zip(keys_of(criteria), criteria, strict=True):
        lines.append(f"{key}: {item.question}")
        if item.evidence:
            lines.append(f"  name in the reason: {item.evidence}")
        lines += [f'  "{choice.name}"{": " + choice.means if choice.means else ""}' for choice in item.choices]
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class RubricJudge:
    """Sees the task, the criteria and one solution."""

    client: ChatClient
    sampling: Sampling

    def request(self, task: Task, criteria: Sequence[Criterion], solution: str) -> tuple[ChatRequest, str]:
        """What is sent, and the code that the reply repeats."""
        shown = solution.strip()[:_LONGEST]
        code = code_of(shown)
        parts = ", ".join(f'"{key}": {{"reason": "...", "choice": "..."}}' for key in keys_of(criteria))
        values = {
            "question": task.question,
            "criteria": described(criteria),
            "solution": shown,
            "form": f'{{"check": "{code}", {parts}}}',
        }
        messages, _ = load_prompt("rubric").fill(values, history=task.history)
        return ChatRequest(messages=messages, sampling=self.sampling), code

    async def judge(
        self, task: Task, criteria: Sequence[Criterion], solution: str, *, site: Site
    ) -> tuple[CriterionVerdict, ...] | MalformedReply:
        """A verdict for each criterion, or why the reply could not be read twice. 1 call, or 2. Raises ModelError,
        BudgetExhausted."""
        request, code = self.request(task, criteria, solution)
        fields: dict[str, Any] = {}
        for key, item in zip(keys_of(criteria), criteria, strict=True):
            choice = Literal[(*item.names, UNKNOWN)]  # type: ignore[valid-type]  # the choices are data
            fields[key] = (create_model("Said", __base__=_Said, choice=(choice, ...)), ...)
        try:
            found: Any = await ask(
                self.client, request, coded(create_model("Judged", __base__=_Judged, **fields), code), site=site
            )
        except MalformedReply as error:
            return error
        return tuple(_verdict(item, getattr(found, key)) for key, item in zip(keys_of(criteria), criteria, strict=True))


def _verdict(criterion: Criterion, said: Any) -> CriterionVerdict:
    if said.choice == UNKNOWN:
        return CriterionVerdict(criterion=criterion.name, reason=said.reason)
    return CriterionVerdict(
        criterion=criterion.name, reason=said.reason, choice=said.choice, score=criterion.score_of(said.choice)
    )
