"""Scores by reasoning-gym's own functions; called in a worker process."""

from __future__ import annotations

from typing import Any


def score(generator: str, answer: str, entry: dict[str, Any]) -> dict[str, Any]:
    """``score`` of the answer, in [0, 1]; or ``unreadable``, why the generator's function could not read it; or ``unknown``
    with the names that are known."""
    import reasoning_gym

    try:
        function = reasoning_gym.get_score_answer_fn(generator)
    except ValueError:
        return {"unknown": sorted(reasoning_gym.factory.DATASETS)}
    try:
        return {"score": min(1.0, max(0.0, float(function(answer=answer, entry=entry))))}
    except MemoryError:
        raise
    except Exception as error:
        return {"unreadable": f"{type(error).__name__}: {error}"[:300]}
