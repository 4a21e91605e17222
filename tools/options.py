"""What may be written behind a tool's name: ``python(seconds=5)``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ToolOptions(BaseModel):
    """Base of a tool's options: frozen, unknown names refused. By itself: nothing can be set."""

    model_config = ConfigDict(frozen=True, extra="forbid")
