"""``Memory``: one namespace of concepts, open. The public door to the ledger, search and writing."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.concept import Concept, ConceptStatus, Evidence, Origin
from phronesis.core.result import MemoryRecall, MemoryWrite
from phronesis.memory import learning, writing
from phronesis.memory.archives import Archived
from phronesis.memory.changing import Changing
from phronesis.memory.consolidating import Consolidating
from phronesis.memory.keeping import Keeping
from phronesis.memory.naming import Named
from phronesis.memory.opened import names
from phronesis.memory.reading import LedgerEvent, concept_id, concept_number, events
from phronesis.memory.searching import Searching
from phronesis.memory.versions import Versioned

# ``list`` is a method of Memory, so the builtin is named here.
Ids = list[str]
Writes = list[MemoryWrite]
History = list[LedgerEvent]

__all__ = ["Memory", "names"]


class Memory(Searching, Named, Versioned, Archived, Changing, Consolidating, Keeping):
    """The public door. What it does stands with its parts; here are adding and learning."""

    def add(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str | None = None,
        status: ConceptStatus = "active",
        origin: Origin = "user",
    ) -> Ids:
        """Ids of the concepts, in order, durable when it returns. All are added or none.

        A concept that is there word for word (spacing and case aside) keeps its id. With an operation id, a repeat
        returns the first outcome and writes nothing. Raises ConfigurationError for a concept of more than
        ``writing.MOST_BYTES``."""
        writing.check_sizes(concepts)
        vectors = self._views(concepts)
        numbers = writing.add(
            self._ledger, self._search, concepts, vectors=vectors, operation=operation, status=status, origin=origin
        )
        return [concept_id(number) for number in numbers]

    def write(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str,
        recalled: Sequence[str] = (),
        evidence: Evidence | None = None,
        prompted: Sequence[MemoryRecall] = (),
        propose: bool = False,
    ) -> Writes:
        """Commits what a run learned, on probation; one outcome per concept, in order. Once per operation id.

        ``propose``: what is new, or would change a concept, waits for a person (``proposals``, ``accept``, ``reject``).

        ``evidence`` stands beside each concept that was written, or that a duplicate speaks for.

        A near duplicate of a concept (cosine of the situations at least ``writing.NEAR_DUPLICATE``, same kind) is
        evidence for it and makes nothing new; the recalled concepts are compared first. Without an embedder only exact
        duplicates are seen. A concept whose name (case aside) a valid one has extends that one: ``updated``.

        ``prompted``: what stood in the run's prompt. What repeats it (cosine of the whole texts, or the same words) is
        evidence for it, a ``duplicate`` where it is a mounted memory's, and ``refused`` where it was withdrawn since.
        Raises ConceptStoreError for a recalled id of another form."""
        writing.check_sizes(concepts)
        numbers = [concept_number(name) for name in recalled if "/" not in name]
        return learning.write(
            self._ledger,
            self._search,
            concepts,
            views=self._views,
            operation=operation,
            recalled=numbers,
            evidence=evidence,
            prompted=prompted,
            propose=propose,
        )

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        """Counts that a run had these concepts in its prompt and whether its answer was accepted. Once per operation id.
        Those of mounted memories are left out.

        A concept on probation that helped ``writing.PROMOTED_AFTER`` runs becomes active."""
        own = [name for name in ids if "/" not in name]
        writing.record_use(self._ledger, own, accepted=accepted, operation=operation)

    def history(self, id: str) -> History:
        """The concept's events, oldest first. Raises ConceptStoreError that names an unknown id."""
        self.get(id)
        with self._ledger.reading() as connection:
            return events(connection, concept_number(id))
