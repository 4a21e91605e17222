"""Looks after a memory by its name, whatever state its files are in."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from phronesis.core.errors import ConceptStoreError, EmbedderMismatch, PhronesisError, SetupError
from phronesis.core.ports import Embedder
from phronesis.core.settings import Settings
from phronesis.memory.finding import VectorSearch
from phronesis.memory.findings import Problem, RepairReport, VerifyReport
from phronesis.memory.indexing import IndexKeeper
from phronesis.memory.ledger import FILE_NAME, MADE, Clock, Ledger, namespace_folder, utc_now
from phronesis.memory.opened import names
from phronesis.memory.reading import fingerprint
from phronesis.memory.repairing import mend_ledger
from phronesis.memory.salvaging import Salvaged, salvage
from phronesis.memory.verifying import look_through, mend_of


def verify_folder(settings: Settings, name: str) -> VerifyReport:
    """What is wrong with the memory of that name. Damage is reported, never raised.

    Raises ConceptStoreError when there is no such memory."""
    path = _known(settings, name)
    try:
        ledger = Ledger.open(path.parent)
    except PhronesisError as error:
        return _read_only_report(path, name, error)
    keeper = IndexKeeper(ledger, chroma_url=settings.chroma_url)
    try:
        return verify_open(name, ledger, keeper)
    finally:
        keeper.close()
        ledger.close()


def verify_open(name: str, ledger: Ledger, keeper: IndexKeeper) -> VerifyReport:
    """The same of an open memory."""
    with ledger.reading() as connection:
        problems, counts = look_through(connection, session=name)
    index, wrong = "not looked at: the ledger is damaged", list[str]()
    with suppress(ConceptStoreError):
        index, wrong = _index(ledger, keeper)
    problems += [Problem(where="index", what=what, mend=mend_of("index", name)) for what in wrong]
    return _report(ledger.path, name, problems, counts, index)


def repair_folder(
    settings: Settings, name: str, *, salvage: bool = False, embedder: Embedder | None = None, clock: Clock = utc_now
) -> RepairReport:
    """Rebuilds what follows from the ledger; with ``salvage`` also a ledger whose file is damaged.

    Vectors need the memory's embedder; without it they are left to a later search. Raises ConceptStoreError when there is
    no such memory, or when nothing can be salvaged or another process has it open."""
    path = _known(settings, name)
    saved: Salvaged | None = None
    try:
        ledger = Ledger.open(path.parent, clock=clock)
    except ConceptStoreError as error:
        if not salvage or not path.exists() or not path.stat().st_size or "schema" in error.message:
            left = Problem(where="file", what=error.message, mend=error.mend or mend_of("file", name))
            return RepairReport(session=name, path=str(path), sound=False, mended=(), left=(left,))
        saved = _salvaged(path.parent, clock)
        ledger = Ledger.open(path.parent, clock=clock)
    keeper = IndexKeeper(ledger, chroma_url=settings.chroma_url)
    try:
        search = None
        with suppress(EmbedderMismatch):
            search = None if embedder is None else VectorSearch(ledger, embedder, keeper)
        if saved is not None:
            keeper.drop()
        return repair_open(name, ledger, keeper, search, salvage=salvage, clock=clock, saved=saved)
    finally:
        keeper.close()
        ledger.close()


def repair_open(
    name: str,
    ledger: Ledger,
    keeper: IndexKeeper,
    search: VectorSearch | None,
    *,
    salvage: bool = False,
    clock: Clock = utc_now,
    saved: Salvaged | None = None,
) -> RepairReport:
    """The same of an open memory; ``saved``: what a salvage before it came to."""
    mended: list[str] = []
    try:
        mended += mend_ledger(ledger)
        broken = any(problem.where == "pages" for problem in _problems(ledger, name))
    except ConceptStoreError:
        broken = True
    if broken and salvage and saved is None:
        keeper.drop()
        saved = ledger.reopen(lambda: _salvaged(ledger.path.parent, clock))
        mended += mend_ledger(ledger)
    if search is not None:
        search.forget()
    with suppress(ConceptStoreError):
        mended += _fill(ledger, search)
    with suppress(ConceptStoreError):
        mended += _mend_index(ledger, keeper)
    report = verify_open(name, ledger, keeper)
    if saved is not None:
        mended.insert(0, f"{saved.rows:,} rows were saved into a new ledger")
    return RepairReport(
        session=name,
        path=str(ledger.path),
        sound=report.sound,
        mended=tuple(mended),
        left=report.problems,
        lost=() if saved is None else saved.lost,
        kept=None if saved is None else str(saved.kept),
    )


def _problems(ledger: Ledger, name: str) -> list[Problem]:
    with ledger.reading() as connection:
        return look_through(connection, session=name)[0]


def _salvaged(folder: Path, clock: Clock) -> Salvaged:
    return salvage(folder, clock=clock)


def _fill(ledger: Ledger, search: VectorSearch | None) -> list[str]:
    if search is None:
        return []
    before = _vectors(ledger)
    search.fill()
    made = _vectors(ledger) - before
    return [f"{made} vector(s) were made"] if made else []


def _vectors(ledger: Ledger) -> int:
    with ledger.reading() as connection:
        return int(connection.execute("SELECT COUNT(*) FROM vectors").fetchone()[0])


def _mend_index(ledger: Ledger, keeper: IndexKeeper) -> list[str]:
    with ledger.reading() as connection:
        theirs = fingerprint(connection)
    if theirs is None:
        return []
    _, wrong = keeper.examine(*theirs)
    if wrong:
        keeper.catch_up(*theirs)
    return [f"the vector index was made anew: {what}" for what in wrong]


def _index(ledger: Ledger, keeper: IndexKeeper) -> tuple[str, list[str]]:
    with ledger.reading() as connection:
        theirs = fingerprint(connection)
    return ("none yet", []) if theirs is None else keeper.examine(*theirs)


def _known(settings: Settings, name: str) -> Path:
    path = namespace_folder(settings.memory, name) / FILE_NAME
    if not path.exists() and not path.with_name(MADE).exists():
        known = ", ".join(names(settings))
        mend = f"known: {known}" if known else f"there is none yet; phronesis memory add --session {name} makes one"
        raise ConceptStoreError(f"there is no memory {name!r} in {str(settings.memory)!r}", mend=mend)
    return path


def _read_only_report(path: Path, name: str, error: PhronesisError) -> VerifyReport:
    """What can be told of a ledger that cannot be opened, or cannot be written."""
    problems: list[Problem] = []
    counts: dict[str, int] = {}
    damaged = not isinstance(error, SetupError)
    if damaged:
        problems.append(Problem(where="file", what=error.message, mend=error.mend or mend_of("file", name)))
    if path.exists() and path.stat().st_size:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
                connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
                found, counts = look_through(connection, session=name)
                problems += [] if damaged else found
        except sqlite3.Error as unreadable:
            if not damaged:
                what = f"the ledger {str(path)!r} cannot be read: {unreadable}"
                problems.append(Problem(where="file", what=what, mend=mend_of("file", name)))
    return _report(path, name, problems, counts, f"not looked at: {error.message}")


def _report(path: Path, name: str, problems: list[Problem], counts: dict[str, int], index: str) -> VerifyReport:
    return VerifyReport(
        session=name, path=str(path), sound=not problems, problems=tuple(problems), counts=counts, index=index
    )
