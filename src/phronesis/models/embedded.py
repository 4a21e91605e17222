"""The embedded engine: llama.cpp in a process of its own, found or started, shared by every process that uses it.

Linux and macOS. One engine per model file, engine settings and xllamacpp version.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType

from phronesis.core.errors import ConfigurationError, EndpointUnreachable, ModelError, ModelMissing, SetupError
from phronesis.core.http import exchange
from phronesis.core.settings import Settings
from phronesis.models.catalogue import catalogue
from phronesis.models.engine_folder import EngineFolder, EngineInfo, process_start
from phronesis.models.locks import open_lock, try_exclusive, try_shared
from phronesis.models.pull import local_path

START_SECONDS = 300.0
"""An engine that does not answer after this is given up; large files on slow disks need minutes."""
ANSWER_SECONDS = 30.0
"""An engine that lives but does not answer for this long is called stuck."""


class EngineLease:
    """The right to use an engine: it does not stop before ``close``, or before this process ends in whatever way."""

    def __init__(self, info: EngineInfo, descriptor: int) -> None:
        self.info = info
        self._descriptor: int | None = descriptor

    @property
    def base_url(self) -> str:
        """Address with /v1."""
        return self.info.base_url

    @property
    def api_key(self) -> str:
        return self.info.api_key

    @property
    def model(self) -> str:
        """Model name in requests."""
        return self.info.model

    @property
    def pid(self) -> int:
        return self.info.pid

    @property
    def log(self) -> Path:
        return Path(self.info.log)

    def close(self) -> None:
        """Gives the lease back; the second call does nothing. The engine stops after the idle time it started with."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> EngineLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is to be served, and how."""

    model: str
    file: Path
    folder: EngineFolder
    settings: Settings


async def lease_engine(name_or_path: str, settings: Settings) -> EngineLease:
    """A lease on the engine of that model, which is started when none runs (2-10 s). Close it when done.

    Raises ModelMissing when the file is not here, SetupError when xllamacpp is lacking or the engine does not come up
    (with the end of its log), EndpointUnreachable when one lives but does not answer."""
    wanted = _wanted(name_or_path, settings)
    try:
        return await _lease(wanted)
    except OSError as error:
        raise SetupError(
            f"cannot start an engine in {str(settings.engines)!r}: {error}",
            mend="set PHRONESIS_HOME to a folder you can write to",
        ) from error


async def _lease(wanted: _Wanted) -> EngineLease:
    wanted.folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = await _take(wanted.folder)
    try:
        info = await _find(wanted.folder) or await _start(wanted, lock)
        return EngineLease(info, await _share(wanted.folder))
    finally:
        os.close(lock)


async def _share(folder: EngineFolder) -> int:
    lease = open_lock(folder.lease)
    try:
        # Only the engine's own moment of looking can be in the way.
        while not try_shared(lease):
            await asyncio.sleep(0.01)
    except BaseException:
        os.close(lease)
        raise
    return lease


def _wanted(name_or_path: str, settings: Settings) -> _Wanted:
    try:
        release = version("xllamacpp")
    except PackageNotFoundError:
        raise SetupError(
            "the embedded engine needs xllamacpp, which is not installed", mend="pip install 'phronesis[local]'"
        ) from None
    known = catalogue().get(name_or_path)
    if known and known.kind != "gguf":
        raise ConfigurationError(f"{name_or_path!r} is an embedder; the embedded engine serves GGUF models")
    file = local_path(name_or_path, settings)
    if file is None:
        raise ModelMissing(
            f"model {name_or_path!r} is not in {str(settings.models)!r}", mend=f"phronesis models pull {name_or_path}"
        )
    file = file.absolute()
    seen = file.stat()
    content = known.sha256 if known else f"{file} {seen.st_size} {seen.st_mtime_ns}"
    parts = [content, release, settings.engine_context, settings.engine_slots, settings.engine_threads]
    folder = settings.engines.absolute() / hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
    return _Wanted(model=known.name if known else file.stem, file=file, folder=EngineFolder(folder), settings=settings)


async def _take(folder: EngineFolder) -> int:
    lock = open_lock(folder.lock)
    try:
        give_up = time.monotonic() + START_SECONDS
        while not try_exclusive(lock):
            if time.monotonic() > give_up:
                raise SetupError(f"another process has been starting the engine in {str(folder.path)!r} for too long")
            await asyncio.sleep(0.05)
    except BaseException:
        os.close(lock)
        raise
    return lock


async def _find(folder: EngineFolder) -> EngineInfo | None:
    """The engine that runs in the folder; None when there is none, after removing a stale port file."""
    info = folder.read()
    give_up = time.monotonic() + ANSWER_SECONDS
    while info and info.alive():
        if await _answers(info):
            return info
        if time.monotonic() > give_up:
            raise EndpointUnreachable(
                f"the engine of {info.model!r} (process {info.pid}) does not answer; its log: {info.log}",
                mend=f"kill -9 {info.pid}",
            )
        await asyncio.sleep(0.1)
    folder.port_file.unlink(missing_ok=True)
    return None


async def _answers(info: EngineInfo) -> bool:
    """Whether the engine accepts its key; /health would answer without one."""
    try:
        reply = await exchange("GET", info.base_url, "/models", api_key=info.api_key, timeout=10.0)
    except ModelError:
        return False
    return reply.status == 200


async def _start(wanted: _Wanted, lock: int) -> EngineInfo:
    settings, folder = wanted.settings, wanted.folder
    values = {
        "folder": folder.path,
        "file": wanted.file,
        "model": wanted.model,
        "context": settings.engine_context,
        "slots": settings.engine_slots,
        "threads": settings.engine_threads or _cores(),
        "idle": settings.engine_idle,
        "lock": lock,
    }
    command = [sys.executable, "-P", "-m", "phronesis.models.engine_process"]
    command += [f"--{name}={value}" for name, value in values.items()]
    with folder.log.open("wb") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(lock,),
        )
    # Collects the exit status whenever the engine ends, so that no zombie is left.
    threading.Thread(target=child.wait, name="phronesis-engine", daemon=True).start()
    try:
        return await _come_up(wanted, child)
    except BaseException:
        child.kill()
        raise


async def _come_up(wanted: _Wanted, child: subprocess.Popen[bytes]) -> EngineInfo:
    give_up = time.monotonic() + START_SECONDS
    trouble = f"gave no answer within {START_SECONDS:g} s"
    while time.monotonic() < give_up:
        living = process_start(child.pid) is not None
        info = wanted.folder.read()
        if info and info.pid == child.pid and await _answers(info):
            return info
        if not living:
            code = await asyncio.to_thread(child.wait)
            trouble = f"exited with {code}" if code >= 0 else f"was ended by signal {-code}"
            trouble += " (out of memory?)" if code == -signal.SIGKILL else ""
            break
        await asyncio.sleep(0.05)
    log = wanted.folder.log
    raise SetupError(
        f"the engine for {str(wanted.file)!r} {trouble}; its log {str(log)!r} ends:\n{wanted.folder.last_lines()}",
        mend=f"check the file; phronesis models pull {wanted.model}" if wanted.model in catalogue() else None,
        log=str(log),
    )


def _cores() -> int:
    """Cores this process may use. The engine's threads sleep while they wait, so other work on them does little harm."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
