"""The folder of one embedded engine: its locks, its port file, its log.

``lock``         held alone while somebody looks at, starts or ends the engine
``lease``        held shared by every process that uses the engine
``engine.json``  the port file, 0600: how to reach the engine; written by the engine, trusted only while it lives
``engine.log``   output of the engine since it was started
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phronesis.core.settings import Settings


class EngineInfo(BaseModel):
    """A running engine, as its port file describes it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    """Process of the engine."""
    started: int
    """Its start time as the kernel counts it (clock ticks since boot); tells it from a later process of the same id."""
    port: int
    """Port on 127.0.0.1."""
    api_key: str = Field(repr=False)
    """Random; requests without it are refused."""
    model: str
    """Model name in requests."""
    file: str
    """Path of the model file."""
    context: int
    """Tokens, shared by the slots."""
    slots: int
    """Replies generated side by side."""
    threads: int
    """Threads that generate."""
    log: str
    """Path of its log."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def alive(self) -> bool:
        """Whether the process that wrote this still runs; says nothing about whether it answers."""
        return process_start(self.pid) == self.started


def process_start(pid: int) -> int | None:
    """Start time of a living process in clock ticks since boot, 0 where /proc is lacking; None when it is gone."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except OSError:
            return None
        return 0
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True, slots=True)
class EngineFolder:
    """Names inside the folder, and reading and writing of the port file."""

    path: Path

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def lease(self) -> Path:
        return self.path / "lease"

    @property
    def port_file(self) -> Path:
        return self.path / "engine.json"

    @property
    def log(self) -> Path:
        return self.path / "engine.log"

    def read(self) -> EngineInfo | None:
        """What the port file says; None when there is none or it cannot be understood."""
        try:
            return EngineInfo.model_validate_json(self.port_file.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, info: EngineInfo) -> None:
        """Replaces the port file in one step; nobody but its owner can read it at any time."""
        fresh = self.path / f"engine.json.{info.pid}"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(info.model_dump_json(indent=2))
        fresh.replace(self.port_file)

    def last_lines(self, count: int = 8) -> str:
        """The end of the log, indented; empty when there is none."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(f"  | {line}" for line in text.splitlines()[-count:])


def running(settings: Settings) -> list[EngineInfo]:
    """The embedded engines that live on this machine under ``settings.engines``, oldest first. Asks none of them."""
    found = [EngineFolder(path).read() for path in sorted(settings.engines.glob("*/")) if path.is_dir()]
    return sorted((info for info in found if info and info.alive()), key=lambda info: info.started)
