"""One task from its recall to its Result: memory, the strategy's graph, what was learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from langgraph.graph.state import CompiledStateGraph

from phronesis.agents.abstractor import Abstractor
from phronesis.agents.client.metered import Metered
from phronesis.agents.client.run_client import Journaled
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import Sampling, Usage
from phronesis.core.effects import Effects
from phronesis.core.errors import BudgetExhausted
from phronesis.core.journal import Journal
from phronesis.core.ports import ChatClient, ConceptMemory
from phronesis.core.recording import Recording
from phronesis.core.result import Candidate, MemoryReport, MemoryWrite, Result, RoleUsage, UsageReport
from phronesis.core.task import Task
from phronesis.graphs.banks import Banks
from phronesis.graphs.context import RunContext
from phronesis.graphs.endpoints import RoleEndpoint
from phronesis.graphs.nodes.learn import count_use, judge_run, learn, recall
from phronesis.graphs.nodes.programs import JournaledPrograms
from phronesis.graphs.policies.reward import RewardStatistics
from phronesis.graphs.recipe import ModelSection, Recipe
from phronesis.graphs.state import Outcome
from phronesis.tools.answers import answer_space
from phronesis.tools.python_execution import PythonPrograms

ABSTRACTOR_SAMPLING = Sampling(temperature=0.2, top_p=0.95, max_tokens=200)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the tasks of a run share."""

    recipe: Recipe
    graph: CompiledStateGraph[Any, Any, Any, Any]
    journal: Journal
    run_id: str
    endpoints: Mapping[str, RoleEndpoint]
    models: Mapping[str, str]
    """Model name by role, pinned."""
    statistics: Mapping[str, RewardStatistics]
    memory: Callable[[], ConceptMemory]
    banks: Banks
    """Recorded runs whose attempts may be scored again."""
    warnings: tuple[str, ...]
    """Goes into every Result's ``degraded``."""
    memory_version: int | None
    """Pinned version in mode ``frozen``; None = the latest at each task's start."""
    recording: Recording | None = None
    """What a replay draws from."""
    replayed_from: str = ""
    """Run that a replay replays."""


def _context(around: Surroundings, task: Task, effects: Effects, account: Account) -> RunContext:
    recipe = around.recipe
    clients: dict[str, ChatClient] = {}

    def client_of(role: str) -> ChatClient:
        if role not in clients:
            endpoint = around.endpoints[role]
            metered, seed = Metered(endpoint), recipe.file.seed
            clients[role] = Journaled(metered, effects, seed=seed, task=task.id, recording=around.recording)
        return clients[role]

    def sampling_of(role: str) -> dict[str, Any]:
        default = recipe.file.models.get("default", ModelSection()).sampling_values
        own = recipe.file.models.get(role, ModelSection()).sampling_values
        return {**default, **own}

    return RunContext(
        task=task,
        answers=answer_space(task.answer_format or recipe.file.answer.format, recipe.file.answer.extraction),
        root=Branch("", account),
        effects=effects,
        client_of=client_of,
        sampling_of=sampling_of,
        model_of=lambda role: around.models.get(role, ""),
        statistics=around.statistics,
        programs=JournaledPrograms(PythonPrograms(), effects),
        bank=lambda run: around.banks.attempts(run, task.id),
    )


async def solve_task(around: Surroundings, task: Task) -> tuple[Result, dict[str, float]]:
    """The Result, and the first chain's rewards for the statistics. Journals ``task_finished``."""
    bank = None if around.recording is None else around.recording.bank(task.id)
    effects = Effects(around.journal, task.id, bank=bank)
    account = Account(around.recipe.file.budget, seconds_before=effects.seconds_before)
    effects.watch(lambda: account.seconds)
    ctx = _context(around, task, effects, account)
    ctx.reports.degraded.extend(around.warnings)
    mode = around.recipe.file.memory.mode
    report = MemoryReport(session=around.recipe.file.memory.session, mode=mode)
    if mode != "off":
        ctx, report = await _recall(around, ctx, report)
    outcome = await _run_graph(around, ctx)
    if mode in ("read", "write"):
        report = await _learn(around, ctx, outcome, report)
    account.close()
    result = _result(around, ctx, outcome, report if mode != "off" else None)
    ctx.note("task_finished", "result", {"result": result.model_dump(mode="json")})
    return result, ctx.reports.first_rewards


async def _recall(around: Surroundings, ctx: RunContext, report: MemoryReport) -> tuple[RunContext, MemoryReport]:
    section = around.recipe.file.memory
    text, recalled, version = await recall(
        ctx,
        around.memory,
        k=section.k,
        version=around.memory_version,
        least=section.least_similarity,
        budget=section.token_budget,
    )
    return replace(ctx, memory=text), report.model_copy(update={"recalled": recalled, "version": version})


async def _run_graph(around: Surroundings, ctx: RunContext) -> Outcome:
    """The last state of the strategy's graph. A limit that no node caught leaves the best so far."""
    config: Any = {"recursion_limit": around.recipe.strategy.supersteps(around.recipe.knobs)}
    last: Outcome = {"candidates": (), "answer": None, "chosen": None, "stop": "failed"}
    try:
        async for state in around.graph.astream({"candidates": ()}, config=config, context=ctx, stream_mode="values"):
            last = cast(Outcome, {**last, **state})
    except BudgetExhausted as error:
        last = cast(Outcome, {**last, "stop": f"budget:{error.details['limit']}"})
    return last


async def _learn(around: Surroundings, ctx: RunContext, outcome: Outcome, report: MemoryReport) -> MemoryReport:
    section = around.recipe.file.memory
    chosen = outcome["chosen"]
    acceptance = judge_run(ctx, outcome["candidates"], chosen, consensus=section.consensus, least=section.least_score)
    shown = [item.id for item in report.recalled if item.rendered]
    await count_use(ctx, around.memory, run_id=around.run_id, ids=shown, accepted=acceptance.accepted)
    written: tuple[MemoryWrite, ...] = ()
    if section.mode == "write":
        solution = next((item for item in outcome["candidates"] if item.id == chosen), Candidate(id="none"))
        sampling = ctx.sampling("abstractor", ABSTRACTOR_SAMPLING)
        written = await learn(
            ctx,
            around.memory,
            Abstractor(client=ctx.client_of("abstractor"), sampling=sampling),
            run_id=around.run_id,
            solution=solution,
            acceptance=acceptance,
            recalled=[item.id for item in report.recalled],
        )
    return report.model_copy(update={"written": written})


def _usage(account: Account) -> UsageReport:
    def fields(usage: Usage) -> dict[str, int]:
        return {name: getattr(usage, name) for name in RoleUsage.model_fields}

    by_role = {role: RoleUsage(**fields(usage)) for role, usage in sorted(account.by_role.items())}
    return UsageReport(**fields(account.usage), seconds=round(account.seconds, 3), by_role=by_role)


def _result(around: Surroundings, ctx: RunContext, outcome: Outcome, memory: MemoryReport | None) -> Result:
    candidates = outcome["candidates"]
    came_out = any(candidate.status != "failed" for candidate in candidates)
    chosen = next((item for item in candidates if item.id == outcome["chosen"]), None)
    failures = [candidate.error for candidate in candidates if candidate.error is not None]
    failures += sorted(ctx.reports.failures, key=lambda failure: failure.where)
    return Result(
        task_id=ctx.task.id,
        status="ok" if came_out else "failed",
        answer=outcome["answer"],
        answer_text=chosen.text if chosen else "",
        candidates=candidates,
        usage=_usage(ctx.root.account),
        depth=ctx.root.account.depth,
        stop_reason=outcome["stop"],
        unparsable=sum(candidate.status == "unparsable" for candidate in candidates),
        degraded=tuple(ctx.reports.degraded),
        failures=tuple(failures),
        memory=memory,
        decisions=tuple(ctx.reports.decisions),
        recipe=around.recipe.name,
        strategy=around.recipe.strategy.name,
        run_id=around.run_id,
        journal=str(around.journal.path or ""),
        replayed_from=around.replayed_from,
    )
