"""A check by an agent: it calls the recipe's tools, then the question is answered from the record of what they brought.

Source: DeepVerifier (arXiv 2601.15808), whose checks are carried out by a full agent; here a loop of a few turns.
"""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.agents.tool_user import ToolUser
from phronesis.agents.trajectory import Step, joined, messages_of, record
from phronesis.agents.verification.checking import Check, CheckAnswer
from phronesis.agents.verification.model_check import ModelChecker
from phronesis.core.chat import Sampling
from phronesis.core.ports import ChatClient, ToolCaller
from phronesis.core.site import Site
from phronesis.core.task import Task

NO_TOOLS = "the recipe names no tools"
NOTHING = "no tool brought anything"


@dataclass(frozen=True, kw_only=True)
class AgentChecker:
    """At most ``steps`` turns, 1 call each, and the answer from the record: 1 call, or 2. Where no tool brought a result the
    question stays ``unknown`` and no answer is asked for."""

    client: ChatClient
    sampling: Sampling
    tools: ToolCaller | None
    steps: int = 4

    @property
    def most_calls(self) -> int:
        return self.steps + 2

    async def check(self, task: Task, check: Check, *, site: Site) -> CheckAnswer:
        if self.tools is None:
            return CheckAnswer(answer="unknown", explanation=NO_TOOLS, by="agent")
        values = {"question": task.question, "source": check.source, "check": check.question}
        opening, _ = load_prompt("check_agent").fill(values, history=task.history)
        user = ToolUser(client=self.client, sampling=self.sampling)
        done: list[Step] = []
        for number in range(1, self.steps + 1):
            place = site.at(f"t{number}")
            turn = await user.turn(joined((*opening, *messages_of(done))), self.tools.specs, site=place)
            results = tuple(
                [await self.tools.call(call, site=place.at(f"c{index}")) for index, call in enumerate(turn.calls)]
            )
            done.append(Step(number, turn, results))
            if turn.answer is not None:
                break
        found = record(done)
        if not any(result.status == "ok" for step in done for result in step.results):
            return CheckAnswer(answer="unknown", explanation=NOTHING, evidence=found, by="agent")
        model = ModelChecker(client=self.client, sampling=self.sampling)
        return await model.answer(task, check, found, by="agent", site=site)
