"""Rubric: an attempt is judged by criteria, each with its reason, and worth what their choices come to.

``rubric`` takes criteria from a file; ``generated_rubric`` has them written for each task before an attempt is read, and
judges all attempts at the task by the same ones. Criteria that are not at their best become the feedback for the next
attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, field_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.table import ScorerCalls, ScorerContext, ScorerEntry, ScorerOptions
from phronesis.agents.verification.rubric import Criterion, Rubric
from phronesis.agents.verification.rubric_files import load_rubric, rubric_file
from phronesis.agents.verification.rubric_judge import RubricJudge
from phronesis.agents.verification.rubric_writer import RubricWriter
from phronesis.core.chat import Sampling
from phronesis.core.errors import MalformedReply
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task
from phronesis.core.verdict import CriterionVerdict, Verdict

_APART = 0.5
"""Votes on a criterion that lie farther apart than this contradict each other."""
_MOST_GENERATED = 6


class JudgingOptions(ScorerOptions):
    """What can be set of a judge by rubric."""

    each: bool = False
    """One call for each criterion, side by side, instead of one for all."""
    read: Literal["choice", "probability"] = "choice"
    """``choice``: a criterion counts the written choice; ``probability``: the mean place of its choices by their
    probabilities behind the reason, 1 call more for each criterion, for models that write the same choice always."""
    votes: int = Field(default=1, ge=1)
    """Independent judgements; a criterion counts their mean. More than one are drawn at temperature 0.7."""
    max_tokens: int = Field(default=600, ge=16)
    """Longest reply."""


class RubricOptions(JudgingOptions):
    """What can be set."""

    file: str = "math"
    """A shipped rubric, ``taxonomy:NAME`` for one derived from a failure taxonomy, or a TOML file; ``phronesis rubrics list``
    names them."""

    @field_validator("file")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("name a rubric or a file")
        return value


@dataclass(frozen=True, kw_only=True)
class RubricScorer:
    """The rubric's score, in [0, 1]. One call a vote, or one for each criterion; each may be asked for again. Replies that
    cannot be read leave their criteria unknown."""

    judge: RubricJudge
    rubric: Rubric
    options: JudgingOptions
    around: ScorerContext
    name: str = "rubric"

    def calls_for(self, candidate: Candidate) -> int:
        return self.options.votes * _most(self.options, len(self.rubric.criteria))

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float | None:
        return (await self.verify(task, candidate, site=site)).score

    async def verify(self, task: Task, candidate: Candidate, *, site: Site) -> Verdict:
        parts: list[tuple[str, Sequence[Criterion]]] = [("all", self.rubric.criteria)]
        if self.options.each:
            parts = [(f"c{index}", (item,)) for index, item in enumerate(self.rubric.criteria)]
        asked = [(f"v{vote}.{name}", criteria) for vote in range(self.options.votes) for name, criteria in parts]
        place = site.as_role("judge")
        weighed = self.options.read == "probability"
        names = {f"{site.key}.{name}": 2 + weighed * len(criteria) for name, criteria in asked}
        accounts = site.branch.account.split(names)
        try:
            said = await side_by_side(
                [
                    self._one(task, criteria, candidate.text, place.at(name).paid_by(accounts[f"{site.key}.{name}"]))
                    for name, criteria in asked
                ]
            )
        finally:
            site.branch.account.join(tuple(names))
        found: dict[str, list[CriterionVerdict]] = {}
        unread = [item.message for item in said if isinstance(item, MalformedReply)]
        for item in said:
            for judged in () if isinstance(item, MalformedReply) else item:
                found.setdefault(judged.criterion, []).append(judged)
        verdict = self._verdict(found, unread)
        shown = {"rule": "rubric", "of": candidate.id, "rubric": self.rubric.name, **verdict.model_dump(mode="json")}
        self.around.note(f"{site.key}.rubric", shown)
        return verdict

    async def _one(
        self, task: Task, criteria: Sequence[Criterion], solution: str, site: Site
    ) -> tuple[CriterionVerdict, ...] | MalformedReply:
        found = await self.judge.judge(task, criteria, solution, site=site)
        if isinstance(found, MalformedReply) or self.options.read == "choice":
            return found
        return await self.judge.weighed(task, criteria, solution, found, site=site)

    def _verdict(self, found: dict[str, list[CriterionVerdict]], unread: Sequence[str]) -> Verdict:
        criteria = self.rubric.judged(found)
        score = self.rubric.score(criteria)
        failed = self.rubric.feedback(criteria)
        details: dict[str, Any] = {"unread": list(unread)} if unread else {}
        vetoed = self.rubric.vetoed(criteria)
        if vetoed:
            details["vetoed"] = list(vetoed)
        known = [[item.score for item in part if item.score is not None] for part in found.values()]
        return Verdict(
            label=self.rubric.label(score),
            score=score,
            reason=failed or ("; ".join(unread) if unread else ""),
            criteria=criteria,
            feedback=failed,
            consistent=all(max(part) - min(part) <= _APART for part in known if part),
            details=details,
        )


@dataclass(frozen=True, kw_only=True)
class GeneratedRubric:
    """Has a rubric written for the task, then judges by it. 1 call a task, or 2, and those of the judge."""

    writer: RubricWriter
    judge: RubricJudge
    options: JudgingOptions
    around: ScorerContext
    name: str = "generated_rubric"

    def calls_for(self, candidate: Candidate) -> int:
        return _generated_calls(self.options).most

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float | None:
        return await (await self.for_task(task, site=site.at("task"))).score(task, candidate, site=site)

    async def for_task(self, task: Task, *, site: Site) -> RubricScorer:
        rubric = await self.writer.write(task, site=site.as_role("rubric_writer"))
        self.around.note(f"{site.key}.written", {"rule": "rubric_written", "rubric": rubric.model_dump(mode="json")})
        return RubricScorer(
            judge=self.judge, rubric=rubric, options=self.options, around=self.around, name="generated_rubric"
        )


def _judge(around: ScorerContext, options: JudgingOptions) -> RubricJudge:
    default = Sampling(temperature=0.7 if options.votes > 1 else 0.0, top_p=1.0, max_tokens=options.max_tokens)
    return RubricJudge(client=around.client("judge"), sampling=around.sampling("judge", default))


def _build(around: ScorerContext, options: RubricOptions) -> RubricScorer:
    return RubricScorer(judge=_judge(around, options), rubric=load_rubric(options.file), options=options, around=around)


def _build_generated(around: ScorerContext, options: JudgingOptions) -> GeneratedRubric:
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=options.max_tokens)
    return GeneratedRubric(
        writer=RubricWriter(client=around.client("rubric_writer"), sampling=around.sampling("rubric_writer", greedy)),
        judge=_judge(around, options),
        options=options,
        around=around,
    )


def _needs(options: JudgingOptions) -> tuple[Capability, ...]:
    return ("logprobs", "prefill") if options.read == "probability" else ()


def _most(options: JudgingOptions, criteria: int) -> int:
    """The most calls of one vote."""
    return 2 * (criteria if options.each else 1) + (criteria if options.read == "probability" else 0)


def _calls(options: RubricOptions) -> ScorerCalls:
    criteria = len(load_rubric(options.file).criteria)
    calls = options.votes * (criteria if options.each else 1)
    more = options.votes * _most(options, criteria) - calls
    return ScorerCalls(attempt=calls, more=more, chain=2 + int(options.read == "probability"))


def _generated_calls(options: JudgingOptions) -> ScorerCalls:
    least = 2 if options.each else 1
    return ScorerCalls(
        attempt=options.votes * least,
        more=options.votes * (_most(options, _MOST_GENERATED) - least),
        chain=2 + int(options.read == "probability"),
        task=2,
        task_depth=2,
        prepares=True,
    )


RUBRIC = ScorerEntry(
    name="rubric",
    kind="outcome",
    summary="weighted criteria of a rubric, reasons first; 1 call an attempt",
    build=_build,
    options=RubricOptions,
    calls=_calls,
    roles=lambda options: {"judge": _needs(options)},
    files=lambda options: rubric_file(options.file),
    reads=lambda options: load_rubric(options.file),
    accept=lambda options: load_rubric(options.file).accept,
)
GENERATED_RUBRIC = ScorerEntry(
    name="generated_rubric",
    kind="outcome",
    summary="as rubric, with criteria written for each task before an attempt is read; 1 call a task and 1 an attempt",
    build=_build_generated,
    options=JudgingOptions,
    calls=_generated_calls,
    roles=lambda options: {"rubric_writer": (), "judge": _needs(options)},
    accept=lambda options: 0.75,
)
