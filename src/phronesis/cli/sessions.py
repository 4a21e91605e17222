"""Runs as the command line carries them out: progress, results, resume lines, exit codes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import typer

from phronesis.cli.progress import Progress
from phronesis.cli.tables import show_answers, show_result
from phronesis.cli.values import BadLine, read_tasks
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.loop import run_sync
from phronesis.core.result import Result
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run


def run_question(recipe: Recipe, task: Task, *, json: bool, texts: bool = True) -> int:
    """Runs one task and prints its Result; the exit code."""

    async def work(progress: Progress) -> list[Result]:
        async with await Run.start(recipe, listener=progress.hear, texts=texts) as run:
            progress.run_id = run.id
            run.announce([task])
            return [await run.solve(task)]

    return _carried_out(work, recipe, 1, json=json)


def run_dataset(recipe: Recipe, path: Path, out: Path | None, *, json: bool, parallel: int, texts: bool = True) -> int:
    """Runs a data set; results go to ``out``, one a line, as they come. Bad lines are named and cost exit code 1."""
    tasks, bad = read_tasks(path)
    done = finished_ids(out) if out is not None else set()
    wanted = [task for task in tasks if task.id not in done]
    for line in bad:
        print(f"phronesis: {path}:{line.number}: {line.reason}; the line is left out", file=sys.stderr)
    if done and len(wanted) < len(tasks):
        print(f"{len(tasks) - len(wanted)} tasks are in {out} already", file=sys.stderr)
    if not wanted:
        if not tasks:
            raise ConfigurationError(f"{str(path)!r} holds no task", mend='write lines like {"question": "..."}')
        return 1 if bad else 0
    extra = {"dataset": str(path.resolve()), "out": None if out is None else str(out.resolve()), "parallel": parallel}

    async def work(progress: Progress) -> list[Result]:
        async with await Run.start(recipe, listener=progress.hear, texts=texts, extra=extra) as run:
            progress.run_id = run.id
            return await _collect(run, wanted, out, parallel)

    code = _carried_out(work, recipe, len(wanted), json=json, table=True, bad=bad)
    return max(code, 1 if bad else 0)


def resume(run_id: str, *, json: bool) -> int:
    """Goes on with a run where it stopped; a finished one is replayed without a call."""

    async def work(progress: Progress) -> list[Result]:
        async with await Run.resume(run_id, listener=progress.hear) as run:
            progress.run_id = run.id
            out = run.extra.get("out")
            return await _collect(run, run.tasks, Path(out) if out else None, int(run.extra.get("parallel", 1)))

    return _carried_out(work, None, None, json=json)


async def _collect(run: Run, tasks: Sequence[Task], out: Path | None, parallel: int) -> list[Result]:
    known = finished_ids(out) if out is not None else set()
    results: dict[str, Result] = {}
    async for result in run.solve_all(tasks, parallel=parallel):
        results[result.task_id] = result
        if out is not None and result.task_id not in known:
            await asyncio.to_thread(append_line, out, result.model_dump_json())
    return [results[task.id] for task in tasks]


def append_line(path: Path, line: str) -> None:
    """Adds a line that survives a kill; cuts off a torn last line first. Raises ConfigurationError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            size = os.lseek(handle, 0, os.SEEK_END)
            if size and os.pread(handle, 1, size - 1) != b"\n":
                whole = path.read_bytes().rfind(b"\n") + 1
                os.ftruncate(handle, whole)
                os.lseek(handle, whole, os.SEEK_SET)
            os.write(handle, line.encode() + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise ConfigurationError(f"cannot write {str(path)!r}: {error.strerror}", mend="choose another --out") from None


def finished_ids(path: Path) -> set[str]:
    """Ids of the whole lines of a result file whose status is ok; an absent file has none."""
    if not path.is_file():
        return set()
    found = set()
    for line in path.read_bytes().split(b"\n"):
        try:
            item = orjson.loads(line)
            if item["status"] == "ok":
                found.add(str(item["task_id"]))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _carried_out(
    work: Any, recipe: Recipe | None, total: int | None, *, json: bool, table: bool = False, bad: Sequence[BadLine] = ()
) -> int:
    progress = Progress(recipe=recipe, total=total, quiet=json)
    try:
        with progress:
            results: list[Result] = run_sync(work(progress))
    except (KeyboardInterrupt, PhronesisError):
        if progress.run_id:
            print(f"\nresume with: phronesis runs resume {progress.run_id}", file=sys.stderr)
        raise
    if json:
        for result in results:
            typer.echo(result.model_dump_json())
    elif len(results) == 1 and not table:
        show_result(results[0])
    else:
        show_answers(results, bad)
    return 1 if any(result.status == "failed" for result in results) else 0


def show_plan(recipe: Recipe, *, dataset: Path | None, json: bool) -> None:
    """What would run and what it may cost, without a call."""
    law = recipe.strategy.cost(recipe.knobs)
    tasks, bad = read_tasks(dataset) if dataset is not None else ([None], [])  # type: ignore[list-item]  # only counted
    least, most = law.least, law.most
    plan = {
        "recipe": recipe.name,
        "strategy": recipe.strategy.name,
        "tasks": len(tasks),
        "bad_lines": [line.number for line in bad],
        "calls_per_task": {"formula": law.calls, "least": least[0], "most": most[0]},
        "depth_per_task": {"formula": law.depth, "least": least[1], "most": most[1]},
        "calls": {"least": least[0] * len(tasks), "most": most[0] * len(tasks)},
        "budget_per_task": recipe.file.budget.model_dump(exclude_none=True),
        "memory": recipe.file.memory.mode,
    }
    if json:
        typer.echo(orjson.dumps(plan).decode())
        return
    typer.echo(f"{plan['tasks']} task(s) through {recipe.name} ({recipe.strategy.name}); memory {plan['memory']}")
    typer.echo(f"calls per task: {law.calls} = {least[0]} to {most[0]}; depth: {law.depth} = {least[1]} to {most[1]}")
    if recipe.file.memory.mode == "write":
        typer.echo("and 1 or 2 calls more for each task that is learned from")
    typer.echo(f"budget per task: {plan['budget_per_task'] or 'none'}")
