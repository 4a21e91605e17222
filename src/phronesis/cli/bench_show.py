"""``phronesis bench show``: the items of a bench one by one, and where their journals are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phronesis.bench.reports.material import Material
    from phronesis.bench.running.item import Item


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("show")(show)


def show(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the bench.")],
    arm: Annotated[str | None, typer.Option(help="Items of this arm.")] = None,
    set_: Annotated[str | None, typer.Option("--set", metavar="NAME", help="Items of this set.")] = None,
    task: Annotated[str | None, typer.Option(metavar="ID", help="Items of this question.")] = None,
    wrong: Annotated[bool, typer.Option("--wrong", help="Items that are not right.")] = False,
    limit: Annotated[int | None, typer.Option(help="The first so many.", min=1)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the items of a bench: question, gold, answer, attempts, tokens, and the command that shows the journal.

    \b
    Examples:
      phronesis bench show gsm --arm direct --wrong
      phronesis bench show gsm --task gsm8k-test-2
    """
    import orjson

    from phronesis.bench.reports.material import read_material

    material = read_material(folder)
    found = chosen(material, arm=arm, set_=set_, task=task, wrong=wrong)
    left = len(found) - len(found[:limit])
    if json:
        typer.echo(orjson.dumps([item_data(material, item) for item in found[:limit]]).decode())
        return
    for item in found[:limit]:
        typer.echo("\n".join(item_lines(material, item)) + "\n")
    count = f"{len(found)} item{'' if len(found) == 1 else 's'}"
    typer.echo(f"{count}{f', {left} not shown' if left else ''}")


def chosen(material: Material, *, arm: str | None, set_: str | None, task: str | None, wrong: bool) -> list[Item]:
    """The items that the options leave. Raises ConfigurationError for an arm, a set or a question that none has."""
    from difflib import get_close_matches

    from phronesis.core.errors import ConfigurationError

    found = list(material.items)
    if not found:
        raise ConfigurationError(f"{str(material.folder)!r} holds no item yet", mend="run the bench first")
    for what, name, wanted in (("arm", "arm", arm), ("set", "set", set_), ("question", "task", task)):
        if wanted is None:
            continue
        known = list(dict.fromkeys(str(getattr(item, name)) for item in found))
        if wanted not in known:
            near = get_close_matches(wanted, known, n=3, cutoff=0.3) or known[:6]
            raise ConfigurationError(f"no item has the {what} {wanted!r}", mend=f"choose among {', '.join(near)}")
        found = [item for item in found if getattr(item, name) == wanted]
    return [item for item in found if not (wrong and item.correct)]


def journal_command(material: Material, item: Item) -> str:
    """The command that shows how the answer came about; empty where no run is known."""
    import shlex

    if not item.run_id:
        return ""
    runs = shlex.quote(str(material.folder / "runs"))
    return f"PHRONESIS_RUNS_FOLDER={runs} phronesis runs show {item.run_id} --task {shlex.quote(item.task)}"


def item_lines(material: Material, item: Item) -> list[str]:
    """An item as people read it."""
    from phronesis.cli.plain import plain

    state = item.status if item.status != "ok" else "right" if item.correct else "wrong"
    repeat = f" (repeat {item.repeat + 1})" if item.repeat else ""
    lines = [f"{item.set} / {item.arm} / {item.task}{repeat}: {state}"]
    question = material.questions.get((item.set, item.task))
    lines += [f"  question  {plain(question, 400)}"] if question else []
    lines += [
        f"  gold      {plain(item.gold, 200)}",
        f"  answer    {'none' if item.answer is None else plain(item.answer, 200)}",
        f"  attempts  {', '.join(_attempts(item)) or 'none'}",
        f"  cost      {item.model_calls} call{'' if item.model_calls == 1 else 's'} ({item.paid_calls} paid), "
        f"{item.total_tokens} tokens, "
        f"{item.sequential_tokens} along the critical path, {item.seconds:.1f} s",
    ]
    shown = ", ".join(f"{plain(name)} {value:.3g}" for name, value in item.figures.items())
    lines += [f"  figures   {shown}"] if shown else []
    lines += [f"  failure   {plain(f'{failure.error}: {failure.message}', 300)}" for failure in item.failures]
    command = journal_command(material, item)
    return [*lines, f"  journal   {command}"] if command else lines


def _attempts(item: Item) -> list[str]:
    from phronesis.cli.plain import plain

    marks = {"ok": "", "unparsable": "unread", "failed": "failed"}
    return [
        f"{attempt.id} {marks[attempt.status] or plain(attempt.answer or 'none', 60)}{' (right)' if attempt.correct else ''}"
        for attempt in item.attempts
    ]


def item_data(material: Material, item: Item) -> dict[str, Any]:
    """Plain values: the item, its question, its totals and the command."""
    return {
        **item.model_dump(mode="json"),
        "question": material.questions.get((item.set, item.task)),
        "total_tokens": item.total_tokens,
        "sequential_tokens": item.sequential_tokens,
        "journal": journal_command(material, item) or None,
    }
