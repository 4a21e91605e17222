"""Retry: k threads; an attempt that a check does not accept is tried again with the check's outcome in view.

Paper: Ho et al. 2025, ArcMemo: Abstract Reasoning Composition with Lifelong LLM Memory (arXiv 2509.04439), retries with
feedback.
Roles: solver (attempts and retries); those of the scorer that checks, which may be any.
Cost law (tried calls): calls = k + T + C, depth = 1 + P + D for T retries in P further passes, C calls of the scorer (0
for a free one) of which D wait for one another. With ``reselect`` a memory that selects adds 1 call to each retry (2 after
a re-ask) and to the depth of its pass; they are not in the law, as those before a strategy are not.
Stopping: every thread was accepted (``accepted``), ``max_passes`` are done (``passes``), a limit (``budget:<limit>``),
nothing came out (``failed``).
Ties: the vote's tie goes to the answer seen first; of the winner's attempts the best-scored one is chosen, the first of
equals.
Answer: a vote over the accepted threads, over all where none is; a thread has the voice of its newest attempt that can be
read.
Differs from the paper: the check is a scorer, not a program's run on examples; a figure below ``threshold``, an
unreadable answer and a failed check are not accepted. Passes go in step. A retry that failed leaves its thread as it was;
a thread whose first attempt failed is not tried again.
At k = 1 and max_passes = 1 it is ``direct`` with this sampling; nothing is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field, field_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.retrier import Retrier, outcome_of
from phronesis.agents.scorers.table import ChosenScorer, choose_scorer, united
from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import alive, brief, draw, stop_reason, to_candidate, unify_answers
from phronesis.graphs.nodes.scoring import rate
from phronesis.graphs.policies import voting
from phronesis.graphs.policies.ranking import first_best, score_weights
from phronesis.graphs.policies.reward import StepReduce
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class RetryKnobs(Knobs):
    """What can be set."""

    k: int = Field(default=2, ge=1)
    """Threads side by side. The paper reports 1 and 2."""
    max_passes: int = Field(default=3, ge=1)
    """First attempt and retries of a thread. The paper's: 3."""
    scorer: str = "arithmetic"
    """What checks, with its options; ``phronesis scorers list`` names them. The paper's: a run on examples."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Score from which on an attempt is accepted."""
    step_reduce: StepReduce = "min"
    """How a step scorer's figures become one: min, prod, last, mean or geo_mean."""
    vote: Literal["majority", "weighted"] = "majority"
    """Whether threads vote alike or by their scores."""
    reselect: bool = True
    """Whether a retry recalls concepts for its attempt and the check's outcome too; those of the question stay. The
    paper's: in its continual setting."""
    temperature: float = Field(default=0.7, ge=0)
    """Of attempts and retries. Its code's: 0.3, for a model that ignores it."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt."""

    @field_validator("scorer")
    @classmethod
    def _known(cls, value: str) -> str:
        choose_scorer(value)
        return value

    @property
    def chosen_scorer(self) -> ChosenScorer:
        return choose_scorer(self.scorer)

    @property
    def checks(self) -> bool:
        """Whether there is anything to decide."""
        return self.k > 1 or self.max_passes > 1


class State(Outcome, total=False):
    """The machine's state."""

    passes: int
    """Passes done."""
    fresh: tuple[str, ...]
    """Ids of the attempts of the newest pass."""
    accepted: tuple[str, ...]
    """Ids of accepted attempts."""
    go: str
    """retry or end: where the machine goes after a check."""


class Nodes:
    """The machine's nodes over one set of knobs; they hold nothing else."""

    def __init__(self, knobs: RetryKnobs) -> None:
        self.knobs = knobs
        self.sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)
        self.logprobs = int(knobs.checks and knobs.chosen_scorer.logprobs)

    def _solver(self, ctx: RunContext) -> Solver:
        sampling = ctx.sampling("solver", self.sampling)
        return Solver(client=ctx.client_of("solver"), sampling=sampling, logprobs=self.logprobs)

    async def solve(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx = runtime.context
        try:
            drawn = unify_answers(await draw(ctx, self._solver(ctx), self.knobs.k, branch=ctx.root), ctx.answers)
        except BudgetExhausted:
            drawn = ()
        fresh = tuple(item.id for item in alive(drawn))
        start: State = {"candidates": drawn, "passes": 1, "fresh": fresh, "accepted": ()}
        return {**start, **self._vote(drawn, ()), "stop": stop_reason(ctx, drawn, "passes")}

    async def check(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx, knobs, number = runtime.context, self.knobs, state["passes"]
        asked = [item for item in state["candidates"] if item.id in state["fresh"] and item.answer is not None]
        branch = ctx.root.at(f"p{number}")
        if knobs.checks and asked:
            rated = await rate(ctx, asked, knobs.chosen_scorer, branch=branch, reduce=knobs.step_reduce)
            by_id = {item.id: item for item in rated}
        else:
            by_id = {}
        candidates = tuple(by_id.get(item.id, item) for item in state["candidates"])
        good = [item.id for item in by_id.values() if item.reward is not None and item.reward >= knobs.threshold]
        accepted = (*state["accepted"], *good)
        left = _open(candidates, accepted)
        if knobs.checks:
            scores = {item.id: item.reward for item in by_id.values()}
            ctx.note("decision", f"check{number}", {"rule": "check", "scores": scores, "accepted": good})
            ctx.note("score", f"checked{number}", {"candidates": [brief(item) for item in by_id.values()]})
        voted = self._vote(candidates, accepted)
        if left and number < knobs.max_passes:
            return {"candidates": candidates, "accepted": accepted, "go": "retry", **voted}
        done = "passes" if left else "accepted"
        return {"candidates": candidates, "accepted": accepted, **voted, **self._end(ctx, candidates, accepted, done)}

    async def retry(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx, number = runtime.context, state["passes"]
        left = _open(state["candidates"], state["accepted"])
        granted = left[: ctx.root.account.grant(len(left))]
        if not granted:
            return self._end(ctx, state["candidates"], state["accepted"], "passes")
        again = await self._recalled(ctx, granted, number)
        accounts = ctx.root.account.split({f"retry.{_thread(item)}": 1 for item in granted})
        retrier = Retrier(solver=self._solver(ctx))

        async def one(item: Candidate, memory: str) -> Candidate | None:
            thread = _thread(item)
            site = Site(ctx.root.at(f"{thread}/r{number}", accounts[f"retry.{thread}"]), "solver")
            outcome = outcome_of(item, self.knobs.threshold)
            try:
                reply = await retrier.retry(
                    ctx.task, ctx.answers.format, item.text, outcome, site=site, memory=ctx.memory, again=memory
                )
            except BudgetExhausted:
                return None
            return to_candidate(
                reply,
                id=f"{thread}.r{number}",
                space=ctx.answers,
                where=site.where,
                parents=(item.id,),
                round=number,
                notes=outcome,
            )

        found = await side_by_side([one(item, memory) for item, memory in zip(granted, again, strict=True)])
        ctx.root.account.join(accounts)
        made = [item for item in found if item is not None]
        candidates = unify_answers((*state["candidates"], *made), ctx.answers)
        if not made:
            return self._end(ctx, candidates, state["accepted"], "passes")
        fresh = tuple(item.id for item in alive(made))
        ctx.note("node", f"retried{number}", {"candidates": [brief(item) for item in candidates[-len(made) :]]})
        return {
            "candidates": candidates,
            "passes": number + 1,
            "fresh": fresh,
            "go": "check",
            **self._vote(candidates, state["accepted"]),
        }

    async def _recalled(self, ctx: RunContext, retried: Sequence[Candidate], number: int) -> list[str]:
        """The memory section of each retry; empty without a memory. Each on a sub-account for its selection."""
        look = ctx.recall_again
        if look is None or not self.knobs.reselect:
            return [""] * len(retried)
        names = {f"reselect.{_thread(item)}": 2 for item in retried}
        accounts = ctx.root.account.split(names)
        said = [f"{item.text.strip()}\n{outcome_of(item, self.knobs.threshold)}" for item in retried]
        places = [ctx.root.at(f"{_thread(item)}/r{number}", accounts[f"reselect.{_thread(item)}"]) for item in retried]
        found = await side_by_side([look(text, place) for text, place in zip(said, places, strict=True)])
        ctx.root.account.join(names)
        return list(found)

    def _vote(self, candidates: Sequence[Candidate], accepted: Sequence[str]) -> State:
        winner, best, _ = self._voted(candidates, accepted)
        return {"answer": winner, "chosen": best}

    def _voted(
        self, candidates: Sequence[Candidate], accepted: Sequence[str]
    ) -> tuple[str | None, str | None, dict[str, float]]:
        """(answer, id of the attempt it is taken from, weights)."""
        newest = {_thread(item): item for item in candidates if item.answer is not None}
        voices = [item for item in newest.values() if item.id in accepted] or list(newest.values())
        scores = [item.reward for item in voices]
        weights = score_weights(scores, rescaled=False) if self.knobs.vote == "weighted" else [1.0] * len(voices)
        outcome = voting.weighted_vote([item.answer for item in voices], weights)
        agreeing = [item for item in voices if item.answer == outcome.winner]
        best = first_best([item.reward for item in agreeing]) or 0
        chosen = agreeing[best].id if agreeing else next((item.id for item in alive(candidates)), None)
        return outcome.winner, chosen, outcome.weights

    def _end(self, ctx: RunContext, candidates: Sequence[Candidate], accepted: Sequence[str], reason: str) -> State:
        answer, chosen, weights = self._voted(candidates, accepted)
        rule = "accepted" if accepted else self.knobs.vote
        ctx.note("vote", "vote", {"rule": rule, "weights": weights, "answer": answer, "chosen": chosen})
        return {"go": "end", "stop": stop_reason(ctx, candidates, reason)}


def _thread(candidate: Candidate) -> str:
    return candidate.id.partition(".")[0]


def _open(candidates: Sequence[Candidate], accepted: Sequence[str]) -> list[Candidate]:
    """The newest attempt that came out of each thread that was not accepted, by thread."""
    newest = {_thread(item): item for item in alive(candidates)}
    return [item for item in newest.values() if item.id not in accepted]


def build(knobs: RetryKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> solve -> check -> retry -> check ... -> END."""
    nodes = Nodes(knobs)

    def route(state: State) -> str:
        return END if state["go"] == "end" else state["go"]

    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("solve", nodes.solve)
    graph.add_node("check", nodes.check)
    graph.add_node("retry", nodes.retry)
    graph.add_edge(START, "solve")
    graph.add_edge("solve", "check")
    graph.add_conditional_edges("check", route, ["retry", END])
    graph.add_conditional_edges("retry", route, ["check", END])
    return graph.compile()


def cost(knobs: RetryKnobs) -> CostLaw:
    most = knobs.max_passes - 1
    observables = {
        "T": Observable("retries, over all threads", 0, knobs.k * most),
        "P": Observable("passes after the first", 0, most),
    }
    calls = knobs.chosen_scorer.calls
    if not knobs.checks or calls.free:
        return CostLaw(calls="k + T", depth="1 + P", constants={"k": knobs.k}, observables=observables)
    each = knobs.k * calls.most + calls.task
    waiting = max(calls.depth, calls.step * calls.most_steps)
    observables |= {
        "C": Observable("calls of the scorer", 0, each * knobs.max_passes),
        "D": Observable("calls of the scorer that wait for one another", 0, waiting * knobs.max_passes),
    }
    return CostLaw(calls="k + T + C", depth="1 + P + D", constants={"k": knobs.k}, observables=observables)


def needs(knobs: RetryKnobs) -> Mapping[str, tuple[Capability, ...]]:
    scorer = knobs.chosen_scorer
    if not knobs.checks:
        return {"solver": ()}
    return united(({"solver": ("logprobs",) if scorer.logprobs else ()}, scorer.roles))


STRATEGY = Strategy(
    name="retry",
    summary="k threads; what a check does not accept is tried again with its outcome in view",
    paper="ArcMemo, arXiv 2509.04439",
    knobs=RetryKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 3 + 2 * knobs.max_passes,
    needs=needs,
    scorers=lambda knobs: (knobs.scorer,) if knobs.checks else (),
)
