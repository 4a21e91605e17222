"""Cost laws: calls and critical-path depth as formulas in named quantities, checked against what was observed."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}


@cache
def _parse(formula: str) -> ast.expr:
    try:
        return ast.parse(formula, mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"the cost formula {formula!r} is no expression: {error.msg}") from None


def evaluate(formula: str, values: Mapping[str, int]) -> int:
    """A formula of names, integers, ``+ - *``, ``min`` and ``max``. Raises ValueError for anything else."""
    return _value(_parse(formula), values, formula)


def _value(node: ast.expr, values: Mapping[str, int], formula: str) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name) and node.id in values:
        return values[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        left, right = _value(node.left, values, formula), _value(node.right, values, formula)
        return int(_OPERATORS[type(node.op)](left, right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_extreme(node):
        arguments = [_value(item, values, formula) for item in node.args]
        return min(arguments) if node.func.id == "min" else max(arguments)
    raise ValueError(f"the cost formula {formula!r} has a part that is not known: {ast.unparse(node)!r}")


def _is_extreme(node: ast.Call) -> bool:
    known = isinstance(node.func, ast.Name) and node.func.id in ("min", "max")
    return known and bool(node.args) and not node.keywords


@dataclass(frozen=True, slots=True)
class Observable:
    """A quantity that a run decides."""

    meaning: str
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLaw:
    """Calls (tried, failed ones included) and depth of one task. Both grow with every observable."""

    calls: str
    """Formula in the constants and observables."""
    depth: str
    """Critical path in calls."""
    constants: Mapping[str, int] = field(default_factory=dict)
    """Knobs that the formulas name."""
    observables: Mapping[str, Observable] = field(default_factory=dict)

    def calls_at(self, **observed: int) -> int:
        """The number of calls when the observables took these values."""
        return evaluate(self.calls, {**self.constants, **observed})

    def depth_at(self, **observed: int) -> int:
        """The depth when the observables took these values."""
        return evaluate(self.depth, {**self.constants, **observed})

    @property
    def least(self) -> tuple[int, int]:
        """(calls, depth) with every observable at its least."""
        low = {name: item.low for name, item in self.observables.items()}
        return self.calls_at(**low), self.depth_at(**low)

    @property
    def most(self) -> tuple[int, int]:
        """(calls, depth) with every observable at its most."""
        high = {name: item.high for name, item in self.observables.items()}
        return self.calls_at(**high), self.depth_at(**high)
