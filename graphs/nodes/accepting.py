"""After a strategy: whether its answer is accepted, which decides what may be learned and how the recalled concepts did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.agents.scorers.table import ChosenScorer, choose_scorer
from phronesis.core.result import Candidate, MemoryRecall
from phronesis.graphs.context import RunContext
from phronesis.graphs.memory_section import MemorySection
from phronesis.graphs.nodes.inner_run import round_of
from phronesis.graphs.nodes.scoring import own_words, rate, recited, scorer_context
from phronesis.graphs.policies.acceptance import GATE_VERSION, Acceptance, accept, agreement, contradicted

NO_ANSWER = Acceptance(False, "there is no answer")
REJECTED = Acceptance(False, "the verifier of the run rejects the answer")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A run's answer, weighed without any gold answer."""

    acceptance: Acceptance
    chosen: Candidate | None = None
    """The attempt the answer is taken from."""
    others: tuple[Candidate, ...] = ()
    """Readable attempts with another answer, the best first: by reward, then by how many share the answer, then as drawn."""
    score: float | None = None
    """The verifier's figure for the chosen attempt; None = it was not asked or could not tell."""
    verifier: str = ""
    """What gave the verdict, with the version of the rules: ``agreement+arithmetic/1``."""
    no_failure: str = "there is no answer"
    """Why a rejected answer is no failure to learn from; empty = a test contradicts it."""


async def judge_run(
    ctx: RunContext,
    candidates: Sequence[Candidate],
    chosen: str | None,
    section: MemorySection,
    recalled: Sequence[MemoryRecall] = (),
) -> Judged:
    """Whether the run's answer is accepted: agreement of the attempts, each in its latest version, and the verifier. Under
    ``[verify]`` the attempts of the answer's own round vote, and what that verifier, or a person, rejects is not accepted.

    The verifier is asked only where its figure decides something. Its calls are booked under ``memory/gate``, at most
    those of ``learning_cost``; when it fails, the answer is not accepted and the failure is reported. What an attempt
    recites of the memory's section is left out of what the verifier reads."""
    latest = {candidate.id.split(".")[0]: candidate for candidate in candidates if candidate.status != "failed"}
    drawn = [candidate for candidate in latest.values() if candidate.answer is not None]
    winner = next((candidate for candidate in candidates if candidate.id == chosen), None)
    if winner is None or winner.answer is None:
        return _noted(ctx, Judged(acceptance=NO_ANSWER))
    if _rejected(ctx, winner):
        return _noted(
            ctx, Judged(acceptance=REJECTED, no_failure="only a verifier that runs something can show a failure")
        )
    scorer = choose_scorer(section.verifier)
    others = [item for item in drawn if not ctx.answers.equal(item.answer or "", winner.answer)]
    drawn = [item for item in drawn if round_of(item.id) == round_of(winner.id)]
    agreeing = [item for item in drawn if ctx.answers.equal(item.answer or "", winner.answer)]
    votes = {"votes": len(drawn), "agreeing": len(agreeing), "test": scorer.test, "consensus": section.consensus}
    lacking = agreement(**votes)  # type: ignore[arg-type]  # each value has its own type
    wanted = not lacking or (section.failures and scorer.test)
    quoted = quotations(ctx, recalled)
    score = await _verified(ctx, scorer, winner, drawn, quoted) if wanted else None
    acceptance = accept(
        **votes,  # type: ignore[arg-type]  # as above
        score=score,
        verifier="checker" if scorer.name == "arithmetic" else f"verifier {scorer.text}",
        least_score=section.least_score,
    )
    agreed = "agreement+" if len(drawn) > 1 else ""
    judged = Judged(
        acceptance=acceptance,
        chosen=winner,
        others=_ranked(others),
        score=score,
        verifier=f"{agreed}{scorer.text}/{GATE_VERSION}",
        no_failure=contradicted(score=score, test=scorer.test, least_score=section.least_score),
    )
    return _noted(ctx, judged)


def _rejected(ctx: RunContext, winner: Candidate) -> bool:
    """Whether the last verdict of ``[verify]`` on the answer is a rejection."""
    verdicts = [item for item in ctx.reports.decisions if item.get("rule") == "verdict" and item["of"] == winner.id]
    return bool(verdicts) and verdicts[-1]["label"] == "reject"


def _noted(ctx: RunContext, judged: Judged) -> Judged:
    said = {"rule": "acceptance", "accepted": judged.acceptance.accepted, "reason": judged.acceptance.reason}
    ctx.note("decision", "accept", {**said, "verifier": judged.verifier, "score": judged.score})
    return judged


async def _verified(
    ctx: RunContext, scorer: ChosenScorer, winner: Candidate, drawn: Sequence[Candidate], quoted: Sequence[str]
) -> float | None:
    """The verifier's figure for the winner. One of attempts together is shown all that were drawn."""
    asked = [winner] if scorer.kind != "group" else [winner, *(item for item in drawn if item.id != winner.id)]
    rated, *_ = await rate(
        ctx, [_own_words(item, quoted) for item in asked], scorer, branch=ctx.root.at("memory").at("gate")
    )
    if scorer.kind == "step":
        silent = getattr(scorer.step(scorer_context(ctx)), "silent", None)
        if all(score == silent for score in rated.step_scores):
            # A checker that found nothing to check has no figure.
            return None
    return rated.reward


def _own_words(candidate: Candidate, quoted: Sequence[str]) -> Candidate:
    """The attempt as the verifier sees it: without quotations, and without the figures of the strategy's own scorers,
    which must not be taken for the verifier's when that fails."""
    own = own_words(candidate, quoted)
    return own.model_copy(update={"outcome": None, "step_scores": (), "reward": None})


def quotations(ctx: RunContext, recalled: Sequence[MemoryRecall]) -> list[str]:
    """What stood in a prompt out of the memory, on retries too: line by line, the bare texts, and each clause of these."""
    shown = [item for item in recalled if item.rendered]
    return recited(ctx, *(item.text for item in shown), *(item.situation for item in shown))


def _ranked(others: Sequence[Candidate]) -> tuple[Candidate, ...]:
    shared = Counter(item.answer for item in others)
    worth = float("-inf")
    return tuple(
        sorted(others, key=lambda item: (-(worth if item.reward is None else item.reward), -shared[item.answer]))
    )
