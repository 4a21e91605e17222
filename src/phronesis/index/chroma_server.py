"""The same index on a Chroma server that all processes share: no lease, a time limit on every call."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from phronesis.core.errors import IndexDamaged
from phronesis.core.ports import Vectors
from phronesis.index.chroma import CollectionIndex, T, translated
from phronesis.index.fingerprint import Fingerprint

ANSWER = 3.0
"""Seconds a query may take: a search waits for it, and is exact instead when they are over."""
WORK = 20.0
"""Seconds any other call may take."""


class ChromaServerIndex(CollectionIndex):
    """One collection of a server. Several processes may fill it at once: what they write for a seq is the same vector."""

    def __init__(self, url: str, name: str, fingerprint: Fingerprint) -> None:
        """Opens or makes the collection ``name``. Raises IndexDamaged when no Chroma server answers at ``url`` in time."""
        self._url = url
        self._name = name
        client = _connected(url)
        try:
            super().__init__(client, name, fingerprint)
        except BaseException:
            _hang_up(client)
            raise

    @classmethod
    def create(cls, url: str, name: str, fingerprint: Fingerprint) -> ChromaServerIndex:
        """The collection made anew and empty. A process that still fills the old one fails and finds this one next."""
        delete_collection(url, name)
        return cls(url, name, fingerprint)

    def _do(self, call: Callable[[], T]) -> T:
        return within(WORK, call, self._url)

    def candidates(self, query: Vectors, n: int) -> list[int]:
        return within(ANSWER, lambda: [int(name) for name, _ in self._query(query, n)], self._url)

    def _mark(self, watermark: int) -> None:
        """Up only. Two processes may still cross here and leave the lower of two true marks, which costs work, not rows."""
        self.refresh()
        if watermark > self._watermark:
            super()._mark(watermark)

    def refresh(self) -> None:
        found = self._do(lambda: self._client.get_collection(self._name, embedding_function=None))
        if found.id != self._collection.id:
            raise IndexDamaged(f"the collection {self._name!r} was made anew by another process", unreachable=True)
        self._watermark = max(self._watermark, int(dict(found.metadata or {}).get("watermark", 0)))

    def abandon(self) -> None:
        _hang_up(self._client)


def collection_name(memory: str, ledger: str, fingerprint: Fingerprint) -> str:
    """Of one memory's vectors on a server; two ledgers of the same name never share one. ``ledger``: what tells it apart."""
    return f"{memory}-{hashlib.blake2b(f'{ledger} {fingerprint.key}'.encode(), digest_size=8).hexdigest()}"


def delete_collection(url: str, name: str) -> None:
    """Deletes a collection with its vectors; one that is not there is no error."""
    client = _connected(url)
    try:
        if name in within(WORK, lambda: [str(found.name) for found in client.list_collections()], url):
            within(WORK, lambda: client.delete_collection(name), url)
    finally:
        _hang_up(client)


def _connected(url: str) -> Any:
    with translated():
        import chromadb
        from chromadb.config import Settings
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return within(
        WORK,
        lambda: chromadb.HttpClient(
            host=parts.hostname or "",
            port=parts.port or (443 if secure else 80),
            ssl=secure,
            settings=Settings(anonymized_telemetry=False),
        ),
        url,
        late=_hang_up,
    )


def _hang_up(client: Any) -> None:
    """Closes the client and its connections, which Chroma 1.5 leaves open."""
    with translated():
        parts = (client, getattr(client, "_admin_client", None))
        sessions = [getattr(getattr(part, "_server", None), "_session", None) for part in parts]
        client.close()
        for session in sessions:
            if session is not None:
                session.close()


def within(seconds: float, call: Callable[[], T], url: str, *, late: Callable[[T], None] | None = None) -> T:
    """What ``call`` returns, or IndexDamaged when it fails or takes longer; ``details["unreachable"]`` is true unless the
    collection itself is sick: then it need not be made anew.

    Chroma's HTTP client waits for ever. A call that is given up goes on in its thread until the server lets go of it;
    ``late`` then gets what it returns."""
    done: list[T] = []
    failed: list[BaseException] = []
    lock = threading.Lock()
    given_up = False

    def work() -> None:
        try:
            result = call()
        except BaseException as error:
            failed.append(error)
            return
        with lock:
            done.append(result)
            if given_up and late is not None:
                late(result)

    thread = threading.Thread(target=work, name="phronesis-chroma", daemon=True)
    thread.start()
    thread.join(seconds)
    with lock:
        if done:
            return done[0]
        given_up = True
    mend = "start it (chroma run --path FOLDER), or unset PHRONESIS_CHROMA_URL; until then search is exact"
    if not failed:
        raise IndexDamaged(f"Chroma server {url} did not answer within {seconds:g} s", mend=mend, unreachable=True)
    error = failed[0]
    # A collection that is gone was deleted by another process, which makes it anew.
    sick = type(error).__module__.startswith("chromadb.") and type(error).__name__ != "NotFoundError"
    reason = f"{type(error).__name__}: {error}"
    raise IndexDamaged(f"Chroma server {url} failed: {reason}", mend=mend, unreachable=not sick) from error
