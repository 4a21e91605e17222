"""A check by a program that is really run: it works the claimed number out from the task's facts and compares.

Source: ours, after program of thoughts (arXiv 2211.12588), as the evidence channel that DeepVerifier needs where there is
nothing to look up.
"""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.programmer import program_of
from phronesis.agents.prompt import load_prompt
from phronesis.agents.verification.checking import Check, CheckAnswer, Said
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.ports import ChatClient, ProgramRunner
from phronesis.core.site import Site
from phronesis.core.task import Task

_ANSWERS: dict[str, Said] = {"True": "yes", "False": "no", "None": "unknown"}
_LONGEST = 2000


@dataclass(frozen=True, kw_only=True)
class ProgramChecker:
    """Sees the task and one question. 1 call; a program that fails, or returns anything but True or False, leaves it
    ``unknown``."""

    client: ChatClient
    sampling: Sampling
    programs: ProgramRunner
    most_calls: int = 1

    async def check(self, task: Task, check: Check, *, site: Site) -> CheckAnswer:
        values = {"question": task.question, "check": check.question}
        messages, prefill = load_prompt("check_program").fill(values, history=task.history)
        request = ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling, stop=("\n```",))
        (reply,) = await self.client.sample(request, 1, site=site)
        program = program_of(completion_of(reply).text)
        ran = await self.programs.run(program, site=site.as_role("python"))
        shown = program[:_LONGEST]
        if ran.value is None:
            return CheckAnswer(
                answer="unknown", explanation=f"the program failed: {ran.error}", evidence=shown, by="program"
            )
        answer = _ANSWERS.get(ran.value.strip(), "unknown")
        said = f"a program that was run returned {ran.value.strip()[:100]}"
        return CheckAnswer(answer=answer, explanation=said, evidence=shown, by="program")
