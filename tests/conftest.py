"""Every test has a home folder of its own and cannot reach beyond loopback."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from phronesis.core.settings import Settings, load_settings

os.environ.setdefault("LANGSMITH_TRACING", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
SHARED_HOME = os.environ.get("PHRONESIS_HOME", "")
"""The cache that `make test` fills with the 0.5B model; only live tests read it."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder; no endpoint configured; no embedder but the hashing one."""
    for name in list(os.environ):
        if name.startswith(("PHRONESIS_", "OPENAI_")):
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("PHRONESIS_HOME", str(folder))
    monkeypatch.setenv("PHRONESIS_EMBEDDER", "hash")
    return folder


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A connection to anywhere but this machine fails loudly."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0]) if isinstance(address, tuple) else str(address)
            if not host.startswith("127.") and host not in ("::1", "localhost"):
                raise AssertionError(f"a test tried to reach {host}")
        real(self, address)  # type: ignore[arg-type]  # the real signature is wider

    monkeypatch.setattr(socket.socket, "connect", connect)
    yield
