"""A trained outcome reward model: one number for a question and its solution. One call per attempt, no text generated.

MAgICoRe's outcome score is sigmoid(InternLM2-7B-Reward) (2409.12147). The format says how the model is asked and what
makes a probability of its logit; see reward_format.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.scorers.reward_format import RewardOptions, reward_format
from phronesis.agents.scorers.table import ScorerCalls, ScorerEntry
from phronesis.core.ports import RewardClient
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task


@dataclass(frozen=True)
class RewardModel:
    """What the model makes of the whole attempt, in [0, 1]; 0 and 1 only where a sigmoid runs out of digits."""

    client: RewardClient
    options: RewardOptions
    name: str = "reward_model"

    def calls_for(self, candidate: Candidate) -> int:
        return 1

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        found = reward_format(self.options, self.client.model)
        rows = await self.client.reward(found.request(task, (candidate.text,)), site=site.as_role(self.options.role))
        return found.values(rows)[0]


ENTRY = ScorerEntry(
    name="reward_model",
    kind="outcome",
    summary="a trained outcome reward model on a pooling server; 1 call an attempt",
    build=lambda around, options: RewardModel(around.client(options.role), options),
    options=RewardOptions,
    calls=lambda options: ScorerCalls(attempt=1),
    roles=lambda options: {options.role: ("pooling",)},
)
