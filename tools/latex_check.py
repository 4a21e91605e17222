"""The child's side of latex_equality.py: whether math-verify takes two LaTeX answers for equal.

The parent keeps the time: math-verify's own limits use SIGALRM and are off."""

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
    """Whether they are equal, and whether the answer could be read. Not symmetric: the gold answer comes first.

    What raises on the answer alone (a division by zero) is not equal; what raises on the gold answer too is raised."""
    logging.disable(logging.WARNING)
    left, right = _parsed(gold), _parsed(answer)
    try:
        same = bool(left and right) and _verified(left, right)
    except Exception:
        _verified(left, left)
        same = False
    return {"equal": same, "answer_read": bool(right)}


def _verified(gold: tuple[Any, ...], answer: tuple[Any, ...]) -> bool:
    return bool(verify(list(gold), list(answer), timeout_seconds=None, raise_on_error=True))
