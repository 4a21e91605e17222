"""Scorers by the names that recipes use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from phronesis.agents.client.profile import Capability
from phronesis.agents.judge import Judge
from phronesis.agents.scorers.arithmetic import Arithmetic
from phronesis.agents.scorers.judged import Judged
from phronesis.agents.scorers.self_certainty import SelfCertainty
from phronesis.core.errors import RecipeError
from phronesis.core.ports import ChatClient, OutcomeScorer, StepScorer

ClientOf = Callable[[str], ChatClient]
"""The chat client of a role."""

OUTCOME: dict[str, Callable[[ClientOf], OutcomeScorer]] = {
    "self_certainty": lambda client: SelfCertainty(),
    "judge": lambda client: Judged(Judge(client=client("judge"))),
}
STEP: dict[str, Callable[[ClientOf], StepScorer]] = {"arithmetic": lambda client: Arithmetic()}

NEEDS: dict[str, tuple[Capability, ...]] = {"self_certainty": ("logprobs",), "judge": ("logprobs", "prefill")}
"""What a scorer asks of the server; one that is not listed asks nothing."""
CALLS: dict[str, int] = {"judge": 1}
"""Model calls per attempt; one that is not listed makes none."""


def outcome_scorer(name: str, client: ClientOf) -> OutcomeScorer:
    """The outcome scorer of that name. Raises RecipeError with the nearest known name."""
    check_scorer(name, OUTCOME)
    return OUTCOME[name](client)


def step_scorer(name: str, client: ClientOf) -> StepScorer:
    """The step scorer of that name. Raises RecipeError with the nearest known name."""
    check_scorer(name, STEP)
    return STEP[name](client)


def check_scorer(name: str, table: Mapping[str, object]) -> None:
    """Raises RecipeError unless the table has the name."""
    if name not in table:
        near = get_close_matches(name, table, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(table)}"
        raise RecipeError(f"unknown scorer {name!r}", mend=hint)
