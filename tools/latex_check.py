"""The child's side of latex_equality.py: whether math-verify takes two LaTeX answers for equal. Runs in a worker process, whose parent
keeps the time: math-verify's own limits use SIGALRM and are off."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

from math_verify import parse, verify


@lru_cache(maxsize=4096)
def _parsed(form: str) -> tuple[Any, ...]:
    """What math-verify reads; texts it could make nothing of are left out."""
    found = parse(f"${form}$", parsing_timeout=None)
    return tuple(found) if any(not isinstance(item, str) for item in found) else ()


def compare(gold: str, answer: str) -> dict[str, bool]:
    """Whether each could be read, and whether they are equal. Not symmetric: the gold answer comes first."""
    logging.disable(logging.WARNING)
    left, right = _parsed(gold), _parsed(answer)
    same = bool(left and right) and verify(list(left), list(right), timeout_seconds=None, raise_on_error=True)
    return {"equal": same, "gold_read": bool(left), "answer_read": bool(right)}
