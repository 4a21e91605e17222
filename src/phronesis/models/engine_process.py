"""The process around one embedded engine: ``python -m phronesis.models.engine_process``, started by ``lease_engine``.

It inherits the folder's ``lock`` and lets go of it once the port file is written, so a starter that is killed half-way
cannot lead to a second engine. It ends when nobody held the lease for the idle time, and on SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from phronesis.models.engine_folder import EngineFolder, EngineInfo, process_start
from phronesis.models.locks import held_elsewhere, open_lock, try_exclusive


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="phronesis.models.engine_process")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--file", required=True)
    parser.add_argument("--model", required=True)
    for name in ("--context", "--slots", "--threads", "--lock"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--idle", type=float, required=True)
    return parser.parse_args(argv)


# Any: xllamacpp has no types.
def _start(arguments: argparse.Namespace, api_key: str) -> Any:
    # Its threads would spin while they wait; on a machine that is busy elsewhere that makes it several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = arguments.file
    params.model_alias = {arguments.model}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [api_key]
    params.n_ctx = arguments.context
    params.n_parallel = arguments.slots
    params.kv_unified = True
    params.use_jinja = True
    params.cpuparams.n_threads = arguments.threads
    params.cpuparams_batch.n_threads = arguments.threads
    params.verbosity = 2
    return xllamacpp.Server(params)


def _retire(folder: EngineFolder, lease: int) -> bool:
    """Whether the engine may end. If so its folder is locked until this process is gone, and nobody uses the engine."""
    try:
        lock = open_lock(folder.lock)
    except FileNotFoundError:
        return True
    if try_exclusive(lock) and not held_elsewhere(lease):
        return True
    os.close(lock)
    return False


def _watch(folder: EngineFolder, lease: int, idle: float, stopping: threading.Event) -> None:
    """Returns when the engine must end: asked to, or nobody held the lease for ``idle`` seconds.

    An engine whose port file is gone or another's cannot be found any more; it does not wait for the idle time."""
    last_use = time.monotonic()
    while not stopping.wait(min(1.0, idle / 4)):
        if held_elsewhere(lease):
            last_use = time.monotonic()
            continue
        info = folder.read()
        lost = info is None or info.pid != os.getpid()
        if (lost or time.monotonic() - last_use >= idle) and _retire(folder, lease):
            return


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the engine to its end; 1 when the model cannot be loaded."""
    arguments = _arguments(argv)
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    folder = EngineFolder(arguments.folder)
    lease = open_lock(folder.lease)
    api_key = secrets.token_urlsafe(24)
    try:
        server = _start(arguments, api_key)
    except RuntimeError as error:
        print(f"cannot serve {arguments.file!r}: {error}", file=sys.stderr)
        return 1
    info = EngineInfo(
        pid=os.getpid(),
        started=process_start(os.getpid()) or 0,
        port=int(str(server.listening_address).rpartition(":")[2]),
        api_key=api_key,
        model=arguments.model,
        file=arguments.file,
        context=arguments.context,
        slots=arguments.slots,
        threads=arguments.threads,
        log=str(folder.log),
    )
    folder.write(info)
    os.close(arguments.lock)
    _watch(folder, lease, arguments.idle, stopping)
    if folder.read() == info:
        folder.port_file.unlink(missing_ok=True)
    print("stopped" if stopping.is_set() else "stopped: nobody used it", file=sys.stderr, flush=True)
    # The server's destructor waits for replies in progress; the kernel takes everything back faster.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
