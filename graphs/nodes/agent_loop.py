"""The agent's loop that tool-using strategies share: think, call, read, and so on until it answers or something runs out.

Every turn uses one step, whatever it holds. What cannot be used (malformed turns, calls in prose, tools that do not exist,
answers that cannot be read, lost calls) is told the agent and ends the loop after ``most_problems`` in a row. Tool results
are data: which tools there are, what they may cost and when the loop ends follows from the recipe and from counters alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from phronesis.agents.agent import ANSWERS, NUDGE, RECHECK, Agent
from phronesis.agents.context_manager import ContextManager
from phronesis.agents.tool_user import Turn
from phronesis.agents.tracker import Stock, budget_block, limited
from phronesis.agents.trajectory import Step, record
from phronesis.core.budget import Branch
from phronesis.core.chat import Completion, Sampling
from phronesis.core.errors import BudgetExhausted, ModelError
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.tool import ToolCall, ToolResult
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.agent_knobs import AgentKnobs
from phronesis.graphs.nodes.attempts import brief, failure_of, to_candidate
from phronesis.graphs.policies.plan import Plan, charged, merged, read_plan, shown_plan
from phronesis.graphs.policies.regimes import exhausted, unified_cost, worst

ROLE = "agent"


@dataclass(frozen=True)
class Trace:
    """Where an agent stands; a value that goes into each step and comes out of it."""

    seed: str = ""
    """Summary of earlier work that stands in for its trace."""
    plan: Plan = ()
    steps: tuple[Step, ...] = ()
    """Those that no summary has taken the place of."""
    taken: int = 0
    """Steps of the horizon that are used."""
    answers: tuple[Candidate, ...] = ()
    """Proposed so far, unreadable ones too."""
    accepted: str | None = None
    """Id of the answer that counts."""
    problems: int = 0
    """Turns in a row that could not be used."""
    refused: int = 0
    """Answers in a row without a call."""
    kept: int = 0
    """Steps since the last summary, or since the last try at one."""
    pending: tuple[ToolCall, ...] = ()
    """Calls of the last turn that are not made yet."""
    ended: str = ""
    """answered, agreed, nudged, horizon, last call, exhausted, problems or budget; empty = it goes on."""
    lost: tuple[ModelError, ...] = field(default=(), compare=False)
    """Failures of turns, oldest first."""

    @property
    def readable(self) -> tuple[Candidate, ...]:
        """Answers that can be read, oldest first."""
        return tuple(item for item in self.answers if item.answer is not None)


@dataclass(frozen=True, kw_only=True)
class AgentLoop:
    """One agent over one set of knobs; it holds nothing of its own."""

    knobs: AgentKnobs
    planning: bool = False
    """Whether the agent keeps a plan."""
    id: Callable[[int], str] = "c{}".format
    """Id of its n-th answer, from 0."""

    async def run(self, ctx: RunContext, branch: Branch, start: Trace | None = None) -> Trace:
        """From the first step to the end, the last asking included. Raises AwaitingAnswer, ResumeRefused, ToolError."""
        trace = start or Trace()
        while not trace.ended:
            trace = await self.think(ctx, branch, trace)
            if trace.pending:
                trace = await self.act(ctx, branch, trace)
        return await self.conclude(ctx, branch, trace)

    async def think(self, ctx: RunContext, branch: Branch, trace: Trace) -> Trace:
        """One turn: at most one call, and one more where a summary is due before it."""
        if exhausted(limited(stocks(ctx))):
            return replace(trace, ended="exhausted")
        if trace.taken >= self.knobs.max_steps:
            return replace(trace, ended="horizon")
        limit = self._one_left(branch, trace)
        if limit is not None:
            branch.account.deny(limit)
            return replace(trace, ended="last call")
        number = trace.taken + 1
        site = Site(branch.at(f"s{number}"), ROLE)
        try:
            trace = await self._summed_up(ctx, site.as_role("context"), trace)
            limit = self._one_left(branch, trace)  # the summary may have been the last call but one
            if limit is not None:
                branch.account.deny(limit)
                return replace(trace, ended="last call")
            agent = self._agent(ctx)
            opening = agent.opening(
                ctx.task,
                ctx.answers.format,
                memory=ctx.memory,
                summary=trace.seed,
                planning=self.planning,
                plan=shown_plan(trace.plan),
                budget="" if trace.steps else self._block(ctx),
            )
            turn = await agent.turn(opening, trace.steps, ctx.tools.specs, responses=self.knobs.responses, site=site)
        except BudgetExhausted:
            return replace(trace, ended="budget")
        except ModelError as error:
            ctx.report(failure_of(error, site.where))
            taken = replace(trace, taken=number, kept=trace.kept + 1, lost=(*trace.lost, error))
            return self._problem(taken, Step(number, None))
        taken = replace(trace, taken=number, kept=trace.kept + 1)
        if self.planning:
            taken = replace(taken, plan=merged(taken.plan, read_plan(turn.thought)))
        return self._read(ctx, branch, taken, Step(number, turn), turn)

    def _read(self, ctx: RunContext, branch: Branch, trace: Trace, step: Step, turn: Turn) -> Trace:
        if turn.problem:
            return self._problem(trace, step)
        if turn.calls:
            return replace(trace, steps=(*trace.steps, step), pending=tuple(turn.calls), refused=0)
        answer = self._candidate(ctx, turn.answer or "", len(trace.answers), turn.thought)
        ctx.note("node", f"{branch.path}proposed.{answer.id}", {"candidates": [brief(answer)]})
        found = replace(trace, answers=(*trace.answers, answer))
        if answer.answer is None:
            return self._problem(
                found, replace(step, after=f"That answer cannot be read. {ANSWERS[ctx.answers.format]}")
            )
        found = replace(found, problems=0, refused=trace.refused + 1)
        if self.knobs.nudges:
            if found.refused >= self.knobs.nudges:
                return replace(found, steps=(*trace.steps, step), ended="nudged")
            told = f"{NUDGE}\n\n{self._block(ctx)}".strip()
            return replace(found, steps=(*trace.steps, replace(step, after=told)))
        agreed = self.knobs.stop_on_agreement and len(found.readable) > 1
        if agreed and ctx.answers.equal(found.readable[-2].answer or "", answer.answer):
            return replace(found, steps=(*trace.steps, step), accepted=answer.id, ended="agreed")
        if len(found.readable) >= self.knobs.min_answers:
            return replace(found, steps=(*trace.steps, step), accepted=answer.id, ended="answered")
        return replace(found, steps=(*trace.steps, replace(step, after=RECHECK)))

    async def act(self, ctx: RunContext, branch: Branch, trace: Trace) -> Trace:
        """Makes the calls of the last turn, side by side; the budget block stands behind what they brought. No model call."""
        step, before = trace.steps[-1], {stock.tool: stock.used for stock in stocks(ctx)}
        try:
            results = await ctx.tools.call_all(trace.pending, site=Site(branch.at(f"s{step.number}"), ROLE))
        except BudgetExhausted:
            return replace(trace, pending=(), ended="budget")
        known = {spec.name for spec in ctx.tools.specs}
        ctx.note("node", f"{branch.path}called{step.number}", {"calls": [_brief_result(result) for result in results]})
        spent = {stock.tool: stock.used - before[stock.tool] for stock in stocks(ctx)}
        done = replace(step, results=results, after=self._block(ctx))
        trace = replace(trace, pending=(), plan=charged(trace.plan, spent), steps=trace.steps[:-1])
        if not any(result.call.name in known for result in results):
            return self._problem(trace, done)
        return replace(trace, steps=(*trace.steps, done), problems=0)

    async def conclude(self, ctx: RunContext, branch: Branch, trace: Trace) -> Trace:
        """The answer that counts. It is asked for once without tools where the loop ended without one, if knobs say so."""
        asks = trace.ended not in ("answered", "agreed", "budget") and self.knobs.at_horizon == "answer"
        if asks and (not trace.readable or self.knobs.nudges):
            trace = await self._asked(ctx, branch, trace)
        stands = trace.ended in ("answered", "agreed", "budget") or self.knobs.at_horizon == "answer"
        if trace.accepted is None and trace.readable and stands:
            trace = replace(trace, accepted=trace.readable[-1].id)
        if not trace.answers and trace.ended != "budget":
            trace = replace(trace, answers=(self._nothing(ctx, branch, trace),))
        for answer in (item for item in trace.answers if item.id == trace.accepted):
            most = self.knobs.record_characters
            done = record(trace.steps, before=trace.seed, characters=most, answer=answer.text)
            ctx.reports.trajectories[answer.id] = done
        shown = {"ended": trace.ended, "steps": trace.taken, "answers": len(trace.answers), "accepted": trace.accepted}
        ctx.note("decision", f"{branch.path}agent", {"rule": "agent", **shown, **spending(ctx, self.knobs)})
        return trace

    async def _asked(self, ctx: RunContext, branch: Branch, trace: Trace) -> Trace:
        site = Site(branch.at("end"), ROLE)
        agent = self._agent(ctx)
        done = record(trace.steps, before=trace.seed, characters=self.knobs.record_characters)
        try:
            reply = await agent.answer(ctx.task, ctx.answers.format, done, site=site, memory=ctx.memory)
        except BudgetExhausted:
            return trace
        if isinstance(reply, ModelError) and trace.answers:
            ctx.report(failure_of(reply, site.where))
            return trace
        made = to_candidate(reply, id=self.id(len(trace.answers)), space=ctx.answers, where=site.where)
        ctx.note("node", f"{branch.path}asked", {"candidates": [brief(made)]})
        return replace(trace, answers=(*trace.answers, made))

    async def _summed_up(self, ctx: RunContext, site: Site, trace: Trace) -> Trace:
        """With a summary in place of all steps but the newest, where more than K have passed."""
        most = self.knobs.summary_after
        if most is None or trace.kept <= most or len(trace.steps) < 2:
            return trace
        sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=self.knobs.max_tokens)
        manager = ContextManager(client=ctx.client_of("context"), sampling=ctx.sampling("context", sampling))
        older, newest = trace.steps[:-1], trace.steps[-1:]
        done = record(older, before=trace.seed, characters=self.knobs.record_characters)
        try:
            summary = await manager.synopsis(ctx.task, done, site=site)
        except ModelError as error:
            ctx.report(failure_of(error, site.where))
            return replace(trace, kept=0)
        ctx.note("decision", f"{site.branch.path}.summary", {"rule": "summary", "steps": len(older), "text": summary})
        return replace(trace, seed=summary, steps=newest, kept=0)

    def _problem(self, trace: Trace, step: Step) -> Trace:
        many = trace.problems + 1
        ended = "problems" if many >= self.knobs.most_problems else ""
        return replace(trace, steps=(*trace.steps, step), problems=many, ended=ended, refused=0)

    def _one_left(self, branch: Branch, trace: Trace) -> str | None:
        """The limit that leaves one call, which is kept for the answer; None = more are left, or it need not be asked for."""
        if not trace.steps or trace.readable or self.knobs.at_horizon == "none":
            return None
        account = branch.account
        deep = account.budget.depth
        return (
            "calls" if account.remaining == 1 else "depth" if deep is not None and deep - account.level == 1 else None
        )

    def _candidate(self, ctx: RunContext, said: str, number: int, thought: str) -> Candidate:
        made = to_candidate(Completion(text=said), id=self.id(number), space=ctx.answers)
        answer = made.answer or ctx.answers.canonical(said)
        text = f"{thought.strip()}\n{said.strip()}".strip()
        return made.model_copy(
            update={"answer": answer, "status": "ok" if answer is not None else "unparsable", "text": text}
        )

    def _nothing(self, ctx: RunContext, branch: Branch, trace: Trace) -> Candidate:
        """The attempt of an agent that never answered: failed where no turn came out, else without an answer."""
        id, turns = self.id(0), [step.turn for step in trace.steps if step.turn is not None]
        if not turns and trace.lost:
            return to_candidate(trace.lost[-1], id=id, space=ctx.answers, where=f"{branch.path or 'task'} {ROLE}")
        return Candidate(id=id, status="unparsable", text=turns[-1].text if turns else "")

    def _agent(self, ctx: RunContext) -> Agent:
        knobs = self.knobs
        sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)
        return Agent(
            client=ctx.client_of(ROLE),
            sampling=ctx.sampling(ROLE, sampling),
            protocol=knobs.protocol,
            parallel_calls=knobs.parallel_calls,
        )

    def _block(self, ctx: RunContext) -> str:
        return budget_text(ctx) if self.knobs.tracker else ""


def stocks(ctx: RunContext) -> list[Stock]:
    """What is used and left of each of the recipe's tools, in its order."""
    account = ctx.root.account
    used = {name: spent.units for name, spent in account.by_tool.items()}
    return [Stock(spec.name, used.get(spec.name, 0), account.budget.tools.get(spec.name)) for spec in ctx.tools.specs]


def budget_text(ctx: RunContext) -> str:
    """The budget block as it stands; empty without tools."""
    found: Sequence[Stock] = stocks(ctx)
    return budget_block(found, worst(limited(found))) if found else ""


def spent_up(ctx: RunContext) -> str | None:
    """The first of the recipe's tools that has nothing left, as a limit's name; None = all have something."""
    return next((f"tools.{stock.tool}" for stock in stocks(ctx) if stock.left == 0), None)


def spending(ctx: RunContext, knobs: AgentKnobs) -> dict[str, object]:
    """Units by tool and the unified cost in USD, of the whole task so far."""
    usage = ctx.root.account.usage
    units = {name: spent.units for name, spent in sorted(ctx.root.account.by_tool.items()) if spent.units}
    cost = unified_cost(
        units,
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        prompt_price=knobs.prompt_price,
        cached_price=knobs.cached_price,
        completion_price=knobs.completion_price,
        unit_price=knobs.unit_price,
    )
    return {"units": units, "cost": round(cost, 9)}


def _brief_result(result: ToolResult) -> dict[str, object]:
    """What progress displays show of a call."""
    return {"tool": result.call.name, "status": result.status, "units": result.units, "cached": result.cached}
