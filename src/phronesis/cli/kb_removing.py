"""``phronesis kb remove``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Adds the verb to ``phronesis kb``."""
    app.command()(remove)


def remove(
    name: Annotated[str, typer.Argument(help="Name of the knowledge base.")],
    sources: Annotated[
        list[str] | None, typer.Argument(help="Files, as list prints them, or rows: FILE.jsonl#ID. None = everything.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a whole knowledge base goes.")] = False,
    json: Json = False,
) -> None:
    """Remove files from a knowledge base, or the whole of it. Your own files stay as they are.

    \b
    Examples:
      phronesis kb remove manuals manuals/pump.pdf
      phronesis kb remove manuals --yes
    """
    import orjson

    from phronesis.cli.plain import counted
    from phronesis.core.errors import ConfigurationError
    from phronesis.core.settings import load_settings
    from phronesis.tools.knowledge.base import KnowledgeBase, delete, existing

    if sources:
        with KnowledgeBase.open(name, create=False) as base:
            removed = base.remove(*sources)
        for source, count in {} if json else removed.items():
            typer.echo(f"removed {source} ({counted(count, 'document')})")
        if json:
            typer.echo(orjson.dumps({"removed": removed}).decode())
        return
    settings = load_settings()
    existing(name, settings)
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError(f"this would delete the knowledge base {name!r}", mend="confirm it with --yes")
        typer.confirm(f"delete the knowledge base {name!r}?", abort=True)
    delete(name, settings)
    typer.echo(orjson.dumps({"removed": name}).decode() if json else f"removed the knowledge base {name}")
