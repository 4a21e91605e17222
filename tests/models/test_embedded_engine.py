"""What can be said about the embedded engine without a model: wrong names, damaged files, port files, locks."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

import pytest

from phronesis.core.errors import ConfigurationError, ModelMissing, SetupError
from phronesis.core.http import close_pools
from phronesis.core.settings import Settings
from phronesis.models.embedded import lease_engine
from phronesis.models.engine_folder import EngineFolder, EngineInfo, process_start, running
from phronesis.models.locks import held_elsewhere, open_lock, try_exclusive, try_shared

T = TypeVar("T")


def run(work: Coroutine[object, object, T]) -> T:
    async def closing() -> T:
        try:
            return await work
        finally:
            await close_pools()

    return asyncio.run(closing())


def info(**changes: object) -> EngineInfo:
    values = {"pid": os.getpid(), "started": process_start(os.getpid()), "port": 1, "api_key": "secret", "model": "m"}
    more = {"file": "m.gguf", "context": 1024, "slots": 1, "threads": 1, "log": "engine.log"}
    return EngineInfo.model_validate({**values, **more, **changes})


def folder_of(settings: Settings, name: str = "one") -> EngineFolder:
    path = settings.engines / name
    path.mkdir(parents=True)
    return EngineFolder(path)


def test_a_model_that_is_not_here_names_the_command_that_pulls_it(settings: Settings) -> None:
    with pytest.raises(ModelMissing, match=r"mend: phronesis models pull qwen2\.5-coder-0\.5b-instruct-q4_k_m"):
        run(lease_engine("qwen2.5-coder-0.5b-instruct-q4_k_m", settings))


def test_an_embedder_is_not_served(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="is an embedder"):
        run(lease_engine("all-minilm-l6-v2", settings))


def test_a_damaged_file_is_told_with_the_end_of_the_log(tmp_path: Path, settings: Settings) -> None:
    pytest.importorskip("xllamacpp")
    file = tmp_path / "damaged.gguf"
    file.write_bytes(b"GGUF, but no more than that")
    with pytest.raises(SetupError, match="exited with 1") as caught:
        run(lease_engine(str(file), settings))
    text = str(caught.value)
    assert "engine.log" in text and "failed to load model" in text
    assert Path(caught.value.details["log"]).is_file()
    assert running(settings) == []


def test_an_engines_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    (tmp_path / "file").write_text("")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(SetupError, match=r"cannot start an engine in '.*file/home/engines'"):
        run(lease_engine(str(tmp_path / "m.gguf"), Settings(home=tmp_path / "file" / "home")))


def test_the_port_file_is_private_and_read_back(settings: Settings) -> None:
    folder = folder_of(settings)
    folder.write(info())
    assert folder.read() == info()
    assert stat.S_IMODE(folder.port_file.stat().st_mode) == 0o600
    assert "secret" not in repr(info())


def test_running_lists_only_what_lives(settings: Settings) -> None:
    assert running(settings) == []
    folder_of(settings, "mine").write(info())
    folder_of(settings, "reused-pid").write(info(started=1))
    folder_of(settings, "gone").write(info(pid=2**22 + 1))
    folder_of(settings, "damaged").port_file.write_text("{")
    folder_of(settings, "empty")
    assert [engine.pid for engine in running(settings)] == [os.getpid()]


def test_locks_are_shared_or_alone(tmp_path: Path) -> None:
    first, second, third = (open_lock(tmp_path / "lock") for _ in range(3))
    assert try_shared(first) and try_shared(second)
    assert held_elsewhere(third) and not try_exclusive(third)
    os.close(first)
    os.close(second)
    assert not held_elsewhere(third) and try_exclusive(third)
    os.close(third)
