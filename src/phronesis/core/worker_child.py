"""The child's side of worker.py: a file that is run by its path. Only the standard library; nothing of ours is imported.

The first line tells where modules lie, what to call and how much memory there is; each further line is one call.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
from typing import Any, BinaryIO


def main() -> None:
    """Calls the function with what each line of standard input holds, until that closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    incoming = os.fdopen(os.dup(0), "rb")
    channel = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, lines), daemon=True).start()
    order = json.loads(lines.get())
    sys.path[:] = order["path"]
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, order["memory"])
    module, _, name = order["target"].partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except BaseException as error:
        _say(channel, {"error": _told(error)})
        os._exit(1)
    _say(channel, {"ready": True})
    while True:
        arguments = json.loads(lines.get())
        _limit(resource.RLIMIT_CPU, int(time.process_time() + 2 * order["seconds"]) + 2)
        try:
            reply = {"result": function(*arguments)}
        except MemoryError as error:
            _say(channel, {"error": _told(error), "over": True})
            os._exit(1)
        except BaseException as error:
            reply = {"error": _told(error)}
        _say(channel, reply)


def _listen(incoming: BinaryIO, lines: queue.SimpleQueue[bytes]) -> None:
    """Hands the lines on. When the parent is gone, so is this process, whatever it is at."""
    for line in incoming:
        lines.put(line)
    os._exit(0)


def _limit(what: int, value: int) -> None:
    """Sets a soft limit. Where a system does not know it, the parent's clock is the limit."""
    hard = resource.getrlimit(what)[1]
    try:
        resource.setrlimit(what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))
    except (ValueError, OSError):
        pass


def _say(channel: BinaryIO, reply: dict[str, Any]) -> None:
    try:
        line = json.dumps(reply)
    except (TypeError, ValueError) as error:
        line = json.dumps({"error": f"the result is no JSON: {_told(error)}"})
    channel.write(line.encode() + b"\n")
    channel.flush()


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


if __name__ == "__main__":
    main()
