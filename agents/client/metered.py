"""The account of a chat client inside a run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from phronesis.core.chat import Batch, Usage
from phronesis.core.errors import ModelError
from phronesis.core.ports import ChatEndpoint
from phronesis.core.site import Site

T = TypeVar("T")


class Metered:
    """Books calls before they are made and what they cost afterwards; ends them when the seconds are used up."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self.endpoint = endpoint

    async def paid(self, site: Site, calls: int, held: int, work: Callable[[], Awaitable[tuple[T, Batch]]]) -> T:
        """The value of ``work``, its usage booked. Raises BudgetExhausted when the time is up before it ends."""
        account = site.branch.account
        left = account.seconds_left
        try:
            async with asyncio.timeout(None if left is None else max(left, 0.0)):
                value, batch = await work()
        except TimeoutError:
            self.book_failure(site, calls, {})
            raise account.deny("seconds") from None
        except ModelError as error:
            self.book_failure(site, calls, error.details)
            raise
        finally:
            account.release(held)
        account.book(site.role, batch.usage)
        return value

    @staticmethod
    def book_failure(site: Site, calls: int, details: dict[str, Any]) -> None:
        """A failed call is counted apart: it was tried and brought nothing."""
        spent = Usage(failed_calls=calls, requests=int(details.get("requests", 0)))
        site.branch.account.book(site.role, replace(Usage.from_json(details.get("paid", {})), calls=0) + spent)
