"""``phronesis memory export`` and ``phronesis memory import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phronesis.memory.archives import ImportReport, Progress

Session = Annotated[str, typer.Option(help="Name of the memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHOWN = 20
"""Concepts of an import that are listed."""


def register(app: typer.Typer) -> None:
    """Adds the verbs to ``phronesis memory``."""
    app.command()(export)
    app.command("import")(import_)


def export(
    file: Annotated[Path, typer.Argument(help="NAME.phronesis-memory.zip, or NAME.jsonl for people.")],
    version: Annotated[
        str | None, typer.Option(help="A version's number or a snapshot's name; now if left out.")
    ] = None,
    invalid: Annotated[bool, typer.Option("--invalid", help="Concepts that were taken back as well.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
    session: Session = "default",
    json: Json = False,
) -> None:
    """Write a memory into one file.

    \b
    Example:
      phronesis memory export algebra.phronesis-memory.zip --session algebra
    """
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        at = None if version is None else memory.resolve(version)
        done = memory.export(file, version=at, include_invalid=invalid, overwrite=overwrite)
    if json:
        typer.echo(done.model_dump_json())
        return
    more = f", {done.invalid} invalid" if done.invalid else ""
    typer.echo(f"{done.concepts} concepts{more} of version {done.version} are in {done.path} ({done.bytes:,} bytes)")


def import_(
    file: Annotated[Path, typer.Argument(help="A .phronesis-memory.zip, or a .jsonl with a concept a line.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would come in and write nothing.")] = False,
    status: Annotated[
        str, typer.Option(help="Of what is new: probation, active, or archived (as in the file).")
    ] = "probation",
    session: Session = "default",
    json: Json = False,
) -> None:
    """Bring the concepts of a file in: on probation, because trust does not travel. The same file again changes nothing.

    \b
    Example:
      phronesis memory import algebra.phronesis-memory.zip --session algebra --dry-run
    """
    from typing import get_args

    from phronesis.core.errors import ConfigurationError
    from phronesis.core.settings import load_settings
    from phronesis.memory.archives import preview
    from phronesis.memory.importing import ImportStatus, read_records
    from phronesis.memory.session import Memory, names

    if status not in get_args(ImportStatus):
        raise ConfigurationError(f"--status {status!r} is none", mend=f"use one of {', '.join(get_args(ImportStatus))}")
    if session not in names(load_settings()):
        if dry_run:
            _show(preview(file, session), json=json)
            return
        read_records(file)  # a file that is refused makes no memory
    with Memory.open(session) as memory:
        done = memory.import_(file, dry_run=dry_run, status=status, progress=_progress(json))  # type: ignore[arg-type]  # checked above
    _show(done, json=json)


def _progress(json: bool) -> Progress | None:
    if json or not sys.stderr.isatty():
        return None

    def tell(made: int, total: int) -> None:
        print(f"\rembedding {made}/{total}", end="\n" if made == total else "", file=sys.stderr, flush=True)

    return tell


def _show(done: ImportReport, *, json: bool) -> None:
    from phronesis.cli.plain import plain

    if json:
        typer.echo(done.model_dump_json())
        return
    if done.repeated:
        typer.echo("this was imported before; nothing changes")
        return
    for item in done.concepts[:SHOWN]:
        typer.echo(f"{item.outcome:<9}  {item.archived} -> {item.id or 'new'}  {plain(item.suggestion, 120)}")
    if len(done.concepts) > SHOWN:
        typer.echo(f"... and {len(done.concepts) - SHOWN} more (--json lists all)")
    verb = "would be added" if done.dry_run else "added"
    typer.echo(f"{done.added} {verb}, {done.duplicates} known word for word; session {done.session!r}")
