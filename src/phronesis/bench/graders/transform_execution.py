"""Applies a program's ``transform(grid)`` to grids. The text of this file is run in a child process: it imports the
standard library only."""

from __future__ import annotations

import copy
from typing import Any


def carry_out(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: ``sources`` (the first that compiles is run) and ``inputs``. Returns ``outputs``, one a grid as lists,
    None where the program failed on it, and ``error``, the first one; no outputs when the program could not be run at
    all."""
    program, error = None, ""
    for source in job["sources"]:
        try:
            program = compile(source, "program", "exec")
            break
        except Exception as found:
            error = error or _said(found)
    space: dict[str, Any] = {"__name__": "program"}
    try:
        if program is None:
            return {"outputs": [], "error": error}
        exec(program, space)
        transform = space["transform"]
    except BaseException as found:
        return {"outputs": [], "error": _said(found)}
    outputs: list[list[list[int]] | None] = []
    error = ""
    for grid in job["inputs"]:
        try:
            made = [[int(cell) for cell in row] for row in transform(copy.deepcopy(grid))]
            outputs.append(made if len(made) <= 64 and all(len(row) <= 64 for row in made) else None)
        except BaseException as found:
            outputs.append(None)
            error = error or _said(found)
    return {"outputs": outputs, "error": error}


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except BaseException:
        return type(error).__name__[:300]
