"""``phronesis memory review``: what was proposed, what it would change, accept or reject."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.text import Text

    from phronesis.memory.proposals import FieldChange, Proposal
    from phronesis.memory.session import Memory

review_app = typer.Typer(
    help="""Proposed changes of a memory: look at them, accept them, reject them.

    \b
    Examples:
      phronesis memory review
      phronesis memory review accept 3 4
      phronesis memory review reject 5 --reason "too narrow"
    """,
    invoke_without_command=True,
)
Session = Annotated[str, typer.Option(help="Name of the memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Numbers = Annotated[list[int], typer.Argument(metavar="N", help="Proposals' numbers.")]


@review_app.callback()
def review(
    context: typer.Context,
    session: Session = "default",
    all_: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    json: Json = False,
) -> None:
    if context.invoked_subcommand is not None:
        context.obj = session
        return
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        found = memory.proposals(None if all_ else "open")
        if json:
            _print_json(found)
        elif not found:
            typer.echo(f"nothing waits for review in {session!r}")
        elif sys.stdin.isatty() and sys.stdout.isatty() and not all_:
            raise typer.Exit(0 if _ask(memory, found) else 1)
        else:
            for item in found:
                _show(item)


@review_app.command()
def accept(context: typer.Context, numbers: Numbers, session: Session = "", json: Json = False) -> None:
    """Carry proposals out. One whose concept changed since stays open, and costs exit code 1.

    \b
    Example:
      phronesis memory review accept 3 4
    """
    _decide(context, numbers, None, session=session, json=json)


@review_app.command()
def reject(
    context: typer.Context,
    numbers: Numbers,
    reason: Annotated[str, typer.Option(help="Why; stays with the proposal.")] = "rejected by hand",
    session: Session = "",
    json: Json = False,
) -> None:
    """Refuse proposals; nothing of the memory changes.

    \b
    Example:
      phronesis memory review reject 5 --reason "too narrow"
    """
    _decide(context, numbers, reason, session=session, json=json)


def _decide(context: typer.Context, numbers: list[int], reason: str | None, *, session: str, json: bool) -> None:
    """Decides one after the other; ``reason``: they are rejected for it."""
    from phronesis.core.errors import ConceptStoreError
    from phronesis.memory.session import Memory

    done, failed = [], False
    with Memory.open(session or str(context.obj), create=False) as memory:
        for number in dict.fromkeys(numbers):
            try:
                item = memory.accept(number) if reason is None else memory.reject(number, reason)
            except ConceptStoreError as error:
                print(f"phronesis: proposal {number}: {error}", file=sys.stderr)
                failed = True
                continue
            done.append(item)
            if not json:
                _tell(item)
    if json:
        _print_json(done)
    raise typer.Exit(1 if failed else 0)


def _ask(memory: Memory, found: list[Proposal]) -> bool:
    """Goes through the open proposals with the person at the terminal; False = one could not be carried out."""
    from phronesis.core.errors import ConceptStoreError

    well = True
    for item in found:
        _show(item)
        answer = ""
        while answer[:1] not in ("a", "r", "s", "q"):
            answer = typer.prompt("[a]ccept, [r]eject, [s]kip, [q]uit", default="s").strip().lower()
        if answer[0] == "q":
            break
        if answer[0] == "s":
            continue
        try:
            if answer[0] == "a":
                _tell(memory.accept(item.number))
            else:
                _tell(memory.reject(item.number, typer.prompt("why", default="rejected by hand")))
        except ConceptStoreError as error:
            print(f"phronesis: {error}", file=sys.stderr)
            well = False
    return well


def _print_json(found: list[Proposal]) -> None:
    import orjson

    typer.echo(orjson.dumps([item.model_dump(mode="json") for item in found]).decode())


def _tell(item: Proposal) -> None:
    from phronesis.cli.plain import plain

    typer.echo(f"{item.number} {item.status}: {plain(item.outcome)}")


def _show(item: Proposal) -> None:
    from rich.text import Text

    from phronesis.cli.plain import plain
    from phronesis.cli.tables import console

    out = console()
    about = f" {' '.join(item.bases)}" if item.bases else ""
    heir = f" for {item.superseded_by}" if item.superseded_by else ""
    state = "" if item.status == "open" else f"  ({item.status}: {plain(item.outcome, 200)})"
    out.print(Text(f"{item.number}  {item.action}{about}{heir}: {plain(item.reason, 200)}{state}", style="bold"))
    if item.stale:
        out.print(Text(f"   stale: {plain(item.stale)}", style="yellow"))
    for line in item.difference:
        for text in _lines(line):
            out.print(text)


def _lines(change: FieldChange) -> list[Text]:
    from rich.text import Text

    from phronesis.cli.plain import plain

    name = f"{change.id} {change.field}".strip()
    old = [Text(f"   - {name}: {plain(change.old)}", style="red")] if change.old else []
    new = [Text(f"   + {name}: {plain(change.new)}", style="green")] if change.new else []
    return old + new
