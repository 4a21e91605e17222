"""The tool ``calculator``: the value of a written expression. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from phronesis.core.tool import Tool, ToolEntry, ToolSurroundings
from phronesis.tools.expression_value import shown, value_of
from phronesis.tools.function_tool import tool
from phronesis.tools.options import ToolOptions

Expression = Annotated[str, Field(description="For example: (12.50 * 3 + 4) / 2, 15% of 80, sqrt(2) ** 3")]


@tool(pure=True, timeout=5)
async def calculator(expression: Expression) -> str:
    """The value of an arithmetic expression, exact where it can be. Knows + - * / // % ** ( ), percent signs (10% is 0.1),
    pi, e, sqrt, abs, round(x, places), floor, ceil, min, max, sum, mean, percent(part, whole), factorial, comb, perm, gcd,
    lcm, exp, ln, log(x, base), log10, log2, sin, cos, tan, asin, acos, atan, atan2 (radians), degrees, radians."""
    return shown(value_of(expression))


async def _open(options: ToolOptions, around: ToolSurroundings) -> Sequence[Tool]:
    return (calculator,)


ENTRY = ToolEntry("calculator", "the value of an arithmetic expression, exact where it can be", ToolOptions, _open)
