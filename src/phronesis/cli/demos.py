"""``phronesis demos``: demonstrations for strategies that show some."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Demonstrations: solved questions with their documents, shown by drag and iterdrag.")


@app.callback()
def demos() -> None:
    """Demonstrations: solved questions with their documents, shown by drag and iterdrag."""


@app.command()
def make(
    recipe: Annotated[str, typer.Argument(help="A recipe of the strategy iterdrag, by name or path.")],
    dataset: Annotated[str, typer.Argument(help="Questions with gold answers: a JSONL file, a folder, a known set.")],
    out: Annotated[Path, typer.Option(help="JSONL file of the demonstrations; it is written anew.")],
    most: Annotated[int | None, typer.Option(help="Keep at most so many.", min=1)] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first questions.", min=1)] = None,
    grader: Annotated[
        str | None, typer.Option(help="Who says what is right, e.g. qa; phronesis bench graders.")
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key, KEY=VALUE.")] = None,
    budget: Annotated[str | None, typer.Option(help="Limits of each question, for example calls=12.")] = None,
    parallel: Annotated[int, typer.Option(help="Questions side by side.", min=1)] = 4,
    run: Annotated[
        str | None, typer.Option(help="Go on with this run instead of a new one; nothing is paid twice.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run iterdrag over questions with known answers, and keep the traces that have intermediate answers and a right final
    one (Yue et al. 2024).

    \b
    Examples:
      phronesis demos make iterdrag train.jsonl --out demos.jsonl --set retrieval.kb=papers --grader qa
      phronesis demos make iterdrag train.jsonl --out demos.jsonl --run 20260101-120000-abcd
    """
    from phronesis.cli.demonstrating import run_make
    from phronesis.cli.values import budget_of, settings_of

    overrides = {**settings_of(set_ or [], option="--set"), **budget_of(budget)}
    asked = {"most": most, "limit": limit, "grader": grader, "parallel": parallel, "run_id": run}
    raise typer.Exit(run_make(recipe, overrides, dataset, out, json=json, **asked))  # type: ignore[arg-type]  # as declared
