"""``phronesis memory``: what a session remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phronesis.cli import (
    memory_archives,
    memory_changes,
    memory_consolidation,
    memory_explain,
    memory_keeping,
    memory_quarantine,
    memory_versions,
)

app = typer.Typer(help="Concept memory: what runs have learned, and what you taught it.", no_args_is_help=True)
Session = Annotated[str, typer.Option(help="Name of the memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(
    session: Session = "default",
    all_: Annotated[bool, typer.Option("--all", help="Withdrawn ones too, with the reason.")] = False,
    json: Json = False,
) -> None:
    """The concepts of a session."""
    import orjson

    from phronesis.cli.memory_showing import as_json, everything, list_line
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        concepts = everything(memory) if all_ else memory.list()
    if json:
        typer.echo(orjson.dumps([as_json(item) for item in concepts]).decode())
        return
    if not concepts:
        typer.echo(f"session {session!r} remembers nothing yet")
    for item in concepts:
        typer.echo(list_line(item))


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="A concept's id.")], session: Session = "default", json: Json = False
) -> None:
    """One concept, whole: what it says, what speaks for it, how it came to be.

    \b
    Example:
      phronesis memory show c17
    """
    import orjson

    from phronesis.cli.memory_showing import as_json, show_concept
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        found, versions = memory.get(id), memory.versions(id)
    if json:
        chain = [item.model_dump(mode="json") for item in versions]
        typer.echo(orjson.dumps({**as_json(found), "versions": chain}).decode())
        return
    show_concept(found, versions)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A problem, or words from one.")],
    session: Session = "default",
    k: Annotated[int, typer.Option(help="Most hits.", min=1)] = 5,
    mode: Annotated[
        str, typer.Option(help="dense (by vectors), lexical (by words) or hybrid (by the ranks of both).")
    ] = "dense",
    json: Json = False,
) -> None:
    """The concepts nearest to a text.

    \b
    Example:
      phronesis memory search --session algebra --mode hybrid "crates of bottles"
    """
    import sys
    from typing import cast, get_args

    import orjson

    from phronesis.core.errors import ConfigurationError
    from phronesis.core.ports import SearchMode
    from phronesis.memory.session import Memory

    if mode not in get_args(SearchMode):
        raise ConfigurationError(f"--mode {mode!r} is not known", mend=f"one of {', '.join(get_args(SearchMode))}")
    with Memory.open(session, create=False) as memory:
        hits = memory.search(query, k=k, mode=cast(SearchMode, mode))
        degraded = memory.degraded
    if degraded:
        print(f"degraded: {degraded}", file=sys.stderr)
    if json:
        typer.echo(orjson.dumps([hit.model_dump(mode="json") for hit in hits]).decode())
        return
    for hit in hits:
        when = f"when {hit.concept.situation}: " if hit.concept.situation else ""
        typer.echo(f"{hit.id}  {hit.score:.3f}  {when}{hit.concept.suggestion}")
    if not hits:
        typer.echo("nothing found")


@app.command()
def add(
    text: Annotated[str | None, typer.Argument(help="The suggestion: what to do.")] = None,
    when: Annotated[str, typer.Option(help="The situation in which it helps.")] = "",
    file: Annotated[Path | None, typer.Option(help="JSONL file, a concept a line (suggestion, situation ...).")] = None,
    session: Session = "default",
    json: Json = False,
) -> None:
    """Add concepts; prints an id per line once it is durable.

    \b
    Example:
      phronesis memory add --when "packs are bought and pieces used" "turn packs into pieces first"

    Of a --file, 100 concepts at a time become durable, and bad lines are named and left out.
    """
    import orjson

    from phronesis.cli.memory_adding import add_file
    from phronesis.core.concept import Concept, tidy
    from phronesis.core.errors import ConfigurationError
    from phronesis.memory.session import Memory

    if (text is None) == (file is None):
        raise ConfigurationError(
            "give a TEXT or --file CONCEPTS.jsonl, and not both", mend="see phronesis memory add --help"
        )
    if text is not None and not tidy(text):
        raise ConfigurationError("the suggestion is empty", mend="say what to do")
    failed = 0
    with Memory.open(session) as memory:
        if file is None:
            (id_,) = memory.add([Concept(suggestion=str(text), situation=when, source="user")])
            typer.echo(orjson.dumps({"id": id_}).decode() if json else id_)
        else:
            failed = add_file(memory, file, json=json)
    raise typer.Exit(1 if failed else 0)


memory_explain.register(app)
memory_versions.register(app)
memory_archives.register(app)
memory_consolidation.register(app)
memory_changes.register(app)
memory_keeping.register(app)
memory_quarantine.register(app)
