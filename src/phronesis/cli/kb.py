"""``phronesis kb``: documents that runs search."""

from __future__ import annotations

from typing import Annotated

import typer

from phronesis.cli import kb_adding, kb_removing

app = typer.Typer(help="Knowledge bases: your documents, searched by words and vectors.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Name of the knowledge base.")]


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(help="Lists its files; without one, the knowledge bases.")] = None,
    json: Json = False,
) -> None:
    """The knowledge bases, or the files of one.

    \b
    Example:
      phronesis kb list manuals
    """
    import orjson

    from phronesis.cli.kb_showing import file_line, summary_line, summary_of
    from phronesis.core.settings import load_settings
    from phronesis.tools.knowledge.base import KnowledgeBase
    from phronesis.tools.knowledge.names import knowledge_base_names

    if name is not None:
        with KnowledgeBase.open(name, read_only=True) as base:
            files = base.list()
        if json:
            typer.echo(orjson.dumps([file._asdict() for file in files]).decode())
            return
        for file in files:
            typer.echo(file_line(file))
        if not files:
            typer.echo(f"the knowledge base {name!r} is empty")
        return
    summaries = [summary_of(found) for found in knowledge_base_names(load_settings())]
    if json:
        typer.echo(orjson.dumps(summaries).decode())
        return
    for summary in summaries:
        typer.echo(summary_line(summary))
    if not summaries:
        typer.echo("no knowledge base yet: phronesis kb add NAME FILES...")


@app.command()
def search(
    name: Name,
    query: Annotated[str, typer.Argument(help="A question, or words.")],
    k: Annotated[int, typer.Option("-k", "--k", help="Most passages.", min=1)] = 5,
    mode: Annotated[
        str, typer.Option(help="dense (by vectors), lexical (by words) or hybrid (by the ranks of both).")
    ] = "hybrid",
    where: Annotated[
        list[str] | None, typer.Option(help="FACT=VALUE: only passages of which it is true; source and title too.")
    ] = None,
    candidates: Annotated[int, typer.Option(help="Passages each side proposes.", min=1)] = 20,
    rerank: Annotated[
        str, typer.Option(help="none, or a cross-encoder: its folder, or its name under models.")
    ] = "none",
    json: Json = False,
) -> None:
    """The passages nearest to a query: rank, score, id, where it stands, title, and an excerpt.

    \b
    Examples:
      phronesis kb search manuals "how is the filter changed?"
      phronesis kb search manuals "filter" --mode lexical --where source=manuals/pump.pdf -k 3
    """
    import sys

    import orjson

    from phronesis.cli.kb_showing import hit_lines, parse_where
    from phronesis.core.errors import ConfigurationError
    from phronesis.tools.knowledge.base import KnowledgeBase

    if mode not in ("dense", "lexical", "hybrid"):
        raise ConfigurationError(f"--mode {mode!r} is not known", mend="one of dense, lexical, hybrid")
    if not query.strip():
        raise ConfigurationError("the query is empty", mend="say what to search for")
    options = {"mode": mode, "candidates": candidates, "rerank": rerank}
    with KnowledgeBase.open(name, read_only=True) as base:
        hits = base.search(query, k, where=parse_where(where or []), **options)
        degraded = base.degraded(**options)
    if degraded:
        print(f"degraded: {degraded}", file=sys.stderr)
    if json:
        typer.echo(orjson.dumps([hit.model_dump(mode="json") for hit in hits]).decode())
        return
    for rank, hit in enumerate(hits, start=1):
        typer.echo(hit_lines(rank, hit, query))
    if not hits:
        typer.echo("nothing found")


@app.command()
def show(
    name: Name, id: Annotated[str, typer.Argument(help="A passage's id, as search prints it.")], json: Json = False
) -> None:
    """One passage, whole: its text, where it stands, and its facts.

    \b
    Example:
      phronesis kb show manuals 5f0c2a9be1d4
    """
    from phronesis.cli.kb_showing import passage_lines
    from phronesis.tools.knowledge.base import KnowledgeBase

    with KnowledgeBase.open(name, read_only=True) as base:
        passage = base.get(id)
    typer.echo(passage.model_dump_json() if json else passage_lines(passage))


kb_adding.register(app)
kb_removing.register(app)
