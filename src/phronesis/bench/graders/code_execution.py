"""Runs a program and its tests. The text of this file is run in a child process: it imports the standard library
only."""

from __future__ import annotations

import copy
import sys
from typing import Any

_DIGITS = 4300
"""Digits of an integer that may be written out, as in a Python of its own."""


def carry_out(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: ``sources`` (the first that compiles is run), ``entry``, and either ``tests`` (each executed where the
    program's names are known) or ``calls`` ({input, expected, tuple}) with ``atol``.

    Returns ``passed``, one truth value a test, and ``error``, the first one; ``passed`` is empty when nothing could be
    run."""
    sys.set_int_max_str_digits(_DIGITS)
    program, error = None, ""
    for source in job["sources"]:
        try:
            program = compile(source, "program", "exec")
            break
        except Exception as found:
            error = error or _said(found)
    if program is None:
        return {"passed": [], "error": error}
    space: dict[str, Any] = {"__name__": "program"}
    try:
        exec(program, space)
    except BaseException as found:
        return {"passed": [], "error": _said(found)}
    entry = job["entry"]
    if entry and entry not in space:
        return {"passed": [], "error": f"NameError: the program defines no {entry}"}
    passed, error = [], ""
    for test in job.get("tests") or job["calls"]:
        try:
            if isinstance(test, str):
                exec(compile(test, "test", "exec"), space)
            else:
                _call(space[entry], test, job["atol"])
            passed.append(True)
        except BaseException as found:
            passed.append(False)
            error = error or _said(found)
    return {"passed": passed, "error": error}


def _call(function: Any, call: dict[str, Any], atol: float) -> None:
    wanted = tuple(call["expected"]) if call.get("tuple") else call["expected"]
    got = function(*copy.deepcopy(call["input"]))
    if not _same(got, wanted, atol):
        raise AssertionError(f"{repr(got)[:80]} is not {repr(wanted)[:80]}")


def _same(got: Any, wanted: Any, atol: float, *, inner: bool = False) -> bool:
    """Equal, or numbers within ``atol`` (floats: at least 1e-6); inside a list JSON has lost which sequences were
    tuples."""
    if isinstance(wanted, (list, tuple)):
        alike = isinstance(got, (list, tuple)) if inner else isinstance(got, type(wanted))
        if not alike or len(got) != len(wanted):
            return False
        return all(_same(left, right, atol, inner=True) for left, right in zip(got, wanted))  # noqa: B905  # as long
    if isinstance(wanted, dict) and isinstance(got, dict):
        named = {str(key): value for key, value in got.items()}
        if len(named) != len(got) or named.keys() != wanted.keys():
            return False
        return all(_same(named[key], wanted[key], atol, inner=True) for key in wanted)
    if bool(got == wanted):
        return True
    if isinstance(wanted, float) or isinstance(got, float):
        try:
            return bool(abs(got - wanted) <= max(atol, 1e-6))
        except TypeError:
            return False
    return bool(atol and isinstance(got, int) and isinstance(wanted, int) and abs(got - wanted) <= atol)


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:
        return type(error).__name__[:300]
