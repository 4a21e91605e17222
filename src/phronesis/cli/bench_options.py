"""Options that the verbs of ``phronesis bench`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option(help="Folder of the bench; one that exists is gone on with.")]
Datasets = Annotated[
    list[str] | None,
    typer.Option(help="A known set, a file or folder, or a generator: countdown(numbers=4, n=50); repeatable."),
]
Limit = Annotated[int | None, typer.Option(help="The first so many questions of each set.", min=1)]
Sample = Annotated[int | None, typer.Option(help="So many questions of each set, drawn at random.", min=1)]
Seed = Annotated[int, typer.Option(help="Seed of --sample.")]
Where = Annotated[list[str] | None, typer.Option(help="Rows whose field has a value: FIELD=A,B.")]
Columns = Annotated[list[str] | None, typer.Option(help="Which column holds what: question=prompt.")]
Format = Annotated[str | None, typer.Option(help="Answer format of rows that do not name their own.")]
GraderName = Annotated[str, typer.Option(help="Grader of every row, instead of the set's own.")]
Limits = Annotated[str | None, typer.Option(help="Limits of one task: calls=8,seconds=60.")]
Repeats = Annotated[int | None, typer.Option(help="Times that everything is run, each with its own seed.", min=1)]
BankName = Annotated[str, typer.Option(help="A run, or an arm, whose recorded replies are used first.")]
BankCalls = Annotated[int | None, typer.Option(help="Calls that the bank may lack; default: any number.", min=0)]
Parallel = Annotated[int, typer.Option(help="Tasks in work at a time.", min=1)]
Executing = Annotated[str, typer.Option(help="Who runs the tasks: local, processes(n=4), or an installed executor.")]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Let failed tasks, and those that lost calls, begin again.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run and what it may cost.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
