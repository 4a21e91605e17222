"""Files that scorers read (logistic models). A run pins what they held, so that a resume cannot score by another one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from phronesis.agents.scorers.table import choose_scorer
from phronesis.core.errors import RecipeError, ReplayDiverged
from phronesis.graphs.recipe import Recipe


def pinned_files(recipe: Recipe) -> dict[str, str]:
    """Path -> hash of what it holds, for every file that the recipe's scorers name. Raises RecipeError for one that cannot
    be read."""
    scorers = [choose_scorer(text) for text in scorers_of(recipe)]
    paths = sorted({path for scorer in scorers for path in scorer.files})
    found = {path: _hash(path) for path in paths}
    missing = next((path for path, held in found.items() if held is None), None)
    if missing is not None:
        raise RecipeError(f"cannot read the scorer's file {missing!r}", mend="check the path")
    return {path: held for path, held in found.items() if held is not None}


def scorers_of(recipe: Recipe) -> tuple[str, ...]:
    """The scorers that a run of the recipe uses, as written: its strategy's, and the memory's verifier."""
    memory = recipe.file.memory
    verifier = (memory.verifier,) if memory.mode in ("read", "write") else ()
    return tuple(dict.fromkeys((*recipe.strategy.scorers(recipe.knobs), *verifier)))


def check_files(pinned: Mapping[str, str]) -> None:
    """Raises ReplayDiverged for the first file that is gone or holds something else than when the run began."""
    for path, held in pinned.items():
        if _hash(path) != held:
            raise ReplayDiverged(
                f"the scorer's file {path!r} is not what it was when the run began",
                mend="put it back, or start a new run",
            )


def _hash(path: str) -> str | None:
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=8).hexdigest()
    except OSError:
        return None
