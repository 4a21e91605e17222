"""SPARC-RAG: rounds of complementary searches in isolated branches, over one evidence that is rewritten, not appended to.

Paper: SPARC-RAG: Adaptive Sequential-Parallel Scaling with Context Management for Retrieval-Augmented Generation (arXiv
2602.00083). The composition is S(P(I)): single-path inference, expanded in parallel, refined in sequence.
Roles: planner (W searches, each for another missing fact), context (folds passages into a branch's evidence; merges the
branches'), reader (answers from a branch's evidence), verifier (right and grounded? stop or continue).
Cost law (tried calls): calls = R + U + A + E + M + X for R rounds, U updates, A answers, E evaluations, M merges and X
re-asks; in every round W of each of U, A, E, so R (1 + 3 W) + (R - 1) where nothing is skipped or asked again. Depth =
R + L + M + Y, with L the steps of each round's deepest branch (3 where nothing is skipped), so 5 R - 1. W units of
``search`` a round.
Skipped: an update without passages; an evaluation where the branch has no evidence, no answer, or an answer that does not
stand in it (that is CONTINUE); a merge where the other branches kept nothing of their own.
Stopping: the chosen branch's answer is judged right and grounded (``grounded``; with ``stop_rule`` majority, most of the
branches'), ``depth`` rounds are done (``rounds``, or ``ungrounded`` where no evidence was found), a limit
(``budget:<limit>``), nothing came out (``failed``).
Ties: of equal branches the lower index; equal facts stay where they were found first.
Differs from the paper: its planner and verifier are trained (DPO) and ours are prompted; the verifier's decision is the
probability of STOP against asymmetry / (1 + asymmetry), the paper's weight of a wrong stop used as a threshold; the merge
picks facts by number, and by default so does the update (``notes``). An answer whose words do not stand in the evidence
is never a stop (``lexical``). The test for stopping comes before the merge, which saves a call.
At width 1 it is iterative RAG without a choice; at depth 1 best-of-W RAG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langgraph.graph.state import CompiledStateGraph
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.context_manager import Notes, united
from phronesis.agents.evaluator import Decider
from phronesis.agents.planner import Planner
from phronesis.core.chat import Sampling
from phronesis.core.errors import ModelError
from phronesis.core.result import Candidate
from phronesis.core.retrieval import Evidence
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import failure_of, unify_answers
from phronesis.graphs.nodes.branching import fan_out
from phronesis.graphs.nodes.reading import note_citations
from phronesis.graphs.nodes.refine_loop import Assessment, LoopState, RefineLoop
from phronesis.graphs.nodes.searching import UNIT
from phronesis.graphs.policies.evidence import Rated, best_branch, distinct, relevance, within
from phronesis.graphs.retrieval.sparc_branch import BranchRun, Found, context_manager
from phronesis.graphs.strategy import Knobs, Strategy


class SparcRagKnobs(Knobs):
    """What can be set."""

    width: int = Field(default=2, ge=1)
    """W, branches a round. The paper: 2 is the best trade."""
    depth: int = Field(default=4, ge=1)
    """D, most rounds. The paper: 6 for a 7B model, 8 for a 30B one; flat beyond 4 for most sets."""
    k: int = Field(default=5, ge=1)
    """Passages of each search. A reproduction used 6."""
    asymmetry: float = Field(default=2.0, ge=1)
    """How much a wrong stop weighs against a wrong continue. The paper's: 2."""
    decider: Decider = "probability"
    """``probability``: of STOP as the next word; ``verdict``: one that is written."""
    stop_rule: Literal["selected", "majority"] = "selected"
    """Whose STOP ends the search: the chosen branch's, as in the paper, which is any branch's, for one that would stop is
    chosen first; or that of more than half of them."""
    lexical: bool = True
    """An answer whose words do not stand in the evidence cannot stop the search; not in the paper."""
    keep: Literal["last", "best"] = "last"
    """Whose answer stands when no round stops: the last round's, as in the paper; or the best judged one."""
    notes: Notes = "pick"
    """How passages become evidence: sentences picked by number, or facts in the model's own words, as in the paper."""
    memory_characters: int = Field(default=6000, ge=200)
    """Longest evidence; the least relevant facts go first."""
    passage_characters: int = Field(default=1500, ge=50)
    """Longest passage in a prompt; what is longer is cut."""
    temperature: float = Field(default=0.5, ge=0)
    """Of the planner; the other roles are greedy."""
    max_tokens: int = Field(default=300, ge=1)
    """Longest reply."""


class State(LoopState, total=False):
    """The loop's state and what the rounds share."""

    evidence: tuple[Evidence, ...]
    """m, the only thing of earlier rounds that a later one sees."""
    asked: tuple[str, ...]
    """Searches of all rounds."""
    branches: tuple[Found | None, ...]
    """Of the last round; None = nothing came out."""
    selected: int | None


@dataclass(frozen=True)
class Nodes:
    """The parts of the loop over one set of knobs."""

    knobs: SparcRagKnobs

    async def solve(self, state: State, ctx: RunContext) -> State:
        """One round: W searches planned, W branches run side by side, one of them chosen."""
        _may_search(ctx)
        number, evidence = state["round"], state.get("evidence", ())
        branch = ctx.root.at(f"r{number}")
        queries = await self._planned(ctx, state, evidence)
        run = BranchRun(ctx=ctx, knobs=self.knobs, evidence=evidence, round=number)
        found = await fan_out(branch, queries, run, calls=run.most_calls)
        for index, item in enumerate(found):
            if not isinstance(item, Found):
                ctx.report(failure_of(item, f"{branch.path}/b{index}"))
        branches = tuple(item if isinstance(item, Found) else None for item in found)
        made = tuple(item.candidate for item in branches if item is not None)
        for candidate in made:
            note_citations(ctx, candidate.id)
        candidates = unify_answers((*state["candidates"], *made), ctx.answers)
        rated = [
            None if item is None or item.candidate.answer is None else Rated(item.stops, item.grounded, item.correct)
            for item in branches
        ]
        selected = best_branch(rated)
        if selected is None:
            selected = next((index for index, item in enumerate(branches) if item is not None), None)
        chosen = None if selected is None else branches[selected]
        shown = {
            "rule": "branch",
            "round": number,
            "queries": list(queries),
            "selected": selected,
            "stop": [item is not None and item.stops for item in branches],
            "grounded": [None if item is None else round(item.grounded, 4) for item in branches],
            "evidence": [0 if item is None else len(item.evidence) for item in branches],
            "why": ["lost" if item is None else item.why for item in branches],
        }
        ctx.note("decision", f"round{number}", shown)
        return {
            "candidates": candidates,
            "newest": None if chosen is None else chosen.candidate.id,
            "asked": (*state.get("asked", ()), *queries),
            "branches": branches,
            "selected": selected,
        }

    async def _planned(self, ctx: RunContext, state: State, evidence: tuple[Evidence, ...]) -> tuple[str, ...]:
        """The round's searches: repeated ones are asked for once more, and then left out; the question itself where no
        search could be planned."""
        width, asked, site = (
            self.knobs.width,
            state.get("asked", ()),
            Site(ctx.root.at(f"r{state['round']}"), "planner"),
        )
        sampling = Sampling(temperature=self.knobs.temperature, top_p=0.95, max_tokens=self.knobs.max_tokens)
        planner = Planner(client=ctx.client_of("planner"), sampling=ctx.sampling("planner", sampling))
        question = " ".join(ctx.task.messages[-1].content.split())
        new: tuple[str, ...] = ()
        try:
            planned = await planner.plan(ctx.task, evidence, asked, width, site=site)
            new, repeated = distinct(planned, asked)
            if repeated:
                again = await planner.replan(
                    ctx.task, evidence, (*asked, *new), len(repeated), repeated, site=site.at("distinct")
                )
                new, _ = distinct((*new, *again), asked)
        except ModelError as error:
            ctx.report(failure_of(error, site.where))
        return new[:width] or (question,)

    async def assess(self, state: State, ctx: RunContext) -> Assessment:
        """The stop rule over the round's branches; no call of its own."""
        branches, selected = state["branches"], state["selected"]
        chosen = None if selected is None else branches[selected]
        if chosen is None:
            return Assessment("continue", "", float("-inf"), "no branch came out")
        stops = [item is not None and item.stops for item in branches]
        rules = {"selected": chosen.stops, "majority": 2 * sum(stops) > len(stops)}
        decision: Literal["accept", "continue"] = "accept" if rules[self.knobs.stop_rule] else "continue"
        return Assessment(decision, chosen.candidate.id, chosen.grounded, chosen.why)

    async def merge(self, state: State, ctx: RunContext, verdict: Assessment) -> State:
        """The next round's evidence: the chosen branch's, with what complements it of the others'."""
        _may_search(ctx)
        selected, branches = state["selected"], state["branches"]
        chosen = None if selected is None else branches[selected]
        best = chosen.evidence if chosen is not None else state.get("evidence", ())
        every = [
            fact
            for index, item in enumerate(branches)
            if item is not None and index != selected
            for fact in item.evidence
        ]
        others = united((*best, *every))[len(best) :]
        if not others:
            return {"evidence": self._within(ctx, best)}
        site = Site(ctx.root.at(f"r{state['round']}"), "context", "merge")
        manager = context_manager(ctx, self.knobs)
        try:
            merged = await manager.merge(ctx.task, best, others, site=site)
        except ModelError as error:
            ctx.report(failure_of(error, site.where))
            merged = best
        kept = self._within(ctx, merged)
        shown = {"rule": "merge", "kept": len(kept), "of": len(best) + len(others)}
        ctx.note("decision", f"merge{state['round']}", shown)
        return {"evidence": kept}

    def _within(self, ctx: RunContext, evidence: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
        lengths = [len(item.fact) for item in evidence]
        relevances = [relevance(item.fact, ctx.task.question) for item in evidence]
        return tuple(evidence[place] for place in within(lengths, relevances, self.knobs.memory_characters))

    async def finish(self, state: State, ctx: RunContext) -> State:
        """Says so when the answer rests on nothing."""
        chosen = next((item for item in state["candidates"] if item.id == state["chosen"]), None)
        if chosen is not None and state["stop"] == "rounds" and not ctx.search.cited.get(_grounds(chosen)):
            return {"stop": "ungrounded"}
        return {}


def _may_search(ctx: RunContext) -> None:
    """Raises BudgetExhausted where no unit of ``search`` is left: a further round would find nothing."""
    if ctx.root.account.units_left(UNIT) == 0:
        raise ctx.root.account.deny(f"tools.{UNIT}")


def _grounds(candidate: Candidate) -> str:
    """What the evidence of a candidate is kept under."""
    return f"{candidate.id}.evidence"


def _loop(knobs: SparcRagKnobs) -> RefineLoop[State]:
    nodes = Nodes(knobs)
    return RefineLoop(
        state=State,
        solve=nodes.solve,
        assess=nodes.assess,
        feedback=nodes.merge,
        finish=nodes.finish,
        rounds=knobs.depth,
        keep=knobs.keep,
        accepted="grounded",
    )


def build(knobs: SparcRagKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> solve (plan, branches, choice) -> assess -> feedback (merge) -> solve ... -> finish -> END."""
    return _loop(knobs).compiled()


def cost(knobs: SparcRagKnobs) -> CostLaw:
    width, depth = knobs.width, knobs.depth
    every = width * depth
    written = int(knobs.decider == "verdict")
    most_again = depth * (2 + width * (1 + written)) + (depth - 1)
    return CostLaw(
        calls="R + U + A + E + M + X",
        depth="R + L + M + Y",
        observables={
            "R": Observable("rounds", 1, depth),
            "U": Observable("updates of a branch's evidence", 0, every),
            "A": Observable("answers", 0, every),
            "E": Observable("evaluations", 0, every),
            "M": Observable("merges", 0, depth - 1),
            "X": Observable("replies asked for again: unreadable, or repeated searches", 0, most_again),
            "L": Observable("steps of the deepest branch of each round, summed", 0, depth * (4 + written)),
            "Y": Observable("re-asks outside of branches", 0, depth * 2 + (depth - 1)),
        },
    )


def needs(knobs: SparcRagKnobs) -> Mapping[str, tuple[Capability, ...]]:
    judged: tuple[Capability, ...] = ("logprobs",) if knobs.decider == "probability" else ()
    return {"planner": (), "context": (), "reader": (), "verifier": judged}


STRATEGY = Strategy(
    name="sparc_rag",
    summary="rounds of complementary searches in isolated branches over one merged evidence, until it is grounded",
    paper="SPARC-RAG, arXiv 2602.00083",
    knobs=SparcRagKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: _loop(knobs).supersteps,
    needs=needs,
    retrieves=lambda knobs: True,
)
