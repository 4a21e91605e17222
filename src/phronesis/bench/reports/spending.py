"""Section on what answers cost: tokens by role, prefill equivalents, time."""

from __future__ import annotations

import math

from phronesis.bench.analysis_cost import (
    RoleCost,
    gamma_of,
    latency,
    prefill_equivalents,
    role_costs,
)
from phronesis.bench.reports.blocks import Cell, Column, Section, Table
from phronesis.bench.reports.figures import NONE, amount, money, seconds
from phronesis.bench.reports.results import SetView


def spending(view: SetView) -> Section:
    """The arms' cost of pass, prefill equivalents and latencies, and tokens by role."""
    by_arm = {arm: role_costs(items) for arm, items in view.items.items()}
    if not any(by_arm.values()):
        return Section(anchor=f"{view.anchor}-cost", title="Cost")
    blocks = [_arms(view), _roles(by_arm)]
    return Section(anchor=f"{view.anchor}-cost", title="Cost", blocks=blocks)


def _arms(view: SetView) -> Table:
    rows = []
    gammas = set()
    for arm, items in view.items.items():
        gamma, source = gamma_of(view.material.models_of(arm))
        gammas.add((gamma, source))
        cold, warm = prefill_equivalents(items, gamma)
        time, cost = latency(items), view.costs[arm]
        written = money if view.prices else amount
        rows.append(
            [
                Cell(arm),
                Cell(written(cost.value)),
                Cell(NONE if math.isnan(cost.low) else f"[{written(cost.low)}, {written(cost.high)}]", tone="quiet"),
                Cell(amount(cold)),
                Cell(amount(warm)),
                Cell(seconds(time.median)),
                Cell(seconds(time.p95)),
            ]
        )
    named = "; ".join(f"{source} {gamma:g}" for gamma, source in sorted(gammas))
    columns = [
        Column("Arm", number=False),
        Column(f"{view.prices.currency} per pass" if view.prices else "Tokens per pass", hint="cost of pass"),
        Column("95 %"),
        Column("PTE cold", hint="prefill token equivalents per question, every context read anew"),
        Column("PTE warm", hint="the same less what prefix caches held"),
        Column("Seconds p50"),
        Column("Seconds p95"),
    ]
    caption = (
        f"PTE: prefill tokens plus γ × context × generated tokens, a measure of work that is the same on every machine "
        f"(γ: {named}{'; the reference is Llama-3.1-8B on an H100' if 'reference' in named else ''}). "
        "Seconds of failed tasks are left out."
    )
    return Table(columns=columns, rows=rows, caption=caption)


def _roles(by_arm: dict[str, list[RoleCost]]) -> Table:
    columns = [
        Column("Arm", number=False),
        Column("Role", number=False),
        Column("Calls"),
        Column("Prompt tokens"),
        Column("of them cached"),
        Column("Generated tokens"),
    ]
    rows = [
        [Cell(arm), Cell(cost.role), Cell(amount(cost.calls)), Cell(amount(cost.prompt_tokens)),
         Cell(amount(cost.cached_tokens)), Cell(amount(cost.tokens))]
        for arm, costs in by_arm.items()
        for cost in costs
    ]  # fmt: skip
    return Table(columns=columns, rows=rows, caption="Means per question. A prompt is read once for all its choices.")
