"""Runs as the command line carries them out: progress, results, resume lines, exit codes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import orjson
import typer

from phronesis.cli.asking import TerminalAsker, can_ask, open_lines
from phronesis.cli.memory_cost import learning_data, learning_line
from phronesis.cli.plain import counted, plain
from phronesis.cli.progress import Progress
from phronesis.cli.tables import show_answers, show_result
from phronesis.cli.tally import InOrder, Tally
from phronesis.cli.values import STANDARD_INPUT, BadLine, read_tasks
from phronesis.cli.verify_lines import verify_line
from phronesis.core.asking import Question, open_questions
from phronesis.core.errors import AwaitingAnswer, ConfigurationError, PhronesisError
from phronesis.core.events import FILE_NAME, EventIndex
from phronesis.core.lines import append_line
from phronesis.core.loop import run_sync
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.nodes.recalling import recall_calls
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.graphs.run_folder import run_folder

Take = Callable[[Result], None]
"""What is done with each Result."""


def run_question(recipe: Recipe, task: Task, *, json: bool, texts: bool = True, stream: bool = True) -> int:
    """Runs one task and prints its Result; the exit code. ``stream``: on a terminal, replies are shown as they come."""

    async def work(progress: Progress, take: Take) -> None:
        observer = progress.observer if stream else None
        asker = asker_for(progress, json=json)
        async with await Run.start(recipe, listener=progress.hear, texts=texts, observer=observer, asker=asker) as run:
            progress.run_id = run.id
            _say_unasked(run)
            await collect(run, [task], take)

    return carried_out(work, recipe, 1, json=json)


def run_dataset(recipe: Recipe, path: Path, out: Path | None, *, json: bool, parallel: int, texts: bool = True) -> int:
    """Runs a data set; results go to ``out``, one a line, as they come, or with ``json`` to standard output in the order of
    the tasks. Bad lines are named and cost exit code 1."""
    tasks, bad = read_tasks(path)
    done = finished_ids(out) if out is not None else set()
    wanted = [task for task in tasks if task.id not in done]
    for line in bad:
        print(f"phronesis: {path}:{line.number}: {line.reason}; the line is left out", file=sys.stderr)
    if done and len(wanted) < len(tasks):
        print(f"{counted(len(tasks) - len(wanted), 'task is', 'tasks are')} in {out} already", file=sys.stderr)
    if not wanted:
        if not tasks:
            raise ConfigurationError(f"{str(path)!r} holds no task", mend='write lines like {"question": "..."}')
        return 1 if bad else 0
    source = str(path if path == STANDARD_INPUT else path.resolve())
    extra = {"dataset": source, "out": None if out is None else str(out.resolve()), "parallel": parallel}

    async def work(progress: Progress, take: Take) -> None:
        asker = asker_for(progress, json=json)
        async with await Run.start(recipe, listener=progress.hear, texts=texts, extra=extra, asker=asker) as run:
            progress.run_id = run.id
            _say_unasked(run)
            await collect(run, wanted, take, out=out, parallel=parallel)

    code = carried_out(work, recipe, len(wanted), json=json, table=True, bad=bad)
    return max(code, 1 if bad else 0)


def resume(run_id: str, *, json: bool, retry_failed: bool = False, answers: Sequence[str] = ()) -> int:
    """Goes on with a run where it stopped; a finished one is replayed without a call. ``out`` gets the lines it lacks.
    ``answers`` to open questions are each ``TASK:KEY=answer``."""

    async def work(progress: Progress, take: Take) -> None:
        asker = asker_for(progress, json=json)
        async with await Run.resume(
            run_id, listener=progress.hear, retry_failed=retry_failed, answers=answers, asker=asker
        ) as run:
            progress.run_id, progress.total = run.id, len(run.tasks)
            _say_unasked(run)
            out, parallel = run.extra.get("out"), int(run.extra.get("parallel", 1))
            await collect(run, tuple(run.tasks), take, out=Path(out) if out else None, parallel=parallel)

    return carried_out(work, None, None, json=json)


async def collect(run: Run, tasks: Sequence[Task], take: Take, *, out: Path | None = None, parallel: int = 1) -> None:
    """Solves the tasks and hands each Result to ``take``, in the order of the tasks; ``out`` gets a line at once, unless it
    has one that says the task went well, or one of this run that says the same."""
    known = written_lines(out) if out is not None else set()
    ordered = InOrder([task.id for task in tasks], take)
    try:
        async for result in run.solve_all(tasks, parallel=parallel):
            ordered.put(result)
            if out is None or (result.task_id, "", "ok") in known or (result.task_id, run.id, result.status) in known:
                continue
            await asyncio.to_thread(append_line, out, result.model_dump_json().encode())
    except AwaitingAnswer:
        ordered.end()
        raise


def _say_unasked(run: Run) -> None:
    """Warns of dangerous tools before which nobody is asked."""
    names = [spec.name for spec in run.sources.specs if spec.dangerous and not run.recipe.file.tools.asks(spec)]
    if names:
        said = "WARNING: nobody is asked before dangerous tools are called"
        print(f'{said} (approve = "none"): {", ".join(map(plain, names))}', file=sys.stderr, flush=True)


def asker_for(progress: Progress, *, json: bool) -> TerminalAsker | None:
    """What asks a person on the terminal; None where nobody is there."""
    return TerminalAsker(progress.stopped) if can_ask(json=json) else None


def written_lines(path: Path) -> set[tuple[str, str, str]]:
    """(task id, run id, status) of the whole lines of a result file; those that went well stand under run "" too."""
    if not path.is_file():
        return set()
    found = set()
    with path.open("rb") as file:
        for line in file:
            try:
                item = orjson.loads(line)
                task, status = str(item["task_id"]), str(item["status"])
            except (ValueError, KeyError, TypeError):
                continue
            found.add((task, str(item.get("run_id", "")), status))
            if status == "ok":
                found.add((task, "", "ok"))
    return found


def finished_ids(path: Path) -> set[str]:
    """Ids of the tasks that a result file says went well; an absent file has none."""
    return {task for task, run, status in written_lines(path) if status == "ok"}


def carried_out(
    work: Callable[[Progress, Take], Coroutine[Any, Any, None]],
    recipe: Recipe | None,
    total: int | None,
    *,
    json: bool,
    table: bool = False,
    bad: Sequence[BadLine] = (),
) -> int:
    """Runs the work with progress and shows what came out; the exit code. ``json``: a Result a line as they come."""
    progress, tally = Progress(recipe=recipe, total=total, quiet=json), Tally()

    def take(result: Result) -> None:
        tally.add(result)
        if json:
            typer.echo(result.model_dump_json())

    waits = False
    try:
        with progress:
            run_sync(work(progress, take))
    except AwaitingAnswer:
        waits = True
    except (KeyboardInterrupt, PhronesisError):
        if progress.run_id:
            print(f"\nresume with: phronesis runs resume {progress.run_id}", file=sys.stderr)
        raise
    if not json and tally.results is not None and len(tally.results) == 1 and not table:
        show_result(tally.results[0])
    elif not json and (tally.tasks or not waits):
        show_answers(tally, bad)
    if waits:
        print("\n".join(["", *open_lines(progress.run_id, questions_of(progress.run_id))]), file=sys.stderr)
        return 1
    return tally.exit_code


def questions_of(run_id: str) -> tuple[Question, ...]:
    """The open questions of a run."""
    return open_questions(EventIndex(run_folder(load_settings(), run_id) / FILE_NAME))


def show_plan(recipe: Recipe, *, dataset: Path | None, json: bool) -> None:
    """What would run and what it may cost, without a call."""
    law = recipe.strategy.cost(recipe.knobs)
    tasks, bad = read_tasks(dataset) if dataset is not None else ([None], [])  # type: ignore[list-item]  # only counted
    least, most = law.least, law.most
    before = recall_calls(recipe.file.memory)
    plan = {
        "recipe": recipe.name,
        "strategy": recipe.strategy.name,
        "tasks": len(tasks),
        "bad_lines": [line.number for line in bad],
        "calls_per_task": {"formula": law.calls, "least": least[0], "most": most[0]},
        "depth_per_task": {"formula": law.depth, "least": least[1], "most": most[1]},
        "calls": {"least": least[0] * len(tasks), "most": most[0] * len(tasks)},
        "budget_per_task": recipe.file.budget.limits(),
        "verify": recipe.file.verify.model_dump(mode="json"),
        "memory": recipe.file.memory.mode,
        "recall_calls_per_task": {"least": before[0], "most": before[1]},
        "learning_calls_per_task": learning_data(recipe)["calls"],
    }
    if json:
        typer.echo(orjson.dumps(plan).decode())
        return
    typer.echo(f"{plan['tasks']} task(s) through {recipe.name} ({recipe.strategy.name}); memory {plan['memory']}")
    typer.echo(f"calls per task: {law.calls} = {least[0]} to {most[0]}; depth: {law.depth} = {least[1]} to {most[1]}")
    if before[1]:
        typer.echo(f"and {before[0]} to {before[1]} calls more for each task to recall")
    if (after := learning_line(recipe)) is not None:
        typer.echo(after)
    if (line := verify_line(recipe.file.verify)) is not None:
        typer.echo(line)
    limits = ", ".join(f"{name}={value:g}" for name, value in recipe.file.budget.limits().items())
    typer.echo(f"budget per task: {limits or 'none'}")
