"""The loop that refining strategies share: solve, assess, feed back, solve again; the best so far is kept at every moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from phronesis.core.errors import BudgetExhausted, ModelError
from phronesis.core.verdict import Verdict
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import failure_of, stop_reason
from phronesis.graphs.state import Outcome

REPEATED = "It says the same as the attempt before."
Decision = Literal["accept", "continue", "pivot"]
"""``continue``: go on along the same line; ``pivot``: give it up and begin another one."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What an assessment says of an attempt."""

    decision: Decision
    of: str
    """Id of the candidate."""
    score: float = 0.0
    """The best so far is the one with the highest; ``RefineLoop.ties`` decides among equals."""
    reason: str = ""
    advice: str = ""
    """What the next attempt may be told; for ``feedback``."""
    verdict: Verdict | None = None
    """All that the verifier said, where there is one."""
    leaves: Mapping[str, Any] = field(default_factory=dict)
    """What the assessment leaves in the loop's state."""


class LoopState(Outcome, total=False):
    """What every loop keeps; strategies add their own fields."""

    round: int
    """Attempts begun."""
    newest: str | None
    """Id of the candidate the last attempt brought; None = it brought none."""
    verdicts: tuple[Assessment, ...]
    """Oldest first."""
    go: str
    """Where the loop goes."""


S = TypeVar("S", bound=LoopState)


@dataclass(frozen=True, kw_only=True)
class RefineLoop(Generic[S]):
    """The parts of a loop. A part may raise BudgetExhausted, which ends the loop with the best so far.

    An assessment that fails with ModelError is reported and counts as ``continue`` with the lowest score; a feedback that
    fails is reported, and the next attempt is made without it."""

    state: type[S]
    solve: Callable[[S, RunContext], Awaitable[Mapping[str, Any]]]
    """One attempt: sets ``candidates`` and ``newest``, and whatever else it leaves behind."""
    assess: Callable[[S, RunContext], Awaitable[Assessment]]
    """What the newest attempt is worth."""
    feedback: Callable[[S, RunContext, Assessment], Awaitable[Mapping[str, Any]]]
    """What the next attempt gets to know; called between two attempts only."""
    rounds: int
    """Most attempts."""
    keep: Literal["best", "last"] = "best"
    """Whose answer is the loop's where none is accepted: ``best`` is the regression guard; ``last`` as methods that trust
    their last attempt do."""
    ties: Literal["earlier", "later"] = "earlier"
    """Which of equally scored attempts is the best so far."""
    ends: Callable[[Assessment], bool] = lambda verdict: verdict.decision == "accept"
    finish: Callable[[S, RunContext], Awaitable[Mapping[str, Any]]] | None = None
    """A last choice among what was found; without one the kept answer stands."""
    repeats: Callable[[S, Mapping[str, Any]], bool] = lambda before, made: False
    """Whether an attempt (what ``solve`` made of the state before it) says the same as the one before, made from the same
    words: it ends the loop as ``repeated``, unassessed, for so would the next."""
    accepted: str = "accepted"
    """Stop reason of an accepted attempt; that of the last round is ``rounds``."""

    def compiled(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """START -> solve -> assess -> feedback -> solve ... -> finish -> END."""
        graph = StateGraph(self.state, context_schema=RunContext)
        ending = "finish" if self.finish else END

        def route(state: LoopState) -> str:
            return ending if state["go"] == "end" else state["go"]

        # LangGraph reads the context's type from the annotations of plain functions.
        async def solve(state: LoopState, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
            return await self._solve(state, runtime.context)

        async def assess(state: LoopState, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
            return await self._assess(state, runtime.context)

        async def feedback(state: LoopState, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
            return await self._feedback(state, runtime.context)

        graph.add_node("solve", solve, input_schema=self.state)
        graph.add_node("assess", assess, input_schema=self.state)
        graph.add_node("feedback", feedback, input_schema=self.state)
        graph.add_edge(START, "solve")
        graph.add_conditional_edges("solve", route, ["assess", ending])
        graph.add_conditional_edges("assess", route, ["feedback", ending])
        graph.add_conditional_edges("feedback", route, ["solve", ending])
        if self.finish:

            async def finish(state: LoopState, runtime: Runtime[RunContext]) -> Mapping[str, Any]:
                return await self._finish(state, runtime.context)

            graph.add_node("finish", finish, input_schema=self.state)
            graph.add_edge("finish", END)
        return graph.compile()

    @property
    def supersteps(self) -> int:
        """Most LangGraph super-steps."""
        return 3 * self.rounds + 4

    async def _solve(self, state: Any, ctx: RunContext) -> Mapping[str, Any]:
        done = state.get("round", 0)
        begun: dict[str, Any] = {"round": done + 1, "verdicts": state.get("verdicts", ()), "newest": None}
        if not done:
            begun |= {"answer": None, "chosen": None}
        before: Any = {**state, **begun}
        try:
            made = await self.solve(before, ctx)
        except BudgetExhausted:
            return {**begun, **self._end(before, ctx, "rounds")}
        after = {**begun, **made}
        if done and self.repeats(before, made):
            shown = {"rule": "assessment", "round": done + 1, "decision": "repeated", "of": made["newest"] or ""}
            ctx.note("decision", f"assessment{done + 1}", {**shown, "reason": REPEATED})
            kept = self._kept({**before, **made}, begun["verdicts"])
            return {**after, **kept, **self._end({**before, **made}, ctx, "repeated")}
        return {**after, "go": "assess", "stop": "rounds", **self._kept({**before, **made}, begun["verdicts"])}

    async def _assess(self, state: Any, ctx: RunContext) -> Mapping[str, Any]:
        number = state["round"]
        try:
            verdict = await self.assess(state, ctx)
        except BudgetExhausted:
            return self._end(state, ctx, "rounds")
        except ModelError as error:
            ctx.report(failure_of(error, f"r{number} assessment"))
            verdict = Assessment("continue", state.get("newest") or "", float("-inf"), error.message)
        verdicts = (*state["verdicts"], verdict)
        parts = ("decision", "of", "score", "reason", "advice")
        shown = {name: value for name in parts if (value := getattr(verdict, name)) not in (float("-inf"), None)}
        if not verdict.advice:
            del shown["advice"]
        ctx.note("decision", f"assessment{number}", {"rule": "assessment", "round": number, **shown})
        found: dict[str, Any] = {**verdict.leaves, "verdicts": verdicts, **self._kept(state, verdicts)}
        if self.ends(verdict):
            accepted = self._kept(state, (verdict,))
            return {**found, **accepted, **self._end(state, ctx, self.accepted)}
        if number >= self.rounds:
            return {**found, **self._end(state, ctx, "rounds")}
        return {**found, "go": "feedback", "stop": "rounds"}

    async def _feedback(self, state: Any, ctx: RunContext) -> Mapping[str, Any]:
        try:
            return {**await self.feedback(state, ctx, state["verdicts"][-1]), "go": "solve"}
        except BudgetExhausted:
            return self._end(state, ctx, "rounds")
        except ModelError as error:
            ctx.report(failure_of(error, f"r{state['round']} feedback"))
            return {"go": "solve"}

    async def _finish(self, state: Any, ctx: RunContext) -> Mapping[str, Any]:
        assert self.finish is not None
        try:
            return await self.finish(state, ctx)
        except BudgetExhausted:
            return {"stop": stop_reason(ctx, state["candidates"], state["stop"])}
        except ModelError as error:
            ctx.report(failure_of(error, "choice at the end"))
            return {}

    def _kept(self, state: Any, verdicts: tuple[Assessment, ...]) -> dict[str, Any]:
        """Answer and candidate as they stand: by the verdicts, or the newest one that can be read."""
        readable = {item.id: item for item in state.get("candidates", ()) if item.answer is not None}
        newest = readable.get(state.get("newest") or "")
        if self.keep == "last":
            chosen = newest
        else:
            judged = [verdict for verdict in verdicts if verdict.of in readable]
            ordered = judged if self.ties == "earlier" else judged[::-1]
            best = max(ordered, key=lambda verdict: verdict.score) if ordered else None
            chosen = readable[best.of] if best is not None else newest
        return {} if chosen is None else {"answer": chosen.answer, "chosen": chosen.id}

    def _end(self, state: Any, ctx: RunContext, reason: str) -> dict[str, Any]:
        return {"go": "end", "stop": stop_reason(ctx, state.get("candidates", ()), reason)}
