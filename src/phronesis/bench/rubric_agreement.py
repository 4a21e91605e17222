"""How far a rubric's criteria agree with labels: which of its questions tells right attempts from wrong ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phronesis.bench.ranking import Interval, auroc, bootstrap
from phronesis.bench.scorer_report import GradedQuestion
from phronesis.core.result import Result

WHOLE = "whole rubric"
Scores = Mapping[str, float | None]
"""By criterion; None = unknown."""
Judged = tuple[Scores, bool]
"""(what a rubric says of an attempt, whether it is right)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionAgreement:
    """One criterion, or the whole rubric. Intervals are percentile bootstraps over questions."""

    criterion: str
    known: float
    """Share of attempts that it says something of."""
    ranks: Interval
    """AUROC over all attempts: the chance that a right one scores above a wrong one, ties half."""
    pairs: int
    """Pairs of a right and a wrong attempt at one question with a score each."""
    prefers_right: float
    """Share of these pairs in which the right one scores higher; NaN without pairs."""
    ties: float
    """Share in which both score the same."""

    def to_json(self) -> dict[str, Any]:
        def plain(value: float) -> float | None:
            return None if value != value else round(value, 4)

        ranks = [plain(self.ranks.value), plain(self.ranks.low), plain(self.ranks.high)]
        return {
            "criterion": self.criterion,
            "known": plain(self.known),
            "auroc": ranks,
            "pairs": self.pairs,
            "prefers_right": plain(self.prefers_right),
            "ties": plain(self.ties),
        }


def judged_attempts(results: Sequence[Result], questions: Sequence[GradedQuestion]) -> list[list[Judged]]:
    """What the rubric said of each attempt, by question, from the decisions of the scoring run; an attempt of which nothing
    was said has no scores."""
    said = {result.task_id: _said(result) for result in results}
    return [
        [
            (said.get(question.id, {}).get(item.id, {}), right)
            for item, right in zip(question.candidates, question.right, strict=True)
        ]
        for question in questions
    ]


def _said(result: Result) -> dict[str, dict[str, float | None]]:
    found: dict[str, dict[str, float | None]] = {}
    for decision in result.decisions:
        if decision.get("rule") == "rubric":
            criteria = {item["criterion"]: item["score"] for item in decision["criteria"]}
            found[str(decision["of"])] = {WHOLE: decision["score"], **criteria}
    return found


def agreement(judged: Sequence[Sequence[Judged]], criterion: str) -> CriterionAgreement:
    """The agreement of one criterion, or of ``WHOLE``."""
    scored = [[(scores.get(criterion), right) for scores, right in question] for question in judged]
    known = [[(score, right) for score, right in question if score is not None] for question in scored]
    total = sum(len(question) for question in scored)
    won = even = pairs = 0
    for question in known:
        for good in (score for score, right in question if right):
            for bad in (score for score, right in question if not right):
                pairs += 1
                won += good > bad
                even += good == bad
    return CriterionAgreement(
        criterion=criterion,
        known=sum(len(question) for question in known) / total if total else float("nan"),
        ranks=bootstrap(known, lambda parts: auroc([pair for part in parts for pair in part])),
        pairs=pairs,
        prefers_right=won / pairs if pairs else float("nan"),
        ties=even / pairs if pairs else float("nan"),
    )
