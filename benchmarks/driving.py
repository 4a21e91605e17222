"""Driver processes: started when first needed, kept, asked one job at a time, ended and named when they do not answer."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from peer_environments import interpreter

DRIVERS = Path(__file__).parent / "drivers"
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


class DriverFailed(Exception):
    """A driver that could not do its job, with the reason."""


def environment(home: Path) -> dict[str, str]:
    """Variables of a driver: an empty home, no proxies, nothing that reaches beyond loopback."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    quiet = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LANGSMITH_TRACING": "false",
        "INSPECT_DISPLAY": "none",
        "DSPY_CACHEDIR": str(home / "dspy"),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    return {**kept, **quiet, "HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}


class Driver:
    """One process of a script in drivers/."""

    def __init__(self, script: str, python: Path, scratch: Path) -> None:
        self._home = Path(tempfile.mkdtemp(dir=scratch))
        self._log = (self._home / "errors.txt").open("w+")
        self._process = subprocess.Popen(
            [str(python), str(DRIVERS / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=self._home,
            env=environment(self._home),
        )

    def ask(self, job: dict[str, Any], *, timeout: float) -> dict[str, Any]:
        """The driver's measurement. Raises DriverFailed when it reports an error, ends, or is silent for ``timeout`` s."""
        assert self._process.stdin is not None and self._process.stdout is not None
        job["scratch"] = tempfile.mkdtemp(dir=self._home)
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise DriverFailed(self._last_words()) from None
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            if not ready.select(timeout):
                self.close()
                raise DriverFailed(f"no result within {timeout:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise DriverFailed(self._last_words())
        reply = dict(json.loads(line))
        if "error" in reply:
            raise DriverFailed(str(reply["error"]))
        return reply

    def _last_words(self) -> str:
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1][:300] if lines else f"it ended with status {self._process.returncode}"

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Drivers:
    """The drivers of a run, one per script; a context manager."""

    def __init__(self, peers_home: Path, scratch: Path) -> None:
        self._peers_home = peers_home
        self._scratch = scratch
        self._open: dict[str, Driver] = {}

    def of(self, script: str, peer: str | None) -> Driver:
        """The driver of the script, started again if it ended. Raises PeerMissing when its environment cannot be made."""
        driver = self._open.get(script)
        if driver is None or not driver.alive:
            python = Path(sys.executable) if peer is None else interpreter(peer, self._peers_home)
            driver = self._open[script] = Driver(script, python, self._scratch)
        return driver

    def __enter__(self) -> Drivers:
        return self

    def __exit__(self, *_: object) -> None:
        for driver in self._open.values():
            driver.close()
