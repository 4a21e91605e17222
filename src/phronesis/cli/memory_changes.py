"""``phronesis memory update|forget|revive``: a person changes what is remembered."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phronesis.memory.receipts import ErasureReceipt

Session = Annotated[str, typer.Option(help="Name of the memory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Adds the verbs to ``phronesis memory``."""
    from phronesis.cli.memory_review import review_app

    app.command()(update)
    app.command()(forget)
    app.command()(revive)
    app.add_typer(review_app, name="review")


def update(
    id: Annotated[str, typer.Argument(help="A concept's id.")],
    text: Annotated[str | None, typer.Argument(help="The new suggestion; as it was without one.")] = None,
    when: Annotated[str | None, typer.Option(help="The new situation; as it was without one.")] = None,
    reason: Annotated[str, typer.Option(help="Why; stays in its history.")] = "changed by hand",
    expect: Annotated[int | None, typer.Option(help="Only if the concept is at this version.", min=1)] = None,
    session: Session = "default",
    json: Json = False,
) -> None:
    """Change what a concept says; its earlier versions stay in its history.

    \b
    Example:
      phronesis memory update c17 --when "rates are added" "add the rates, never the times"
    """
    from phronesis.cli.plain import plain
    from phronesis.core.concept import Concept, tidy
    from phronesis.core.errors import ConfigurationError
    from phronesis.memory.session import Memory

    if text is None and when is None:
        raise ConfigurationError(f"nothing of {id} is to be changed", mend="give a TEXT, --when, or both")
    if text is not None and not tidy(text):
        raise ConfigurationError("the suggestion is empty", mend="say what to do")
    with Memory.open(session, create=False) as memory:
        found = memory.get(id)
        new = {name: value for name, value in (("suggestion", text), ("situation", when)) if value is not None}
        concept = Concept.model_validate({**found.concept.model_dump(), **new})
        base = found.version if expect is None else expect
        changed = memory.update(id, concept, reason=reason, expect_version=base)
    if json:
        typer.echo(changed.model_dump_json())
    else:
        typer.echo(f"{changed.id} is at version {changed.version}: {plain(changed.concept.suggestion)}")


def forget(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Concepts' ids.")],
    reason: Annotated[str, typer.Option(help="Why; stays in their history.")] = "forgotten by hand",
    superseded_by: Annotated[str | None, typer.Option(help="The concept that takes their place.")] = None,
    erase: Annotated[bool, typer.Option("--erase", help="For good: nothing of them stays, in any version.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be gone.")] = False,
    yes: Yes = False,
    session: Session = "default",
    json: Json = False,
) -> None:
    """Take concepts out of recall. `memory revive` brings them back, unless they were erased.

    \b
    Examples:
      phronesis memory forget c17 --reason "it misled two runs"
      phronesis memory forget c17 --erase --dry-run
    """
    from phronesis.core.errors import ConfigurationError

    if erase and superseded_by is not None:
        raise ConfigurationError("--erase leaves nothing to supersede", mend="leave out --superseded-by, or --erase")
    if erase:
        _erase(ids, dry_run=dry_run, yes=yes, session=session, json=json)
    else:
        _forget(ids, reason, superseded_by, dry_run=dry_run, yes=yes, session=session, json=json)


def _forget(
    ids: list[str], reason: str, heir: str | None, *, dry_run: bool, yes: bool, session: str, json: bool
) -> None:
    import orjson

    from phronesis.cli.plain import plain
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        found = [memory.get(name) for name in dict.fromkeys(ids)]
        going = [item for item in found if item.status != "invalid"]
        if not json:
            for item in found:
                note = "" if item.status != "invalid" else "  (is withdrawn already)"
                typer.echo(f"{item.id}  {plain(item.concept.suggestion, 100)}{note}", err=not dry_run)
        if dry_run or not going or not _sure(f"forget {len(going)} concept(s)", yes=yes, json=json):
            gone = []
        else:
            gone = memory.forget([item.id for item in going], reason=reason, superseded_by=heir)
    if json:
        told = {"dry_run": dry_run, "chosen": [item.id for item in going], "forgotten": gone}
        typer.echo(orjson.dumps(told).decode())
    elif not dry_run:
        typer.echo(f"forgotten: {', '.join(gone)}" if gone else "nothing was forgotten")


def _erase(ids: list[str], *, dry_run: bool, yes: bool, session: str, json: bool) -> None:
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        if dry_run or not yes:
            plan = memory.plan_erase(ids, progress=_progress)
            _progress("")
            if not json:
                _show(plan, asking=not dry_run)
            if dry_run:
                if json:
                    typer.echo(plan.model_dump_json())
                return
            if not _sure(f"erase {', '.join(plan.ids)} for good", yes=False, json=json):
                typer.echo("nothing was erased", err=True)
                return
        receipt = memory.erase(ids, progress=_progress)
        _progress("")
    if json:
        typer.echo(receipt.model_dump_json())
    else:
        _show(receipt, asking=False)
    raise typer.Exit(0 if receipt.complete else 1)


def _show(receipt: ErasureReceipt, *, asking: bool) -> None:
    """The receipt in words; on standard error while the question is still open."""
    verb = "erased" if receipt.done else "would be erased"
    typer.echo(f"{', '.join(receipt.ids)} of memory {receipt.session!r}: {verb}", err=asking)
    for reached in receipt.reached:
        if reached.count:
            typer.echo(f"  {reached.place}: {reached.count}", err=asking)
    for missed in receipt.not_reached:
        typer.echo(f"not reached: {missed.place}: {missed.why}\n  mend: {missed.mend}", err=asking)
    for journal in receipt.journals:
        typer.echo(f"run {journal.run} quotes it\n  mend: {journal.command}", err=asking)
    if receipt.done and not receipt.complete:
        again = f"phronesis memory forget --erase --session {receipt.session} {' '.join(receipt.ids)}"
        typer.echo(f"when that is done, erase again: {again}", err=asking)


def revive(
    id: Annotated[str, typer.Argument(help="A concept's id; `phronesis memory list --all` shows forgotten ones.")],
    reason: Annotated[str, typer.Option(help="Why; stays in its history.")] = "brought back by hand",
    session: Session = "default",
    json: Json = False,
) -> None:
    """Bring a forgotten concept back, with the status it had.

    \b
    Example:
      phronesis memory revive c17 --reason "it was right after all"
    """
    from phronesis.memory.session import Memory

    with Memory.open(session, create=False) as memory:
        before = memory.get(id)
        found = memory.revive(id, reason)
    said = "again, at version" if before.status == "invalid" else "already: nothing was changed; it is at version"
    typer.echo(found.model_dump_json() if json else f"{found.id} is {found.status} {said} {found.version}")


def _progress(doing: str) -> None:
    """Shows what is being done, on one line of a terminal; nothing clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{f'{doing} ...' if doing else ''}", end="", file=sys.stderr, flush=True)


def _sure(what: str, *, yes: bool, json: bool) -> bool:
    """Asks, unless told not to. Raises ConfigurationError where it would have to ask and cannot."""
    from phronesis.core.errors import ConfigurationError

    if yes:
        return True
    if json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(f"it would {what}, and there is no terminal to ask at", mend="add --yes, or --dry-run")
    return typer.confirm(f"{what}?", err=True)
