"""Where a memory's Chroma index lies: in its folder, under a lease, or on a server that all processes share."""

from __future__ import annotations

import os
import shutil

from phronesis.core.errors import IndexDamaged
from phronesis.index import chroma
from phronesis.index.chroma import ChromaIndex, CollectionIndex
from phronesis.index.chroma_server import ChromaServerIndex, collection_name, delete_collection
from phronesis.index.fingerprint import Fingerprint
from phronesis.index.lease import Lease
from phronesis.memory.ledger import Ledger

HELD = "another process holds the index"


class FolderPlace:
    """The memory's own folder: one process at a time, the holder of the lease."""

    def __init__(self, ledger: Ledger) -> None:
        self.folder = ledger.path.parent / "index"
        self._lease: Lease | None = None

    def take(self) -> str | None:
        """Why this process may not open the index; None = it may, until ``release``."""
        if self._lease is None:
            try:
                self._lease = Lease.take(self.folder.with_suffix(".lock"))
            except OSError as error:
                return f"no index lease: {error}"
        return HELD if self._lease is None else None

    def exists(self) -> bool:
        return any(self.folder.glob("g*"))

    def broken(self) -> str | None:
        """Why it would not even be opened."""
        return chroma.seal_problem(self.folder)

    def open(self, fingerprint: Fingerprint) -> CollectionIndex:
        return ChromaIndex.open(self.folder, fingerprint)

    def create(self, fingerprint: Fingerprint) -> CollectionIndex:
        return ChromaIndex.create(self.folder, fingerprint)

    def discard(self) -> str | None:
        """Deletes it with all its generations; why it could not, or None."""
        if not self.folder.exists():
            return None
        held = self._lease is not None
        try:
            why = self.take()
            if why is None:
                shutil.rmtree(self.folder)
            return why
        except OSError as error:
            return str(error)
        finally:
            if not held:
                self.release()

    def release(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None


class ServerPlace:
    """A Chroma server: every process may read and fill it."""

    def __init__(self, ledger: Ledger, url: str) -> None:
        self._ledger = ledger
        self._url = url

    def take(self) -> str | None:
        return None

    def exists(self) -> bool:
        return True

    def broken(self) -> str | None:
        return None

    def open(self, fingerprint: Fingerprint) -> CollectionIndex:
        return ChromaServerIndex(self._url, self._name(fingerprint), fingerprint)

    def create(self, fingerprint: Fingerprint) -> CollectionIndex:
        return ChromaServerIndex.create(self._url, self._name(fingerprint), fingerprint)

    def discard(self) -> str | None:
        with self._ledger.reading() as connection:
            fingerprints = [
                Fingerprint.model_validate_json(body) for (body,) in connection.execute("SELECT body FROM fingerprints")
            ]
        try:
            for fingerprint in fingerprints:
                delete_collection(self._url, self._name(fingerprint))
        except IndexDamaged as error:
            return error.message
        return None

    def release(self) -> None:
        pass

    def _name(self, fingerprint: Fingerprint) -> str:
        """The ledger's own id tells it from others of its name, the file's number from copies of it."""
        with self._ledger.reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = 'id'").fetchone()
        file = os.stat(self._ledger.path).st_ino
        return collection_name(self._ledger.path.parent.name, f"{'' if row is None else row[0]} {file}", fingerprint)
