"""``phronesis models``: model files and the embedded engine."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Models: list, pull, serve.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """The catalogue, what is pulled, and which engines run."""
    import orjson

    from phronesis.core.settings import load_settings
    from phronesis.models.catalogue import catalogue
    from phronesis.models.engine_folder import running
    from phronesis.models.pull import local_path

    settings = load_settings()
    entries = [(entry, local_path(name, settings)) for name, entry in catalogue().items()]
    pids = {engine.model: engine.pid for engine in running(settings)}
    if json:
        rows = [
            {**entry.model_dump(mode="json"), "path": path and str(path), "pid": pids.get(entry.name)}
            for entry, path in entries
        ]
        typer.echo(orjson.dumps(rows).decode())
        return
    for entry, path in entries:
        state = f"running, pid {pids[entry.name]}" if entry.name in pids else "pulled" if path else "not pulled"
        typer.echo(f"{entry.name:<40} {entry.bytes / 2**20:7.0f} MiB  {entry.licence:<20} {state}")


@app.command()
def pull(name: Annotated[str, typer.Argument(help="A catalogue name.")]) -> None:
    """Fetch a model and check its sha256; a second pull does nothing."""
    from phronesis.core.settings import load_settings
    from phronesis.models.pull import PullProgress
    from phronesis.models.pull import pull as fetch

    shown = -1

    def progress(step: PullProgress) -> None:
        nonlocal shown
        share = int(10 * step.done / step.total) if step.total else 0
        if share != shown:
            shown = share
            typer.echo(f"{name}: {step.stage} {share * 10} %", err=True)

    typer.echo(str(fetch(name, load_settings(), progress=progress)))


@app.command()
def serve(
    name: Annotated[str | None, typer.Argument(help="A catalogue name; default = the default model.")] = None,
) -> None:
    """Start the embedded engine, print its address and key, keep it until Ctrl-C."""
    import time

    from phronesis.core.loop import run_sync
    from phronesis.core.settings import DEFAULT_MODEL, load_settings
    from phronesis.models.embedded import lease_engine

    settings = load_settings()
    lease = run_sync(lease_engine(name or settings.model or DEFAULT_MODEL, settings))
    try:
        typer.echo(f"export OPENAI_BASE_URL={lease.base_url}\nexport OPENAI_API_KEY={lease.api_key}")
        typer.echo(f"{lease.model} is served by pid {lease.pid}; Ctrl-C lets go of it", err=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        typer.echo("let go; the engine stops when nobody has used it for a while", err=True)
    finally:
        lease.close()
