"""DeepVerifier: an attempt is summed up, held against known failures, and checked by a few questions; a judge scores it.

Source: Inference-Time Scaling of Verification (DeepVerifier, arXiv 2601.15808): decomposition in three prompts, checks by an
assistant that has seen nothing of the attempt, an explanation and a score of 1 to 4, accepted from 3 on, and feedback with at
most three instructions. ``decide`` says by what an attempt is accepted: ``score`` is the paper's; ``expectation`` takes the
mean of the four digits' probabilities, accepted from 2.5 on; ``checks`` (ours) takes the share of checks that say yes and
accepts when none of them says no; ``rubric`` has the taxonomy's dimensions judged instead, each with its four levels.
A reply that cannot be read twice makes the verdict unknown, and so does an acceptance where questions were asked and none
could be answered: it would rest on nothing but the judge's opinion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from phronesis.agents.scorers.table import ScorerCalls, ScorerContext, ScorerEntry, ScorerOptions
from phronesis.agents.verification.checking import Channel, Check, CheckAnswer, Checker, checker, checker_calls
from phronesis.agents.verification.decomposition import Decomposer, Finding, Questions, Synopsis, read_synopsis
from phronesis.agents.verification.deep_feedback import FeedbackWriter
from phronesis.agents.verification.deep_judge import DeepJudge, shown_checks
from phronesis.agents.verification.rubric_files import derived
from phronesis.agents.verification.rubric_judge import RubricJudge
from phronesis.agents.verification.taxonomy import load_taxonomy, taxonomy_file
from phronesis.core.chat import Sampling
from phronesis.core.errors import MalformedReply
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task
from phronesis.core.verdict import Verdict, labelled

Decide = Literal["score", "expectation", "checks", "rubric"]


class DeepVerifierOptions(ScorerOptions):
    """What can be set."""

    taxonomy: str = "deep_research"
    """Known failures: a shipped taxonomy, or a TOML file."""
    whole: int = Field(default=0, ge=0)
    """Longest attempt, in characters, that is taken as it stands; a longer one is summed up by a call, as the paper does with
    all (0). Small models lose the work when they sum it up."""
    max_checks: int = Field(default=3, ge=0, le=8)
    """Most questions. The paper's: 3."""
    questions: Questions = "write"
    """Whether the questions are written, as in the paper, or claims are picked by number (ours)."""
    checker: Channel = "auto"
    """What answers them: an ``agent`` over the recipe's tools, a ``search`` in its documents, a ``program`` that is really
    run, or the ``model`` alone; ``auto`` takes the first that the recipe has."""
    steps: int = Field(default=4, ge=1)
    """Most turns of an agent for one question."""
    decide: Decide = "score"
    """What an attempt is accepted by."""
    accept: int = Field(default=3, ge=1, le=4)
    """Lowest score that is accepted. The paper's: 3."""
    parallel: bool = False
    """Whether the questions are answered side by side; the paper does one after another."""
    suggest: bool = True
    """Whether feedback may state an answer that the checks already show, as in the paper; a wrong one anchors the solver.
    Without, no number that neither the task nor the attempt has reaches the next attempt."""
    max_tokens: int = Field(default=500, ge=16)
    """Longest reply of a role."""

    @property
    def least(self) -> float:
        """Lowest accepted figure."""
        if self.decide == "rubric":
            return derived(load_taxonomy(self.taxonomy)).accept
        return {"score": (self.accept - 1) / 3, "expectation": (self.accept - 1.5) / 3, "checks": 1.0}[self.decide]


@dataclass(frozen=True, kw_only=True)
class DeepVerifier:
    """At most three calls for the decomposition, those of the checks, and the judge's; each JSON reply may be asked for
    twice. Known failures are looked for only where a call asks the questions: nobody else reads what is found."""

    decomposer: Decomposer
    checker: Checker
    judge: DeepJudge
    writer: FeedbackWriter
    options: DeepVerifierOptions
    around: ScorerContext
    name: str = "deep_verifier"

    def calls_for(self, candidate: Candidate) -> int:
        return _calls(self.options).most

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float | None:
        return (await self.verify(task, candidate, site=site)).score

    async def verify(self, task: Task, candidate: Candidate, *, site: Site) -> Verdict:
        answer = candidate.answer if candidate.answer is not None else "(none)"
        done: dict[str, Any] = {}
        try:
            verdict = await self._verify(task, candidate.text, answer, done, site)
        except MalformedReply as error:
            verdict = Verdict(label="unknown", reason=error.message, details=done)
        shown = {"rule": "deep_verifier", "of": candidate.id, **verdict.model_dump(mode="json")}
        self.around.note(f"{site.key}.verification", shown)
        return verdict

    async def _verify(self, task: Task, trajectory: str, answer: str, done: dict[str, Any], site: Site) -> Verdict:
        place = site.as_role("decomposer")
        if len(trajectory.strip()) <= self.options.whole:
            synopsis = read_synopsis(trajectory)
        else:
            synopsis = await self.decomposer.summarise(task, trajectory, site=place.at("synopsis"))
        done["synopsis"] = synopsis.text
        most = self.options.max_checks
        findings: tuple[Finding, ...] = ()
        checks: tuple[Check, ...] = ()
        if self.decomposer.asks(task, answer, synopsis, most=most):
            findings = await self.decomposer.flag(task, synopsis, site=place.at("flag"))
        done["findings"] = [item.model_dump() for item in findings]
        if most:
            checks = await self.decomposer.question(task, answer, synopsis, findings, most=most, site=place.at("ask"))
        said = await self._checked(task, checks, site)
        done["checks"] = [{**check.model_dump(), **answer.model_dump()} for check, answer in said]
        if self.options.decide == "checks":
            return self._by_checks(said, done)
        if self.options.decide == "rubric":
            return _resting(await self._by_rubric(task, answer, synopsis, said, done, site), said)
        return _resting(await self._judged(task, answer, synopsis, said, done, site), said)

    async def _checked(self, task: Task, checks: Sequence[Check], site: Site) -> tuple[tuple[Check, CheckAnswer], ...]:
        place = site.as_role("checker")
        if not self.options.parallel:
            one_by_one = [
                await self.checker.check(task, check, site=place.at(f"q{index}")) for index, check in enumerate(checks)
            ]
            return tuple(zip(checks, one_by_one, strict=True))
        names = {f"{site.key}.q{index}": self.checker.most_calls for index in range(len(checks))}
        accounts = site.branch.account.split(names)
        try:
            answers = await side_by_side(
                [
                    self.checker.check(task, check, site=place.at(f"q{index}").paid_by(accounts[name]))
                    for (index, check), name in zip(enumerate(checks), names, strict=True)
                ]
            )
        finally:
            site.branch.account.join(tuple(names))
        return tuple(zip(checks, answers, strict=True))

    def _by_checks(self, said: Sequence[tuple[Check, CheckAnswer]], done: dict[str, Any]) -> Verdict:
        known = [answer for _, answer in said if answer.answer != "unknown"]
        share = sum(answer.answer == "yes" for answer in known) / len(known) if known else None
        told, word = ("no", "No") if known else ("unknown", "Could not be told")
        against = [f"{check.question} {word}: {answer.explanation}" for check, answer in said if answer.answer == told]
        return Verdict(label=labelled(share, self.options.least), score=share, reason="; ".join(against), details=done)

    async def _by_rubric(
        self,
        task: Task,
        answer: str,
        synopsis: Synopsis,
        said: Sequence[tuple[Check, CheckAnswer]],
        done: dict[str, Any],
        site: Site,
    ) -> Verdict:
        """Summary, answer and checks judged in the place of the attempt."""
        rubric = derived(self.decomposer.taxonomy)
        judge = RubricJudge(client=self.judge.client, sampling=self.judge.sampling)
        shown = f"Answer: {answer}\n\nSummary of the work:\n{synopsis.text}\n\nChecks:\n{shown_checks(said)}"
        found = await judge.judge(task, rubric.criteria, shown, site=site.as_role("judge"))
        if isinstance(found, MalformedReply):
            raise found
        figure, vetoed = rubric.score(found), rubric.vetoed(found)
        details = {**done, "vetoed": list(vetoed)} if vetoed else done
        return Verdict(
            label=rubric.label(figure), score=figure, reason=rubric.feedback(found), criteria=found, details=details
        )

    async def _judged(
        self,
        task: Task,
        answer: str,
        synopsis: Synopsis,
        said: Sequence[tuple[Check, CheckAnswer]],
        done: dict[str, Any],
        site: Site,
    ) -> Verdict:
        place = site.as_role("judge")
        if self.options.decide == "expectation":
            found, reason = await self.judge.expect(task, answer, synopsis, said, site=place)
        else:
            judged = await self.judge.judge(task, answer, synopsis, said, site=place)
            found, reason = float(judged.score), judged.explanation
        done["score"] = round(found, 4)
        figure = (found - 1) / 3
        return Verdict(label=labelled(figure, self.options.least), score=figure, reason=reason, details=done)

    async def advise(self, task: Task, candidate: Candidate, verdict: Verdict, *, site: Site) -> str:
        """Reflection and instructions, from what the verdict found out. 1 call, or 2."""
        said = [
            (Check.model_validate(_part(item, Check)), CheckAnswer.model_validate(_part(item, CheckAnswer)))
            for item in verdict.details.get("checks", ())
        ]
        synopsis = str(verdict.details.get("synopsis", ""))
        answer = candidate.answer or "(none)"
        return await self.writer.write(task, answer, synopsis, said, site=site.as_role("advisor"))


def _resting(verdict: Verdict, said: Sequence[tuple[Check, CheckAnswer]]) -> Verdict:
    """The verdict; unknown in the place of an acceptance that no check stands behind, though some were asked for."""
    if verdict.label != "accept" or not said or any(answer.answer != "unknown" for _, answer in said):
        return verdict
    reason = f"none of the {len(said)} check(s) could be answered. {verdict.reason}".strip()
    return verdict.model_copy(update={"label": "unknown", "reason": reason})


def _part(item: dict[str, Any], of: type[Check] | type[CheckAnswer]) -> dict[str, Any]:
    return {name: item[name] for name in of.model_fields if name in item}


def _calls(options: DeepVerifierOptions) -> ScorerCalls:
    most, chain = checker_calls(options.checker, steps=options.steps)
    written, picked = (int(options.max_checks > 0 and options.questions == way) for way in ("write", "pick"))
    judged = {"score": 1, "expectation": 2, "checks": 0, "rubric": 1}[options.decide]
    summed = int(options.whole > 0)
    always = 1 - summed + 2 * written + judged
    again = summed + 2 * written + 4 * picked + int(options.decide in ("score", "rubric"))
    checks = options.max_checks * most
    together = chain if options.parallel and options.max_checks else options.max_checks * chain
    return ScorerCalls(attempt=always, more=again + checks, chain=always + again + together, advice=2)


def _build(around: ScorerContext, options: DeepVerifierOptions) -> DeepVerifier:
    greedy = Sampling(temperature=0.0, top_p=1.0, max_tokens=options.max_tokens)
    return DeepVerifier(
        decomposer=Decomposer(
            client=around.client("decomposer"),
            sampling=around.sampling("decomposer", greedy),
            taxonomy=load_taxonomy(options.taxonomy),
            questions=options.questions,
        ),
        checker=checker(around, options.checker, steps=options.steps, max_tokens=options.max_tokens),
        judge=DeepJudge(client=around.client("judge"), sampling=around.sampling("judge", greedy)),
        writer=FeedbackWriter(
            client=around.client("advisor"), sampling=around.sampling("advisor", greedy), suggest=options.suggest
        ),
        options=options,
        around=around,
    )


ENTRY = ScorerEntry(
    name="deep_verifier",
    kind="outcome",
    summary="summed up, held against known failures, checked by up to 3 questions, judged; at most 4 calls and the checks'",
    build=_build,
    options=DeepVerifierOptions,
    calls=_calls,
    roles=lambda options: {
        "decomposer": (),
        "checker": (),
        "judge": ("logprobs", "prefill") if options.decide == "expectation" else (),
        "advisor": (),
    },
    files=lambda options: taxonomy_file(options.taxonomy),
    reads=lambda options: load_taxonomy(options.taxonomy),
    tools=lambda options: options.checker in ("auto", "agent"),
    accept=lambda options: options.least,
)
