"""Two processes on one engine, without a model: a fake server stands where the engine's port file points."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from phronesis.core.errors import ModelChanged, SetupError
from phronesis.core.http import close_pools
from phronesis.core.settings import Settings
from phronesis.graphs.endpoints import RoleEndpoint
from phronesis.graphs.recipe import ModelSection
from phronesis.models.embedded import EngineLease, lease_engine
from phronesis.models.engine_folder import EngineFolder, EngineInfo, process_start
from phronesis.models.locks import held_elsewhere, open_lock
from phronesis.testing import FakeServer

OTHER = """
import asyncio, sys
from phronesis.core.settings import load_settings
from phronesis.models.embedded import lease_engine
lease = asyncio.run(lease_engine(sys.argv[1], load_settings()))
print(lease.base_url, lease.pid, flush=True)
sys.stdin.readline()
"""


def lease(file: Path, settings: Settings) -> EngineLease:
    async def work() -> EngineLease:
        try:
            return await lease_engine(str(file), settings)
        finally:
            await close_pools()

    return asyncio.run(work())


def folder_of(file: Path, settings: Settings) -> EngineFolder:
    """Where the engine of a file would run: the first try to start it makes the folder."""
    with pytest.raises(SetupError):
        lease(file, settings)
    (path,) = settings.engines.iterdir()
    return EngineFolder(path)


def pretend(folder: EngineFolder, server: FakeServer, file: Path) -> None:
    """The server answers as the engine of the folder, in this process."""
    values = {"port": urlsplit(server.url).port, "api_key": "k", "model": "m", "file": str(file), "log": "engine.log"}
    about = {"pid": os.getpid(), "started": process_start(os.getpid()), "context": 1, "slots": 1, "threads": 1}
    folder.write(EngineInfo.model_validate({**values, **about}))


def test_both_find_it_and_it_is_free_when_both_are_gone(tmp_path: Path, settings: Settings) -> None:
    pytest.importorskip("xllamacpp")
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF, but no more than that")
    folder = folder_of(file, settings)
    with FakeServer() as server:
        pretend(folder, server, file)
        watch = open_lock(folder.lease)
        command = [sys.executable, "-c", OTHER, str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdin is not None and other.stdout is not None
            assert other.stdout.readline() == f"{server.url} {os.getpid()}\n"
            mine = lease(file, settings)
            assert mine.base_url == server.url
            assert held_elsewhere(watch)
            mine.close()
            assert held_elsewhere(watch), "the other one still has it"
            mine = lease(file, settings)
            other.kill()
            other.wait()
            assert held_elsewhere(watch), "mine is not the other's"
            mine.close()
        assert not held_elsewhere(watch)
        os.close(watch)


def test_a_run_that_began_with_another_model_does_not_go_on_with_the_engines(
    tmp_path: Path, settings: Settings
) -> None:
    pytest.importorskip("xllamacpp")
    file = tmp_path / "m.gguf"
    file.write_bytes(b"GGUF, but no more than that")
    folder = folder_of(file, settings)
    with FakeServer(model="m") as server:
        pretend(folder, server, file)
        here = settings.model_copy(update={"model": str(file)})

        async def opened(pinned: str) -> str:
            try:
                return (await RoleEndpoint(ModelSection(), here, pinned=pinned).open()).model
            finally:
                await close_pools()

        assert asyncio.run(opened("m")) == "m"
        with pytest.raises(ModelChanged, match=r"'first'.*embedded engine serves 'm'"):
            asyncio.run(opened("first"))
        assert server.requests == 0
