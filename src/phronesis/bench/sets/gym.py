"""Problems of reasoning-gym's generators, easy, medium or hard by the package's own curricula.

They are made in a process of their own with a fixed hash seed: some generators walk over sets or draw from the global
random generator, and would give other problems in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.sets.adapters_puzzles import gym
from phronesis.bench.sets.generated import GeneratorEntry
from phronesis.bench.sets.row import Row, nearest
from phronesis.core.errors import ConfigurationError, SetupError

_PATIENCE = 300.0
"""Seconds the package may take for one set."""


class GymOptions(BaseModel):
    """Options of ``gym``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    generator: str
    """A generator of the package: leg_counting, knights_knaves, ..."""
    n: int = Field(default=20, ge=1, le=250)
    """Problems, all different; another seed gives others."""
    level: Literal["", "easy", "medium", "hard"] = ""
    """Steps 0, 1 or 2 of every attribute of the curriculum; empty = easy, or the package's defaults where it has none."""
    seed: int = Field(default=0, ge=0)


@lru_cache(maxsize=16)
def _rows(options: GymOptions) -> list[Row]:
    if find_spec("reasoning_gym") is None:
        raise SetupError("reasoning_gym is not installed", mend="pip install 'phronesis[bench]'")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "phronesis.bench.sets.gym_problems", options.model_dump_json()],
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"gym: {options.generator!r} gave no {options.n} problems in {_PATIENCE:.0f} s",
            mend="ask for fewer, or an easier level",
        ) from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ConfigurationError(f"gym: {options.generator!r} failed: {last[0]}", mend="choose another generator")
    told = orjson.loads(done.stdout.splitlines()[-1])
    if "known" in told:
        raise ConfigurationError(
            f"gym: there is no generator {options.generator!r}", mend=nearest(options.generator, told["known"])
        )
    if "refused" in told:
        raise ConfigurationError(f"gym: {options.generator!r} {told['refused']}", mend=told["mend"])
    return [Row(fields, number, f"gym row {number}") for number, fields in enumerate(told["rows"], start=1)]


ENTRY = GeneratorEntry(
    name="gym",
    measures="reasoning-gym: a hundred kinds of problems at three levels",
    options=GymOptions,
    rows=_rows,
    adapter=gym,
)
