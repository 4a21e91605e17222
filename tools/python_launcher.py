"""What stands between a model's program and the system: limits, a user of its own, no files but its folder's. The text of
this file is run in a child process: it imports the standard library only.

Order: the process that cleans up after the program is split off, rights are given up, limits set, the program run, and its
value told as one JSON object on the channel that was standard output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""System calls of Landlock, the same on all machines but Alpha."""
_NO_NEW_PRIVILEGES = 38
_READ = 0b1100
"""Read files and list folders."""
_EXECUTE = 0b1
_FILES_ONLY = 0b100000000000111
"""What can be allowed of something that is no folder: execute, write, read, truncate."""


def landlock_version() -> int:
    """Version of the kernel's Landlock; 0 = there is none."""
    try:
        import ctypes

        return max(0, int(ctypes.CDLL(None).syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))
    except (ImportError, OSError, AttributeError):
        return 0


def shut_in(version: int, readable: list[str], writable: list[str]) -> None:
    """From here on: no file but what lies under these paths, no TCP (version 4), no signals outwards (version 6). Whatever is
    open stays open. Raises OSError."""
    import ctypes

    system = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *given: Any) -> int:
        found = int(system.syscall(ctypes.c_long(number), *given))
        if found < 0:
            raise OSError(ctypes.get_errno(), f"Landlock refused call {number}")
        return found

    rights = (1 << (13 if version == 1 else 14 if version == 2 else 15 if version < 5 else 16)) - 1
    ruled = [rights, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0]
    words = 1 if version < 4 else 2 if version < 6 else 3
    rules = (ctypes.c_uint64 * words)(*ruled[:words])
    ruleset = call(_CREATE, ctypes.byref(rules), ctypes.c_size_t(8 * words), ctypes.c_uint32(0))
    for paths, allowed in ((readable, _READ | _EXECUTE), (writable, rights & ~_EXECUTE)):
        for path in paths:
            try:
                opened = os.open(path, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
            except OSError:
                continue
            given = allowed if os.path.isdir(path) else allowed & _FILES_ONLY
            rule = given.to_bytes(8, sys.byteorder) + opened.to_bytes(4, sys.byteorder)
            call(_ADD, ctypes.c_int(ruleset), ctypes.c_int(1), ctypes.c_char_p(rule), ctypes.c_uint32(0))
            os.close(opened)
    if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "privileges cannot be given up")
    call(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def split_off() -> None:
    """The child goes on. The parent, the first process of its namespace, buries what ends and leaves with the child: then the
    kernel ends everything that the program started."""
    child = os.fork()
    if child == 0:
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    while True:
        ended, status = os.wait()
        if ended == child:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def set_limits(limits: dict[str, int]) -> None:
    """No value is set above what the process may have."""
    import resource

    for name, value in limits.items():
        number = getattr(resource, name, None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            top = value + 1 if name == "RLIMIT_CPU" and hard == resource.RLIM_INFINITY else value
            resource.setrlimit(number, (value, top))


class Said:
    """What the program prints: the first characters of it are kept."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self.parts: list[str] = []

    def write(self, text: str) -> int:
        if self.size < self.most:
            self.parts.append(text[: self.most - self.size])
        self.size += len(text)
        return len(text)

    def flush(self) -> None:
        pass


def told(value: Any) -> str:
    """A value of ``solution()`` as text. Raises ValueError for what is no answer."""
    if value is None:
        raise ValueError("solution() returned None")
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"solution() returned {value}")
        near = float(f"{value:.12g}")
        return str(int(near)) if near == int(near) else repr(near)
    text = str(value)
    if " at 0x" in text:
        raise ValueError(f"solution() returned a {type(value).__name__}, not an answer")
    return text


def plain(text: str) -> str:
    """Without halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode()


def carried_out(source: str, said: Said, *, script: bool) -> dict[str, Any]:
    """``script``: a program need not bring a value. Otherwise it is what ``solution()`` returns, else the last line
    printed."""
    answer: dict[str, Any] = {"value": None, "error": ""}
    try:
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(source, "program", "exec"), space)
        if callable(space.get("solution")):
            answer["value"] = plain(told(space["solution"]()))
        elif script:
            answer["value"] = ""
        else:
            lines = [line for line in "".join(said.parts).splitlines() if line.strip()]
            if not lines:
                raise NameError("the program defines no solution() and prints nothing")
            answer["value"] = plain(lines[-1].strip())
    except BaseException as error:
        line, trace = getattr(error, "lineno", None), error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "program":
                line = trace.tb_lineno
            trace = trace.tb_next
        said_of = error.msg if isinstance(error, SyntaxError) else error
        at = f" (line {line})" if line else ""
        answer["error"] = plain(f"{type(error).__name__}: {said_of}"[:400] + at)
    if answer["value"] is not None and len(answer["value"]) > said.most:
        answer = {"value": None, "error": f"ValueError: the answer has {len(answer['value'])} characters"}
    answer["output"] = plain("".join(said.parts))
    return answer


def launch(order: dict[str, Any]) -> None:
    """``order``: ``limits``; ``output``, characters kept; ``script``; ``first``, whether it is the first process of a
    namespace; ``user``, the one to become; ``landlock``, the version, with ``readable`` paths. The program comes on standard
    input. Does not return."""
    os.environ.pop("PYTHONHASHSEED", None)
    source = sys.stdin.read()
    if order["first"]:
        split_off()
    channel = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    if order["user"]:
        os.setgroups([])
        os.setgid(order["user"])
        os.setuid(order["user"])
    if order["landlock"]:
        shut_in(order["landlock"], order["readable"], [os.getcwd(), os.devnull])
    set_limits(order["limits"])
    said = Said(order["output"])
    sys.stdout = sys.stderr = said
    sys.set_int_max_str_digits(2000)
    mine = os.getpid()
    answer = carried_out(source, said, script=order["script"])
    if os.getpid() != mine:  # a process that the program split off came to the end of it as well
        os._exit(0)
    told_whole = json.dumps(answer).encode()
    while told_whole:
        told_whole = told_whole[os.write(channel, told_whole) :]
    os._exit(0)
