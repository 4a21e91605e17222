"""The memory of a replay: it knows nothing, because what was recalled comes from the recording."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.concept import Concept, Evidence, Hit
from phronesis.core.errors import ConceptStoreError
from phronesis.core.ports import SearchMode
from phronesis.core.result import MemoryRecall, MemoryWrite


class UnreadMemory:
    """Asked only for what the recording lacks; it says so, and never opens a ledger."""

    degraded = "the recording has no recall for this task: the replay goes on without concepts"

    def version(self) -> int:
        return 0

    def recall(
        self,
        query: str,
        *,
        k: int,
        version: int | None = None,
        mode: SearchMode = "hybrid",
        diversity: float = 0.0,
        candidates: int = 24,
    ) -> list[Hit]:
        return []

    def write(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str,
        recalled: Sequence[str] = (),
        evidence: Evidence | None = None,
        propose: bool = False,
        prompted: Sequence[MemoryRecall] = (),
    ) -> list[MemoryWrite]:
        raise ConceptStoreError("a replay writes no memory")

    def named(self, names: Sequence[str], *, version: int | None = None) -> dict[str, Concept]:
        return {}

    def vocabulary(self, *, token_budget: int, version: int | None = None) -> str:
        return ""

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        raise ConceptStoreError("a replay writes no memory")
