"""What learning costs a task, beside its strategy: the cost law of the gate and of the abstractor."""

from __future__ import annotations

from phronesis.agents.scorers.table import choose_scorer
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.memory_section import MemorySection


def learning_cost(section: MemorySection, attempts: int) -> CostLaw:
    """Calls and depth per task; ``attempts``: the most a task draws. All 0 where nothing is judged.

    In mode ``read`` only the verifier is asked, and only where concepts were shown. A task that is refused for want of
    agreement costs nothing; one that the verifier refuses costs V; one that is learned from V + A + R."""
    if section.mode not in ("read", "write"):
        return CostLaw(calls="0", depth="0")
    scorer = choose_scorer(section.verifier)
    each = scorer.calls.most * (attempts if scorer.kind == "group" else 1)
    waiting = max(scorer.calls.depth, scorer.calls.step * scorer.calls.most_steps)
    observables: dict[str, Observable] = {}
    if each + scorer.calls.task:
        observables["V"] = Observable("calls of the verifier", 0, each + scorer.calls.task)
    if waiting > 1:
        observables["D"] = Observable("calls of the verifier that wait for one another", 0, waiting)
    if section.mode == "write":
        asked = 2 if section.form == "parameterised" else 1
        observables["A"] = Observable(f"calls of the abstractor; {asked} for a task that is learned from", 0, asked)
        observables["R"] = Observable("replies of the abstractor that were asked for again", 0, asked)
    depth = {"V": "D" if waiting > 1 else "min(1, V)", "A": "A", "R": "R"}
    counted = [name for name in ("V", "A", "R") if name in observables]
    return CostLaw(
        calls=" + ".join(counted) or "0",
        depth=" + ".join(depth[name] for name in counted) or "0",
        observables=observables,
    )
