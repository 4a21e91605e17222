"""Mixed vote: reasoning chains and programs that are really run vote together; two kinds of attempts err in different ways.

Source: ours, after program of thoughts (Chen et al. 2022, arXiv 2211.12588) and self-consistency (arXiv 2203.11171). The
measured ground: on the default model 4 programs + 4 chains beat 8 chains (docs/sampling.md).
Roles: solver (k chains), programmer (m programs, and a repair of each that fails), the Python tool.
Cost law: calls = k + m + F, depth = 1 + E, for F programs that failed and were repaired once, E = 1 when there was one; a
scorer that calls a model adds J calls for each of s chains.
Stopping: after the repairs (``finished``), or a limit (``budget:<limit>``: who has come out by then votes), ``failed``.
Ties: the answer that was seen first, chains before programs. A program that does not run, or returns no readable answer, has
no vote; its repaired version has, with the same weight.
At m = 0 and without a scorer it is self_consistency; at k = 0 a vote of programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field, field_validator, model_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.programmer import Programmer
from phronesis.agents.scorers.table import ChosenScorer, choose_scorer, united
from phronesis.agents.solver import Solver
from phronesis.core.budget import Branch
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted, ToolError
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import draw, failure_of, stop_reason, unify_answers
from phronesis.graphs.nodes.programs import draw_programs, repair
from phronesis.graphs.nodes.scoring import rate
from phronesis.graphs.policies.ranking import score_weights
from phronesis.graphs.policies.voting import weighted_vote
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class MixedVoteKnobs(Knobs):
    """What can be set."""

    k: int = Field(default=4, ge=0)
    """Chains."""
    programs: int = Field(default=4, ge=0)
    """m, programs."""
    repair: bool = True
    """A program that fails is written again once, with its error in view."""
    scorer: str | None = None
    """Outcome scorer whose figure in [0, 1] multiplies a chain's weight; none = every chain counts the same."""
    chain_weight: float = Field(default=1.0, gt=0)
    """What a chain's vote counts."""
    program_weight: float = Field(default=1.0, gt=0)
    """What the vote of a program that ran counts."""
    temperature: float = Field(default=0.7, ge=0)
    """Of both kinds."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt of either kind."""

    @field_validator("scorer")
    @classmethod
    def _scorer(cls, value: str | None) -> str | None:
        if value is not None:
            choose_scorer(value, kinds=("outcome",))
        return value

    @property
    def chosen_scorer(self) -> ChosenScorer | None:
        """None where no chain is drawn, too."""
        return choose_scorer(self.scorer, kinds=("outcome",)) if self.scorer is not None and self.k else None

    @model_validator(mode="after")
    def _some(self) -> MixedVoteKnobs:
        if self.k + self.programs == 0:
            raise ValueError("k and programs cannot both be 0")
        return self


class Nodes:
    """The machine's nodes over one set of knobs; they hold nothing else."""

    def __init__(self, knobs: MixedVoteKnobs) -> None:
        self.knobs = knobs
        self.scorer = knobs.chosen_scorer
        self.sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)

    def programmer(self, ctx: RunContext) -> Programmer:
        return Programmer(client=ctx.client_of("programmer"), sampling=ctx.sampling("programmer", self.sampling))

    async def chains(self, ctx: RunContext, branch: Branch) -> tuple[Candidate, ...]:
        logprobs = int(self.scorer is not None and self.scorer.logprobs)
        sampling = ctx.sampling("solver", self.sampling)
        solver = Solver(client=ctx.client_of("solver"), sampling=sampling, logprobs=logprobs)
        try:
            return await draw(ctx, solver, self.knobs.k, branch=branch)
        except BudgetExhausted:
            return ()

    async def programs(self, ctx: RunContext, branch: Branch) -> tuple[Candidate, ...]:
        try:
            return await draw_programs(ctx, self.programmer(ctx), self.knobs.programs, branch=branch)
        except BudgetExhausted:
            return ()
        except ToolError as error:
            ctx.report(failure_of(error, "python"))
            return ()

    async def sample(self, state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, kinds = runtime.context, {"chains": self.knobs.k, "programs": self.knobs.programs}
        wanted = {name: count for name, count in kinds.items() if count}
        accounts = ctx.root.account.split(wanted)
        draws = {"chains": self.chains, "programs": self.programs}
        places = {name: Branch(ctx.root.path, account) for name, account in accounts.items()}
        drawn = await side_by_side([draws[name](ctx, place) for name, place in places.items()])
        ctx.root.account.join(tuple(wanted))
        return {"candidates": unify_answers([item for part in drawn for item in part], ctx.answers)}

    async def repair(self, state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, tuple(state["candidates"])
        broken = [item for item in candidates if item.kind == "program" and item.status == "unparsable"]
        if not self.knobs.repair or not broken:
            return {}
        broken = broken[: ctx.root.account.grant(len(broken))]
        accounts = ctx.root.account.split({f"repair.{item.id}": 1 for item in broken})
        places = [Branch(ctx.root.path, account) for account in accounts.values()]
        work = [repair(ctx, self.programmer(ctx), item, branch=at) for item, at in zip(broken, places, strict=True)]
        mended: list[Candidate] = []
        try:
            mended = await side_by_side(work)
        except ToolError as error:
            ctx.report(failure_of(error, "python"))
        ctx.root.account.join(tuple(accounts))
        return {"candidates": unify_answers((*candidates, *mended), ctx.answers)}

    async def score(self, state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        if self.scorer is None:
            return {}
        chains = [item for item in state["candidates"] if item.kind == "chain"]
        return {"candidates": await rate(runtime.context, chains, self.scorer, branch=runtime.context.root)}

    async def vote(self, state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, state["candidates"]
        weights = self.weights(candidates)
        outcome = weighted_vote([item.answer for item in candidates], weights)
        chosen = None if outcome.leader is None else candidates[outcome.leader].id
        shown = {"rule": "mixed", "weights": outcome.weights, "answer": outcome.winner, "chosen": chosen}
        ctx.note("vote", "vote", shown)
        return {"answer": outcome.winner, "chosen": chosen, "stop": stop_reason(ctx, candidates, "finished")}

    def weights(self, candidates: Sequence[Candidate]) -> list[float]:
        """What each vote counts. Where no readable chain has a figure above 0 chains count the same; one whose scorer failed
        counts like the mean of the others."""
        chains = [item for item in candidates if item.kind == "chain" and item.answer is not None]
        figures = [item.reward for item in chains] if self.scorer is not None else [1.0] * len(chains)
        worth = dict(zip((item.id for item in chains), score_weights(figures), strict=True))
        chain, program = self.knobs.chain_weight, self.knobs.program_weight
        return [program if item.kind == "program" else chain * worth.get(item.id, 0.0) for item in candidates]


def build(knobs: MixedVoteKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> sample -> repair -> score -> vote -> END."""
    nodes = Nodes(knobs)
    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("sample", nodes.sample)
    graph.add_node("repair", nodes.repair)
    graph.add_node("score", nodes.score)
    graph.add_node("vote", nodes.vote)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "repair")
    graph.add_edge("repair", "score")
    graph.add_edge("score", "vote")
    graph.add_edge("vote", END)
    return graph.compile()


def cost(knobs: MixedVoteKnobs) -> CostLaw:
    mended, scorer = knobs.programs if knobs.repair else 0, knobs.chosen_scorer
    judged = 0 if scorer is None else scorer.calls.attempt
    return CostLaw(
        calls="k + m + F" + (" + J*s" if judged else ""),
        depth="1 + E" + (" + j" if judged else ""),
        constants={"k": knobs.k, "m": knobs.programs, **({"J": judged} if judged else {})},
        observables={
            "F": Observable("programs that failed and were repaired", 0, mended),
            "E": Observable("1 when a program was repaired", 0, min(1, mended)),
            **({"s": Observable("chains that came out and were scored", 0, knobs.k)} if judged else {}),
            **({"j": Observable("1 when a chain was scored", 0, 1)} if judged else {}),
        },
    )


def needs(knobs: MixedVoteKnobs) -> Mapping[str, tuple[Capability, ...]]:
    scorer = knobs.chosen_scorer
    scored: tuple[Capability, ...] = ("logprobs",) if scorer is not None and scorer.logprobs else ()
    chains: dict[str, tuple[Capability, ...]] = {"solver": scored} if knobs.k else {}
    judges = {} if scorer is None else scorer.roles
    programs: dict[str, tuple[Capability, ...]] = {"programmer": ("prefill",)} if knobs.programs else {}
    return united((chains, programs, judges))


STRATEGY = Strategy(
    name="mixed_vote",
    summary="chains and really run programs vote together; failing programs are repaired once",
    paper="ours, after Program of Thoughts, arXiv 2211.12588",
    knobs=MixedVoteKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 6,
    needs=needs,
    scorers=lambda knobs: () if knobs.scorer is None or knobs.k == 0 else (knobs.scorer,),
)
