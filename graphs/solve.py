"""One task from its recall to its Result: memory, the strategy's graph, what was learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from langgraph.graph.state import CompiledStateGraph

from phronesis.agents.client.metered import Metered
from phronesis.agents.client.run_client import Journaled
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import Usage
from phronesis.core.effects import Effects
from phronesis.core.errors import BudgetExhausted, OutcomeUnknown, ToolError
from phronesis.core.journal import Journal
from phronesis.core.ports import ChatClient, ConceptMemory
from phronesis.core.recording import Recording
from phronesis.core.result import MemoryReport, Result, RoleUsage, ToolUsage, UsageReport
from phronesis.core.task import Task
from phronesis.graphs.banks import Banks
from phronesis.graphs.context import Reports, RunContext
from phronesis.graphs.endpoints import RoleEndpoint
from phronesis.graphs.nodes.accepting import judge_run
from phronesis.graphs.nodes.asking import Person, approval
from phronesis.graphs.nodes.attempts import failure_of
from phronesis.graphs.nodes.calling import ToolBox
from phronesis.graphs.nodes.learn import Draft, Learner
from phronesis.graphs.nodes.programs import JournaledPrograms
from phronesis.graphs.nodes.recalling import Recaller
from phronesis.graphs.nodes.searching import Searcher
from phronesis.graphs.policies.reward import RewardStatistics
from phronesis.graphs.recipe import ModelSection, Recipe
from phronesis.graphs.sources import Sources
from phronesis.graphs.state import Outcome
from phronesis.tools.answers import answer_space
from phronesis.tools.python_execution import PythonPrograms


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
    sources: Sources
    """Documents and tools."""
    person: Person
    """Who is asked where a person has to be."""
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

    reports = Reports()
    search = Searcher(around.sources, effects, where=recipe.file.retrieval.where, degraded=reports.degraded)
    tools = ToolBox(
        around.sources,
        effects,
        approval(effects, around.person, task=task.id),
        recipe.file.tools.asks,
        recipe.file.tools.output,
        found=search.found,
    )
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
        search=search,
        tools=tools,
        person=around.person,
        reports=reports,
    )


@dataclass(frozen=True, kw_only=True)
class Explored:
    """A task whose calls are made: it has an outcome, and what it wants to write is drafted but not written."""

    around: Surroundings
    ctx: RunContext
    outcome: Outcome
    report: MemoryReport
    learner: Learner
    draft: Draft | None
    """None = the memory neither counts uses nor learns."""


async def solve_task(around: Surroundings, task: Task) -> tuple[Result, dict[str, float]]:
    """The Result, and the first chain's rewards for the statistics. Journals ``task_finished``."""
    return await settle_task(await explore_task(around, task))


async def explore_task(around: Surroundings, task: Task) -> Explored:
    """Everything about a task but what changes the memory."""
    bank = None if around.recording is None else around.recording.bank(task.id)
    effects = Effects(around.journal, task.id, bank=bank)
    account = Account(around.recipe.file.budget, seconds_before=effects.seconds_before)
    effects.watch(lambda: account.seconds)
    ctx = _context(around, task, effects, account)
    ctx.reports.degraded.extend(around.warnings)
    mode = around.recipe.file.memory.mode
    report = MemoryReport(session=around.recipe.file.memory.session, mode=mode)
    recaller: Recaller | None = None
    if mode != "off":
        ctx, report, recaller = await _recall(around, ctx, report)
    outcome = await _run_graph(around, ctx)
    if recaller is not None and recaller.later:
        report = report.model_copy(update={"recalled": recaller.items()})
    section = around.recipe.file.memory
    version = report.version if recaller is not None and not report.skipped else around.memory_version
    learner = Learner(ctx=ctx, memory=around.memory, section=section, run_id=around.run_id, version=version)
    draft = await _draft(ctx, outcome, report, learner)
    account.pause()
    return Explored(around=around, ctx=ctx, outcome=outcome, report=report, learner=learner, draft=draft)


async def settle_task(explored: Explored) -> tuple[Result, dict[str, float]]:
    """The Result of an explored task, once its uses and lessons are written. Makes no call."""
    ctx, report = explored.ctx, explored.report
    ctx.root.account.go_on()
    if explored.draft is not None:
        report = report.model_copy(update={"written": await explored.learner.commit(explored.draft)})
    ctx.root.account.close()
    memory = report if report.mode != "off" else None
    result = _result(explored.around, ctx, explored.outcome, memory)
    ctx.note("task_finished", "result", {"result": result.model_dump(mode="json")})
    return result, ctx.reports.first_rewards


async def _recall(
    around: Surroundings, ctx: RunContext, report: MemoryReport
) -> tuple[RunContext, MemoryReport, Recaller]:
    section = around.recipe.file.memory
    recaller = Recaller(ctx, around.memory, section, around.memory_version)
    found = await recaller.first()
    report = report.model_copy(update={"recalled": found.items, "version": found.version, "skipped": found.skipped})
    return replace(ctx, memory=found.text, recall_again=recaller.again), report, recaller


async def _run_graph(around: Surroundings, ctx: RunContext) -> Outcome:
    """The last state of the strategy's graph. A limit that no node caught leaves the best so far; a tool's result or a
    person's answer that a replay lacks, and a call whose outcome nobody knows, leave no answer: other tasks go on."""
    config: Any = {"recursion_limit": around.recipe.strategy.supersteps(around.recipe.knobs)}
    last: Outcome = {"candidates": (), "answer": None, "chosen": None, "stop": "failed"}
    try:
        async for state in around.graph.astream({"candidates": ()}, config=config, context=ctx, stream_mode="values"):
            last = cast(Outcome, {**last, **state})
    except BudgetExhausted as error:
        last = cast(Outcome, {**last, "stop": f"budget:{error.details['limit']}"})
    except ToolError as error:
        if not (error.details.get("not_recorded") or isinstance(error, OutcomeUnknown)):
            raise
        ctx.report(failure_of(error, "replay" if error.details.get("not_recorded") else "tool call"))
        return {"candidates": (), "answer": None, "chosen": None, "stop": "failed"}
    return last


async def _draft(ctx: RunContext, outcome: Outcome, report: MemoryReport, learner: Learner) -> Draft | None:
    """What the run wants to write. In mode ``read`` the verdict is worth its calls only if concepts were shown."""
    shown = any(item.rendered for item in report.recalled)
    if report.mode != "write" and not (report.mode == "read" and shown):
        return None
    judged = await judge_run(ctx, outcome["candidates"], outcome["chosen"], learner.section, report.recalled)
    return await learner.draft(judged, report.recalled)


def _usage(account: Account) -> UsageReport:
    def fields(usage: Usage) -> dict[str, int]:
        return {name: getattr(usage, name) for name in RoleUsage.model_fields}

    by_role = {role: RoleUsage(**fields(usage)) for role, usage in sorted(account.by_role.items())}
    tools = {name: ToolUsage(**asdict(spent)) for name, spent in sorted(account.by_tool.items())}
    return UsageReport(**fields(account.usage), seconds=round(account.seconds, 3), by_role=by_role, tools=tools)


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
        retrieval=ctx.search.report(outcome["chosen"]),
        decisions=tuple(ctx.reports.decisions),
        recipe=around.recipe.name,
        strategy=around.recipe.strategy.name,
        run_id=around.run_id,
        journal=str(around.journal.path or ""),
        replayed_from=around.replayed_from,
    )
