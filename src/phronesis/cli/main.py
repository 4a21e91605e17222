"""The command line. Commands import what they need when they run, so that ``--help`` is quick.

Exit codes: 0 ok · 1 a failed run or a failed line · 2 wrong usage · 3 the environment lacks something · 130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys

import typer

from phronesis.cli import allocation, bench, demos, kb, memory, models, recipes, rubrics, runs, scorers, tools
from phronesis.cli.doctor import doctor
from phronesis.cli.run import run

app = typer.Typer(
    name="phronesis",
    help="Multi-agent reasoning recipes on local models, with a memory that lasts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(run)
app.add_typer(recipes.app, name="recipes")
app.add_typer(runs.app, name="runs")
app.add_typer(scorers.app, name="scorers")
app.add_typer(rubrics.app, name="rubrics")
app.add_typer(memory.app, name="memory")
app.add_typer(kb.app, name="kb")
app.add_typer(tools.app, name="tools")
app.add_typer(demos.app, name="demos")
app.add_typer(allocation.app, name="allocation")
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
app.command()(doctor)


@app.callback(invoke_without_command=True)
def top(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    """Multi-agent reasoning recipes on local models, with a memory that lasts."""
    if version:
        from phronesis import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Entry point of the ``phronesis`` command."""
    os.environ.setdefault("LANGSMITH_TRACING", "false")
    os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
    from phronesis.core.errors import PhronesisError

    try:
        app()
    except PhronesisError as error:
        print(f"phronesis: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("phronesis: stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
