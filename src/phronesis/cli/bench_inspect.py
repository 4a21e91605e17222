"""``phronesis bench inspect``: a bench as logs for inspect_ai's viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("inspect")(inspect_logs)


def inspect_logs(
    folder: Annotated[Path, typer.Argument(help="A bench's folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the logs, one per arm, set and repeat.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a bench as logs that inspect_ai's viewer opens.

    \b
    Example:
      phronesis bench inspect gsm --out gsm-logs
      inspect view --log-dir gsm-logs
    """
    import orjson

    from phronesis.bench.inspect_log import write_logs
    from phronesis.bench.running.folder import BenchFolder

    written = write_logs(BenchFolder(folder), out)
    if json:
        rows = [
            {"log": str(log.path), "cell": log.cell.key, "samples": log.samples, "without_texts": log.without_texts}
            for log in written
        ]
        typer.echo(orjson.dumps(rows).decode())
        return
    for log in written:
        gone = f", {log.without_texts} without texts: their journal is gone" if log.without_texts else ""
        typer.echo(f"{log.path}: {log.samples} sample{'' if log.samples == 1 else 's'}{gone}")
