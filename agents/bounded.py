"""Texts and lists in replies that servers which guide decoding keep short: a small model that judges greedily repeats itself
until its tokens are used up, and a reply that is cut off says nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

Brief = Annotated[str, Field(json_schema_extra={"maxLength": 500})]
"""About a hundred words. A longer one is read all the same."""


def few(most: int, *, least: int = 0) -> Any:
    """A field for a list: guided replies hold at most ``most`` items and one at least; a longer list is read all the same,
    one of fewer than ``least`` items is not."""
    return Field(min_length=least, json_schema_extra={"minItems": max(1, least), "maxItems": most})
