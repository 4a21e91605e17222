"""Programs inside a run: drawn, run, repaired. What running one brought is a journalled effect; a resume does not run it
again."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict

from phronesis.agents.programmer import Programmer, program_of
from phronesis.core.budget import Branch
from phronesis.core.chat import Reply
from phronesis.core.effects import Effects
from phronesis.core.errors import BudgetExhausted, PhronesisError
from phronesis.core.ports import ProgramRun, ProgramRunner
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import failure_of


class JournaledPrograms:
    """A ProgramRunner over another one."""

    def __init__(self, runner: ProgramRunner, effects: Effects) -> None:
        self._runner = runner
        self._effects = effects

    async def run(self, program: str, *, site: Site) -> ProgramRun:
        """What the program brought, from the journal where it has it.

        Raises ToolError when nothing can be run; BudgetExhausted when the seconds are used up before it ends."""
        account = site.branch.account

        async def work() -> ProgramRun:
            left = account.seconds_left
            try:
                async with asyncio.timeout(None if left is None else max(left, 0.0)):
                    return await self._runner.run(program, site=site)
            except TimeoutError:
                raise account.deny("seconds") from None

        try:
            return await self._effects.effect(
                f"{site.key}>",
                {"program": program},
                work,
                encode=asdict,
                decode=lambda data: ProgramRun(**data),
                note={"role": site.role},
            )
        except BudgetExhausted as error:
            raise account.deny(str(error.details["limit"])) from None


def to_program(reply: Reply, *, id: str, where: str, round: int = 0, parents: tuple[str, ...] = ()) -> Candidate:
    """The candidate a programmer's reply makes before it is run: a program without an answer, or a failed one."""
    if isinstance(reply, PhronesisError):
        error = failure_of(reply, where)
        return Candidate(id=id, status="failed", kind="program", error=error, round=round, parents=parents)
    text = program_of(reply.text)
    mean = reply.logprobs.mean if reply.logprobs else math.nan
    return Candidate(
        id=id,
        text=text,
        status="unparsable",
        kind="program",
        steps=tuple(line for line in text.splitlines() if line.strip()),
        mean_logprob=None if math.isnan(mean) else mean,
        tokens=reply.tokens,
        cut_off=reply.finish == "length",
        round=round,
        parents=parents,
    )


async def execute(ctx: RunContext, candidate: Candidate, *, branch: Branch) -> Candidate:
    """The program with the answer that running it gave; one that failed stays without, its error in ``notes``; one that the
    seconds left no time for is a failed candidate.

    Raises ToolError where programs cannot be run."""
    if candidate.status == "failed":
        return candidate
    try:
        found = await ctx.programs.run(candidate.text, site=Site(branch, "python", candidate.id))
    except BudgetExhausted as late:
        lost = failure_of(late, f"{branch.path or 'task'} python")
        return candidate.model_copy(update={"status": "failed", "text": "", "steps": (), "error": lost})
    answer = None if found.value is None else ctx.answers.canonical(found.value)
    if answer is not None:
        return candidate.model_copy(update={"answer": answer, "status": "ok"})
    error = found.error or f"ValueError: solution() returned {found.value!r}, which is no {ctx.answers.format}"
    return candidate.model_copy(update={"notes": error})


async def draw_programs(ctx: RunContext, programmer: Programmer, n: int, *, branch: Branch) -> tuple[Candidate, ...]:
    """As many of n programs as the account allows, each run, as candidates ``p0``, ``p1`` ... n calls, depth 1.

    Raises BudgetExhausted when it allows none."""
    granted = branch.account.grant(n)
    if n and not granted:
        raise branch.account.deny("calls")
    site = Site(branch, "programmer")
    replies = await programmer.sample(ctx.task, ctx.answers.format, granted, site=site, memory=ctx.memory)
    drawn = [to_program(reply, id=f"p{index}", where=f"{site.where} {index}") for index, reply in enumerate(replies)]
    return tuple(await side_by_side([execute(ctx, item, branch=branch) for item in drawn]))


async def repair(ctx: RunContext, programmer: Programmer, candidate: Candidate, *, branch: Branch) -> Candidate:
    """The program written again in view of its error, and run: ``p0.r1`` for ``p0``. 1 call, depth 1."""
    site = Site(branch, "programmer", f"{candidate.id}.repair")
    name = f"{candidate.id}.r1"
    try:
        reply = await programmer.repair(ctx.task, ctx.answers.format, candidate.text, candidate.notes, site=site)
    except BudgetExhausted as error:
        lost = failure_of(error, site.where)
        return Candidate(id=name, status="failed", kind="program", error=lost, round=1, parents=(candidate.id,))
    written = to_program(reply, id=name, where=site.where, round=1, parents=(candidate.id,))
    return await execute(ctx, written, branch=branch)
