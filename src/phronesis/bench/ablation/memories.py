"""The memories of an ablation: copies of the user's, and the controls derived from what ``write`` left. All of them lie in
the bench's folder; whatever is done here may be done again after a kill and then changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from phronesis.bench.ablation.controls import donors, exchanged, placebo
from phronesis.core.concept import Concept, StoredConcept
from phronesis.core.errors import Conflict
from phronesis.core.settings import Settings
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.session import Memory, names

FOLDER = "memory"
BASE = "begun-with"
"""The memory that every order begins with, where one was given."""
_DONE = "derived"
"""Snapshot that says that a control is whole."""


def inside(settings: Settings, folder: Path) -> Settings:
    """The settings with runs and memories in the bench's folder."""
    mine = {"runs_folder": folder.absolute() / "runs", "memory_folder": folder.absolute() / FOLDER}
    return settings.model_copy(update=mine)


def check_there(user: Settings, wanted: Sequence[str]) -> None:
    """Raises ConceptStoreError for a memory of the user's that does not exist or cannot be read. Reads only."""
    for name in wanted:
        with Memory.open(name, settings=user, read_only=True):
            pass


def bring_in(user: Settings, bench: Settings, *, session: str, mounts: Sequence[str] = ()) -> None:
    """Copies the user's ``session``, as ``BASE``, and the mounts under their own names, unless they are there: what every
    order begins with, whatever becomes of the user's memories later. Those are only read.

    Raises ConceptStoreError for one that does not exist."""
    for source, wanted in (*((mount, mount) for mount in mounts), *([(session, BASE)] if session else [])):
        if not _exists(bench, wanted):
            with Memory.open(source, settings=user, read_only=True) as memory:
                memory.branch(wanted, root=bench.memory)


def lay_out(bench: Settings, name: str) -> None:
    """Makes the memory ``name`` of the bench, unless it is there: a copy of ``BASE``, or empty where there is none."""
    if _exists(bench, name):
        return
    if _exists(bench, BASE):
        with Memory.open(BASE, settings=bench) as memory:
            memory.branch(name)
    else:
        with Memory.open(name, settings=bench):
            pass


def derive_placebo(bench: Settings, source: str, name: str) -> None:
    """Makes ``name`` of ``source``: as many concepts, found for the same tasks, in as many characters that say nothing."""
    if (concepts := _copied(bench, source, name)) is None:
        return
    wanted = {item.id: placebo(item.concept, int(item.id[1:])) for item in concepts}
    _rewrite(bench, name, concepts, wanted, "placebo")


def derive_shuffled(bench: Settings, source: str, name: str, family: Mapping[str, str], seed: int) -> None:
    """Makes ``name`` of ``source``: as many concepts, found for the same tasks, each with the advice of another one, of
    another family where there are several. ``family``: task id -> its cluster or group."""
    if (concepts := _copied(bench, source, name)) is None:
        return
    by_id = {item.id: item.concept for item in concepts}
    families = {item.id: family.get(item.concept.source, "") for item in concepts}
    pairs = donors(concepts, families, seed)
    wanted = {id: exchanged(by_id[id], by_id[donor]) for id, donor in pairs.items()}
    _rewrite(bench, name, concepts, wanted, "shuffled")


def shelf(bench: Settings, name: str, mounts: Sequence[str] = ()) -> dict[str, StoredConcept]:
    """Every concept of a memory of the bench and of its mounts by id, withdrawn ones too; empty where there is none."""
    found: dict[str, StoredConcept] = {}
    for held, prefix in ((name, ""), *((mount, f"{mount}/") for mount in mounts)):
        if _exists(bench, held):
            with Memory.open(held, settings=bench, create=False) as memory:
                for item in (*memory.list(), *memory.withdrawn()):
                    found[f"{prefix}{item.id}"] = item
    return found


def _copied(bench: Settings, source: str, name: str) -> list[StoredConcept] | None:
    """The source's concepts, when a copy of it under the name is there and does not yet say what it shall; None = it does."""
    with Memory.open(source, settings=bench, create=False) as memory:
        concepts = memory.list()
        if not _exists(bench, name):
            memory.branch(name)
    with Memory.open(name, settings=bench) as copy:
        return None if _DONE in [item.name for item in copy.snapshots()] else concepts


def _rewrite(
    bench: Settings, name: str, concepts: Sequence[StoredConcept], wanted: Mapping[str, Concept], kind: str
) -> None:
    """Lets each concept of the copy say what is wanted, once. What another one says word for word already becomes words
    that say nothing, so that there are as many as before."""
    with Memory.open(name, settings=bench) as memory:
        for item in concepts:
            number = int(item.id[1:])
            text = wanted.get(item.id, placebo(item.concept, number))
            reason, operation = f"made a control: {kind}", f"{kind}/{item.id}"
            try:
                memory.update(item.id, text, reason=reason, operation=operation)
            except Conflict:
                blank = placebo(item.concept, number + len(concepts))
                memory.update(item.id, blank, reason=reason, operation=f"{operation}/again")
        memory.snapshot(_DONE)


def _exists(bench: Settings, name: str) -> bool:
    return name in names(bench) and (bench.memory / name / FILE_NAME).is_file()
