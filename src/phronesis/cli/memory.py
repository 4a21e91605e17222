"""``phronesis memory``: what a session remembers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Concept memory: list, show, search, add.", no_args_is_help=True)
Session = Annotated[str, typer.Option(help="Name of the memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(session: Session = "default", json: Json = False) -> None:
    """The concepts of a session."""
    import orjson

    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        concepts = memory.list()
    if json:
        typer.echo(orjson.dumps([item.model_dump(mode="json") for item in concepts]).decode())
        return
    if not concepts:
        typer.echo(f"session {session!r} remembers nothing yet")
    for item in concepts:
        when = f"when {item.concept.situation}: " if item.concept.situation else ""
        typer.echo(f"{item.id}  {item.status:<9}  used {item.recalled}  {when}{item.concept.suggestion}")


@app.command()
def show(
    id: Annotated[str, typer.Argument(help="A concept's id.")], session: Session = "default", json: Json = False
) -> None:
    """One concept, whole."""
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        found = memory.get(id)
    if json:
        typer.echo(found.model_dump_json())
        return
    concept = found.concept
    typer.echo(f"{found.id} version {found.version}, {found.status}, since {found.created}")
    typer.echo(f"when    {concept.situation or '(always)'}\nthen    {concept.suggestion}")
    typer.echo(f"kind    {concept.kind}\nsource  {concept.source or '(unknown)'}")
    typer.echo(f"used    {found.recalled} times: helped {found.helped}, harmed {found.harmed}")


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A problem, or words from one.")],
    session: Session = "default",
    k: Annotated[int, typer.Option(help="Most hits.", min=1)] = 5,
    json: Json = False,
) -> None:
    """The concepts nearest to a text."""
    import sys

    import orjson

    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        hits = memory.search(query, k=k)
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
    """
    import orjson
    from pydantic import ValidationError

    from phronesis.core.concept import Concept
    from phronesis.core.errors import ConfigurationError
    from phronesis.memory.session import Memory

    if (text is None) == (file is None):
        raise ConfigurationError(
            "give a TEXT or --file CONCEPTS.jsonl, and not both", mend="see phronesis memory add --help"
        )
    if text is not None and not text.strip():
        raise ConfigurationError("the suggestion is empty", mend="say what to do")
    concepts = []
    failed = 0
    if text is not None:
        concepts.append(Concept(suggestion=text, situation=when, source="user"))
    else:
        assert file is not None
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read {str(file)!r}: {error}", mend="check the path") from None
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                concepts.append(Concept.model_validate({"source": "user", **orjson.loads(line)}))
            except (ValidationError, ValueError, TypeError) as error:
                reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
                typer.echo(f"phronesis: {file}:{number}: {reason}; the line is left out", err=True)
                failed += 1
    with Memory.open(session) as memory:
        for concept in concepts:
            (id_,) = memory.add([concept])
            typer.echo(orjson.dumps({"id": id_}).decode() if json else id_)
    raise typer.Exit(1 if failed else 0)
