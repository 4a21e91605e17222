"""``phronesis memory`` verbs of versions: snapshot, snapshots, diff, restore, branch, history."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from phronesis.memory.differences import MemoryDiff

Session = Annotated[str, typer.Option(help="Name of the memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen and change nothing.")]
TEXT = 160
"""Characters of a text that a line shows."""


def register(app: typer.Typer) -> None:
    """Adds the verbs to ``phronesis memory``."""
    for verb in (snapshot, snapshots, diff, restore, branch, history):
        app.command()(verb)


def snapshot(
    name: Annotated[str, typer.Argument(help="The name to give.")],
    note: Annotated[str, typer.Option(help="What it is kept for.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="Take the name back; the version stays.")] = False,
    session: Session = "default",
    json: Json = False,
) -> None:
    """Name the memory's version of now, so that diff, restore and branch can speak of it.

    \b
    Example:
      phronesis memory snapshot before-physics --note "300 algebra tasks" --session algebra
    """
    import orjson

    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        if drop:
            memory.drop_snapshot(name)
            typer.echo(orjson.dumps({"dropped": name}).decode() if json else f"{name} is no snapshot any more")
            return
        found = memory.snapshot(name, note)
    typer.echo(found.model_dump_json() if json else f"{found.name} is version {found.version}")


def snapshots(session: Session = "default", json: Json = False) -> None:
    """The named versions of a memory.

    \b
    Example:
      phronesis memory snapshots --session algebra
    """
    import orjson

    from phronesis.cli.plain import plain
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        found, now = memory.snapshots(), memory.version()
    if json:
        typer.echo(orjson.dumps([item.model_dump(mode="json") for item in found]).decode())
        return
    for item in found:
        note = f"  {plain(item.note, TEXT)}" if item.note else ""
        typer.echo(f"{item.version:>6}  {item.created[:19]}  {item.name}{note}")
    if not found:
        typer.echo(f"session {session!r} has no snapshots; it is at version {now}")


def diff(
    before: Annotated[str, typer.Argument(help="A version's number, or a snapshot's name.")],
    after: Annotated[str | None, typer.Argument(help="The same; the version of now if left out.")] = None,
    session: Session = "default",
    json: Json = False,
) -> None:
    """What became of the concepts between two versions.

    \b
    Example:
      phronesis memory diff before-physics --session algebra
    """
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        found = memory.diff(before, memory.version() if after is None else after)
    if json:
        typer.echo(found.model_dump_json())
        return
    show_difference(found)


def restore(
    ref: Annotated[str, typer.Argument(help="A version's number, or a snapshot's name.")],
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    session: Session = "default",
    json: Json = False,
) -> None:
    """Bring the concepts of an older version back. History only grows: it can be undone by restoring the version of now.

    \b
    Example:
      phronesis memory restore before-physics --session algebra --dry-run
    """
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        planned = memory.restore(ref, dry_run=True)
        if not json:
            show_difference(planned)
        if dry_run or planned.empty:
            typer.echo(planned.model_dump_json() if json else "nothing was changed")
            return
        if not yes and not _agreed(f"restore version {planned.after} of {session!r}?", json=json):
            typer.echo("nothing was changed", err=True)
            return
        done = memory.restore(planned.after)
    if json:
        typer.echo(done.model_dump_json())
        return
    typer.echo(f"restored version {planned.after}; {session!r} is at version {done.after}, and was at {done.before}")


def branch(
    name: Annotated[str, typer.Argument(help="Name of the new memory.")],
    at: Annotated[str | None, typer.Option(help="A version's number or a snapshot's name; now if left out.")] = None,
    dry_run: DryRun = False,
    session: Session = "default",
    json: Json = False,
) -> None:
    """Make a new, independent memory that equals this one at a version.

    \b
    Example:
      phronesis memory branch physics --at before-physics --session algebra
    """
    import orjson

    from phronesis.core.errors import ConfigurationError
    from phronesis.core.settings import load_settings
    from phronesis.memory.ledger import check_name
    from phronesis.memory.session import Memory, names

    with Memory.open(session, create=False) as memory:
        version = memory.version() if at is None else memory.resolve(at)
        count = len(memory.list(version=version))
        if dry_run:
            check_name(name, what="memory name")
            if name in names(load_settings()):
                raise ConfigurationError(f"there is a memory {name!r} already", mend="choose another name")
        path = None if dry_run else memory.branch(name, at=version)
    if json:
        told = {"session": name, "from": session, "version": version, "concepts": count, "dry_run": dry_run}
        typer.echo(orjson.dumps({**told, "path": None if path is None else str(path)}).decode())
        return
    verb = "would be" if dry_run else "is"
    typer.echo(f"{name} {verb} {session} at version {version}: {count} concept{'' if count == 1 else 's'}")


def history(
    id: Annotated[str | None, typer.Argument(help="A concept's id; the whole memory if left out.")] = None,
    limit: Annotated[int, typer.Option(help="Changes shown, the last ones.", min=1)] = 20,
    since: Annotated[str, typer.Option(help="Only changes after this version or snapshot.")] = "0",
    session: Session = "default",
    json: Json = False,
) -> None:
    """What happened to one concept, or the last changes of the whole memory; oldest first.

    \b
    Example:
      phronesis memory history c17 --session algebra
      phronesis memory history --since before-physics --limit 100
    """
    import orjson

    from phronesis.cli.plain import plain
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        if id is None:
            found = memory.changes(limit=limit, since=since)
        else:
            first = memory.resolve(since)
            found = [event for event in memory.history(id) if event.version > first][-limit:]
    if json:
        typer.echo(orjson.dumps([event.model_dump(mode="json") for event in found]).decode())
        return
    for event in found:
        why = str(event.payload.get("reason", "")) or event.operation
        line = f"{event.version:>6}  {event.time[:19]}  {event.id or '-':<6}  {event.kind:<10}  {plain(why, TEXT)}"
        typer.echo(line.rstrip())
    if not found:
        typer.echo("nothing happened")


def _agreed(question: str, *, json: bool) -> bool:
    """The answer of whoever sits there. Raises ConfigurationError where nobody does."""
    from phronesis.core.errors import ConfigurationError

    if json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(f"{question} There is no terminal to ask at", mend="add --yes, or --dry-run")
    return typer.confirm(question, err=True)


def show_difference(found: MemoryDiff) -> None:
    """A line per concept: + there now, - gone, ~ says something else, ! other status."""
    from rich.text import Text

    from phronesis.cli.plain import plain
    from phronesis.cli.tables import console

    out = console()
    for line in difference_lines(found):
        out.print(line, soft_wrap=True)
    if found.erased:
        out.print(Text(f"erased, and not compared: {', '.join(found.erased)}", style="dim"))
    count = len(found.added) + len(found.removed) + len(found.changed) + len(found.statuses)
    said = "no difference" if not count else f"{count} difference{'' if count == 1 else 's'}"
    out.print(Text(plain(f"{said} between version {found.before} and version {found.after}"), style="dim"))


def difference_lines(found: MemoryDiff) -> list[Text]:
    """The lines, ordered by sort and then by id."""
    from rich.text import Text

    from phronesis.cli.plain import plain

    lines = []
    for sign, style, items in (("+", "green", found.added), ("-", "red", found.removed)):
        for item in items:
            when = f"when {item.concept.situation}: " if item.concept.situation else ""
            lines.append(Text(f"{sign} {item.id}  {plain(when + item.concept.suggestion, TEXT)}", style=style))
    for change in found.changed:
        lines.append(Text(f"~ {change.id}  {', '.join(change.fields)}", style="yellow"))
        for field in change.fields:
            lines.append(Text(f"    - {_shown(getattr(change.before, field))}", style="red"))
            lines.append(Text(f"    + {_shown(getattr(change.after, field))}", style="green"))
    lines += [Text(f"! {item.id}  {item.before} -> {item.after}", style="cyan") for item in found.statuses]
    return lines


def _shown(value: Any) -> str:
    from phronesis.cli.plain import plain

    if isinstance(value, tuple):
        value = "; ".join(str(getattr(item, "name", item)) for item in value)
    return plain(str(value), TEXT) or "(nothing)"
