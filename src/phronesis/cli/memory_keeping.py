"""``phronesis memory stats|verify|repair|reembed``: the upkeep of a session."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phronesis.memory.findings import Problem

Session = Annotated[str, typer.Option(help="Name of the memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Adds the verbs to ``phronesis memory``."""
    for verb in (stats, verify, repair, reembed):
        app.command()(verb)


def stats(session: Session = "default", json: Json = False) -> None:
    """What a session holds, in numbers.

    \b
    Example:
      phronesis memory stats --session default
    """
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        found = memory.stats()
    if json:
        typer.echo(found.model_dump_json())
        return
    typer.echo(f"{found.session}: {found.count} concepts ({found.active} active, {found.probation} on probation)")
    typer.echo(f"withdrawn  {found.invalid}\nversion    {found.version}")
    typer.echo(f"vectors    {found.vectors} of {found.embedder or 'no embedder yet'}\nindex      {found.index}")
    typer.echo(f"ledger     {found.path}, {found.bytes:,} bytes")


def verify(session: Session = "default", json: Json = False) -> None:
    """Look a session through: file, versions, texts, events, vectors, index. Exit code 1 when something is wrong.

    \b
    Example:
      phronesis memory verify --session default
    """
    from phronesis.core.settings import load_settings
    from phronesis.memory.upkeep import verify_folder

    report = verify_folder(load_settings(), session)
    if json:
        typer.echo(report.model_dump_json())
    else:
        _tell(report.problems)
        counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.counts.items() if count)
        typer.echo(f"{session}: {'sound' if report.sound else 'NOT sound'}  ({counted or 'nothing could be counted'})")
        typer.echo(f"index: {report.index}")
    raise typer.Exit(0 if report.sound else 1)


def repair(
    session: Session = "default",
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Save what is readable of a damaged ledger; the damaged file is kept.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Make again what follows from the ledger: list of concepts, word index, vectors, vector index.

    Exit code 1 when something is left. Only --salvage puts a new ledger in the place of the old one, and asks before.

    \b
    Examples:
      phronesis memory repair
      phronesis memory repair --session old --salvage --yes
    """
    from phronesis.core.errors import ConfigurationError
    from phronesis.core.settings import load_settings
    from phronesis.index.embedders import open_embedder
    from phronesis.memory.upkeep import repair_folder

    settings = load_settings()
    if salvage and not yes:
        question = f"put what can be read of {session!r} in the place of its damaged ledger (which is kept)"
        if json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConfigurationError(f"would {question}, and there is no terminal to ask at", mend="add --yes")
        if not typer.confirm(f"{question}?", err=True):
            typer.echo("nothing was changed", err=True)
            return
    report = repair_folder(settings, session, salvage=salvage, embedder=open_embedder(settings))
    if json:
        typer.echo(report.model_dump_json())
    else:
        for line in report.mended:
            typer.echo(f"mended: {line}")
        for line in report.lost:
            typer.echo(f"lost: {line}")
        if report.kept:
            typer.echo(f"the damaged file is kept: {report.kept}")
        _tell(report.left)
        done = "nothing to mend" if report.sound and not report.mended else "sound" if report.sound else "NOT sound"
        typer.echo(f"{session}: {done}")
    raise typer.Exit(0 if report.sound else 1)


def reembed(
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER|hash", help="The new embedder; the settings' without it.", show_default=False
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Texts per transaction.", min=1)] = 64,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Leave the old vectors, for a quick way back.")] = False,
    session: Session = "default",
    json: Json = False,
) -> None:
    """Make new vectors with another embedder, beside the old ones, and switch once they are all there.

    A killed attempt is gone on with. Set PHRONESIS_EMBEDDER to the new one afterwards.

    \b
    Examples:
      phronesis memory reembed --embedder all-minilm-l6-v2
      phronesis memory reembed --session physics --embedder ./models/my-embedder
    """
    import time

    from phronesis.cli.progress import reporter
    from phronesis.core.errors import SetupError
    from phronesis.core.settings import load_settings
    from phronesis.index.embedders import open_embedder
    from phronesis.memory.reembedding import reembed as make

    settings = load_settings()
    if embedder is not None:
        settings = settings.model_copy(update={"embedder": embedder})
    new = open_embedder(settings)
    if new is None:
        raise SetupError(
            f"there is no embedder {settings.embedder!r} here",
            mend="pip install 'phronesis[local]' and phronesis models pull all-minilm-l6-v2, or name a model folder",
        )
    began, tell = time.monotonic(), reporter(f"reembed {session}:")
    report = make(
        settings,
        session,
        new,
        batch=batch,
        progress=lambda done, of: tell(time.monotonic() - began, f"{done}/{of} texts"),
        keep_old=keep_old,
    )
    if json:
        typer.echo(report.model_dump_json())
        return
    if report.switched:
        typer.echo(f"{session}: from {report.before or 'no vectors'} to {report.after}")
    else:
        typer.echo(f"{session}: has {report.after} already")
    typer.echo(f"{report.embedded} text(s) embedded now, {report.deleted} old vector(s) deleted; index: {report.index}")


def _tell(problems: tuple[Problem, ...]) -> None:
    from phronesis.cli.plain import plain

    for problem in problems:
        typer.echo(f"{problem.where}: {plain(problem.what)}\n  mend: {problem.mend}", err=True)
