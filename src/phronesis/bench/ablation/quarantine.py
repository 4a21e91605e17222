"""Takes concepts that the alarm accuses out of recall in a real memory. They stay in it, with the evidence, and come back
with ``revive``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phronesis.bench.ablation.memories import inside
from phronesis.bench.ablation.plan import stored
from phronesis.bench.ablation.report import ConceptReport, report
from phronesis.bench.ablation.running import shelves
from phronesis.bench.running.folder import BenchFolder
from phronesis.core.concept import StoredConcept
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory


@dataclass(frozen=True, slots=True)
class Accused:
    """A concept of a real memory that says what an accused one of the bench says, word for word."""

    stored: StoredConcept
    reason: str


def accused(memory: Memory, harmful: Sequence[ConceptReport], bench: str) -> list[Accused]:
    """The valid concepts of the memory that are accused, by id. Reads only."""
    by_digest = {item.digest: item for item in harmful}
    found = []
    for held in memory.list():
        item = by_digest.get(held.concept.content_hash)
        if item is not None:
            words = item.judgement.words()
            reason = f"quarantined after the memory bench {bench}: {words}; revive {held.id} brings it back"
            found.append(Accused(held, reason))
    return found


def quarantine(memory: Memory, harmful: Sequence[ConceptReport], bench: str) -> list[Accused]:
    """Withdraws them, each with its evidence as the reason in its history; those that were. Repeating changes nothing."""
    found = accused(memory, harmful, bench)
    return [item for item in found if memory.forget([item.stored.id], reason=item.reason)]


def harmful_in(folder: Path, settings: Settings) -> list[ConceptReport]:
    """The concepts that a bench's items accuse. Raises ConfigurationError for a folder that holds no ablation."""
    plan = stored(folder)
    return list(report(plan, list(BenchFolder(folder).items()), shelves(plan, inside(settings, folder))).harmful)
