"""A real Chroma server on loopback, for the tests that need one."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START = 60.0
"""Seconds it may take to answer."""


@contextmanager
def chroma_server(folder: Path) -> Iterator[str]:
    """Its address. It keeps its data under the folder and ends with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "chroma"), "run", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "chroma.log").open("w") as log:
        process = subprocess.Popen([*command, "--path", str(folder / "data")], stdout=log, stderr=log)
        try:
            _wait(process, port, folder / "chroma.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"no Chroma server: {log.read_text()[-500:]}")
