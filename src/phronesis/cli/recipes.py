"""``phronesis recipes``: what can be run, what it does, what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Recipes: list, show, validate, cost, schema.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A shipped recipe's name or a path to a .toml file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """The shipped recipes."""
    import orjson

    from phronesis.graphs.recipe import summaries

    rows = summaries()
    if json:
        typer.echo(orjson.dumps(rows).decode())
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        typer.echo(f"{row['name']:<{width}}  {row['description']}")


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Every value of a recipe, defaults included, with what each knob means."""
    import orjson

    from phronesis.graphs.recipe import Recipe

    recipe = Recipe.load(name)
    if json:
        typer.echo(orjson.dumps(recipe.to_data(), option=orjson.OPT_INDENT_2).decode())
        return
    from phronesis.cli.fields import field_docs
    from phronesis.cli.verify_lines import verify_line

    typer.echo(f"{recipe.name}: {recipe.file.description}")
    typer.echo(f"strategy {recipe.strategy.name}: {recipe.strategy.summary} ({recipe.strategy.paper})")
    if (line := verify_line(recipe.file.verify)) is not None:
        typer.echo(line)
    docs = field_docs(recipe.strategy.knobs)
    typer.echo("\n[knobs]")
    for knob, value in recipe.knobs.model_dump(mode="json").items():
        typer.echo(f"  {knob} = {value!r}  {docs.get(knob, '')}")
    for section in ("verify", "retrieval", "tools", "memory", "budget", "answer"):
        values = getattr(recipe.file, section)
        docs = field_docs(type(values))
        typer.echo(f"\n[{section}]")
        for key, value in values.model_dump(mode="json").items():
            typer.echo(f"  {key} = {value!r}  {docs.get(key, '')}".rstrip())


@app.command()
def validate(name: Name, json: Json = False) -> None:
    """Check a recipe; exit code 2 and the place of the error when it is wrong."""
    import orjson

    from phronesis.graphs.recipe import Recipe

    recipe = Recipe.load(name)
    if recipe.file.tools.use:
        from phronesis.tools.table import check_tools

        check_tools(recipe.file.tools.use)
    if json:
        typer.echo(orjson.dumps({"name": recipe.name, "valid": True}).decode())
    else:
        typer.echo(f"{recipe.source}: valid")


@app.command()
def cost(name: Name, json: Json = False) -> None:
    """Calls and depth of one task: the formula, what its names mean, least and most."""
    import orjson

    from phronesis.cli.memory_cost import learning_data, learning_line
    from phronesis.graphs.recipe import Recipe

    recipe = Recipe.load(name)
    law = recipe.strategy.cost(recipe.knobs)
    observables = {key: {"meaning": o.meaning, "least": o.low, "most": o.high} for key, o in law.observables.items()}
    data = {
        "name": recipe.name,
        "calls": {"formula": law.calls, "least": law.least[0], "most": law.most[0]},
        "depth": {"formula": law.depth, "least": law.least[1], "most": law.most[1]},
        "constants": dict(law.constants),
        "observables": observables,
        "learning": learning_data(recipe),
    }
    if json:
        typer.echo(orjson.dumps(data).decode())
        return
    typer.echo(f"calls  {law.calls}  from {law.least[0]} to {law.most[0]}")
    typer.echo(f"depth  {law.depth}  from {law.least[1]} to {law.most[1]}")
    for key, value in law.constants.items():
        typer.echo(f"  {key} = {value}")
    for key, item in law.observables.items():
        typer.echo(f"  {key}: {item.meaning}, {item.low} to {item.high}")
    if (line := learning_line(recipe)) is not None:
        typer.echo(line)


@app.command()
def schema() -> None:
    """The JSON schema of recipe files, for editors."""
    import orjson

    from phronesis.graphs.recipe import RecipeFile

    typer.echo(orjson.dumps(RecipeFile.model_json_schema(by_alias=True), option=orjson.OPT_INDENT_2).decode())
