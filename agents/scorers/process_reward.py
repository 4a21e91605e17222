"""A trained process reward model: one number for each step, all in one call.

Either form is a format, not code of its own (reward_format.py): a pooling model that judges at a mark behind each step
(Qwen2.5-Math-PRM), or a causal one that would write ``+`` or ``-`` there (Math-Shepherd, 2312.08935; MAgICoRe's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.reward_format import RewardOptions, Scores, reward_format
from phronesis.agents.scorers.table import ScorerCalls, ScorerEntry
from phronesis.core.ports import RewardClient
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task


class ProcessRewardOptions(RewardOptions):
    """The same, for formats that score steps."""

    scores: ClassVar[Scores] = "steps"


@dataclass(frozen=True)
class ProcessReward:
    """P(right) of each step given the ones before it, in [0, 1]. A step's score is not the chain's: reduce them."""

    client: RewardClient
    options: ProcessRewardOptions
    name: str = "process_reward"

    def calls_for(self, candidate: Candidate) -> int:
        return int(bool(candidate.steps))

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> tuple[float, ...]:
        if not candidate.steps:
            return ()
        found = reward_format(self.options, self.client.model)
        place = site.as_role(self.options.role)
        return found.values(await self.client.reward(found.request(task, candidate.steps), site=place))


def needs(options: ProcessRewardOptions) -> tuple[Capability, ...]:
    """What the endpoint must offer; only a format that is named says which of the two it is."""
    if not options.format:
        return ("step_rewards",)
    return ("prompt_logprobs",) if reward_format(options).labels else ("pooling",)


ENTRY = ScorerEntry(
    name="process_reward",
    kind="step",
    summary="a trained process reward model, by a pooling server or prompt logprobs; 1 call an attempt",
    build=lambda around, options: ProcessReward(around.client(options.role), options),
    options=ProcessRewardOptions,
    calls=lambda options: ScorerCalls(attempt=1),
    roles=lambda options: {options.role: needs(options)},
)
