"""What this machine's kernel offers to shut a process in, found out once by trying.

Three layers, each as far as it goes: namespaces (the program ``unshare`` of util-linux: no network, its own processes), a
user of its own (where this process is root), and Landlock (no files but the program's folder and Python's own, no TCP).
"""

from __future__ import annotations

import functools
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from phronesis.tools import python_launcher

_NAMESPACES = ("--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc")
_NOBODY = ("--user", "--map-user=65534", "--map-group=65534")
_USERS = 1_800_000_000
"""Users from here on belong to nobody; each run takes one of its own, so that its processes can be counted."""
_TRIAL = "import decimal, json, random, statistics\nopen('a', 'w').write('1')\nprint(open('a').read())\n"


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """How programs are shut in here."""

    before: tuple[str, ...] = ()
    """The command that starts the interpreter in namespaces of its own."""
    processes: bool = False
    """Whatever a program starts is seen and ended with it."""
    own_user: bool = False
    """It runs as a user who owns nothing."""
    landlock: int = 0

    @property
    def network(self) -> bool:
        """Whether a program can still reach a network."""
        return not self.before and self.landlock < 4

    @property
    def files(self) -> bool:
        """Whether a program can still read and write what this user can."""
        return not self.landlock

    @property
    def counts(self) -> bool:
        """Whether the number of its processes can be limited."""
        return self.own_user or (bool(self.before) and os.geteuid() != 0)

    @property
    def note(self) -> str:
        """For people: what is not stopped here beside what never is; empty = nothing."""
        open_ = []
        if self.network:
            open_.append("the network is open to programs")
        if self.files:
            open_.append("programs can read and write what you can")
        if not self.processes:
            open_.append("a process in a session of its own outlives its program")
        return "; ".join(open_)

    def order(self, folder: str, readable: tuple[str, ...]) -> dict[str, Any]:
        """What the launcher is told of it; the folder is given to the run's own user. Paths beside Python's own that may be
        read leave the program this user, who may read them."""
        user = random.SystemRandom().randrange(_USERS, _USERS + 2**26) if self.own_user and not readable else 0
        if user:
            os.chown(folder, user, user)
        paths = [*_python_paths(), *(["/proc"] if self.processes else []), *readable]
        return {"first": self.processes, "user": user, "landlock": self.landlock, "readable": paths}


OPEN = Confinement()
"""Nothing but limits."""


def interpreter() -> tuple[str, ...]:
    """A Python without site packages; the program's text follows."""
    return (sys.executable, "-s", "-P", "-S", "-B", "-c")


@functools.cache
def launcher_text() -> str:
    """The program that the interpreter is given; its order is the argument behind it."""
    text = Path(python_launcher.__file__).read_text(encoding="utf-8")
    return f"{text}\nlaunch(json.loads(sys.argv[1]))\n"


@functools.cache
def confinement() -> Confinement:
    """The strongest that works here. Tries some, 50 ms each; once per process."""
    return next((found for found in _candidates() if _works(found)), OPEN)


def _candidates() -> Iterator[Confinement]:
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    version = python_launcher.landlock_version() if sys.platform == "linux" else 0
    unshare = shutil.which("unshare") if sys.platform == "linux" else None
    if unshare:
        if root:
            yield Confinement(before=(unshare, *_NAMESPACES), processes=True, own_user=True, landlock=version)
        yield Confinement(before=(unshare, *_NOBODY, *_NAMESPACES), processes=True, landlock=version)
        yield Confinement(before=(unshare, *_NOBODY, "--net"), landlock=version)
        if root:
            yield Confinement(before=(unshare, *_NAMESPACES), processes=True, landlock=version)
    yield Confinement(own_user=root, landlock=version)
    yield Confinement(landlock=version)


def _works(found: Confinement) -> bool:
    folder = tempfile.mkdtemp(prefix="phronesis-trial-")
    try:
        order = {"limits": {}, "output": 100, "script": False, **found.order(folder, ())}
        command = (*found.before, *interpreter(), launcher_text(), orjson.dumps(order).decode())
        done = subprocess.run(
            command, input=_TRIAL.encode(), cwd=folder, env={}, capture_output=True, timeout=20, check=False
        )
        return bool(orjson.loads(done.stdout)["value"] == "1")
    except (OSError, subprocess.TimeoutExpired, orjson.JSONDecodeError, KeyError):
        return False
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _python_paths() -> tuple[str, ...]:
    """What the interpreter itself and the standard library have to read."""
    own = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), os.path.join(sys.base_prefix, "lib")]
    own += [sys.executable, os.path.realpath(sys.executable), os.path.join(sys.prefix, "pyvenv.cfg")]
    system = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/localtime", "/etc/ld.so.cache"]
    devices = ["/dev/zero", "/dev/urandom", "/dev/random"]
    return tuple(dict.fromkeys([*own, *system, *devices]))
