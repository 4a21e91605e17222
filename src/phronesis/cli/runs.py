"""``phronesis runs``: what ran, what came out, going on with what was stopped."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Runs: list, show, resume.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(help="A run's id; `phronesis runs list` shows them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """Every run, newest first."""
    import orjson

    from phronesis.core.settings import load_settings
    from phronesis.graphs.run_folder import list_runs

    runs = list_runs(load_settings())
    if json:
        typer.echo(orjson.dumps([run._asdict() for run in runs]).decode())
        return
    if not runs:
        typer.echo('no runs yet: phronesis run direct "..."')
    for run in runs:
        typer.echo(
            f"{run.run_id}  {run.status:<11}  {run.recipe:<18}  {run.finished}/{run.tasks} tasks  {run.calls} calls"
        )


@app.command()
def show(run_id: RunId, json: Json = False) -> None:
    """What a run decided and what came out."""
    import orjson

    from phronesis.cli.progress import describe
    from phronesis.core.journal import FILE_NAME, read_events
    from phronesis.core.settings import load_settings
    from phronesis.graphs.run_folder import run_folder, summarise

    folder = run_folder(load_settings(), run_id)
    events = list(read_events(folder / FILE_NAME))
    results = [event.data["result"] for event in events if event.type == "task_finished"]
    summary = summarise(folder)
    if json:
        typer.echo(orjson.dumps({**summary._asdict(), "results": results}).decode())
        return
    typer.echo(f"{run_id}  {summary.status}  recipe {summary.recipe}  {summary.finished}/{summary.tasks} tasks")
    for event in events:
        line = describe(event)
        if line is not None:
            typer.echo(f"{event.elapsed:8.1f} s  {event.task}  {event.key}: {line}")
    if summary.status == "interrupted":
        typer.echo(f"resume with: phronesis runs resume {run_id}")


@app.command()
def resume(run_id: RunId, json: Json = False) -> None:
    """Go on with a stopped run; nothing that was journalled is paid again. A finished run is replayed."""
    from phronesis.cli import sessions

    raise typer.Exit(sessions.resume(run_id, json=json))
