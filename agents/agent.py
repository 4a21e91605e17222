"""Agent: thinks, calls tools, reads what they bring, and answers (ReAct, arXiv 2210.03629).

Its turns are those of a ToolUser, whatever way a server has of calling tools; the last answer, when no tool may be called
any more, is a plain reply to a record of what was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.agents.solver import ANSWER_INSTRUCTIONS
from phronesis.agents.tool_user import Protocol, ToolUser, Turn
from phronesis.agents.trajectory import Step, joined, messages_of
from phronesis.core.chat import ChatRequest, Reply, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Message, Task
from phronesis.core.tool import ToolSpec

ANSWERS: Mapping[AnswerFormat, str] = {
    "number": "The answer is the number alone, without a unit.",
    "choice": "The answer is the letter of the right choice alone.",
    "text": "The answer is as short as possible, without an explanation.",
    "latex": "The answer is in LaTeX, as simple as possible, without an explanation.",
    "code": "The answer is one fenced block with nothing behind it.",
}
PLANNING = (
    "Begin every thought with your plan, like: 1 [x] find the year 2 [ ] find who ruled then. "
    "[ ] is open, [x] done, [!] failed, [~] partly done. First come steps that find candidates, then steps that check them. "
    "Keep every step; add new ones behind."
)
RECHECK = (
    "Wait. Look at the results above once more and think again: does the answer fit every part of the question? You may "
    "call more tools. Then give the answer again: the same one if it holds, else a better one."
)
NUDGE = (
    "There is budget left. Do not stop yet: look at it from another side, try other tools or other words, and check what "
    "you have. Then give the answer again."
)


@dataclass(frozen=True, kw_only=True)
class Agent:
    """One turn is one call."""

    client: ChatClient
    sampling: Sampling
    protocol: Protocol = "auto"
    parallel_calls: int = 1
    """Calls that one turn may hold."""

    def opening(
        self,
        task: Task,
        format: AnswerFormat,
        *,
        memory: str = "",
        summary: str = "",
        planning: bool = False,
        plan: str = "",
        budget: str = "",
    ) -> tuple[Message, ...]:
        """The conversation before the first step. ``summary``: of earlier work, in place of its trace."""
        values = {
            "question": task.question,
            "memory": memory,
            "summary": f"What was found out so far (a record only):\n{summary}" if summary else "",
            "answer_instruction": ANSWERS[format],
            "planning": PLANNING if planning else "",
            "plan": f"Your plan so far:\n{plan}" if plan else "",
            "budget": budget,
        }
        messages, _ = load_prompt("agent").fill(values, history=task.history)
        return messages

    async def turn(
        self,
        opening: Sequence[Message],
        steps: Sequence[Step],
        tools: Sequence[ToolSpec],
        *,
        responses: int | None,
        site: Site,
    ) -> Turn:
        """The next turn; what cannot be read is a turn with a ``problem``. 1 call. Raises ModelError, BudgetExhausted."""
        messages = joined((*opening, *messages_of(steps, responses=responses)))
        user = ToolUser(
            client=self.client, sampling=self.sampling, protocol=self.protocol, parallel_calls=self.parallel_calls
        )
        return await user.turn(messages, tools, site=site)

    async def answer(self, task: Task, format: AnswerFormat, record: str, *, site: Site, memory: str = "") -> Reply:
        """The answer without tools, or the failure in its place. 1 call. Raises BudgetExhausted."""
        values = {
            "question": task.question,
            "memory": memory,
            "record": record,
            "answer_instruction": ANSWER_INSTRUCTIONS[format],
        }
        messages, _ = load_prompt("agent_answer").fill(values, history=task.history)
        (reply,) = await self.client.sample(ChatRequest(messages=messages, sampling=self.sampling), 1, site=site)
        return reply
