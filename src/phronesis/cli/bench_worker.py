"""``phronesis bench worker``: one job of a bench from a file, for executors that hand jobs to a scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(worker)


def worker(
    job: Annotated[Path, typer.Argument(help="The job: Job.model_dump_json() in a file.")],
    out: Annotated[Path, typer.Option(help="File of its updates, JSON lines; one that exists is gone on with.")],
    parallel: Annotated[int, typer.Option(help="Tasks in work at a time.", min=1)] = 8,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Do one job of a bench; an executor gives it, on this machine or another one that shares the files.

    Settings come from the environment: PHRONESIS_RUNS_FOLDER is the bench's runs folder, PHRONESIS_CONCURRENCY this
    worker's share of the requests in flight. Killed and given again, it goes on where it was.

    \b
    Example:
      PHRONESIS_RUNS_FOLDER=/shared/gsm/runs phronesis bench worker job-3.json --out job-3.updates.jsonl
    """
    import orjson

    from phronesis.bench.running.worker import work_on_file
    from phronesis.core.loop import run_sync
    from phronesis.core.settings import load_settings

    tasks = run_sync(work_on_file(job, out, load_settings(), parallel=parallel))
    if json:
        typer.echo(orjson.dumps({"tasks": tasks, "updates": str(out)}).decode())
    else:
        typer.echo(f"{tasks} tasks done, updates in {out}" if tasks else f"nothing was left to do, updates in {out}")
