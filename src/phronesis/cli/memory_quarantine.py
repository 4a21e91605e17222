"""``phronesis memory quarantine``: concepts that a memory bench accuses, out of recall in a memory of yours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to ``phronesis memory``."""
    app.command()(quarantine)


def quarantine(
    from_: Annotated[Path, typer.Option("--from", help="Folder of a finished `bench memory`.")],
    session: Annotated[str, typer.Option(help="Name of the memory.")] = "default",
    dry_run: Annotated[
        bool, typer.Option("--dry-run/--apply", help="Say what would be done, or do it.", show_default=True)
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take concepts out of recall that lowered success in a memory bench. `memory revive` brings each one back.

    \b
    Examples:
      phronesis memory quarantine --session algebra --from worth
      phronesis memory quarantine --session algebra --from worth --apply

    A concept is meant when it says word for word what an accused one of the bench says: run the bench with
    `--session algebra` to test what is there already.
    """
    import orjson

    from phronesis.bench.ablation.quarantine import accused, harmful_in
    from phronesis.bench.ablation.quarantine import quarantine as withdraw
    from phronesis.cli.plain import plain
    from phronesis.core.settings import load_settings
    from phronesis.memory.session import Memory

    settings = load_settings()
    harmful = harmful_in(from_, settings)
    with Memory.open(session, settings=settings, create=False, read_only=dry_run) as memory:
        name = from_.absolute().name
        found = accused(memory, harmful, name) if dry_run else withdraw(memory, harmful, name)
    if json:
        chosen = [{"id": item.stored.id, "reason": item.reason} for item in found]
        typer.echo(orjson.dumps({"dry_run": dry_run, "accused": len(harmful), "quarantined": chosen}).decode())
        return
    if not found:
        typer.echo(f"the bench accuses {len(harmful)} concept(s), none of which is in memory {session!r}")
    for item in found:
        typer.echo(f"{item.stored.id}  {plain(item.stored.concept.suggestion, 100)}\n    {plain(item.reason)}")
    if found and dry_run:
        typer.echo(f"{len(found)} would be taken out of recall; do it with --apply")
