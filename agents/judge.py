"""Judge: how likely the model finds a solution correct, read off the probabilities of Yes and No.

Measured on the default 1.5B model this is worth nothing (AUROC .500; it says yes to 99 %), so no shipped recipe uses it by
default. On larger models it is the usual stand-in for an outcome reward model.
"""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task

YES, NO = "Yes", "No"


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Asks whether the final answer is correct and never sees other attempts, their number or their votes."""

    client: ChatClient
    prefilled: bool = True

    async def probability(self, task: Task, solution: str, *, site: Site) -> float:
        """P(Yes) among Yes and No, in (0, 1). 1 call. Raises ModelError, BudgetExhausted, CapabilityMissing."""
        values = {"question": task.question, "solution": solution}
        messages, prefill = load_prompt("judge").fill(values, history=task.history)
        request = ChatRequest(messages=messages, prefill=prefill if self.prefilled else "")
        found = await self.client.label_probabilities(request, (YES, NO), site=site)
        return found.probabilities[YES]
