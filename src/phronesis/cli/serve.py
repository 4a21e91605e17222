"""``phronesis models serve`` and ``stop``: the embedded engine or a vLLM server, kept until Ctrl-C or let go."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from phronesis.cli.progress import reporter

if TYPE_CHECKING:
    from phronesis.core.settings import Settings
    from phronesis.models.vllm_command import ServePlan
    from phronesis.models.vllm_server import VllmServer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Engine(StrEnum):
    """What can serve a model."""

    vllm = "vllm"
    embedded = "embedded"


def serve(
    name: Annotated[
        str | None, typer.Argument(help="A catalogue name, a folder in Hugging Face layout, or a hub id.")
    ] = None,
    flags: Annotated[list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="Options for vLLM itself.")] = None,
    engine: Annotated[Engine | None, typer.Option(help="Default: vllm where it is installed, else embedded.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="vllm: default = a free one.")] = None,
    host: Annotated[str | None, typer.Option(help="vllm: address to listen on; default = 127.0.0.1.")] = None,
    context: Annotated[int | None, typer.Option(min=16, help="Tokens of prompt and reply together.")] = None,
    detach: Annotated[bool, typer.Option("--detach/--foreground", help="vllm: leave it running.")] = False,
    json: Json = False,
) -> None:
    """Start a server, print its address once it answers, keep it until Ctrl-C.

    Example: phronesis models serve qwen2.5-coder-1.5b-instruct-q4_k_m --engine vllm --port 8000 -- --max-num-seqs 64"""
    from phronesis.core.errors import ConfigurationError
    from phronesis.core.settings import DEFAULT_MODEL, load_settings

    settings = load_settings()
    if name is not None and name.startswith("-"):
        flags = [name, *(flags or ())]
        name = None
    name = name or settings.model or DEFAULT_MODEL
    if (engine or _default_engine(name, settings)) is Engine.vllm:
        _serve_vllm(name, flags or (), settings, port, host or "127.0.0.1", context, detach=detach, json=json)
        return
    for option, given in (("--port", port), ("--host", host), ("--detach", detach), ("-- options", flags)):
        if given:
            raise ConfigurationError(f"{option} is not for the embedded engine", mend="add --engine vllm")
    _serve_embedded(name, settings.model_copy(update={"engine_context": context}) if context else settings, json=json)


def _default_engine(name: str, settings: Settings) -> Engine:
    from phronesis.models.vllm_environment import environments, has_gpu
    from phronesis.models.vllm_weights import is_folder, is_hub_id

    if is_folder(name) or is_hub_id(name):
        return Engine.vllm
    if Path(name).expanduser().is_file():
        return Engine.embedded
    first = next(iter(environments(settings)), None)
    usable = first is not None and (first.cpu or first.source == "setting" or has_gpu())
    return Engine.vllm if usable else Engine.embedded


def _serve_embedded(name: str, settings: Settings, *, json: bool) -> None:
    import time

    from phronesis.core.loop import run_sync
    from phronesis.models.embedded import lease_engine

    lease = run_sync(lease_engine(name, settings))
    try:
        variables = {"OPENAI_BASE_URL": lease.base_url, "OPENAI_API_KEY": lease.api_key}
        _show(lease.model, "embedded", lease.pid, lease.log, variables, json=json)
        typer.echo(f"{lease.model} is served by pid {lease.pid}; Ctrl-C lets go of it", err=True)
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        typer.echo("let go; the engine stops when nobody has used it for a while", err=True)
    finally:
        lease.close()


def _serve_vllm(
    name: str,
    flags: Sequence[str],
    settings: Settings,
    port: int | None,
    host: str,
    context: int | None,
    *,
    detach: bool,
    json: bool,
) -> None:
    from phronesis.core.loop import run_sync
    from phronesis.models.vllm_command import ServePlan, check_flags, context_for
    from phronesis.models.vllm_environment import require_environment
    from phronesis.models.vllm_server import free_port, require_port, start_server
    from phronesis.models.vllm_weights import open_weights

    checked = check_flags(flags)
    environment = require_environment(settings)
    if port is not None:
        run_sync(require_port(host, port, settings))
    signal.signal(signal.SIGTERM, _interrupt)
    weights = open_weights(name, settings, environment, heard=reporter(f"writing {name} for vLLM:"))
    plan = ServePlan(
        environment=environment,
        weights=weights,
        host=host,
        port=port or free_port(host),
        context=context_for(context, weights, cpu=environment.cpu, default=settings.engine_context),
        flags=checked,
    )
    server = start_server(plan, settings)
    typer.echo(f"starting {environment.describe()}; its log: {server.log}", err=True)
    ready = False
    try:
        run_sync(server.come_up(heard=reporter(f"waiting for {plan.name}:")))
        ready = True
        _show_vllm(plan, server, json=json)
        if detach:
            server.let_go()
            typer.echo(f"{plan.name} is served by pid {server.pid} until phronesis models stop {plan.port}", err=True)
            return
        typer.echo(f"{plan.name} is served by pid {server.pid}; Ctrl-C stops it", err=True)
        server.wait()
        typer.echo("stopped from outside", err=True)
    except KeyboardInterrupt:
        typer.echo("stopping", err=True)
        server.stop()
        if not ready:
            raise
    except BaseException:
        server.stop()
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _show_vllm(plan: ServePlan, server: VllmServer, *, json: bool) -> None:
    variables = {"OPENAI_BASE_URL": plan.base_url}
    if not plan.tells_seed_trouble:
        variables["PHRONESIS_SEND_SEED"] = "false"
    _show(plan.name, "vllm", server.pid, server.log, variables, json=json)
    if plan.host not in ("127.0.0.1", "localhost", "::1"):
        typer.echo("it listens beyond this machine; VLLM_API_KEY asks clients for a key", err=True)


def _show(model: str, engine: str, pid: int, log: Path, variables: dict[str, str], *, json: bool) -> None:
    import orjson

    if json:
        address = {"base_url": variables["OPENAI_BASE_URL"], "api_key": variables.get("OPENAI_API_KEY")}
        about = {"model": model, "engine": engine, **address, "pid": pid, "log": str(log), "environment": variables}
        typer.echo(orjson.dumps(about).decode())
        return
    for key, value in variables.items():
        typer.echo(f"export {key}={value}")


def stop(
    name: Annotated[str | None, typer.Argument(help="A model's name or a port; default = the only server.")] = None,
    json: Json = False,
) -> None:
    """Stop a vLLM server that ``models serve`` started, and wait until nothing of it is left.

    Example: phronesis models stop qwen2.5-coder-1.5b-instruct-q4_k_m"""
    import orjson

    from phronesis.core.errors import ConfigurationError
    from phronesis.core.settings import load_settings
    from phronesis.models.vllm_record import running_servers
    from phronesis.models.vllm_server import stop_server

    settings = load_settings()
    servers = running_servers(settings)
    known = ", ".join(f"{server.model} (port {server.port})" for server in servers) or "none runs"
    chosen = [server for server in servers if name in (None, server.model, str(server.port))]
    if not chosen and name is not None:
        raise ConfigurationError(f"no vLLM server called {name!r}", mend=f"running: {known}")
    if len(chosen) > 1:
        raise ConfigurationError(f"{len(chosen)} servers fit {name or 'no name'!r}", mend=f"name a port: {known}")
    for server in chosen:
        stop_server(server, settings)
    if json:
        typer.echo(orjson.dumps([{"model": server.model, "pid": server.pid} for server in chosen]).decode())
        return
    typer.echo("\n".join(f"stopped {server.model} (port {server.port})" for server in chosen) or "none runs")
