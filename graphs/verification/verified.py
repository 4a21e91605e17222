"""Verified: any strategy inside a loop that checks its answer and, when that is rejected, lets it try again with feedback.

Paper: Inference-Time Scaling of Verification (DeepVerifier, arXiv 2601.15808), its outer loop; the verifier is whatever
``[verify] strategy`` names.
Roles: those of the strategy and of the verifier.
Cost law (tried calls): calls = I + a V + X + P + F, for I calls of the strategy over all attempts, V verifications of a calls
each, X calls beyond these that verifications needed, P calls that prepare the verifier for the task and F for feedback;
depth = J + Y + F, for the strategy's and the verifications' calls that wait for one another. Where the strategy's law is a
constant, I = A times it, for A attempts.
Stopping: the first accepted answer (``accepted``), ``rounds`` further attempts (``rounds``), an attempt that was told the
same as the one before and says the same, word for word (``repeated``: it is not verified, and neither would be the next), a
limit (``budget:<limit>``: the best so far), nothing came out (``failed``).
Ties: ``fallback = "best_score"`` keeps the attempt with the highest figure, the later one of equals; an attempt whose
verification failed or is unknown counts less than any figure, and one that a person rejects least of all. ``last`` keeps
the last attempt that can be read, as the paper does.
Differs from the paper: the regression guard; an attempt without a readable answer is rejected without a call; an unknown
verdict is no acceptance; a verdict may be asked for twice, and of a person. The first attempt is exactly what the strategy
does by itself.
With ``rounds = 0`` the answer is the strategy's own, with a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from langgraph.graph.state import CompiledStateGraph

from phronesis.agents.scorers.table import ChosenScorer, ScorerCalls, united
from phronesis.core.errors import ModelError, ToolError
from phronesis.core.result import Candidate
from phronesis.core.verdict import Verdict
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import failure_of
from phronesis.graphs.nodes.human_verdict import reviewed
from phronesis.graphs.nodes.inner_run import newest, run_inner
from phronesis.graphs.nodes.refine_loop import Assessment, LoopState, RefineLoop
from phronesis.graphs.nodes.verifying import ReadyVerifier, ready_verifier
from phronesis.graphs.strategy import Knobs, Strategy
from phronesis.graphs.verify_section import VerifySection

K = TypeVar("K", bound=Knobs)
NO_ANSWER = "The attempt gave no answer that could be read."


class State(LoopState, total=False):
    """The loop's state."""

    trajectory: str
    """What was done for the newest attempt."""
    made: tuple[str, ...]
    """Texts of the newest attempt's candidates."""
    others: tuple[Candidate, ...]
    """Readable attempts of the newest round with other answers."""
    advice: tuple[str, ...]
    """Feedback on each rejected attempt, oldest first."""
    verifier: ReadyVerifier | None
    """The verifier, ready for the task."""


@dataclass(frozen=True)
class Nodes:
    """The parts of the loop around one strategy."""

    inner: CompiledStateGraph[Any, Any, Any, Any]
    supersteps: int
    section: VerifySection
    chosen: ChosenScorer

    async def solve(self, state: State, ctx: RunContext) -> State:
        """One attempt of the strategy. Its calls."""
        told = newest(state.get("advice", ()), self.section.feedback_window)
        number = state["round"] - 1
        made = await run_inner(ctx, self.inner, supersteps=self.supersteps, attempt=number, feedback=told)
        readable = {item.answer: item for item in reversed(made.candidates) if item.answer is not None}
        answer = None if made.chosen is None else made.chosen.answer
        return {
            "candidates": (*state["candidates"], *made.candidates),
            "newest": None if made.chosen is None else made.chosen.id,
            "trajectory": made.trajectory,
            "made": tuple(item.text for item in made.candidates),
            "others": tuple(item for item in reversed(readable.values()) if item.answer != answer),
        }

    def repeats(self, before: State, made: Mapping[str, Any]) -> bool:
        """Whether the attempt was told the same as the one before and says the same, word for word. One that was lost, or
        whose verification failed, is worth another."""
        last = before["verdicts"][-1].verdict
        if not any(made["made"]) or (last is not None and "failed" in last.details):
            return False
        advice, window = before.get("advice", ()), self.section.feedback_window
        told, earlier = newest(advice, window), newest(advice[:-1], window)
        return told == earlier and all(made[part] == before.get(part) for part in ("trajectory", "made"))

    async def assess(self, state: State, ctx: RunContext) -> Assessment:
        """The verdict on the newest attempt; a verifier that fails could not tell. Raises BudgetExhausted, and AwaitingAnswer
        where a person is asked."""
        number, id = state["round"] - 1, state.get("newest")
        attempt = next((item for item in state["candidates"] if item.id == id), None)
        if attempt is None:
            if ctx.root.account.denied is not None:
                raise ctx.root.account.deny(ctx.root.account.denied)
            return Assessment("continue", "", float("-inf"), NO_ANSWER, NO_ANSWER)
        branch = ctx.root.at(f"verify{number}")
        read = attempt.model_copy(update={"text": state["trajectory"] or attempt.text})
        ready = state.get("verifier")
        try:
            ready = ready or await ready_verifier(ctx, self.chosen, accept=self.section.accept, branch=branch)
            verdict = await ready.verdict(ctx, read, state["others"], branch=branch)
            if self.section.reject_twice and verdict.label == "reject":
                again = await ready.verdict(ctx, read, state["others"], branch=branch.at("again"))
                verdict = again if again.label != "reject" else _agreeing(verdict, again)
        except (ModelError, ToolError) as error:
            ctx.report(failure_of(error, f"{branch.path} {self.chosen.name}"))
            verdict = Verdict(label="unknown", reason=error.message, details={"failed": type(error).__name__})
        verdict = await reviewed(ctx, verdict, read, asks=self.section.ask, branch=branch)
        shown = {"rule": "verdict", "of": attempt.id, "answer": attempt.answer, **verdict.model_dump(mode="json")}
        ctx.note("decision", f"verdict{number}", shown)
        return Assessment(
            "accept" if verdict.label == "accept" else "continue",
            attempt.id,
            _worth(verdict),
            verdict.reason,
            verdict=verdict,
            leaves={"verifier": ready},
        )

    async def feedback(self, state: State, ctx: RunContext, assessment: Assessment) -> State:
        """What the next attempt is told. At most the verifier's calls for advice. Raises ModelError, BudgetExhausted."""
        if not self.section.feedback:
            return {}
        told = await self._told(state, ctx, assessment)
        if told:
            number = state["round"] - 1
            ctx.note("decision", f"feedback{number}", {"rule": "feedback", "attempt": number, "text": told})
        return {"advice": (*state.get("advice", ()), told)}

    async def _told(self, state: State, ctx: RunContext, assessment: Assessment) -> str:
        number, verdict, ready = state["round"] - 1, assessment.verdict, state.get("verifier")
        attempt = next((item for item in state["candidates"] if item.id == assessment.of), None)
        if verdict is None or ready is None or attempt is None or verdict.label == "unknown":
            return assessment.advice if verdict is None else verdict.feedback
        read = attempt.model_copy(update={"text": state["trajectory"] or attempt.text})
        return await ready.advice(ctx, read, verdict, branch=ctx.root.at(f"verify{number}"))


def _worth(verdict: Verdict) -> float:
    """What the best so far is chosen by: the figure; below every figure what could not be told, and lowest of all what a
    person rejects."""
    if verdict.label == "reject" and "person" in verdict.details:
        return float("-inf")
    if verdict.label != "accept" and (verdict.score is None or verdict.label == "unknown"):
        return -1.0
    return verdict.score or 0.0


def _agreeing(first: Verdict, second: Verdict) -> Verdict:
    """Two rejections as one: the second, with the mean figure of both."""
    scores = [item.score for item in (first, second) if item.score is not None]
    return second.model_copy(update={"score": sum(scores) / len(scores) if scores else None})


def _loop(inner: Strategy[K], knobs: K, section: VerifySection, chosen: ChosenScorer) -> RefineLoop[State]:
    nodes = Nodes(inner.build(knobs), inner.supersteps(knobs), section, chosen)
    return RefineLoop(
        state=State,
        solve=nodes.solve,
        assess=nodes.assess,
        feedback=nodes.feedback,
        repeats=nodes.repeats,
        rounds=section.rounds + 1,
        keep="last" if section.fallback == "last" else "best",
        ties="later",
    )


def composed(inner: CostLaw, verification: ScorerCalls, section: VerifySection) -> CostLaw:
    """The law of attempts under the inner law, each verified, each but the last given feedback."""
    rounds = section.rounds
    attempts, twice = rounds + 1, 1 + int(section.reject_twice)
    constants: dict[str, int] = {}
    seen: dict[str, Observable] = {"A": Observable("attempts: the first and those after a rejection", 1, attempts)}
    calls, depth = _repeated(inner, attempts, seen, constants)
    sequence = max(1, verification.chain) if verification.attempt + verification.more else 0
    steps = verification.step * verification.most_steps
    if verification.attempt:
        constants["a"] = verification.attempt
        seen["V"] = Observable("verifications", 0, attempts * twice)
        calls += " + a*V"
    group = 0 if verification.prepares else verification.task
    if verification.more or steps or group:
        what = "further calls of the verifier: checks, steps, replies asked for again"
        seen["X"] = Observable(what, 0, attempts * twice * (verification.more + steps + group))
        calls += " + X"
    if verification.prepares:
        seen["P"] = Observable("calls that prepare the verifier for the task", 0, verification.task)
        calls += " + P"
    longest = max(sequence, steps, 0 if verification.prepares else verification.task_depth)
    prepared = verification.task_depth if verification.prepares else 0
    if longest or prepared:
        seen["Y"] = Observable(
            "calls of the verifier that wait for one another", 0, attempts * twice * longest + prepared
        )
        depth += " + Y"
    if verification.advice and section.feedback and rounds:
        seen["F"] = Observable("calls for feedback on a rejected attempt", 0, rounds * verification.advice)
        calls, depth = f"{calls} + F", f"{depth} + F"
    used = {name: item for name, item in seen.items() if name in _names(calls) | _names(depth)}
    return CostLaw(calls=calls, depth=depth, constants=constants, observables=used)


def _repeated(inner: CostLaw, attempts: int, seen: dict[str, Observable], constants: dict[str, int]) -> tuple[str, str]:
    """Calls and depth of the strategy over all attempts."""
    if not inner.observables:
        constants |= {"s": inner.calls_at(), "d": inner.depth_at()}
        return "s*A", "d*A"
    (least, low), (most, high) = inner.least, inner.most
    seen["I"] = Observable(f"calls of the strategy over all attempts, {inner.calls} each", least, attempts * most)
    seen["J"] = Observable(f"depth of the strategy over all attempts, {inner.depth} each", low, attempts * high)
    return "I", "J"


def _names(formula: str) -> set[str]:
    return set(formula.replace("*", " ").split())


def verified(inner: Strategy[K], section: VerifySection) -> Strategy[K]:
    """The strategy under ``[verify]``; the same knobs. Without a verifier it is the strategy itself."""
    chosen = section.chosen
    if chosen is None:
        return inner
    return replace(
        inner,
        name=f"{inner.name}+{chosen.name}",
        summary=f"{inner.summary}; checked by {chosen.name}",
        build=lambda knobs: _loop(inner, knobs, section, chosen).compiled(),
        cost=lambda knobs: composed(inner.cost(knobs), chosen.calls, section),
        supersteps=lambda knobs: _loop(inner, knobs, section, chosen).supersteps,
        needs=lambda knobs: united((inner.needs(knobs), chosen.roles)),
        verifies=True,
        scorers=lambda knobs: (*inner.scorers(knobs), chosen.text),
    )
