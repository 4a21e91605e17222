"""``phronesis memory consolidate``: compress, merge and retire concepts, as a job that can be stopped at any time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from phronesis.core.concept import Concept
    from phronesis.core.journal import Event
    from phronesis.graphs.consolidation import ConsolidationReport
    from phronesis.memory.deciding import Told

Session = Annotated[str, typer.Option(help="Name of the memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(consolidate)


def consolidate(
    session: Session = "default",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and the calls it takes; pay nothing.")
    ] = False,
    only: Annotated[str | None, typer.Option(help="Only one kind of step: compress, merge or retire.")] = None,
    model: Annotated[
        bool, typer.Option("--model/--no-model", help="Without one: merge by exact name, and retire; no call.")
    ] = True,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE: knobs.merge_above=0.9, models.curator.base_url=... and the like."),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Take the models from this recipe.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Limits of this sitting, for example calls=40,seconds=600.")
    ] = None,
    parallel: Annotated[int, typer.Option(help="Steps side by side.", min=1)] = 4,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give the open job up; what it did stays.")] = False,
    json: Json = False,
) -> None:
    """Tidy a memory up: shorten lists that grew, merge near duplicates, retire what never helps.

    A job that was stopped, by Ctrl-C, a kill or its budget, goes on with the next call. Nothing is deleted: what goes
    becomes invalid, a snapshot from before the job is kept, and what a person wrote is only proposed to her. Run it
    from cron to keep a memory in order.

    \b
    Examples:
      phronesis memory consolidate --session algebra --dry-run
      phronesis memory consolidate --session algebra --budget calls=100,seconds=1800
      0 3 * * *  phronesis memory consolidate --session algebra --json >> consolidate.jsonl
    """
    import asyncio

    from phronesis.cli.values import budget_of, settings_of
    from phronesis.core.errors import ConfigurationError
    from phronesis.core.loop import run_sync
    from phronesis.graphs import consolidation

    if only is not None and only not in ("compress", "merge", "retire"):
        raise ConfigurationError(f"--only {only!r} is no kind of step", mend="compress, merge or retire")
    if abandon:
        given_up = asyncio.run(consolidation.abandon(session))
        _show_abandoned(session, given_up, json=json)
        return
    values = {**settings_of(set_ or [], option="--set"), **budget_of(budget)}
    knobs, models, limits = _options(values, recipe)
    work = consolidation.consolidate(
        session,
        knobs=knobs,
        models=models,
        only=_kind(only),
        ask=model,
        dry_run=dry_run,
        budget=limits,
        parallel=parallel,
        listener=None if json else _hear,
    )
    try:
        report = run_sync(work)
    except KeyboardInterrupt:
        print(f"\ngo on with: phronesis memory consolidate --session {session}", file=sys.stderr)
        raise
    if json:
        typer.echo(report.model_dump_json())
    else:
        _show(report)
    failed = report.status == "open" and not report.stopped and any(item.problem for item in report.steps)
    raise typer.Exit(1 if failed else 0)


def _kind(only: str | None) -> Literal["compress", "merge", "retire"] | None:
    return only  # type: ignore[return-value]  # checked by the caller


def _options(values: dict[str, Any], recipe: str | None) -> tuple[Any, dict[str, Any], Any]:
    """Knobs (None when none is set), model sections and budget. Raises ConfigurationError that names a wrong key."""
    from pydantic import ValidationError

    from phronesis.core.budget import Budget
    from phronesis.core.errors import ConfigurationError
    from phronesis.graphs.recipe import ModelSection, Recipe, put_key
    from phronesis.memory.planning import PlanKnobs

    data: dict[str, Any] = {"models": {}}
    for key, value in values.items():
        put_key(data, key, value)
    models = dict(Recipe.load(recipe).file.models) if recipe is not None else {}
    sections = data["models"] if isinstance(data["models"], dict) else {"models": data["models"]}
    wrong = [key for key in data if key not in ("knobs", "models", "budget")]
    wrong += [role for role in sections if role not in ("default", "curator")]
    wrong += [role for role, section in sections.items() if not isinstance(section, dict)]
    if wrong:
        raise ConfigurationError(
            f"--set {wrong[0]!r} is unknown", mend="set knobs.<knob>, models.curator.<key> or models.default.<key>"
        )
    try:
        for role, section in sections.items():
            old = models.get(role, ModelSection()).model_dump(exclude_none=True)
            models[role] = ModelSection.model_validate({**old, **section})
        knobs = PlanKnobs.model_validate(data["knobs"]) if "knobs" in data else None
        limits = Budget.model_validate(data.get("budget", {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "--set"
        mend = f"knobs: {', '.join(PlanKnobs.model_fields)}; budget: calls, tokens, seconds; models: as in a recipe"
        raise ConfigurationError(f"{key} = {first['input']!r}: {first['msg']}", mend=mend) from None
    return knobs, models, limits


def _hear(event: Event) -> None:
    """One line on standard error for each step that ends."""
    from phronesis.cli.plain import plain

    if event.type == "task_finished":
        result = event.data["result"]
        what = result["answer"] or "failed"
        print(f"{event.task[:8]}  {what:<9}  {plain(result['answer_text'], 100)}", file=sys.stderr, flush=True)


def _show_abandoned(session: str, job: str | None, *, json: bool) -> None:
    import orjson

    if json:
        typer.echo(orjson.dumps({"session": session, "abandoned": job}).decode())
    else:
        typer.echo(f"{job} is given up; what it did stays" if job else f"session {session!r} has no open job")


def _show(report: ConsolidationReport) -> None:
    """What was done, with the texts before and after; or what would be."""
    from phronesis.cli.plain import plain

    for item in report.steps:
        ids = " ".join(pinned.id for pinned in item.step.concepts)
        if item.applied is None:
            typer.echo(f"{item.step.kind:<8}  open       {ids}  {plain(item.problem or item.step.reason, 200)}")
            continue
        typer.echo(f"{item.step.kind:<8}  {item.applied.outcome:<9}  {ids}  {plain(item.applied.reason, 200)}")
        for sign, told in (("-", item.applied.before), ("+", item.applied.after)):
            for concept in told:
                _show_text(sign, concept)
    least, most = report.calls
    if report.note:
        typer.echo(f"note: {report.note}")
    if report.status == "nothing":
        typer.echo(f"session {report.session!r} has nothing to consolidate")
    elif report.status == "planned":
        typer.echo(f"{len(report.steps)} step(s) planned; they take {least} to {most} calls")
    else:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(report.counts.items()))
        used = report.usage
        tokens = used.prompt_tokens + used.completion_tokens
        typer.echo(f"{counts}; {used.calls} calls, {tokens} tokens")
        typer.echo(f"back to before: phronesis memory restore {report.snapshot} --session {report.session}")
        if report.status == "open":
            why = f" (stopped: {report.stopped})" if report.stopped else ""
            typer.echo(f"steps are left{why}; go on with: phronesis memory consolidate --session {report.session}")


def _show_text(sign: str, told: Told) -> None:
    from phronesis.cli.plain import plain

    for line in _lines(told.concept):
        typer.echo(f"    {sign} {told.id}  {plain(line, 160)}")


def _lines(concept: Concept) -> list[str]:
    when = f"when {concept.situation}: " if concept.situation else ""
    name = f"{concept.name}: " if concept.name else ""
    lines = [f"{name}{when}{concept.suggestion}"]
    lines += [f"cue: {cue}" for cue in concept.cues]
    return [*lines, *(f"note: {note}" for note in concept.implementation)]
