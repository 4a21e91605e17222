"""Constant replies given to a scorer in place of answers: what it makes of them (metrics/null_model.py has the nulls and the
gate)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from phronesis.agents.scorers.pairwise import FIRST, SECOND, Pairwise
from phronesis.agents.scorers.table import ChosenScorer, ScorerContext
from phronesis.bench.dataset import Example
from phronesis.bench.direct_client import DirectClient
from phronesis.bench.metrics.null_model import NULLS, NullReport
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import Sampling
from phronesis.core.errors import ConfigurationError, MalformedReply, ModelError, PhronesisError, ToolError
from phronesis.core.ports import ChatClient
from phronesis.core.result import Candidate
from phronesis.core.settings import Settings
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task
from phronesis.graphs.endpoints import RoleEndpoint
from phronesis.graphs.recipe import ModelSection
from phronesis.tools.answers import answer_space
from phronesis.tools.python_execution import PythonPrograms

ACCEPT = 0.5
"""Score from which an attempt counts as accepted, as in ``scorers test``."""
_NULL = "null"
"""The answer that a null is given beside a real one, for scorers that compare answers."""


@dataclass(frozen=True, slots=True)
class Contest:
    """A question and what a real attempt at it looks like."""

    task: Task
    real: Candidate


def contest_of(example: Example, attempts: Sequence[Candidate] = ()) -> Contest:
    """A question with the first attempt that holds an answer; without one, with the gold answer in a sentence."""
    found = next((item for item in attempts if item.answer is not None and item.text.strip()), None)
    said = f"The answer is \\boxed{{{example.gold}}}."
    real = Candidate(id="real", text=said, answer=example.gold, steps=(said,))
    return Contest(example.task, real if found is None else found.model_copy(update={"id": "real"}))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one null got at one question."""

    alone: bool = False
    """Whether it was judged alone."""
    score: float | None = None
    """Then: its score; None = the reply held no verdict."""
    won: tuple[bool, ...] = ()
    """Against the real attempt: the outcome in each order that was tried."""


class NullCheck:
    """Gives the nulls to one scorer. Calls go to one endpoint, without a run."""

    def __init__(self, scorer: ChosenScorer, settings: Settings, *, section: ModelSection, seed: int = 0) -> None:
        """Raises ConfigurationError for a scorer that makes no call, or reads an attempt's log-probabilities."""
        if scorer.logprobs or scorer.calls.free:
            raise ConfigurationError(
                f"the scorer {scorer.text!r} asks no model for a judgement of a text",
                mend="check one that does: judge, generative, step_judge, pairwise",
            )
        self.scorer = scorer
        self._endpoint = RoleEndpoint(section, settings)
        self._client: ChatClient = DirectClient(self._endpoint, seed=seed)
        self.failures: list[PhronesisError] = []
        """What went wrong in the last check; a call that failed is no judgement."""

    @property
    def model(self) -> str:
        return self._endpoint.model

    def calls(self, questions: int, nulls: Mapping[str, str] = NULLS) -> int:
        """The most model calls that a check makes: each null at each question in both orders; where attempts are judged
        alone, once, and the real attempt once."""
        cost = self.scorer.calls
        if self.scorer.name == "pairwise":
            return questions * len(nulls) * 2
        if self.scorer.kind == "group":
            return questions * len(nulls) * 2 * (cost.task + 2 * cost.most)
        return questions * (len(nulls) * (cost.attempt + cost.step) + cost.most)

    async def run(
        self,
        contests: Sequence[Contest],
        nulls: Mapping[str, str] = NULLS,
        *,
        accept: float = ACCEPT,
        parallel: int = 8,
        hear: Callable[[], None] = lambda: None,
    ) -> list[NullReport]:
        """A report per null. Raises SetupError; a call that fails is put down in ``failures`` and missing in the reports."""
        self.failures = []
        for capabilities in self.scorer.roles.values():
            await self._endpoint.require(capabilities, who=f"the scorer {self.scorer.text!r}")
        room = asyncio.Semaphore(parallel)

        async def question(contest: Contest) -> list[Judgement]:
            async with room:
                found = await self._question(contest, nulls)
            hear()
            return found

        rows = await side_by_side([question(contest) for contest in contests])
        return [_report(name, [row[at] for row in rows], accept) for at, name in enumerate(nulls)]

    async def _question(self, contest: Contest, nulls: Mapping[str, str]) -> list[Judgement]:
        around = self._around(contest.task)
        if self.scorer.kind == "group":
            judge = self.scorer.group(around)
            if isinstance(judge, Pairwise):
                return [await self._both_orders(judge, contest, name, text) for name, text in nulls.items()]
            return [await self._together(around, contest, name, text) for name, text in nulls.items()]
        real = await self._alone(around, contest.task, contest.real, "real")
        found = []
        for name, text in nulls.items():
            judged = await self._alone(around, contest.task, _candidate(text), name)
            if real.score is not None and judged.score is not None:
                judged = replace(judged, won=(judged.score > real.score,))
            found.append(judged)
        return found

    async def _alone(self, around: ScorerContext, task: Task, item: Candidate, name: str) -> Judgement:
        """By its score; where steps are scored, by the lowest."""
        site = _site(task, name)
        try:
            if self.scorer.kind == "outcome":
                return Judgement(alone=True, score=await self.scorer.outcome(around).score(task, item, site=site))
            scores = await self.scorer.step(around).score(task, item, site=site)
            return Judgement(alone=True, score=min(scores, default=None))
        except MalformedReply:
            return Judgement(alone=True)
        except (ModelError, ToolError) as error:
            self.failures.append(error)
            return Judgement()

    async def _both_orders(self, judge: Pairwise, contest: Contest, name: str, text: str) -> Judgement:
        """Whether the null is preferred when it stands first, and when it stands second."""
        won = []
        for label, pair in ((FIRST, (text, contest.real.text)), (SECOND, (contest.real.text, text))):
            request, site = judge.request(contest.task, *pair), _site(contest.task, f"{name}.{label}")
            try:
                found = await self._client.label_probabilities(request, (FIRST, SECOND), site=site)
            except ModelError as error:
                self.failures.append(error)
                continue
            won.append(found.probabilities[label] > 0.5)
        return Judgement(won=tuple(won))

    async def _together(self, around: ScorerContext, contest: Contest, name: str, text: str) -> Judgement:
        """As ``_both_orders``, by the scores that a scorer of several attempts gives in each order."""
        null, won = _candidate(text), []
        for order in ((null, contest.real), (contest.real, null)):
            site = _site(contest.task, f"{name}.{order[0].id}")
            try:
                scores = await self.scorer.group(around).score(contest.task, order, site=site)
            except (ModelError, ToolError) as error:
                self.failures.append(error)
                continue
            found = {item.id: score for item, score in zip(order, scores, strict=True)}
            mine, other = found[null.id], found[contest.real.id]
            if mine is not None and other is not None:
                won.append(mine > other)
        return Judgement(won=tuple(won))

    def _around(self, task: Task) -> ScorerContext:
        def sampling(role: str, default: Sampling) -> Sampling:
            return default

        return ScorerContext(
            client=lambda role: self._client,
            sampling=sampling,
            answers=answer_space(task.answer_format or "text"),
            programs=PythonPrograms(),
        )


def _candidate(text: str) -> Candidate:
    return Candidate(id="null", text=text, answer=_NULL, steps=(text,))


def _site(task: Task, name: str) -> Site:
    return Site(Branch(task.id, Account()), "judge", name)


def _report(name: str, rows: Iterable[Judgement], accept: float) -> NullReport:
    rows = list(rows)
    alone = [row for row in rows if row.alone]
    scores = [row.score for row in alone if row.score is not None]
    both = [row.won for row in rows if len(row.won) == 2]
    return NullReport(
        name=name,
        judged=len(alone),
        accepted=sum(score >= accept for score in scores),
        compared=sum(len(row.won) for row in rows),
        won=sum(sum(row.won) for row in rows),
        pairs=len(both),
        flipped=sum(first != second for first, second in both),
        mean_p=math.fsum(scores) / len(scores) if scores else math.nan,
        unparsed=len(alone) - len(scores),
    )
