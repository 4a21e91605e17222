"""The recipe's section ``[retrieval]``: which documents are searched."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, model_validator


class RetrievalSection(BaseModel):
    """Which documents are searched, by strategies and by the tool ``search``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kb: str = ""
    """Name of a knowledge base; ``phronesis kb list`` shows them."""
    retriever: str = ""
    """Any retriever with its options instead: ``kb(name="papers", mode="lexical")``, or one that a package offers."""
    where: dict[str, tuple[str, ...]] = {}
    """Only passages whose fact of that name (or ``source``, ``title``) is one of these values."""

    @model_validator(mode="after")
    def _one(self) -> RetrievalSection:
        if self.kb and self.retriever:
            raise ValueError("kb and retriever name two sources: leave one of them out")
        return self

    @property
    def source(self) -> str:
        """What is searched, as a retriever with options; empty = nothing."""
        escaped = self.kb.replace("\\", "\\\\").replace('"', '\\"')
        return self.retriever or (f'kb(name="{escaped}")' if self.kb else "")
