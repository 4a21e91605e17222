"""Rubric judge: for each criterion a reason first, then one of its choices, or unknown.

A reply repeats a code that depends on every letter of the solution, so that choices which stand in it are none. Source: ours;
the order of the fields is that of generative reward models (critique before scores, arXiv 2504.02495).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from phronesis.core.side_by_side import side_by_side
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

    async def weighed(
        self,
        task: Task,
        criteria: Sequence[Criterion],
        solution: str,
        verdicts: Sequence[CriterionVerdict],
        *,
        site: Site,
    ) -> tuple[CriterionVerdict, ...]:
        """The verdicts with each choice replaced by the likeliest one behind its reason, and its score by the mean of all
        choices' places, weighed by their probabilities. 1 call for each criterion that is known, side by side. Needs
        logprobs and prefill. Raises ModelError, BudgetExhausted."""
        request, code = self.request(task, criteria, solution)
        opened = json.dumps({"check": code}, ensure_ascii=False)[:-1]
        keys = keys_of(criteria)
        names = {f"{site.key}.p{index}": 1 for index, said in enumerate(verdicts) if said.choice is not None}
        accounts = site.branch.account.split(names)

        async def one(index: int) -> CriterionVerdict:
            said, item = verdicts[index], criteria[index]
            account = accounts.get(f"{site.key}.p{index}")
            if account is None:
                return said
            before = "".join(
                f', "{key}": {json.dumps({"reason": done.reason, "choice": done.choice or UNKNOWN}, ensure_ascii=False)}'
                for key, done in zip(keys[:index], verdicts, strict=False)
            )
            reason = json.dumps(said.reason, ensure_ascii=False)
            prefill = f'{opened}{before}, "{keys[index]}": {{"reason": {reason}, "choice": "'
            found = await self.client.label_probabilities(
                replace(request, prefill=prefill), item.names, site=site.at(f"p{index}").paid_by(account)
            )
            likeliest = max(item.names, key=lambda name: found.probabilities[name])
            mean = sum(item.score_of(name) * found.probabilities[name] for name in item.names)
            return said.model_copy(update={"choice": likeliest, "score": mean})

        try:
            return tuple(await side_by_side([one(index) for index in range(len(verdicts))]))
        finally:
            site.branch.account.join(tuple(names))


def _verdict(criterion: Criterion, said: Any) -> CriterionVerdict:
    if said.choice == UNKNOWN:
        return CriterionVerdict(criterion=criterion.name, reason=said.reason)
    return CriterionVerdict(
        criterion=criterion.name, reason=said.reason, choice=said.choice, score=criterion.score_of(said.choice)
    )
