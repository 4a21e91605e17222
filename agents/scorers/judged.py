"""The judge as an outcome scorer: P(Yes). One call per attempt; see agents/judge.py for what it is worth."""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.judge import Judge
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task


@dataclass(frozen=True)
class Judged:
    """P(Yes) of the judge, in (0, 1)."""

    judge: Judge
    name: str = "judge"

    def calls_for(self, candidate: Candidate) -> int:
        return 1

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        return await self.judge.probability(task, candidate.text, site=site.as_role("judge"))
