"""The memory of a replay: it knows nothing, because what was recalled comes from the recording."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.concept import Concept, Evidence, Hit
from phronesis.core.errors import ConceptStoreError
from phronesis.core.result import MemoryWrite


class UnreadMemory:
    """Asked only for what the recording lacks; it says so, and never opens a ledger."""

    degraded = "the recording has no recall for this task: the replay goes on without concepts"

    def version(self) -> int:
        return 0

    def recall(self, query: str, *, k: int, version: int | None = None) -> list[Hit]:
        return []

    def write(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str,
        recalled: Sequence[str] = (),
        evidence: Evidence | None = None,
    ) -> list[MemoryWrite]:
        raise ConceptStoreError("a replay writes no memory")

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        raise ConceptStoreError("a replay writes no memory")
