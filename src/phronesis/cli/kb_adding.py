"""``phronesis kb add`` and ``phronesis kb reembed``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phronesis.tools.knowledge.adding import AddReport

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Name of the knowledge base.")]
SHOWN = 20
"""Problems that are printed; --json lists all."""


def register(app: typer.Typer) -> None:
    """Adds the verbs to ``phronesis kb``."""
    app.command()(add)
    app.command()(reembed)


def add(
    name: Name,
    files: Annotated[
        list[Path], typer.Argument(help="Files (.txt .rst .md .html .pdf .jsonl) and folders.", show_default=False)
    ],
    text: Annotated[str | None, typer.Option(help="JSONL: the field of the text.", show_default="text")] = None,
    title: Annotated[str | None, typer.Option(help="JSONL: the field of the title.", show_default="title")] = None,
    id_field: Annotated[str | None, typer.Option(help="JSONL: the field of the row's id.", show_default="id")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of files without a byte order mark, for example cp1252.", show_default="utf-8")
    ] = None,
    max_bytes: Annotated[int, typer.Option(help="Largest document: a file, or a line of JSONL.", min=1)] = 50_000_000,
    chunk_size: Annotated[
        int | None, typer.Option(help="Characters a chunk has at most; settled by the first add.", show_default="1000")
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="Characters neighbouring chunks share; settled as well.", show_default="150")
    ] = None,
    new_embedder: Annotated[
        bool, typer.Option("--reembed", help="Make all vectors anew if they are another embedder's.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and count, write nothing.")] = False,
    json: Json = False,
) -> None:
    """Add documents. What is unchanged is left alone, what changed is replaced; a killed add is gone on with.

    \b
    Examples:
      phronesis kb add manuals ~/manuals notes.md
      phronesis kb add wiki corpus.jsonl --id-field pid --chunk-size 3000

    Each line of a JSONL file is a document; its other fields become facts to filter by. Exit code 1 when a file or line
    could not be read; the others are in.
    """
    from phronesis.core.settings import load_settings
    from phronesis.tools.knowledge.base import KnowledgeBase, rehearse
    from phronesis.tools.knowledge.fields import Reading

    reading = Reading(text=text, title=title, id=id_field, encoding=encoding, max_bytes=max_bytes)
    if dry_run:
        report = rehearse(name, files, load_settings(), reading=reading, chunk_size=chunk_size, overlap=overlap)
    else:
        with KnowledgeBase.open(name) as base:
            report = base.add(
                files,
                reading=reading,
                chunk_size=chunk_size,
                overlap=overlap,
                told=_file_progress(),
                embedding=_progress("embedding"),
                new_embedder=new_embedder,
            )
    _show(report, name, json=json, dry_run=dry_run)
    raise typer.Exit(1 if report.problems else 0)


def reembed(name: Name, json: Json = False) -> None:
    """Make the vectors of a knowledge base with the embedder of the settings; the old ones serve until all are there.

    \b
    Example:
      PHRONESIS_EMBEDDER=all-minilm-l6-v2 phronesis kb reembed manuals
    """
    import orjson

    from phronesis.tools.knowledge.base import KnowledgeBase

    with KnowledgeBase.open(name, create=False) as base:
        made = base.reembed(told=_progress("embedding"))
    typer.echo(orjson.dumps({"embedded": made}).decode() if json else f"{made} vectors made")


def _progress(what: str) -> Callable[[int, int], None] | None:
    if not sys.stderr.isatty():
        return None

    def tell(made: int, total: int) -> None:
        print(f"\r\x1b[K{what} {made}/{total}", end="\n" if made == total else "", file=sys.stderr, flush=True)

    return tell


def _file_progress() -> Callable[[str, str], None] | None:
    if not sys.stderr.isatty():
        return None
    from phronesis.cli.plain import plain

    done = 0

    def tell(source: str, outcome: str) -> None:
        nonlocal done
        done += 1
        print(f"\r\x1b[K{done} files, {outcome}: {plain(source, 60)}", end="", file=sys.stderr, flush=True)

    return tell


def _show(report: AddReport, name: str, *, json: bool, dry_run: bool) -> None:
    import orjson

    from phronesis.cli.plain import counted, plain

    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    if json:
        problems = [problem._asdict() for problem in report.problems]
        typer.echo(orjson.dumps({**asdict(report), "problems": problems, "dry_run": dry_run}).decode())
        return
    for problem in report.problems[:SHOWN]:
        typer.echo(f"phronesis: {plain(problem.where)}: {plain(problem.reason, 300)}; left out", err=True)
    if len(report.problems) > SHOWN:
        typer.echo(f"... and {len(report.problems) - SHOWN} more (--json lists all)", err=True)
    would = "would be " if dry_run else ""
    typer.echo(
        f"{name}: {counted(report.added, 'file')} {would}added, {report.changed} changed, {report.unchanged} unchanged; "
        f"{counted(report.documents, 'document')} in {counted(report.chunks, 'chunk')} written, {report.removed} removed, "
        f"{report.embedded} embedded"
    )
    if report.passed:
        typer.echo(
            "left out of folders: " + ", ".join(f"{count} {why}" for why, count in sorted(report.passed.items()))
        )
