"""``phronesis bench audit``: right answers with a flawed derivation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("audit")(audit)


def audit(
    folder: Annotated[Path, typer.Argument(help="A bench's folder.")],
    samples: Annotated[int, typer.Option(help="Right answers to read, over all arms.", min=1)] = 60,
    model: Annotated[list[str] | None, typer.Option(help="An auditor's model; repeatable: each reads all.")] = None,
    base_url: Annotated[
        list[str] | None, typer.Option(help="Where it is served, with /v1; one for all models, or one each.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    labels: Annotated[Path | None, typer.Option(help="JSON of human verdicts: id -> true (sound) or false.")] = None,
    parallel: Annotated[int, typer.Option(help="Questions in work at a time.", min=1)] = 8,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let models read right answers and say whether their derivation is sound; what was asked is never asked again.

    \b
    Examples:
      phronesis bench audit gsm --samples 40
      phronesis bench audit gsm --model big --base-url http://127.0.0.1:8001/v1 --labels mine.json
    """
    from phronesis.cli.bench_auditing import AuditOrder, run_audit

    order = AuditOrder(
        folder=folder,
        samples=samples,
        models=tuple(model or ()),
        base_urls=tuple(base_url or ()),
        seed=seed,
        labels=labels,
        parallel=parallel,
    )
    raise typer.Exit(run_audit(order, dry_run=dry_run, json=json))
