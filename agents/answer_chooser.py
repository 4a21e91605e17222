"""Answer chooser: picks one of several verified answers (BATS, arXiv 2511.17006, LLM-as-judge at the end)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from pydantic import BaseModel, ConfigDict

from phronesis.agents.decode import decode
from phronesis.agents.passages import shortened
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task

MOST = len(ascii_uppercase)
"""Answers that can be told apart by a letter."""


class _Choice(BaseModel):
    model_config = ConfigDict(frozen=True)

    reason: str = ""
    choice: str


@dataclass(frozen=True, kw_only=True)
class AnswerChooser:
    """Sees the question, and of each answer how it was checked."""

    client: ChatClient
    sampling: Sampling

    def request(self, task: Task, answers: Sequence[tuple[str, str]]) -> ChatRequest:
        """``answers``: (answer, how it was checked), at most ``MOST``."""
        lines = [
            f"{letter}: {shortened(answer, 300)}\n   Checked: {shortened(checked, 600) or '(not checked)'}"
            for letter, (answer, checked) in zip(ascii_uppercase, answers, strict=False)
        ]
        values = {"question": task.question, "answers": "\n".join(lines)}
        messages, _ = load_prompt("answer_chooser").fill(values, history=task.history)
        schema = _Choice.model_json_schema()
        schema["properties"]["choice"] = {"enum": list(ascii_uppercase[: len(answers)])}
        return ChatRequest(messages=messages, sampling=self.sampling, reply_schema=schema)

    async def choose(self, task: Task, answers: Sequence[tuple[str, str]], *, site: Site) -> int | None:
        """Index of the chosen answer; None where the reply names none. 1 call. Raises ModelError, BudgetExhausted."""
        (reply,) = await self.client.sample(self.request(task, answers[:MOST]), 1, site=site)
        try:
            said = decode(completion_of(reply), _Choice).choice.strip().strip("().:").upper()
        except MalformedReply:
            return None
        at = ascii_uppercase.find(said) if len(said) == 1 else -1
        return at if 0 <= at < len(answers) else None
