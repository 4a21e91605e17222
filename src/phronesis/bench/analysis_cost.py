"""What answers cost: by role, in money or tokens per right answer, in prefill equivalents, in time; and what a sweep buys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phronesis.bench.analysis import mean_over_questions
from phronesis.bench.metrics.arise import arise
from phronesis.bench.metrics.cost_of_pass import pooled_cost_of_pass
from phronesis.bench.metrics.prices import Prices
from phronesis.bench.metrics.pte import GAMMAS, Turn, pte
from phronesis.bench.ranking import Interval
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import Arm
from phronesis.core.errors import ConfigurationError

REFERENCE_GAMMA = 0.00625
"""Llama-3.1-8B on an H100 (PTE paper, table of gammas): used for models that the table lacks."""


@dataclass(frozen=True, kw_only=True)
class RoleCost:
    """One role's share of an arm, per task."""

    role: str
    calls: float
    prompt_tokens: float
    cached_tokens: float
    tokens: float
    """Generated."""


def role_costs(items: Sequence[Item]) -> list[RoleCost]:
    """A row per role, sorted by name."""
    roles = sorted({call.role for item in items for call in item.calls})
    found = []
    for role in roles:
        mine = [call for item in items for call in item.calls if call.role == role]
        found.append(
            RoleCost(
                role=role,
                calls=sum(call.calls for call in mine) / len(items),
                prompt_tokens=sum(call.prompt_tokens for call in mine) / len(items),
                cached_tokens=sum(call.cached_tokens for call in mine) / len(items),
                tokens=sum(call.completion_tokens for call in mine) / len(items),
            )
        )
    return found


def price(item: Item, prices: Prices | None, models: Mapping[str, str]) -> float:
    """What an item cost: money by the price file and the model of each role, or without prices its generated tokens.

    Replies from a bank cost what they cost when they were made; a model paid by the second costs the latency of each of its
    exchanges, also where several ran side by side. Raises ConfigurationError for a role whose model nobody
    knows, or that the file lacks."""
    if prices is None:
        return float(item.total_tokens)
    spent = 0.0
    for call in item.calls:
        model = model_of(call.role, models)
        if model is None:
            raise ConfigurationError(
                f"no journal says which model role {call.role!r} of arm {item.arm!r} had",
                mend="restore the bench's runs folder, or leave --prices out",
            )
        cached = min(call.cached_tokens, call.prompt_tokens)
        spent += prices.cost(model, call.prompt_tokens, cached, call.completion_tokens, seconds=call.seconds)
    return spent


def model_of(role: str, models: Mapping[str, str]) -> str | None:
    """The model of a role: its own, that of all, or the only one there is."""
    found = models.get(role) or models.get("default")
    every = set(models.values())
    return found or (next(iter(every)) if len(every) == 1 else None)


def pass_cost(items: Sequence[Item], prices: Prices | None, models: Mapping[str, str], *, seed: int = 0) -> Interval:
    """Cost-of-Pass over the whole set: mean cost of a graded task by the share that is right; infinite when none is."""
    clusters: dict[str, list[tuple[float, bool]]] = {}
    for item in items:
        if item.graded:
            name = f"cluster {item.cluster}" if item.cluster else f"task {item.task}"
            clusters.setdefault(name, []).append((price(item, prices, models), item.correct))
    return pooled_cost_of_pass(list(clusters.values()), seed=seed)


def gamma_of(models: Mapping[str, str]) -> tuple[float, str]:
    """(gamma of PTE, the model it belongs to): that of the one known model, else the reference."""
    names = {name.lower(): name for name in GAMMAS}
    found = {names[model.lower()] for model in models.values() if model.lower() in names}
    if len(found) == 1 and len(set(models.values())) == 1:
        name = found.pop()
        return GAMMAS[name], name
    return REFERENCE_GAMMA, "reference"


def prefill_equivalents(items: Sequence[Item], gamma: float) -> tuple[float, float]:
    """Mean PTE per task: (cold, warm), that is without and with what servers had in their prefix caches."""
    turns = [
        [
            Turn(call.prompt_tokens, call.completion_tokens, min(call.cached_tokens, call.prompt_tokens))
            for call in item.calls
        ]
        for item in items
    ]
    cold, warm = (math.fsum(pte(part, gamma, warm=kind) for part in turns) for kind in (False, True))
    return cold / len(items), warm / len(items)


@dataclass(frozen=True)
class Latency:
    """Seconds per task."""

    mean: float
    median: float
    p95: float


def latency(items: Sequence[Item]) -> Latency:
    """Of the tasks that came out; NaN without any."""
    known = [item.seconds for item in items if item.status != "failed"]
    if not known:
        return Latency(math.nan, math.nan, math.nan)
    median, late = np.quantile(known, [0.5, 0.95])
    return Latency(math.fsum(known) / len(known), float(median), float(late))


@dataclass(frozen=True)
class Sweep:
    """Arms that differ in one number only."""

    key: str
    """Dotted recipe key."""
    levels: tuple[tuple[float, str], ...]
    """(value, arm), rising."""


def sweeps(arms: Sequence[Arm]) -> list[Sweep]:
    """Groups of two or more arms of one strategy that are settings of one number; an arm may be in several."""
    flat = {arm.name: dict(_leaves({**arm.recipe, "name": "", "description": ""})) for arm in arms}
    found: dict[tuple[str, tuple[tuple[str, str], ...]], dict[float, str]] = {}
    for name, leaves in flat.items():
        for key, value in leaves.items():
            if key.startswith("knobs.") and isinstance(value, int | float) and not isinstance(value, bool):
                rest = tuple(sorted((other, repr(left)) for other, left in leaves.items() if other != key))
                found.setdefault((key, rest), {}).setdefault(float(value), name)
    groups = ((key, tuple(sorted(levels.items()))) for (key, _), levels in found.items())
    return [Sweep(key, levels) for key, levels in groups if len(levels) > 1]


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}" if path else str(key))]
    return [(path, value)]


def sweep_arise(sweep: Sweep, items: Sequence[Item]) -> Interval:
    """ARISE over the levels of a sweep: mean over the questions that every level has graded, accuracy and generated tokens
    averaged over repeats; the interval draws clusters of questions.

    NaN without such a question, and where the last level generates no more than the first: its levels are no growing
    compute, which ARISE is about."""
    by_arm: dict[str, dict[str, list[Item]]] = {}
    for item in items:
        if item.graded:
            by_arm.setdefault(item.arm, {}).setdefault(item.task, []).append(item)
    levels = [by_arm.get(arm, {}) for _, arm in sweep.levels]
    shared = [task for task in levels[0] if all(task in level for level in levels)]
    values, grown = [], 0.0
    for task in shared:
        accuracies = [sum(item.correct for item in level[task]) / len(level[task]) for level in levels]
        tokens = [sum(item.total_tokens for item in level[task]) / len(level[task]) for level in levels]
        values.append([arise(accuracies, tokens)])
        grown += tokens[-1] - tokens[0]
    if not grown > 0:
        return Interval(math.nan, math.nan, math.nan)
    (found,) = mean_over_questions([levels[0][task][0] for task in shared], values)
    return found
