"""The calibrated combination: P(an answer is right) from its share of the votes, the signals of its attempts, and whatever
other scorers the logistic model names.

Attempts with equal answers get one score, so that best-of-n under it chooses an answer, not a lucky text. Source: ours; the
measured ground is in docs/scorers.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field, field_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.logistic import LogisticModel, load_model
from phronesis.agents.scorers.signals import signals
from phronesis.agents.scorers.table import (
    ChosenScorer,
    ScorerCalls,
    ScorerContext,
    ScorerEntry,
    ScorerOptions,
    choose_scorer,
    united,
)
from phronesis.core.errors import RecipeError
from phronesis.core.named import NamedSpec
from phronesis.core.ports import GroupScorer, OutcomeScorer
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task


class CombinedOptions(ScorerOptions):
    """What can be set."""

    model: str = Field(default="combined")
    """Logistic model: a shipped name or the path of a file made by ``phronesis scorers fit``."""
    signals: str = Field(default="signals")
    """Logistic model of the single attempts."""

    @field_validator("model", "signals")
    @classmethod
    def _readable(cls, value: str) -> str:
        load_model(value)
        return value


def answer_figures(
    candidates: Sequence[Candidate], chances: Sequence[float], found: Mapping[str, Sequence[float | None]]
) -> dict[str, dict[str, float | None]]:
    """The figures of each readable answer, in the order the answers were first given.

    ``chances``: P(right) of each attempt by its signals; ``found``: other scorers' figures per attempt, by feature name.
    share: of the readable attempts; lead: share less the largest other share; weighted_share: the same weighted by the
    chances; best and mean: of the chances."""
    members: dict[str, list[int]] = {}
    for index, item in enumerate(candidates):
        if item.answer is not None:
            members.setdefault(item.answer, []).append(index)
    voters = sum(map(len, members.values()))
    total = math.fsum(chances[index] for part in members.values() for index in part)
    figures: dict[str, dict[str, float | None]] = {}
    for answer, part in members.items():
        others = [len(other) for name, other in members.items() if name != answer]
        own = [chances[index] for index in part]
        figures[answer] = {
            "share": len(part) / voters,
            "lead": (len(part) - max(others, default=0)) / voters,
            "weighted_share": math.fsum(own) / total if total else 1 / len(members),
            "best": max(own),
            "mean": math.fsum(own) / len(own),
            **{name: _mean([scores[index] for index in part]) for name, scores in found.items()},
        }
    return figures


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return math.fsum(known) / len(known) if known else None


@dataclass(frozen=True, kw_only=True)
class Combined:
    """P(right) per answer, in (0, 1). Calls: those of the scorers its model names, side by side."""

    model: LogisticModel
    attempts: LogisticModel
    outcomes: Mapping[str, OutcomeScorer]
    """Scorers of single attempts, by feature name."""
    groups: Mapping[str, GroupScorer]
    """Scorers of attempts together, by feature name."""
    name: str = "combined"

    def calls_for(self, candidates: Sequence[Candidate]) -> int:
        return sum(self._stages(candidates, "").values())

    def _stages(self, candidates: Sequence[Candidate], prefix: str) -> dict[str, int]:
        single = {name: sum(map(scorer.calls_for, candidates)) for name, scorer in self.outcomes.items()}
        together = {name: scorer.calls_for(candidates) for name, scorer in self.groups.items()}
        return {f"{prefix}{name}": calls for name, calls in {**single, **together}.items()}

    async def score(self, task: Task, candidates: Sequence[Candidate], *, site: Site) -> tuple[float | None, ...]:
        prefix = f"{site.occurrence}."
        accounts = site.branch.account.split(self._stages(candidates, prefix))

        async def ask_each(name: str) -> Sequence[float | None]:
            scorer, place = self.outcomes[name], site.at(name).paid_by(accounts[prefix + name])
            stages = {f"{place.occurrence}.{item.id}": scorer.calls_for(item) for item in candidates}
            parts = place.branch.account.split(stages)
            try:
                return await side_by_side(
                    [
                        scorer.score(task, item, site=place.at(item.id).paid_by(part))
                        for item, part in zip(candidates, parts.values(), strict=True)
                    ]
                )
            finally:
                place.branch.account.join(tuple(stages))

        async def ask_together(name: str) -> Sequence[float | None]:
            place = site.at(name).paid_by(accounts[prefix + name])
            return await self.groups[name].score(task, candidates, site=place)

        try:
            scores = await side_by_side([*map(ask_each, self.outcomes), *map(ask_together, self.groups)])
        finally:
            site.branch.account.join(tuple(accounts))
        chances = [self.attempts.probability(signals(task, item)) for item in candidates]
        found = dict(zip([*self.outcomes, *self.groups], scores, strict=True))
        figures = answer_figures(candidates, chances, found)
        worth = {answer: self.model.probability(part) for answer, part in figures.items()}
        return tuple(None if item.answer is None else worth[item.answer] for item in candidates)


def _members(options: CombinedOptions) -> dict[str, ChosenScorer]:
    named = load_model(options.model).scorers
    if any(NamedSpec.parse(text, what="scorer").name == "combined" for text in named.values()):
        raise RecipeError(
            f"the model {options.model!r} names itself a scorer", mend="take combined out of its [scorers]"
        )
    return {feature: choose_scorer(text, kinds=("outcome", "group")) for feature, text in named.items()}


def _build(around: ScorerContext, options: CombinedOptions) -> Combined:
    chosen = _members(options)
    return Combined(
        model=load_model(options.model),
        attempts=load_model(options.signals),
        outcomes={name: scorer.outcome(around) for name, scorer in chosen.items() if scorer.kind == "outcome"},
        groups={name: scorer.group(around) for name, scorer in chosen.items() if scorer.kind == "group"},
    )


def _calls(options: CombinedOptions) -> ScorerCalls:
    each = [scorer.calls for scorer in _members(options).values()]
    return ScorerCalls(
        attempt=sum(calls.attempt for calls in each),
        task=sum(calls.task for calls in each),
        task_depth=max((calls.task_depth for calls in each), default=0),
    )


def _roles(options: CombinedOptions) -> Mapping[str, tuple[Capability, ...]]:
    return united(scorer.roles for scorer in _members(options).values())


ENTRY = ScorerEntry(
    name="combined",
    kind="group",
    summary="logistic combination per answer: vote share, signals, and the scorers its model names",
    build=_build,
    options=CombinedOptions,
    calls=_calls,
    roles=_roles,
    logprobs=lambda options: True,
    files=lambda options: tuple(name for name in (options.model, options.signals) if name.endswith(".toml")),
)
