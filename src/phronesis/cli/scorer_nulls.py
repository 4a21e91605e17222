"""``phronesis scorers null``: whether a judge can be won by a reply that answers nothing."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("null")(null)


def null(
    scorers: Annotated[list[str], typer.Argument(help="Scorers, with options: judge 'generative(votes=4)' pairwise.")],
    dataset: Annotated[str, typer.Option(help="Questions: a known set, or a file with question and gold a line.")],
    bank: Annotated[
        str | None, typer.Option(help="Run whose attempts stand against the nulls; else gold answers.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The first so many questions.")] = 50,
    accept: Annotated[float, typer.Option(min=0, max=1, help="Score from which an attempt is accepted.")] = 0.5,
    least: Annotated[int, typer.Option(min=1, help="Judgements of each null that the gate asks for.")] = 50,
    model: Annotated[str | None, typer.Option(help="The judge's model.")] = None,
    base_url: Annotated[str | None, typer.Option(help="Where it is served, with /v1.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Questions side by side.")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it may cost.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Give constant replies to scorers in place of answers: how many they accept, how many beat a real answer, and in how
    many comparisons the order decides. Exit code 1 when a scorer fails the gate.

    \b
    Examples:
      phronesis scorers null judge pairwise --dataset gold.jsonl
      phronesis scorers null "generative(votes=1)" --dataset gsm8k --bank RUN --json
    """
    from phronesis.cli.scorer_null_running import NullOrder, run_nulls

    order = NullOrder(
        scorers=tuple(scorers),
        dataset=dataset,
        bank=bank,
        limit=limit,
        accept=accept,
        least=least,
        model=model,
        base_url=base_url,
        parallel=parallel,
    )
    raise typer.Exit(run_nulls(order, dry_run=dry_run, json=json))
