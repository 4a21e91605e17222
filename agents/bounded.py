"""Texts in replies that servers which guide decoding keep short: a small model that judges greedily repeats itself until its
tokens are used up, and a reply that is cut off says nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Brief = Annotated[str, Field(json_schema_extra={"maxLength": 500})]
"""About a hundred words. A longer one is read all the same."""
