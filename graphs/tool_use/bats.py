"""BATS: an agent that plans and knows its budget; each answer is verified, and what is left goes on with it or begins anew.

Paper: Budget-Aware Tool-Use Enables Effective Agent Scaling (arXiv 2511.17006).
Roles: agent (ReAct with Budget Tracker and a plan), verifier (marks the demands of the question one by one and says SUCCESS,
CONTINUE or PIVOT), context (sums up more than K steps), judge (chooses among the answers at the end).
Cost law (tried calls): calls = T + S + V + X + J, depth the same, for T turns of the agents, those for an answer without
tools included, S summaries, V verifications (one per attempt with an answer), X of them asked for again, and J = 1 where
different answers are left to choose from. Units of tools: never more than the budget. All is sequential.
Stopping: with ``early_stop`` the first SUCCESS (``verified``); else when the units of any tool are used up
(``budget:tools.NAME``) or ``max_attempts`` are made (``rounds``); a limit (``budget:<limit>``), nothing came out
(``failed``).
After SUCCESS the next attempt is independent. After CONTINUE it goes on with plan, summary and details; after PIVOT with
summary and details alone. None of the old trace is in either.
Ties: the judge sees the answers judged SUCCESS, or all where there is none, each once, best verified first; an answer "None"
only where there is no other. Without a choice of it (one answer, a reply that names none, a failure) the best verified one
stands: by the score of its verdict, then the earlier.
Differs from the paper: a verdict is held against its own marks, so that SUCCESS with a contradicted demand is none
(graphs/policies/verdicts.py); an attempt that ends without an answer is asked for one; "verified answers" are those judged
SUCCESS if any; ``max_attempts`` bounds a budget that nothing uses up; costs of plan steps are booked by us. Without any limit
of tool units only ``max_attempts`` and ``early_stop`` end it. A plan never loses a step; after SUCCESS and PIVOT a new one
begins. Its parallel baselines (votes over runs) are not here.
At ``max_attempts = 1`` it is ``react`` with tracker, plan and a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langgraph.graph.state import CompiledStateGraph
from pydantic import Field

from phronesis.agents.answer_chooser import MOST, AnswerChooser
from phronesis.agents.attempt_verifier import AttemptVerifier, Verification
from phronesis.agents.client.profile import Capability
from phronesis.agents.trajectory import record
from phronesis.core.chat import Sampling
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.agent_knobs import AgentKnobs
from phronesis.graphs.nodes.agent_loop import AgentLoop, Trace, budget_text, spending, spent_up
from phronesis.graphs.nodes.attempts import unify_answers
from phronesis.graphs.nodes.refine_loop import Assessment, Decision, LoopState, RefineLoop
from phronesis.graphs.policies.plan import Plan
from phronesis.graphs.policies.verdicts import ThreeWay, ruled, score
from phronesis.graphs.strategy import Strategy

_DECISIONS: Mapping[ThreeWay, Decision] = {"SUCCESS": "accept", "CONTINUE": "continue", "PIVOT": "pivot"}


class BatsKnobs(AgentKnobs):
    """What can be set."""

    max_attempts: int = Field(default=5, ge=1, le=MOST)
    """Most attempts; the paper has no such bound."""
    early_stop: bool = False
    """Ends at the first SUCCESS. The paper's main mode uses the whole budget."""
    planning: bool = True
    """The agent keeps a plan; the paper's ablation without it loses 2 to 5 points."""
    tracker: Literal[True] = True
    """Always on."""
    parallel_calls: int = Field(default=5, ge=1)
    """Calls that one turn may hold. The paper's: 3 to 5 while much is left."""
    responses: int | None = Field(default=1, ge=1)
    """Newest tool responses in the prompt. The paper's: 1."""
    summary_after: int | None = Field(default=10, ge=1)
    """K. The paper's: 10."""
    temperature: float = Field(default=0.7, ge=0)
    """Of the agent. The paper's: 0.7; verifier and judge are greedy."""
    verdict_tokens: int = Field(default=512, ge=1)
    """Longest verdict."""


class State(LoopState, total=False):
    """The loop's state and what crosses attempts."""

    trace: Trace
    """Of the newest attempt."""
    seed: str
    """What the next attempt is told of earlier ones."""
    plan: Plan
    """What the next attempt goes on with."""


@dataclass(frozen=True)
class Nodes:
    """The parts of the loop over one set of knobs."""

    knobs: BatsKnobs

    async def solve(self, state: State, ctx: RunContext) -> State:
        """One attempt of the agent."""
        number = state["round"]
        loop = AgentLoop(knobs=self.knobs, planning=self.knobs.planning, id=lambda n: f"a{number}.{n}")
        start = Trace(seed=state.get("seed", ""), plan=state.get("plan", ()))
        trace = await loop.run(ctx, ctx.root.at(f"r{number}"), start)
        made = tuple(item.model_copy(update={"round": number}) for item in trace.answers)
        candidates = unify_answers((*state["candidates"], *made), ctx.answers)
        return {"candidates": candidates, "newest": trace.accepted, "trace": trace}

    async def assess(self, state: State, ctx: RunContext) -> Assessment:
        """The verifier's verdict, held against its marks. Raises ModelError, BudgetExhausted."""
        number, trace = state["round"], state["trace"]
        answer = next((item for item in state["candidates"] if item.id == state["newest"]), None)
        if answer is None and trace.ended == "budget":
            raise ctx.root.account.deny(ctx.root.account.denied or "calls")
        if answer is None:
            return Assessment("pivot", "", float("-inf"), "no answer was proposed")
        sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=self.knobs.verdict_tokens)
        verifier = AttemptVerifier(client=ctx.client_of("verifier"), sampling=ctx.sampling("verifier", sampling))
        done = record(trace.steps, before=trace.seed, characters=self.knobs.record_characters)
        site = Site(ctx.root.at(f"r{number}"), "verifier")
        found = await verifier.verify(ctx.task, done, answer.answer or "", budget_text(ctx), site=site)
        marks = [item.mark for item in found.verification]
        ruling = ruled(found.decision, marks)
        shown = {
            "rule": "verification",
            "of": answer.id,
            "answer": answer.answer,
            "said": found.decision,
            "decision": ruling.decision,
            "overruled": ruling.overruled,
            "marks": [item.model_dump() for item in found.verification],
            **spending(ctx, self.knobs),
        }
        ctx.note("decision", f"verification{number}", shown)
        given_up = _says_nothing(answer.answer)
        return Assessment(
            _DECISIONS["PIVOT" if given_up else ruling.decision],
            answer.id,
            -1.0 if given_up else score(marks, ruling.decision),
            _checked(found),
            found.handed_on,
        )

    async def feedback(self, state: State, ctx: RunContext, verdict: Assessment) -> State:
        """What the next attempt begins with; no call. Raises BudgetExhausted where the units of a tool are used up."""
        spent = spent_up(ctx)
        if spent is not None:
            raise ctx.root.account.deny(spent)
        if verdict.decision == "accept":
            return {"seed": "", "plan": ()}
        kept = state["trace"].plan if verdict.decision == "continue" else ()
        return {"seed": verdict.advice or state["trace"].seed, "plan": kept}

    async def finish(self, state: State, ctx: RunContext) -> State:
        """The judge's choice, or the best verified answer. At most 1 call. Raises ModelError, BudgetExhausted."""
        pool = _pool(state)
        if not pool:
            return {}
        number: int | None = None
        if len(pool) > 1:
            sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=self.knobs.verdict_tokens)
            chooser = AnswerChooser(client=ctx.client_of("judge"), sampling=ctx.sampling("judge", sampling))
            answers = [(item.answer or "", verdict.reason) for item, verdict in pool]
            number = await chooser.choose(ctx.task, answers, site=Site(ctx.root.at("end"), "judge"))
        chosen, _ = pool[number or 0]
        shown = {
            "rule": "choice",
            "of": [item.id for item, _ in pool],
            "verified": [verdict.decision == "accept" for _, verdict in pool],
            "chosen": chosen.id,
            "by": "order" if number is None else "judge",
            **spending(ctx, self.knobs),
        }
        ctx.note("decision", "choice", shown)
        return {"answer": chosen.answer, "chosen": chosen.id}


def _says_nothing(answer: str | None) -> bool:
    """Whether an agent gave up in words."""
    return answer is None or answer.strip().casefold().rstrip(".") == "none"


def _checked(found: Verification) -> str:
    """The marks and why, for the judge."""
    marks = "; ".join(f"{item.constraint}: {item.mark}" for item in found.verification)
    return f"{marks}. {found.justification}".strip(". ")


def _pool(state: State) -> list[tuple[Candidate, Assessment]]:
    """What is to choose from, best verified first: each answer once, those judged SUCCESS if there is one, and no "None"
    where there is another answer."""
    known = {item.id: item for item in state["candidates"] if item.answer is not None}
    rated = [(known[verdict.of], verdict) for verdict in state["verdicts"] if verdict.of in known]
    found = [pair for pair in rated if not _says_nothing(pair[0].answer)] or rated
    found = [pair for pair in found if pair[1].decision == "accept"] or found
    found.sort(key=lambda pair: -pair[1].score)
    best: dict[str | None, tuple[Candidate, Assessment]] = {}
    for item, verdict in found:
        best.setdefault(item.answer, (item, verdict))
    return list(best.values())[:MOST]


def _loop(knobs: BatsKnobs) -> RefineLoop[State]:
    nodes = Nodes(knobs)
    return RefineLoop(
        state=State,
        solve=nodes.solve,
        assess=nodes.assess,
        feedback=nodes.feedback,
        finish=nodes.finish,
        rounds=knobs.max_attempts,
        ends=lambda verdict: knobs.early_stop and verdict.decision == "accept",
        accepted="verified",
    )


def build(knobs: BatsKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> solve (the agent) -> assess (the verifier) -> feedback -> solve ... -> finish (the judge) -> END."""
    return _loop(knobs).compiled()


def cost(knobs: BatsKnobs) -> CostLaw:
    attempts = knobs.max_attempts
    formula = "T + S + V + X + J"
    return CostLaw(
        calls=formula,
        depth=formula,
        observables={
            "T": Observable("turns, those for an answer without tools included", 1, attempts * knobs.most_turns),
            "S": Observable("summaries", 0, attempts * knobs.most_summaries),
            "V": Observable("verifications", 0, attempts),
            "X": Observable("verifications asked for again, for they could not be read", 0, attempts),
            "J": Observable("choices among different answers", 0, int(attempts > 1)),
        },
    )


def needs(knobs: BatsKnobs) -> Mapping[str, tuple[Capability, ...]]:
    later = ("judge",) if knobs.max_attempts > 1 else ()
    sums = ("context",) if knobs.summary_after is not None else ()
    return dict.fromkeys(("agent", "verifier", *sums, *later), ())


STRATEGY = Strategy(
    name="bats",
    summary="an agent that knows its budget and plans; each answer is verified, and the rest of the budget used on",
    paper="BATS, arXiv 2511.17006",
    knobs=BatsKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: _loop(knobs).supersteps,
    needs=needs,
    uses_tools=lambda knobs: True,
)
