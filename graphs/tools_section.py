"""The recipe's section ``[tools]``: what agents may call, and who is asked before."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phronesis.core.named import NamedSpec
from phronesis.core.tool import ToolSpec


class ToolsSection(BaseModel):
    """The allow-list of an agent: nothing else can be called, whatever a document or a result says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    use: tuple[str, ...] = ()
    """Tools with their options: ``["calculator", "python(seconds=5)"]``; ``phronesis tools list`` names them."""
    approve: Literal["dangerous", "all", "none"] = "dangerous"
    """Before which calls a person is asked."""
    output: int = Field(default=6000, ge=100)
    """Characters of a result that a model is shown; the rest is cut off with a notice."""

    def asks(self, spec: ToolSpec) -> bool:
        """Whether a person is asked before a tool is called."""
        return self.approve == "all" or (self.approve == "dangerous" and spec.dangerous)

    @field_validator("use")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            NamedSpec.parse(text, what="tool")
        if len(set(value)) < len(value):
            raise ValueError("a tool is named twice")
        return value
