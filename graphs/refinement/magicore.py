"""MAgICoRe: refine only what needs it. k chains, a gate, and for hard questions reviewer -> refiner rounds.

Paper: Chen, Prasad, Saha, Stengel-Eskin, Bansal 2024, MAgICoRe: Multi-Agent, Iterative, Coarse-to-Fine Refinement for
Reasoning (arXiv 2409.12147, EMNLP 2025).

Roles: solver (k samples, turn prefilled with ``Step 1:``), an outcome and a step scorer (reward = outcome + product of the
step scores), a gate without a model, reviewer and refiner (one call each per chain and round), a weighted vote.
Cost law (tried calls): calls = k + 2P + J(s + P), depth = 1 + 2R + J(1 + R) for P chains refined in R rounds and s scored
samples, J = 1 when the outcome scorer is a judge, else 0; with nothing lost P = kR and s = k. A lost review saves its
refinement (and scoring) call.
Stopping: the gate passes at once (``easy``) or after a round (``converged``), T rounds are done (``rounds``), a limit
(``budget:<limit>``: the best so far is returned), nothing came out (``failed``).
Ties: equal rewards keep the pool's order, equal votes go to the answer of the highest-ranked chain.

Differs from the paper (specification, "pitfalls"), each by a knob whose value ``paper()`` sets back:
- ``pool = running``: top k of everything so far; the paper pools two rounds only, and its code forgets accepted chains.
- ``majority_mode = current``: the gate judges the chains that agree with their own round's vote; the paper freezes round 0's.
- answers are compared by value, not by spelling, in votes and in the gate; an unreadable answer never votes, and takes no
  readable one's place in the pool.
- step splitting knows step numbers past 9. A failed refinement leaves its chain as it was.
- statistics come from earlier runs on this machine (calibration), and below ``least_statistics`` rewards the gate compares
  the mean reward with ``quality_floor``: a single question has no test set to calibrate on.
- the scorers are stand-ins for the two reward models: no training, and by default no calls.
At T = 0 it is self-consistency weighted by reward; at k = 1, T = 0 one attempt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import Send
from pydantic import Field, field_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.table import ChosenScorer, choose_scorer, united
from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.core.result import Candidate
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import alive, brief, draw, stop_reason, unify_answers
from phronesis.graphs.nodes.scoring import score_all, scorer_context
from phronesis.graphs.policies.gate import CONFIDENT, GateDecision, decide
from phronesis.graphs.policies.pool import top_k
from phronesis.graphs.policies.reward import RewardStatistics, StepReduce, reduce_steps
from phronesis.graphs.policies.voting import majority, weighted_vote
from phronesis.graphs.refinement.refine_chain import ChainState, build_chain
from phronesis.graphs.state import Outcome, merge_candidates
from phronesis.graphs.strategy import Knobs, Strategy


class MagicoreKnobs(Knobs):
    """What can be set."""

    k: int = Field(default=40, ge=1)
    """Chains, and size of the pool. The paper's: 40."""
    rounds: int = Field(default=3, ge=0)
    """T, most refinement rounds. The paper's: 3."""
    temperature: float = Field(default=0.8, ge=0)
    """Of solver, reviewer and refiner. The paper's: 0.8."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """The paper's: 0.95."""
    max_tokens: int = Field(default=1000, ge=1)
    """Longest chain. The paper's: 1000."""
    review_tokens: int = Field(default=1000, ge=1)
    """Longest review. The paper's: 1000."""
    outcome: str = "self_certainty"
    """Outcome scorer: self_certainty (free) or judge (a call per chain). The paper's: InternLM2-7B-Reward."""
    steps: str = "arithmetic"
    """Step scorer: arithmetic (free, exact). The paper's: Math-Shepherd-Mistral-7B."""
    step_reduce: StepReduce = "prod"
    """How step scores become one figure: prod (the paper's), min, geo_mean or last."""
    confident: float = Field(default=CONFIDENT, gt=0, le=1)
    """conf(H) below this fails the confidence condition. The paper's: 0.5, more than three effective answers."""
    quality_floor: float = Field(default=1.0, ge=0, le=2)
    """Mean reward that stands in for z >= 0 while there are too few statistics."""
    least_statistics: int = Field(default=8, ge=1)
    """Rewards of first chains that must be known before z-scores are used."""
    pool: Literal["running", "round"] = "running"
    """running: best k of all chains so far; round: of the last two rounds (the paper's)."""
    majority_mode: Literal["current", "frozen"] = "current"
    """Which majority the quality condition looks at: this round's, or round 0's (the paper's)."""

    @field_validator("outcome")
    @classmethod
    def _outcome(cls, value: str) -> str:
        choose_scorer(value, kinds=("outcome",))
        return value

    @field_validator("steps")
    @classmethod
    def _steps(cls, value: str) -> str:
        choose_scorer(value, kinds=("step",))
        return value

    @property
    def scorers(self) -> tuple[ChosenScorer, ChosenScorer]:
        """(outcome scorer, step scorer)."""
        return choose_scorer(self.outcome, kinds=("outcome",)), choose_scorer(self.steps, kinds=("step",))

    @property
    def judged(self) -> int:
        """J: model calls per scored chain, those per step apart."""
        return sum(scorer.calls.attempt for scorer in self.scorers)


def paper() -> MagicoreKnobs:
    """The published settings, the two defects of its code apart."""
    return MagicoreKnobs(pool="round", majority_mode="frozen")


class State(Outcome, total=False):
    """The machine's state."""

    newest: tuple[str, ...]
    """Ids of the chains of the current round, by chain."""
    pool: tuple[str, ...]
    """Ids of the best k so far, highest reward first."""
    majority: str | None
    """Round 0's majority."""
    round: int
    """Rounds done."""
    refined: Annotated[tuple[Candidate, ...], merge_candidates]
    """What the branches brought back."""
    verdict: str
    """easy, hard or stop: where the gate sends the machine."""


class Branching(TypedDict):
    """What one branch is sent."""

    chain: Candidate
    round: int


class Nodes:
    """The machine's nodes over one set of knobs; they hold nothing else."""

    def __init__(self, knobs: MagicoreKnobs) -> None:
        self.knobs = knobs
        self.sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)
        self.outcome, self.steps = knobs.scorers
        self.logprobs = int(self.outcome.logprobs)
        self.chain_graph = build_chain(
            sampling=self.sampling,
            review_sampling=replace(self.sampling, max_tokens=knobs.review_tokens),
            logprobs=self.logprobs,
            outcome=self.outcome,
            steps=self.steps,
            reduce=knobs.step_reduce,
        )

    async def sample(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx = runtime.context
        solver = Solver(
            client=ctx.client_of("solver"),
            sampling=ctx.sampling("solver", self.sampling),
            prefilled=True,
            logprobs=self.logprobs,
        )
        try:
            drawn = await draw(ctx, solver, self.knobs.k, branch=ctx.root)
        except BudgetExhausted:
            drawn = ()
        return {"candidates": unify_answers(drawn, ctx.answers), "round": 0}

    async def score(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx = runtime.context
        scored = await score_all(
            ctx,
            state["candidates"],
            outcome=self.outcome.outcome(scorer_context(ctx)),
            step=self.steps.step(scorer_context(ctx)),
            reduce=self.knobs.step_reduce,
            branch=ctx.root,
        )
        ctx.note("score", "round0", {"candidates": [brief(item) for item in scored]})
        if scored and scored[0].reward is not None:
            ctx.reports.first_rewards[family(ctx, self.knobs)] = scored[0].reward
        living = alive(scored)
        first = majority([item.answer for item in living]).winner
        ids = tuple(item.id for item in living)
        return {"candidates": scored, "newest": ids, "pool": (), "majority": first, "answer": first}

    async def vote(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx = runtime.context
        known = {item.id: item for item in state["candidates"]}
        entered = [known[id] for id in dict.fromkeys((*state["pool"], *state["newest"]))]
        ranks = [-1.0 if item.answer is None else _weight(item) for item in entered]
        best = top_k(entered, ranks, self.knobs.k)
        outcome = weighted_vote([item.answer for item in best], _votes(best))
        chosen = None if outcome.leader is None else best[outcome.leader].id
        ctx.note(
            "vote",
            f"round{state['round']}",
            {
                "rule": "weighted",
                "weights": outcome.weights,
                "answer": outcome.winner,
                "chosen": chosen,
                "pool": [item.id for item in best],
            },
        )
        kept = tuple(item.id for item in best) if self.knobs.pool == "running" else state["newest"]
        return {"pool": kept, "answer": outcome.winner, "chosen": chosen}

    async def gate(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx, done = runtime.context, state["round"]
        known = {item.id: item for item in state["candidates"]}
        chains = [known[id] for id in state["newest"]]
        judged = state["majority"]
        if self.knobs.majority_mode == "current":
            judged = weighted_vote([item.answer for item in chains], _votes(chains)).winner
        statistics = ctx.statistics.get(family(ctx, self.knobs), RewardStatistics())
        decision = judge_round(chains, judged, statistics, self.knobs)
        values = {name: getattr(decision, name) for name in decision.__dataclass_fields__}
        ctx.note("decision", f"gate{done}", {"rule": "gate", "round": done, **values})
        if not chains:
            return {"verdict": "stop", "stop": stop_reason(ctx, state["candidates"], "failed")}
        if not decision.hard:
            return {"verdict": "easy", "stop": stop_reason(ctx, chains, "converged" if done else "easy")}
        if done >= self.knobs.rounds:
            return {"verdict": "stop", "stop": stop_reason(ctx, chains, "rounds")}
        need = 2 + sum(scorer.calls.most for scorer in (self.outcome, self.steps))
        affordable = ctx.root.account.grant(need * len(chains)) // need
        if affordable == 0:
            return {"verdict": "stop", "stop": stop_reason(ctx, chains, "rounds")}
        names = {_branch(done + 1, item): need for item in chains[:affordable]}
        ctx.root.account.split(names)
        return {"verdict": "hard", "stop": "rounds"}

    def route(self, state: State) -> list[Send] | str:
        if state["verdict"] != "hard":
            return END
        known = {item.id: item for item in state["candidates"]}
        number = state["round"] + 1
        return [Send("refine", Branching(chain=known[id], round=number)) for id in state["newest"]]

    async def refine(self, state: Branching, runtime: Runtime[RunContext]) -> State:
        """One chain's review -> refine -> score, in a graph of its own: fast chains do not wait for slow ones."""
        ctx, name = runtime.context, _branch(state["round"], state["chain"])
        if not ctx.root.account.has_child(name):
            return {"refined": ()}
        branch = ctx.root.at(name, ctx.root.account.child(name))
        start: ChainState = {"chain": state["chain"], "round": state["round"], "branch": branch}
        end = await self.chain_graph.ainvoke(start, context=ctx)
        return {"refined": (end["revised"],)}

    async def collect(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx, number = runtime.context, state["round"] + 1
        known = {item.id: item for item in state["candidates"]}
        names = [_branch(number, known[id]) for id in state["newest"]]
        ctx.root.account.join([name for name in names if ctx.root.account.has_child(name)])
        everything = unify_answers(merge_candidates(state["candidates"], state["refined"]), ctx.answers)
        made = {item.parents[0]: item for item in everything if item.round == number and item.status != "failed"}
        newest = tuple(made[id].id if id in made else id for id in state["newest"])
        shown = [brief(item) for item in everything if item.round == number]
        ctx.note("score", f"round{number}", {"candidates": shown})
        return {"candidates": everything, "newest": newest, "round": number}


def build(knobs: MagicoreKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> sample -> score -> vote -> gate -> (END | refine x k -> collect -> vote -> gate ...)."""
    nodes = Nodes(knobs)
    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("sample", nodes.sample)
    graph.add_node("score", nodes.score)
    graph.add_node("vote", nodes.vote)
    graph.add_node("gate", nodes.gate)
    graph.add_node("refine", nodes.refine)
    graph.add_node("collect", nodes.collect)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "score")
    graph.add_edge("score", "vote")
    graph.add_edge("vote", "gate")
    graph.add_conditional_edges("gate", nodes.route, ["refine", END])
    graph.add_edge("refine", "collect")
    graph.add_edge("collect", "vote")
    return graph.compile()


def judge_round(
    chains: Sequence[Candidate], agreed: str | None, statistics: RewardStatistics, knobs: MagicoreKnobs
) -> GateDecision:
    """The gate over one round's chains; one without a reward has weight 0 and cannot lift the quality."""
    return decide(
        [item.answer for item in chains],
        [_weight(item) for item in chains],
        [item.outcome or 0.0 for item in chains],
        [reduce_steps(item.step_scores, knobs.step_reduce) for item in chains],
        majority=agreed,
        statistics=statistics,
        confident=knobs.confident,
        floor=knobs.quality_floor,
        least=knobs.least_statistics,
    )


def family(ctx: RunContext, knobs: MagicoreKnobs) -> str:
    """Which rewards may be compared: same models, scorers and answer format."""
    judges = sorted({role for scorer in knobs.scorers for role in scorer.roles})
    models = (ctx.model_of(role) for role in ("solver", *judges))
    return "|".join((*models, knobs.outcome, knobs.steps, knobs.step_reduce, ctx.answers.format))


def _weight(candidate: Candidate) -> float:
    return candidate.reward or 0.0


def _votes(candidates: Sequence[Candidate]) -> list[float]:
    """Rewards as weights; where not one attempt has a reward (its scorers failed), each counts the same."""
    weights = [_weight(item) for item in candidates]
    return weights if any(weights) else [1.0] * len(weights)


def _branch(number: int, chain: Candidate) -> str:
    return f"r{number}.{chain.id.split('.')[0]}"


def cost(knobs: MagicoreKnobs) -> CostLaw:
    k, most = knobs.k, knobs.k * knobs.rounds
    by_step = [scorer.calls for scorer in knobs.scorers if scorer.calls.step]
    longest = sum(calls.step * calls.most_steps for calls in by_step)
    judged = {
        "S": Observable("steps judged, over all chains and rounds", 0, (k + most) * longest),
        "D": Observable("steps of the longest chain of each round, summed", 0, (1 + knobs.rounds) * longest),
    }
    return CostLaw(
        calls="k + 2*P + J*(s + P)" + (" + S" if by_step else ""),
        depth="1 + 2*R + J*(1 + R)" + (" + D" if by_step else ""),
        constants={"k": k, "J": knobs.judged},
        observables={
            "P": Observable("chains refined, over all rounds (k R when none is lost)", 0, most),
            "R": Observable("refinement rounds", 0, knobs.rounds),
            "s": Observable("samples that came out and were scored", 0, k),
            **(judged if by_step else {}),
        },
    )


def needs(knobs: MagicoreKnobs) -> Mapping[str, tuple[Capability, ...]]:
    scoring: tuple[Capability, ...] = ("logprobs",) if knobs.scorers[0].logprobs else ()
    roles: dict[str, tuple[Capability, ...]] = {
        "solver": ("prefill", *scoring),
        "reviewer": ("prefill",),
        "refiner": ("prefill", *scoring),
    }
    return united((roles, *(scorer.roles for scorer in knobs.scorers)))


STRATEGY = Strategy(
    name="magicore",
    summary="k chains; only hard questions go through reviewer -> refiner rounds; reward-weighted vote",
    paper="MAgICoRe, arXiv 2409.12147",
    knobs=MagicoreKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 8 + 4 * knobs.rounds,
    needs=needs,
    scorers=lambda knobs: (knobs.outcome, knobs.steps),
)
