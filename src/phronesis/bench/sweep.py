"""Sweeps: one recipe at every point of a grid of settings, each an arm; arms with the same first stage share one bank."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from phronesis.bench.running.bench_file import ArmEntry, arm_of
from phronesis.bench.running.plan import Arm
from phronesis.core.errors import ConfigurationError
from phronesis.graphs.recipe import Recipe

_OPEN, _CLOSED = "([{", ")]}"
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "max_tokens")
"""Knobs that change what is asked of the model at once; the others say how often, or what is done with the replies."""


def split_values(text: str) -> list[str]:
    """The parts between commas; those in brackets and quotes do not count. Raises ConfigurationError for an empty part."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSED:
            depth -= 1
        elif character == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += character
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise ConfigurationError(f"{text!r} has an empty value", mend="write knobs.k=1,2,4")
    return parts


def sweep_arms(recipe: str, settings: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> list[Arm]:
    """An arm per point of the grid, the last key changing fastest, named ``k-4+temperature-0.7``; a key with one value is
    in no name. ``fixed``: dotted recipe keys of every arm.

    Raises RecipeError, and ConfigurationError for a value that stands twice and two points with one name."""
    for key, values in settings.items():
        double = next((value for at, value in enumerate(values) if value in values[:at]), None)
        if double is not None:
            raise ConfigurationError(f"{key} has the value {double!r} twice", mend="write each value once")
    swept = [key for key, values in settings.items() if len(values) > 1]
    arms: dict[str, Arm] = {}
    for point in itertools.product(*settings.values()):
        chosen = dict(zip(settings, point, strict=True))
        arm = arm_of(ArmEntry(recipe=recipe, overrides=chosen), fixed)
        name = "+".join(f"{_short(key, swept)}-{_plain(chosen[key])}" for key in swept) or arm.name
        if name in arms:
            raise ConfigurationError(
                f"two points of the sweep are called {name!r}", mend="name such recipes in a bench file instead"
            )
        arms[name] = arm.model_copy(update={"name": name})
    return list(arms.values())


def sharing(arms: Sequence[Arm], stored: Sequence[Arm] = (), *, bank: str = "", every: bool = False) -> list[Arm]:
    """The arms with their banks: of those that ask the model the same thing at first, the widest is recorded whole and the
    others draw from it. ``stored``: arms that the folder has already; they stay what they are, and new ones draw from the
    widest of them. ``bank``: a run that the rest draws from. ``every``: share among all arms, whatever they ask.

    Two arms ask the same at first when their recipes differ in knobs that are no sampling settings, and in budgets, only.
    Where that is not so in the end, nothing is served and every call is made."""
    known = {arm.name: arm for arm in stored}
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        groups.setdefault("" if every else first_stage(arm), []).append(arm)
    banks: dict[str, str] = {}
    for stage, group in groups.items():
        old = [arm for arm in stored if every or first_stage(arm) == stage]
        new = [arm for arm in group if arm.name not in known]
        if new:
            banks |= _banks(old, new, bank)
    return [_kept(arm, known) or arm.model_copy(update={"bank": banks[arm.name]}) for arm in arms]


def first_stage(arm: Arm) -> str:
    """What decides the first requests of an arm: equal for two arms that may share a bank. Arms that write to a memory never
    do, because what one learns is not what the other has learnt."""
    data = arm.recipe
    if data.get("memory", {}).get("mode") == "write":
        return f"alone {arm.name}"
    knobs = sorted((name, value) for name, value in data["knobs"].items() if _samples(name))
    parts = {name: data.get(name) for name in ("strategy", "seed", "models", "memory", "tools", "retrieval", "answer")}
    return repr((knobs, parts))


def _samples(knob: str) -> bool:
    return any(knob == name or knob.endswith(f"_{name}") for name in _SAMPLING[:-1]) or knob == _SAMPLING[-1]


def _banks(stored: Sequence[Arm], new: Sequence[Arm], bank: str) -> dict[str, str]:
    """Where each new arm of one group draws from."""
    before, widest = max(stored, key=_width, default=None), max(new, key=_width)
    if before is not None and _width(before) >= _width(widest):
        return {arm.name: before.name for arm in new}
    source = bank if before is None else before.name
    return {arm.name: source if arm is widest else widest.name for arm in new}


def _width(arm: Arm) -> tuple[bool, int]:
    """The wider arm can serve the other: it records log-probabilities, and makes more calls."""
    recipe = Recipe.from_data(arm.recipe, source=f"arm {arm.name}")
    wanted = {what for capabilities in recipe.strategy.needs(recipe.knobs).values() for what in capabilities}
    law, cap = recipe.strategy.cost(recipe.knobs), recipe.file.budget.calls
    return "logprobs" in wanted, law.most[0] if cap is None else min(cap, law.most[0])


def _kept(arm: Arm, known: Mapping[str, Arm]) -> Arm | None:
    """The arm with the bank of the stored one of its name; what else differs is for the folder to refuse."""
    before = known.get(arm.name)
    return None if before is None else arm.model_copy(update={"bank": before.bank, "calls": before.calls})


def _short(key: str, swept: Sequence[str]) -> str:
    """The key's last part, or all of it where two keys end alike."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in swept) == 1 else key


def _plain(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^\w.+-]+", "-", text).rstrip("-") or "none"
