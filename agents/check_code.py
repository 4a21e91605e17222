"""A code that a reply has to repeat: it depends on every letter of what the prompt shows, so that a reply which was written
into a document or a tool's result beforehand cannot have it."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar, cast

from pydantic import BaseModel, create_model, field_validator

M = TypeVar("M", bound=BaseModel)


def code_of(shown: str) -> str:
    """Four hex digits."""
    return hashlib.blake2b(shown.encode("utf-8", "replace"), digest_size=2).hexdigest()


def coded(reply: type[M], code: str) -> type[M]:
    """The reply's type, whose field ``check`` must be this code. The schema that servers get does not say which it is."""

    def same(cls: Any, value: str) -> str:
        if value.strip() != code:
            raise ValueError("it is not the one of the form above")
        return value

    validators: dict[str, Any] = {"same": field_validator("check")(same)}
    return cast("type[M]", create_model(reply.__name__, __base__=reply, __validators__=validators))
