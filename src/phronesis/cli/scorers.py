"""``phronesis scorers``: which scorers there are, and what each is worth on graded attempts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from phronesis.cli import scorer_nulls

app = typer.Typer(help="Scorers: list, test, fit, null.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Dataset = Annotated[Path, typer.Option("--dataset", help="JSONL file with question, gold (or answer) and id a line.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """The scorers recipes can name, what they judge, what they cost, and how they tested on this machine."""
    import orjson

    from phronesis.agents.scorers.table import choose_scorer, find_scorer, scorer_names
    from phronesis.core.errors import PhronesisError
    from phronesis.core.settings import load_settings
    from phronesis.graphs.scorer_records import ScorerRecords

    tested = ScorerRecords(load_settings().home / "statistics.sqlite3").latest()
    rows: list[dict[str, Any]] = []
    for name in scorer_names():
        try:
            entry, calls = find_scorer(name), choose_scorer(name).calls
        except (PhronesisError, ImportError, AttributeError) as error:
            print(f"phronesis: the scorer {name!r} cannot be used: {error}", file=sys.stderr)
            continue
        rows.append(
            {
                "name": name,
                "judges": entry.kind,
                "summary": entry.summary,
                "calls": {"attempt": calls.attempt, "step": calls.step, "task": calls.task},
                "options": {key: field.default for key, field in entry.options.model_fields.items()},
                "tests": [record.to_json() for record in tested if record.name == name],
            }
        )
    if json:
        typer.echo(orjson.dumps(rows).decode())
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['name']:<{width}}  {row['judges']:<7}  {row['summary']}")
        if row["options"]:
            typer.echo(f"{'':<{width}}           options: {', '.join(f'{k} = {v}' for k, v in row['options'].items())}")
        for record in row["tests"]:
            typer.echo(f"{'':<{width}}           tested: {record['text']}")
            if record["sameness"]:
                typer.echo(f"{'':<{width}}           there it {record['sameness']}")


@app.command()
def test(
    scorers: Annotated[list[str] | None, typer.Argument(help="Scorers, with options: 'generative(votes=4)'.")] = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="JSONL file with question, gold (or answer) and id a line.")
    ] = None,
    attempts: Annotated[
        str | None,
        typer.Option(help="Labelled attempts instead of drawn ones: a file, or the known set processbench or llmbar."),
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Rows of --attempts whose field has a value: FIELD=A,B; repeatable.")
    ] = None,
    shuffle: Annotated[int | None, typer.Option(help="Seed of a shuffle of --attempts, before --limit.")] = None,
    bank: Annotated[
        str | None, typer.Option(help="Run whose recorded attempts are scored; without it one is made.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="Recipe that draws the attempts of a new bank.")] = "self_consistency",
    samples: Annotated[int, typer.Option(min=2, help="Attempts per question of a new bank.")] = 4,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first questions.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key, KEY=VALUE.")] = None,
    scores: Annotated[str | None, typer.Option(help="Scoring run to go on with, or to report again.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Questions side by side.")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what it may cost.")] = False,
    json: Json = False,
) -> None:
    """Score attempts, drawn or given, and say how well each scorer ranks right above wrong, what it accepts and costs.

    Examples:

      phronesis scorers test --dataset gold.jsonl self_certainty judge "generative(votes=2)"

      phronesis scorers test --attempts processbench --where subset=gsm8k --limit 60 judge

      phronesis scorers test --dataset gold.jsonl --bank RUN pairwise

      phronesis scorers test --dataset gold.jsonl --scores RUN
    """
    from phronesis.cli.scorer_test_inputs import TestOrder
    from phronesis.cli.scorer_tests import run_test

    order = TestOrder(
        dataset=dataset,
        attempts=attempts,
        where=tuple(where or ()),
        shuffle=shuffle,
        scorers=tuple(scorers or ()),
        bank=bank,
        recipe=recipe,
        samples=samples,
        limit=limit,
        overrides=tuple(set_ or ()),
        scores=scores,
        parallel=parallel,
    )
    raise typer.Exit(run_test(order, json=json, dry_run=dry_run))


@app.command()
def fit(
    dataset: Dataset,
    scores: Annotated[str, typer.Option(help="Scoring run of `scorers test`; its scorers may become features.")],
    out: Annotated[Path, typer.Option(help="TOML file of the fitted model.")],
    per: Annotated[str, typer.Option(help="attempt (for `signals`) or answer (for `combined`).")] = "answer",
    use: Annotated[
        list[str] | None, typer.Option(help="Scorers of the run that become features; none by default.")
    ] = None,
    features: Annotated[str | None, typer.Option(help="Comma-separated features; default: all there are.")] = None,
    ridge: Annotated[float, typer.Option(min=0.0, help="Penalty on squared weights.")] = 1.0,
    json: Json = False,
) -> None:
    """Fit a logistic model on graded attempts, cross-validated over questions.

    Example:

      phronesis scorers fit --dataset gold.jsonl --scores RUN --per answer --use execution --out combined.toml
    """
    from phronesis.cli.scorer_fits import run_fit

    raise typer.Exit(
        run_fit(dataset, scores, out, per=per, use=tuple(use or ()), features=features, ridge=ridge, json=json)
    )


scorer_nulls.register(app)
