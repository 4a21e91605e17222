"""``phronesis allocation``: how to spend tokens on documents, demonstrations and iterations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="The computation allocation model of DRAG and IterDRAG: fit it on measurements, choose knobs for a budget.",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def fit(
    points: Annotated[Path, typer.Argument(help="JSONL file: task, k, m, n, score in [0, 1], and perhaps tokens.")],
    out: Annotated[Path, typer.Option(help="The model's file.")] = Path("allocation.toml"),
    json: Json = False,
) -> None:
    """Fit the model on measured scores. n is 1 for drag, and knobs.n + 1 for iterdrag; each task needs the points
    (k, m, n) = (0, 0, 1), (1, 0, 1) and (0, 1, 1), which say what one document and one demonstration gain.

    \b
    Example:
      phronesis allocation fit points.jsonl --out allocation.toml
    """
    from phronesis.cli.allocating import run_fit

    run_fit(points, out, json=json)


@app.command()
def choose(
    model: Annotated[Path, typer.Argument(help="A file that allocation fit wrote.")],
    budget: Annotated[float, typer.Option(help="Most input tokens of all calls of one question (L_max).")],
    task: Annotated[str | None, typer.Option(help="One of the tasks of the fit.")] = None,
    gains: Annotated[
        str | None, typer.Option(help="Of another task: what a document and a demonstration gain, e.g. 0.2,0.05.")
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            help="Tokens of a document, a demonstration, the question, e.g. 200,90,70; as measured by default."
        ),
    ] = None,
    k: Annotated[str, typer.Option(help="Documents to choose from.")] = "0,1,2,5,10,20",
    m: Annotated[str, typer.Option(help="Demonstrations to choose from.")] = "0,1,2,4,8",
    n: Annotated[str, typer.Option(help="1 = drag; n = iterdrag with n - 1 iterations.")] = "1,2,3,4,5",
    json: Json = False,
) -> None:
    """The knobs with the best predicted score within a budget, as a command line to run.

    \b
    Examples:
      phronesis allocation choose allocation.toml --budget 8000 --task hotpotqa
      phronesis allocation choose allocation.toml --budget 8000 --gains 0.2,0.05 --m 0 --n 1,3
    """
    from phronesis.cli.allocating import run_choose

    run_choose(model, budget, task=task, gains=gains, tokens=tokens, grid=(k, m, n), json=json)
