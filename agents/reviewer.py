"""Reviewer: reads an attempt with its step scores and says what is wrong, without solving it (MAgICoRe's second agent)."""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task


@dataclass(frozen=True, kw_only=True)
class Reviewer:
    """Free-text feedback, primed with an opening sentence, as the paper's; it ends where it would begin to solve."""

    client: ChatClient
    sampling: Sampling
    prefilled: bool = True

    def request(self, task: Task, annotated: str) -> ChatRequest:
        """``annotated``: the steps with their scores in tenths, see ``steps.annotate``."""
        values = {"question": task.question, "annotated": annotated}
        messages, prefill = load_prompt("reviewer").fill(values, history=task.history)
        return ChatRequest(
            messages=messages,
            prefill=prefill if self.prefilled else "",
            sampling=self.sampling,
            stop=("\nRevised solution",),
        )

    async def review(self, task: Task, annotated: str, *, site: Site) -> str:
        """The feedback, its opening sentence included. 1 call.

        Raises ModelError, also for an empty reply; BudgetExhausted."""
        request = self.request(task, annotated)
        (reply,) = await self.client.sample(request, 1, site=site)
        text = completion_of(reply).text.strip()
        if not text:
            raise MalformedReply("the review is empty", reason="empty")
        return f"{request.prefill} {text}".strip()
