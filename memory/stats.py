"""What a memory holds, in numbers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from phronesis.memory.indexing import IndexKeeper
from phronesis.memory.ledger import FILE_NAME, Ledger
from phronesis.memory.reading import current_version, fingerprint, vector_count


class MemoryStats(BaseModel):
    """What a memory holds."""

    model_config = ConfigDict(frozen=True)

    session: str
    count: int
    """Concepts that recall can find: active and on probation."""
    active: int
    probation: int
    invalid: int
    version: int
    vectors: int
    """One per view and body version, of the memory's embedder."""
    embedder: str | None
    """Fingerprint the vectors were made with; None before the first vector."""
    index: str
    """State of the Chroma index in this process."""
    indexed: int
    """Highest vector the index holds; 0 when it is not open here."""
    bytes: int
    """Size of the ledger file, without the index."""
    path: str


def statistics(name: str, ledger: Ledger, keeper: IndexKeeper) -> MemoryStats:
    """The statistics of now; loads neither a model nor Chroma."""
    with ledger.reading() as connection:
        counts = dict(connection.execute("SELECT status, COUNT(*) FROM concepts GROUP BY status").fetchall())
        theirs = fingerprint(connection)
        index = keeper.ready()
        return MemoryStats(
            session=name,
            count=counts.get("active", 0) + counts.get("probation", 0),
            active=counts.get("active", 0),
            probation=counts.get("probation", 0),
            invalid=counts.get("invalid", 0),
            version=current_version(connection),
            vectors=0 if theirs is None else vector_count(connection, theirs[0]),
            embedder=None if theirs is None else theirs[1].short,
            index=keeper.state,
            indexed=0 if index is None else index.watermark,
            bytes=sum(path.stat().st_size for path in ledger.path.parent.glob(f"{FILE_NAME}*")),
            path=str(ledger.path),
        )
