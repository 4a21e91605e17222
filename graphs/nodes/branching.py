"""The fan-out: one piece of work per item, side by side, each in a branch of its own that sees nothing of the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from phronesis.core.budget import Branch
from phronesis.core.errors import BudgetExhausted, ModelError, RetrievalError, ToolError
from phronesis.core.side_by_side import side_by_side

T = TypeVar("T")
R = TypeVar("R")
Lost = ModelError | BudgetExhausted | RetrievalError | ToolError
"""What a branch may end with instead of its value."""


async def fan_out(
    branch: Branch,
    items: Sequence[T],
    work: Callable[[int, T, Branch], Awaitable[R]],
    *,
    calls: int,
    name: str = "b",
) -> tuple[R | Lost, ...]:
    """What became of each item, in the order given: its value, or the typed failure that ended its branch.

    ``work`` gets the index, the item and a branch ``<path>/<name><index>`` with a sub-account for at most ``calls`` calls,
    granted in index order, so that the cap on calls is exact whatever comes first. What a branch does not spend returns;
    the deepest one counts. One failed branch ends no other. Any other error, and a cancellation, ends all of them."""
    names = [f"{branch.path}/{name}{index}" for index in range(len(items))]
    accounts = branch.account.split(dict.fromkeys(names, calls))

    async def one(index: int, item: T) -> R | Lost:
        try:
            return await work(index, item, branch.at(f"{name}{index}", accounts[names[index]]))
        except (ModelError, BudgetExhausted, RetrievalError, ToolError) as error:
            return error

    found = await side_by_side([one(index, item) for index, item in enumerate(items)])
    branch.account.join(names)
    return tuple(found)
