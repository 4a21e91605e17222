"""``phronesis rubrics``: which rubrics there are, what they ask, whether a file is one, how far one agrees with labels."""

from __future__ import annotations

from typing import Annotated, Any

import typer

app = typer.Typer(help="Rubrics: list, show, validate, test.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Shipped rubric, taxonomy:NAME, or a TOML file.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """The shipped rubrics, those derived from failure taxonomies included."""
    import orjson

    from phronesis.agents.verification.rubric_files import load_rubric, rubric_names

    rubrics = {name: load_rubric(name) for name in rubric_names()}
    if json:
        rows = [
            {"name": name, "description": item.description, "criteria": [part.name for part in item.criteria]}
            for name, item in rubrics.items()
        ]
        typer.echo(orjson.dumps(rows).decode())
        return
    width = max(map(len, rubrics))
    for name, item in rubrics.items():
        typer.echo(f"{name:<{width}}  {item.description}")
        typer.echo(f"{'':<{width}}  {', '.join(part.name for part in item.criteria)}")


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Every criterion with its weight and its choices, worst first.

    Examples:

      phronesis rubrics show math

      phronesis rubrics show taxonomy:deep_research
    """
    import orjson

    from phronesis.agents.verification.rubric_files import load_rubric

    rubric = load_rubric(name)
    if json:
        typer.echo(orjson.dumps(rubric.model_dump(mode="json"), option=orjson.OPT_INDENT_2).decode())
        return
    typer.echo(f"{rubric.name}: {rubric.description}")
    typer.echo(f"accepted from {rubric.accept:g}; unknown below {rubric.least_known:g} of the weight")
    for item in rubric.criteria:
        veto = "; its worst choice rejects" if item.veto else ""
        typer.echo(f"\n{item.name} ({rubric.weight_of(item):.0%}{veto})\n  {item.question}")
        if item.evidence:
            typer.echo(f"  the reason names: {item.evidence}")
        for choice in item.choices:
            means = f": {choice.means}" if choice.means else ""
            typer.echo(f"  {item.score_of(choice.name):.2f}  {choice.name}{means}")


@app.command()
def validate(
    names: Annotated[list[str], typer.Argument(help="Rubric files, or names of rubrics.")], json: Json = False
) -> None:
    """Check rubrics; exit code 2 and the place of the first error when one is wrong.

    Example:

      phronesis rubrics validate mine.toml
    """
    import orjson

    from phronesis.agents.verification.rubric_files import load_rubric

    found = {name: load_rubric(name) for name in names}
    if json:
        rows = [{"name": name, "valid": True, "criteria": len(item.criteria)} for name, item in found.items()]
        typer.echo(orjson.dumps(rows).decode())
        return
    for name, item in found.items():
        typer.echo(f"{name}: valid, {len(item.criteria)} criteria")


@app.command()
def test(
    rubric: Name,
    attempts: Annotated[str, typer.Option(help="Labelled attempts: a file, or the known set processbench or llmbar.")],
    where: Annotated[
        list[str] | None, typer.Option(help="Rows whose field has a value: FIELD=A,B; repeatable.")
    ] = None,
    options: Annotated[str, typer.Option(help="Options of the judge: 'each=true, votes=3'.")] = "",
    shuffle: Annotated[int | None, typer.Option(help="Seed of a shuffle, before --limit.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first questions.")] = None,
    bank: Annotated[str | None, typer.Option(help="Run that recorded these attempts.")] = None,
    scores: Annotated[str | None, typer.Option(help="Scoring run to go on with, or to report again.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a recipe key, KEY=VALUE.")] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Questions side by side.")] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what it may cost.")] = False,
    json: Json = False,
) -> None:
    """How far a rubric agrees with labels, criterion by criterion: which of its questions tells right attempts from wrong.

    Examples:

      phronesis rubrics test math --attempts processbench --where subset=gsm8k --limit 60

      phronesis rubrics test mine.toml --attempts labelled.jsonl --options "each=true"
    """
    from phronesis.cli.rubric_tests import run_rubric_test
    from phronesis.cli.scorer_test_inputs import TestOrder

    file = rubric.replace("\\", "\\\\").replace('"', '\\"')
    named: dict[str, Any] = {
        "scorers": () if scores else (f'rubric(file="{file}"{", " + options if options else ""})',)
    }
    order = TestOrder(
        dataset=None,
        attempts=attempts,
        where=tuple(where or ()),
        shuffle=shuffle,
        bank=bank,
        recipe="self_consistency",
        samples=2,
        limit=limit,
        overrides=tuple(set_ or ()),
        scores=scores,
        parallel=parallel,
        **named,
    )
    raise typer.Exit(run_rubric_test(order, rubric, json=json, dry_run=dry_run))
