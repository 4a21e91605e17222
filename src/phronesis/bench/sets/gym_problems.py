"""``python -m phronesis.bench.sets.gym_problems OPTIONS``: makes reasoning-gym problems and prints them as one JSON line.

OPTIONS: ``GymOptions`` as JSON. The line is ``{"rows": [...]}``, ``{"known": [names]}`` for an unknown generator, or
``{"refused": why, "mend": what to do}``."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

LEVELS = {"easy": 0, "medium": 1, "hard": 2}
_TRIES = 4
"""Problems looked at for each one wanted: repeated ones, and those whose own answer the scorer refuses, are left out."""


_SIZE = 1000
"""The package makes problems when they are asked for; a fixed size makes the first ones the same whatever n is."""


def problems(name: str, n: int, level: str, seed: int) -> dict[str, Any]:
    """The line's content. Every problem's reference answer scores 1 after a round trip through JSON."""
    from reasoning_gym import create_dataset, get_score_answer_fn
    from reasoning_gym.coaching.base_curriculum import DefaultCurriculumContext, RangeAttributeMode
    from reasoning_gym.factory import DATASETS, create_curriculum, has_curriculum

    if name not in DATASETS:
        return {"known": sorted(DATASETS)}
    settings: dict[str, Any] = {}
    if has_curriculum(name):
        level = level or "easy"
        curriculum = create_curriculum(name)
        curriculum.set_global_level(LEVELS[level])
        context = DefaultCurriculumContext(mode=RangeAttributeMode.UPPER_BOUND)
        made = curriculum.generate_configuration(context=context)
        settings = {key: value for key, value in vars(made).items() if key not in ("seed", "size")}
    elif level:
        return {"refused": "has no levels", "mend": "leave level out"}
    random.seed(seed)
    data = create_dataset(name, seed=seed, size=_SIZE, **settings)
    score = get_score_answer_fn(name)
    rows: list[dict[str, Any]] = []
    for index in range(n * _TRIES):
        if len(rows) == n:
            break
        random.seed(f"{seed} {index}")
        try:
            entry = json.loads(json.dumps(data[index], default=str))
        except ValueError:  # some generators give up on single problems
            continue
        if entry["answer"] is None and "possible_answer" in entry["metadata"]:
            entry["answer"] = json.dumps(entry["metadata"]["possible_answer"])
        if any(entry["question"] == row["question"] for row in rows) or not isinstance(entry["answer"], str):
            continue
        if score(answer=entry["answer"], entry=entry) < 1:
            continue
        rows.append(
            {
                "id": f"gym-{name}-{level or 'default'}-seed{seed}-{index}",
                "generator": name,
                "level": level or "default",
                "question": entry["question"],
                "answer": entry["answer"],
                "metadata": entry["metadata"],
            }
        )
    if len(rows) < n:
        return {
            "refused": f"gave only {len(rows)} different problems",
            "mend": f"ask for n={len(rows)}, or a harder level",
        }
    return {"rows": rows}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(problems(asked["generator"], asked["n"], asked["level"], asked["seed"])))
