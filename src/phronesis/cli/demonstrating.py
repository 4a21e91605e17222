"""``demos make`` as the command line carries it out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import typer

from phronesis.agents.demonstrations import Demonstration
from phronesis.bench.dataset import Example, in_format
from phronesis.bench.demonstrating import demonstration_of, found_passages
from phronesis.bench.graders.grader import GraderContext
from phronesis.bench.graders.table import make_grader
from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import requested
from phronesis.cli.progress import Progress
from phronesis.cli.sessions import Take, carried_out, collect
from phronesis.core.errors import ConfigurationError
from phronesis.core.events import Event, read_events
from phronesis.core.journal import FILE_NAME
from phronesis.core.loop import run_sync
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.graphs.run_folder import run_folder


def run_make(
    name: str,
    overrides: Mapping[str, Any],
    dataset: str,
    out: Path,
    *,
    most: int | None,
    limit: int | None,
    grader: str | None,
    parallel: int,
    run_id: str | None,
    json: bool,
) -> int:
    """Runs, grades and writes; the exit code. 1 where nothing could be kept, or a question failed."""
    recipe = Recipe.load(name, overrides=dict(overrides))
    if recipe.strategy.name != "iterdrag":
        raise ConfigurationError(
            f"{recipe.source}: the strategy {recipe.strategy.name!r} leaves no trace of sub-questions",
            mend="take a recipe of iterdrag",
        )
    if not out.parent.is_dir():
        raise ConfigurationError(f"cannot write {str(out)!r}: there is no folder {str(out.parent)!r}", mend="make it")
    settings = load_settings()
    found = load_set(requested(spec=dataset, limit=limit, grader=grader or ""), settings)
    examples = [in_format(item, recipe.file.answer.format) for item in found.examples]
    context = GraderContext(settings=settings, folder=found.folder)
    for example in examples:
        make_grader(example.grader, context).check(example)
    results: list[Result] = []

    async def work(progress: Progress, take: Take) -> None:
        def keep(result: Result) -> None:
            results.append(result)

        tasks = [example.task for example in examples]
        opened = (
            await Run.start(recipe, listener=progress.hear, extra={"demonstrations": str(out.resolve())})
            if run_id is None
            else await Run.resume(run_id, listener=progress.hear)
        )
        async with opened as run:
            progress.run_id = run.id
            await collect(run, tasks, keep, parallel=parallel)

    try:
        carried_out(work, recipe, len(examples), json=True)
    except KeyboardInterrupt:
        print("go on with the same command and --run of that run", file=sys.stderr)
        raise
    folder = run_folder(settings, results[0].run_id)
    kept, why = run_sync(_kept(examples, results, folder / FILE_NAME, context, most))
    _write(out, kept)
    return _say(out, kept, why, results, json=json)


async def _kept(
    examples: Sequence[Example], results: Sequence[Result], journal: Path, context: GraderContext, most: int | None
) -> tuple[list[Demonstration], Counter[str]]:
    """The demonstrations in the order of the questions, and how often there was none and why."""
    by_task: dict[str, list[Event]] = {}
    for event in read_events(journal):
        if event.type == "effect":
            by_task.setdefault(event.task, []).append(event)
    solved = {result.task_id: result for result in results}
    kept: list[Demonstration] = []
    why: Counter[str] = Counter()
    for example in examples:
        grader = make_grader(example.grader, context)
        try:
            passages = found_passages(by_task.get(example.task.id, ()))
            made = await demonstration_of(example, solved[example.task.id], passages, grader)
        finally:
            await grader.close()
        if isinstance(made, str):
            why[made] += 1
        elif most is not None and len(kept) == most:
            why["more than asked for"] += 1
        else:
            kept.append(made)
    return kept, why


def _write(out: Path, kept: Sequence[Demonstration]) -> None:
    try:
        out.write_bytes(b"".join(item.model_dump_json().encode() + b"\n" for item in kept))
    except OSError as error:
        raise ConfigurationError(f"cannot write {str(out)!r}: {error.strerror}", mend="choose another --out") from None


def _say(out: Path, kept: Sequence[Demonstration], why: Counter[str], results: Sequence[Result], *, json: bool) -> int:
    failed = sum(result.status == "failed" for result in results)
    run = results[0].run_id
    if json:
        data = {"out": str(out), "kept": len(kept), "left_out": dict(why), "failed": failed, "run_id": run}
        typer.echo(orjson.dumps(data).decode())
    else:
        left = ", ".join(f"{count} {reason}" for reason, count in sorted(why.items()))
        typer.echo(f"{out}: {len(kept)} demonstrations of {len(results)} questions; left out: {left or 'none'}")
        typer.echo(f"run {run}; show them with --set knobs.m=N --set knobs.demos={out}")
    return 1 if failed or not kept else 0
