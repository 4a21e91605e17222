"""Early-stop vote: attempts in batches until the votes make it unlikely that more of them would change the winner.

Papers: Aggarwal, Madaan, Yang, Mausam 2023, Let's Sample Step by Step: Adaptive-Consistency (arXiv 2305.11860), rule
``beta``; Li et al. 2024, Early-Stopping Self-Consistency (arXiv 2401.10480), rule ``window``; rule ``share`` doubles
the attempts (first, 2 first, 4 first ...) until one answer has that share.
Roles: solver.
Cost law: calls = min(m, f + b (B - 1)), depth = B for B batches; with ``share`` calls = A, the attempts drawn.
Stopping: the rule is met (``sure``), ``most`` attempts are drawn (``most``), a limit (``budget:<limit>``), ``failed``.
Ties: the answer that was seen first. Unreadable attempts do not vote. Batches decide, never the order of arrival within
one.

What 0.95 promises: among all questions at which ``beta`` stops, and if the share of the leader between the two leading
answers were spread evenly beforehand, the leader is the model's more frequent answer in at least 95 of 100. What it
does not: that the answer is right; that this single question is among the 95 (after 4 equal votes the posterior is 0.97
whatever the question); that a question with two nearly equally frequent answers errs no more often than that: there,
looking again and again errs more (docs/sampling.md has the figures).
Differs from the paper: batches instead of one attempt at a time (``first = 1``, ``batch = 1`` is the paper's); the beta
function is computed exactly.
At first = most it is self_consistency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field, ValidationInfo, field_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import alive, draw, stop_reason, unify_answers
from phronesis.graphs.policies.stopping import StoppingRule, decide_stop, next_batch
from phronesis.graphs.policies.voting import majority
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class EarlyStopVoteKnobs(Knobs):
    """What can be set."""

    first: int = Field(default=4, ge=1)
    """Attempts of the first batch; 4 equal answers are the fewest that reach 0.95. Adaptive-Consistency's: 1."""
    batch: int = Field(default=4, ge=1)
    """Attempts of each later batch. Adaptive-Consistency's: 1; ESC's window: 5."""
    most: int = Field(default=40, ge=1)
    """Attempts at the most. Both papers': 40."""
    rule: StoppingRule = "beta"
    """beta: posterior of the leader against the runner-up; window: a whole batch agrees; share: the leader's share."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Posterior at which ``beta`` stops. The paper's: 0.95."""
    share: float = Field(default=0.75, gt=0, le=1)
    """Share of the attempts at which ``share`` stops."""
    temperature: float = Field(default=0.7, ge=0)
    """That of self_consistency."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt."""

    @field_validator("rule")
    @classmethod
    def _windows(cls, value: StoppingRule, info: ValidationInfo) -> StoppingRule:
        if value == "window" and min(info.data.get("first", 2), info.data.get("batch", 2)) < 2:
            raise ValueError("a window of one attempt always agrees: first and batch must be 2 or more")
        return value

    def sizes(self) -> tuple[int, ...]:
        """The batches when nothing stops them."""
        found: list[int] = []
        while size := self.next(sum(found)):
            found.append(size)
        return tuple(found)

    def next(self, drawn: int) -> int:
        """How many attempts follow those that were drawn."""
        doubling = self.rule == "share"
        return next_batch(drawn, first=self.first, batch=self.batch, most=self.most, doubling=doubling)


class State(Outcome, total=False):
    """The machine's state."""

    drawn: int
    """Attempts tried."""
    batches: int
    """Batches drawn."""
    newest: tuple[str, ...]
    """Ids of the last batch, failed ones included."""
    over: bool
    """Nothing more is drawn."""


def build(knobs: EarlyStopVoteKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> sample -> vote -> (sample | END)."""
    sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)

    async def sample(state: State, runtime: Runtime[RunContext]) -> State:
        ctx, drawn, batches = runtime.context, state.get("drawn", 0), state.get("batches", 0)
        solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", sampling))
        place = ctx.root.at(f"b{batches}") if batches else ctx.root
        try:
            new = await draw(ctx, solver, knobs.next(drawn), branch=place, first=drawn)
        except BudgetExhausted:
            new = ()
        candidates = unify_answers((*state["candidates"], *new), ctx.answers)
        ids = tuple(item.id for item in new)
        return {"candidates": candidates, "newest": ids, "drawn": drawn + len(new), "batches": batches + 1}

    async def vote(state: State, runtime: Runtime[RunContext]) -> State:
        ctx, candidates, number = runtime.context, state["candidates"], state["batches"]
        outcome = majority([item.answer for item in candidates])
        chosen = None if outcome.leader is None else candidates[outcome.leader].id
        shown = {"rule": "majority", "weights": outcome.weights, "answer": outcome.winner, "chosen": chosen}
        ctx.note("vote", f"batch{number}", shown)
        decision = decide_stop(
            [item.answer for item in alive(candidates)],
            [item.answer for item in candidates if item.id in state["newest"]],
            rule=knobs.rule,
            confidence=knobs.confidence,
            share=knobs.share,
        )
        values = {name: getattr(decision, name) for name in decision.__dataclass_fields__}
        ctx.note("decision", f"stopping{number}", {"rule": knobs.rule, "attempts": state["drawn"], **values})
        over = decision.stop or ctx.root.account.denied is not None or not knobs.next(state["drawn"])
        stop = stop_reason(ctx, candidates, "sure" if decision.stop else "most")
        return {"answer": outcome.winner, "chosen": chosen, "stop": stop, "over": over}

    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("sample", sample)
    graph.add_node("vote", vote)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "vote")
    graph.add_conditional_edges("vote", lambda state: END if state["over"] else "sample", ["sample", END])
    return graph.compile()


def cost(knobs: EarlyStopVoteKnobs) -> CostLaw:
    sizes = knobs.sizes()
    batches = Observable("batches drawn", 1, len(sizes))
    if knobs.rule == "share":
        attempts = Observable("attempts drawn", sizes[0], knobs.most)
        return CostLaw(calls="A", depth="B", observables={"A": attempts, "B": batches})
    constants = {"f": sizes[0], "b": knobs.batch, "m": knobs.most}
    return CostLaw(calls="min(m, f + b*(B - 1))", depth="B", constants=constants, observables={"B": batches})


def needs(knobs: EarlyStopVoteKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"solver": ()}


STRATEGY = Strategy(
    name="early_stop_vote",
    summary="attempts in batches until the leading answer is unlikely to be overtaken",
    paper="Adaptive-Consistency, arXiv 2305.11860; Early-Stopping Self-Consistency, arXiv 2401.10480",
    knobs=EarlyStopVoteKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 3 + 2 * len(knobs.sizes()),
    needs=needs,
)
