"""Execution agreement: programs for the same problem are really run, and an attempt is worth the share that gives its answer.

Source: ours, after program of thoughts (arXiv 2211.12588); the measured ground is that programs fail in other ways than
chains do. Programs that do not run say nothing; with none that ran, nothing is known of any attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from phronesis.agents.programmer import Programmer, program_of
from phronesis.agents.scorers.generative import raise_if_all_failed
from phronesis.agents.scorers.table import ScorerCalls, ScorerContext, ScorerEntry, ScorerOptions
from phronesis.core.chat import Completion, Sampling
from phronesis.core.ports import AnswerSpace, ProgramRunner
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task


class ExecutionOptions(ScorerOptions):
    """What can be set."""

    programs: int = Field(default=4, ge=1)
    """Programs written per task."""
    max_tokens: int = Field(default=300, ge=16)
    """Longest program."""
    temperature: float = Field(default=0.7, ge=0)
    """0 = each program the same."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """The share of the programs that ran which give the attempt's answer, in [0, 1]. ``programs`` calls, side by side."""

    programmer: Programmer
    runner: ProgramRunner
    answers: AnswerSpace
    around: ScorerContext
    programs: int = 4
    name: str = "execution"

    def calls_for(self, candidates: Sequence[Candidate]) -> int:
        return self.programs if candidates else 0

    async def score(self, task: Task, candidates: Sequence[Candidate], *, site: Site) -> tuple[float | None, ...]:
        if not candidates:
            return ()
        replies = await self.programmer.sample(
            task, self.answers.format, self.programs, site=site.as_role("programmer")
        )
        raise_if_all_failed(replies)

        async def run(index: int, reply: Completion) -> str | None:
            found = await self.runner.run(program_of(reply.text), site=site.as_role("python").at(f"p{index}"))
            return None if found.value is None else self.answers.canonical(found.value)

        programs = [(index, reply) for index, reply in enumerate(replies) if isinstance(reply, Completion)]
        values = await side_by_side([run(index, reply) for index, reply in programs])
        ran = [value for value in values if value is not None]
        gave = ", ".join(ran) or "nothing"
        shown = {"rule": "execution", "gave": gave, "failed": len(replies) - len(ran)}
        self.around.note(f"{site.key}.programs", shown)
        if not ran:
            return (None,) * len(candidates)
        return tuple(self._share(candidate.answer, ran) for candidate in candidates)

    def _share(self, answer: str | None, ran: Sequence[str]) -> float | None:
        return None if answer is None else sum(self.answers.equal(value, answer) for value in ran) / len(ran)


ENTRY = ScorerEntry(
    name="execution",
    kind="group",
    summary="share of really run programs that give the same answer; a few calls a task",
    build=lambda around, options: Execution(
        programmer=Programmer(
            client=around.client("programmer"),
            sampling=around.sampling(
                "programmer", Sampling(temperature=options.temperature, top_p=0.95, max_tokens=options.max_tokens)
            ),
        ),
        runner=around.programs,
        answers=around.answers,
        around=around,
        programs=options.programs,
    ),
    options=ExecutionOptions,
    calls=lambda options: ScorerCalls(task=options.programs, task_depth=1),
    roles=lambda options: {"programmer": ("prefill",)},
    test=True,
)
