"""The process that watches over one vLLM server: ``python -m phronesis.models.vllm_process``, started by ``start_server``.

It ends the server with all its processes when it is asked to (SIGTERM), when its starter goes away (their pipe closes),
and when the server's main process dies. A byte through the pipe lets it go on without its starter.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from phronesis.models.engine_folder import process_start
from phronesis.models.process_group import adopt_orphans, die_with_parent, end_group, reap_orphans
from phronesis.models.vllm_record import VllmFolder, VllmInfo

LET_GO = b"d"
"""What the starter writes before it leaves a server behind."""
_EVERY = 0.2


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="phronesis.models.vllm_process")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pipe", type=int, required=True)
    parser.add_argument("--grace", type=float, required=True)
    for name in ("--model", "--url", "--engine"):
        parser.add_argument(name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("command", nargs="+")
    return parser.parse_args(argv)


class _Starter:
    """The starter's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def left(self) -> bool:
        """Whether it went away without letting go. Waits up to a fifth of a second for a change."""
        ready, _, _ = select.select([] if self._descriptor is None else [self._descriptor], [], [], _EVERY)
        if not ready or self._descriptor is None:
            return False
        said = os.read(self._descriptor, 1)
        os.close(self._descriptor)
        self._descriptor = None
        return said != LET_GO


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the server to its end. 0 when it was asked to stop, else the server's exit code, 128 + number for a signal."""
    arguments = _arguments(argv)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    adopt_orphans()
    print(f"$ {' '.join(arguments.command)}", flush=True)
    try:
        child = subprocess.Popen(
            arguments.command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent()
        )
    except OSError as error:
        print(f"cannot start {arguments.command[0]!r}: {error}", flush=True)
        return 127
    folder = VllmFolder(arguments.folder)
    info = _info(arguments, child.pid, folder)
    folder.write(info)
    starter = _Starter(arguments.pipe)
    while child.poll() is None and not stopping.is_set():
        if starter.left():
            stopping.set()
    died = child.poll()

    def reap() -> None:
        if child.poll() is not None:
            reap_orphans()

    end_group(child.pid, grace=arguments.grace, reap=reap)
    child.wait()
    if folder.read() == info:
        folder.record.unlink(missing_ok=True)
    if died is None:
        print("stopped", flush=True)
        return 0
    return died if died > 0 else 128 - died if died < 0 else 1


def _info(arguments: argparse.Namespace, group: int, folder: VllmFolder) -> VllmInfo:
    return VllmInfo(
        pid=os.getpid(),
        started=process_start(os.getpid()) or 0,
        group=group,
        group_started=process_start(group) or 0,
        model=arguments.model,
        base_url=arguments.url,
        port=arguments.port,
        engine=arguments.engine,
        log=str(folder.log),
    )


if __name__ == "__main__":
    sys.exit(main())
