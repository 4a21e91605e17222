"""``phronesis bench sweep``: one recipe over a grid of settings, and which points are worth their cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from phronesis.cli.bench_options import (
    BankName,
    Columns,
    Datasets,
    DryRun,
    Executing,
    Format,
    GraderName,
    Json,
    Limit,
    Limits,
    Out,
    Parallel,
    Repeats,
    RetryFailed,
    Sample,
    Seed,
    Where,
)

if TYPE_CHECKING:
    from phronesis.bench.pareto import Front
    from phronesis.bench.running.plan import BenchPlan
    from phronesis.cli.bench_running import BenchOrder


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(sweep)


def sweep(
    recipe: Annotated[str, typer.Argument(help="A recipe's name or path.")],
    out: Out,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="KEY=VALUE,VALUE,...: every combination is an arm; one value is set in all arms."),
    ] = None,
    dataset: Datasets = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = 0,
    where: Where = None,
    column: Columns = None,
    format: Format = None,
    grader: GraderName = "",
    budget: Limits = None,
    repeats: Repeats = None,
    bank: BankName = "",
    share: Annotated[
        bool | None,
        typer.Option(
            "--share/--no-share",
            help="Let the widest arm be the others' bank; default: where arms ask the model the same thing at first.",
        ),
    ] = None,
    parallel: Parallel = 8,
    executor: Executing = "local",
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run a recipe at every combination of settings; the same command goes on, and further values add arms.

    Ends with the Pareto front: accuracy against tokens and against seconds, and which arms another one dominates.

    \b
    Examples:
      phronesis bench sweep self_consistency --set knobs.k=1,2,4,8 --dataset gsm8k --limit 40 --out widths
      phronesis bench sweep best_of_n --set "knobs.scorer=signals,generative(votes=2)" --set knobs.n=2,4,8 \\
        --dataset mine.jsonl --out scorers
    """
    import orjson

    from phronesis.bench.pareto import fronts
    from phronesis.cli.bench_running import BenchOrder, Handling, carry_out_to

    order = BenchOrder(
        out=out,
        file=None,
        recipes=(recipe,),
        datasets=tuple(dataset or ()),
        limit=limit,
        sample=sample,
        seed=seed,
        where=tuple(where or ()),
        columns=tuple(column or ()),
        format=format,
        grader=grader,
        overrides=tuple(set_ or ()),
        budget=budget,
        repeats=repeats,
        bank=bank,
        calls=None,
    )
    handling = Handling(parallel=parallel, executor=executor, retry_failed=retry_failed, dry_run=dry_run, json=json)
    done = carry_out_to(sweep_plan(order, share=share), out, handling)
    if done is None:
        return
    best = fronts(done)
    if json:
        data = {"arms": [item.to_json() for item in done], "fronts": [item.to_json() for item in best]}
        typer.echo(orjson.dumps(data).decode())
    else:
        show_fronts(best)
    from phronesis.cli.bench_running import exit_code

    raise typer.Exit(exit_code(done))


def sweep_plan(order: BenchOrder, *, share: bool | None) -> BenchPlan:
    """The plan of a sweep, with the banks of the folder's earlier arms. Raises ConfigurationError and RecipeError."""
    from phronesis.bench.running.folder import BenchFolder
    from phronesis.bench.running.plan import BenchPlan
    from phronesis.bench.sweep import sharing, split_values, sweep_arms
    from phronesis.cli.bench_running import sets_asked_for
    from phronesis.cli.values import budget_of, toml_value
    from phronesis.core.errors import ConfigurationError

    if not order.datasets:
        raise ConfigurationError("a sweep needs a data set", mend="give --dataset")
    grid = {}
    for text in order.overrides:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise ConfigurationError(f"--set {text!r} is not KEY=VALUES", mend="write --set knobs.k=1,2,4")
        if key in grid:
            raise ConfigurationError(f"--set names {key} twice", mend=f"write --set {key}=A,B")
        grid[key] = [toml_value(value) for value in split_values(values)]
    arms = sweep_arms(order.recipes[0], grid, budget_of(order.budget))
    folder = BenchFolder(order.out)
    stored = folder.plan().arms if (folder.path / "bench.json").is_file() else ()
    if share is False:
        arms = [arm.model_copy(update={"bank": order.bank}) for arm in arms]
    else:
        arms = sharing(arms, stored, bank=order.bank, every=share is True)
    return BenchPlan(name=order.out.name, sets=sets_asked_for(order), arms=tuple(arms), repeats=order.repeats or 1)


def show_fronts(found: list[Front]) -> None:
    """The fronts for people."""
    from phronesis.cli.bench_running import print_table

    for front in found:
        typer.echo(f"{front.set}: accuracy against {front.cost} per question")
        rows = [
            [
                row.arm,
                f"{row.cost:.1f}",
                f"{100 * row.accuracy:.1f}",
                "on the front" if row.dominated_by is None else f"dominated by {row.dominated_by}",
            ]
            for row in front.rows
        ]
        print_table(("arm", front.cost, "accuracy %", ""), rows)
    typer.echo(
        "The fronts take the figures as they stand: phronesis bench compare says which arms really differ. Seconds of "
        "replies from a bank are those of the recorded exchanges."
    )
