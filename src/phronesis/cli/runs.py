"""``phronesis runs``: what ran, what came out, what was judged, going on with what was stopped, replaying, deleting."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Runs: list, show, resume, verdicts, replay, prune.", no_args_is_help=True)
RunId = Annotated[str, typer.Argument(help="A run's id; `phronesis runs list` shows them.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """Every run, newest first."""
    import orjson

    from phronesis.cli.plain import counted, plain
    from phronesis.core.settings import load_settings
    from phronesis.graphs.run_folder import list_runs

    runs = list_runs(load_settings())
    if json:
        typer.echo(orjson.dumps([run._asdict() for run in runs]).decode())
        return
    if not runs:
        typer.echo('no runs yet: phronesis run direct "..."')
    for run in runs:
        source = f"  replay of {run.replayed_from}" if run.replayed_from else ""
        waiting = f"  waiting: {counted(run.questions, 'question')}" if run.questions else ""
        counts = f"{run.finished}/{run.tasks} tasks  {counted(run.calls, 'call')}{source}{waiting}"
        typer.echo(f"{run.run_id}  {run.status:<11}  {plain(run.recipe, 30):<18}  {counts}")


@app.command()
def show(
    run_id: RunId,
    task: Annotated[str | None, typer.Option(help="Show this task only.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Show attempts, reviews and lessons whole.")] = False,
    json: Json = False,
) -> None:
    """What a run tried, decided, learned and spent, task by task; runs that are going on or were stopped too.

    \b
    Example:
      phronesis runs show 20260512-101500-3fa9c1 --task line7 --full
    """
    from phronesis.cli.showing import show_run

    show_run(run_id, task=task, full=full, json=json)


@app.command()
def resume(
    run_id: RunId,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Let tasks whose Result is failed begin again.")
    ] = False,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK:KEY=ANSWER",
            help="Answer an open question: approve, reject, 'reject: reason' or 'edit: {arguments}', and about a verdict "
            "approve or 'overrule: reason'; repeatable.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Go on with a stopped run; nothing that was journalled is paid again. A finished run is replayed.

    Questions that a person has to answer are asked on a terminal. Elsewhere the run stops and prints each of them with the
    command that answers it.

    \b
    Examples:
      phronesis runs resume 20260512-101500-3fa9c1
      phronesis runs resume 20260512-101500-3fa9c1 --answer 'line7:s2#agent.0.c0?=approve'
      phronesis runs resume 20260512-101500-3fa9c1 --answer 'line7:verify0#person.0?=overrule: the units are wrong'
    """
    from phronesis.cli import sessions

    raise typer.Exit(sessions.resume(run_id, json=json, retry_failed=retry_failed, answers=answer or ()))


@app.command()
def verdicts(
    run_ids: Annotated[list[str], typer.Argument(metavar="RUN", help="Runs of recipes with [verify].")],
    json: Json = False,
    jsonl: Annotated[
        bool,
        typer.Option(
            "--jsonl", help="Print the attempts that people judged, a row each, for `scorers test --attempts`."
        ),
    ] = False,
) -> None:
    """Every verdict of runs under [verify], with a person's word on it, and how far verifier and people agree.

    A threshold is proposed from the figures of the judged attempts; set it as verify.accept.

    \b
    Examples:
      phronesis runs verdicts 20260512-101500-3fa9c1
      phronesis runs verdicts RUN1 RUN2 --jsonl > judged.jsonl
      phronesis scorers test "generative(votes=4)" --attempts judged.jsonl
    """
    from phronesis.cli.run_verdicts import show_verdicts

    show_verdicts(run_ids, json=json, jsonl=jsonl)


@app.command()
def replay(
    run_id: RunId,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a recipe key, KEY=VALUE.")] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Another strategy; it keeps the recorded knobs that it knows.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Another recipe: a shipped name or a .toml file.")] = None,
    calls: Annotated[
        int, typer.Option(help="Calls that may be made where the recording lacks a reply, over all tasks.", min=0)
    ] = 0,
    parallel: Annotated[int, typer.Option(help="Tasks side by side.", min=1)] = 4,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be served and what is missing.")] = False,
    json: Json = False,
) -> None:
    """Solve a run's tasks again from its recorded replies: other knobs, strategy, scorer, vote or stopping rule, no call.

    It makes a run of its own and leaves the recorded one as it is; memories are neither read nor written.

    \b
    Examples:
      phronesis runs replay 20260512-101500-3fa9c1 --set knobs.pool=round
      phronesis runs replay 20260512-101500-3fa9c1 --set knobs.outcome=judge --dry-run
      phronesis runs replay 20260512-101500-3fa9c1 --set knobs.outcome=judge --calls 40
    """
    from phronesis.cli import replaying
    from phronesis.cli.values import settings_of
    from phronesis.graphs.replay import Changes

    overrides = settings_of(set_ or [], option="--set")
    changes = Changes(overrides=overrides, strategy=strategy, recipe=recipe, calls=calls)
    if dry_run:
        raise typer.Exit(replaying.dry_run(run_id, changes, json=json))
    raise typer.Exit(replaying.carry_out(run_id, changes, json=json, parallel=parallel))


@app.command()
def prune(
    run_ids: Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Delete these, whatever else.")] = None,
    keep: Annotated[int, typer.Option(help="Keep so many of the newest.", min=0)] = 0,
    older_than: Annotated[str | None, typer.Option(help="Only those begun longer ago: 30d, 12h, 45m, 2w.")] = None,
    status: Annotated[
        str, typer.Option(help="Only these: finished, failed, interrupted; commas between.")
    ] = "finished,failed",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete run folders. Never one that is going on; interrupted ones, which can be resumed, only when named.

    \b
    Examples:
      phronesis runs prune --keep 20 --dry-run
      phronesis runs prune --older-than 30d --status finished,failed,interrupted --yes
      phronesis runs prune 20260101-120000-0a1b2c
    """
    from phronesis.cli.pruning import prune_runs

    prune_runs(run_ids or (), keep=keep, older_than=older_than, status=status, dry_run=dry_run, yes=yes, json=json)
