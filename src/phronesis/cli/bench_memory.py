"""``phronesis bench memory``: what a memory is worth on a stream of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb to ``phronesis bench``."""
    app.command("memory")(memory)


def memory(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or path; its [memory] section says how it recalls.")],
    stream: Annotated[
        str, typer.Argument(help="A known set, a file or folder, or a generator; its order is the stream.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the bench; one that exists is gone on with.")],
    orders: Annotated[int, typer.Option(help="Orders of the stream: as it stands, then shuffled.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the orders and of --sample.")] = 0,
    split: Annotated[float, typer.Option(help="Share of each order that is learned from.", min=0, max=1)] = 0.5,
    warm: Annotated[int | None, typer.Option(help="So many tasks instead of a share.", min=0)] = None,
    repeats: Annotated[int, typer.Option(help="Times that everything is run, with seeds of its own.", min=1)] = 1,
    arms: Annotated[
        str, typer.Option(help="Among off, again, write, frozen, shuffled, placebo.")
    ] = "off,write,frozen,shuffled,placebo",
    session: Annotated[str, typer.Option(help="A memory of yours that each order begins with a copy of.")] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Draw anew where prompts equal those of off.")] = False,
    limit: Annotated[int | None, typer.Option(help="The first so many tasks.", min=1)] = None,
    sample: Annotated[int | None, typer.Option(help="So many tasks, drawn at random.", min=1)] = None,
    where: Annotated[list[str] | None, typer.Option(help="Rows whose field has a value: FIELD=A,B.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Which column holds what: question=prompt.")] = None,
    format: Annotated[str | None, typer.Option(help="Answer format of rows that do not name their own.")] = None,
    grader: Annotated[str, typer.Option(help="Grader of every row, instead of the set's own.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key of the recipe, KEY=VALUE.")] = None,
    budget: Annotated[str | None, typer.Option(help="Limits of one task: calls=8,tokens=4000.")] = None,
    parallel: Annotated[int, typer.Option(help="Tasks in work at a time, where nothing is written.", min=1)] = 8,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Let failed tasks begin again.")] = False,
    fail_on_harm: Annotated[
        bool, typer.Option("--fail-on-harm", help="Exit code 1 when the memory as a whole lowers success.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what it may cost.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """What the memory of a recipe is worth: with and without it, against controls, over several orders of a stream.

    \b
    Examples:
      phronesis bench memory magicore gsm8k --limit 60 --out worth
      phronesis bench memory self_consistency mine.jsonl --set memory.k=2 --orders 5 --warm 20 --out worth --dry-run
      phronesis bench memory direct mine.jsonl --session algebra --arms off,frozen,placebo --warm 0 --out check

    The memories of the bench lie in its folder; yours are only read. What is done is kept, and the same command goes on.
    """
    from phronesis.cli.bench_memory_running import MemoryOrder, run_memory_bench

    order = MemoryOrder(
        recipe=recipe,
        stream=stream,
        out=out,
        orders=orders,
        seed=seed,
        split=split,
        warm=warm,
        repeats=repeats,
        arms=tuple(name.strip() for name in arms.split(",") if name.strip()),
        session=session,
        fresh=fresh,
        limit=limit,
        sample=sample,
        where=tuple(where or ()),
        columns=tuple(column or ()),
        format=format,
        grader=grader,
        overrides=tuple(set_ or ()),
        budget=budget,
    )
    code = run_memory_bench(
        order, parallel=parallel, retry_failed=retry_failed, fail_on_harm=fail_on_harm, dry_run=dry_run, json=json
    )
    raise typer.Exit(code)
