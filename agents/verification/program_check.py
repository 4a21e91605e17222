"""A check by a program that is really run: a number is taken out of the claim, worked out anew, and compared by us.

Source: ours, after program of thoughts (arXiv 2211.12588), as the evidence channel that DeepVerifier needs where there is
nothing to look up. The program never sees the number that it is held against: small models that are asked whether a claim is
right write programs that say no to everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from phronesis.agents.programmer import program_of
from phronesis.agents.prompt import load_prompt
from phronesis.agents.verification.checking import WHOLE, Check, CheckAnswer
from phronesis.agents.verification.claimed_numbers import numbers_in, value_of, with_gap
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.ports import ChatClient, ProgramRunner
from phronesis.core.site import Site
from phronesis.core.task import Task

NO_NUMBER = "there is no number to work out in it that the task does not say"
_LONGEST = 2000


@dataclass(frozen=True, kw_only=True)
class ProgramChecker:
    """Sees the task and the claim with its gap. 1 call, none for a claim without a number of its own: programs that are to
    find a number of the task work out the task instead. A program that fails or returns no number leaves the question
    ``unknown``."""

    client: ChatClient
    sampling: Sampling
    programs: ProgramRunner
    most_calls: int = 1

    async def check(self, task: Task, check: Check, *, site: Site) -> CheckAnswer:
        gap = with_gap(check.question, task.question, repeated=check.source == WHOLE)
        if gap is None:
            return CheckAnswer(answer="unknown", explanation=NO_NUMBER, by="program")
        claim, claimed = gap
        values = {"question": task.question, "check": claim}
        messages, prefill = load_prompt("check_program").fill(values, history=task.history)
        request = ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling, stop=("\n```",))
        (reply,) = await self.client.sample(request, 1, site=site)
        program = program_of(completion_of(reply).text)
        ran = await self.programs.run(program, site=site.as_role("python"))
        shown = f"{claim}\n{program}"[:_LONGEST]
        if ran.value is None:
            return CheckAnswer(
                answer="unknown", explanation=f"the program failed: {ran.error}", evidence=shown, by="program"
            )
        numbers = numbers_in(ran.value)
        if not numbers:
            said = f"the program returned no number: {ran.value[:100]!r}"
            return CheckAnswer(answer="unknown", explanation=said, evidence=shown, by="program")
        same = math.isclose(value_of(numbers[-1]), claimed, rel_tol=1e-4, abs_tol=1e-6)
        said = f"a program that was run gives {numbers[-1]}; claimed is {claimed:g}"
        return CheckAnswer(answer="yes" if same else "no", explanation=said, evidence=shown, by="program")
