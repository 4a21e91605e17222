"""A memory with others mounted beside it: recall reads all of them, everything that is written goes to the own one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from phronesis.core.concept import Concept, Hit, StoredConcept
from phronesis.core.errors import ConfigurationError
from phronesis.core.ports import Embedder
from phronesis.core.result import MemoryWrite
from phronesis.core.settings import Settings, load_settings
from phronesis.memory.reading import bodies_without_vectors, fingerprint_id
from phronesis.memory.session import Memory, names


class MountedMemory:
    """A ConceptMemory over one writable memory and read-only mounts, each pinned to a version.

    Mounts are never written to: no use is counted there, no vector is added, their folders may be read-only. A concept of
    a mount has the id ``its-name/c17``."""

    def __init__(self, own: Memory, mounts: Mapping[str, Memory], versions: Mapping[str, int]) -> None:
        """Use ``open``. Closing it closes all of them."""
        self.own = own
        self._mounts = dict(mounts)
        self._versions = {name: mount.resolve(versions.get(name, mount.version())) for name, mount in mounts.items()}
        self._notes = [
            f"mount {name}: some concepts have no vectors and are found by their words alone"
            for name, mount in mounts.items()
            if lacks_vectors(mount)
        ]

    @classmethod
    def open(
        cls,
        name: str,
        mounts: Sequence[str],
        *,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        versions: Mapping[str, int] | None = None,
    ) -> Self:
        """The memory ``name``, made if need be, with the mounts at these versions, or at the ones of now.

        Raises ConfigurationError for a mount that does not exist, comes twice or is the memory itself; what
        ``Memory.open`` raises, EmbedderMismatch for a mount whose vectors another embedder made among it."""
        settings = load_settings() if settings is None else settings
        check_mounts(name, mounts)
        for mount in mounts:
            if mount not in (known := names(settings)):
                others = ", ".join(other for other in known if other != name) or "none"
                raise ConfigurationError(
                    f"cannot mount {mount!r}: there is no such memory in {str(settings.memory)!r}",
                    mend=f"known: {others}",
                )
        with ExitStack() as opened:
            own = opened.enter_context(Memory.open(name, settings=settings, embedder=embedder))
            found = {
                mount: opened.enter_context(
                    Memory.open(mount, settings=settings, embedder=own.embedder, read_only=True)
                )
                for mount in mounts
            }
            made = cls(own, found, versions or {})
            opened.pop_all()
            return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the memory and its mounts."""
        with ExitStack() as closing:
            for memory in (self.own, *self._mounts.values()):
                closing.callback(memory.close)

    @property
    def name(self) -> str:
        return self.own.name

    @property
    def degraded(self) -> str | None:
        """What recall does less well than it could, here or in a mount; None = nothing."""
        found = [] if self.own.degraded is None else [self.own.degraded]
        for name, mount in self._mounts.items():
            if mount.degraded not in (None, self.own.degraded):
                found.append(f"mount {name}: {mount.degraded}")
        return "; ".join(found + self._notes) or None

    def version(self) -> int:
        """Version of the own memory now."""
        return self.own.version()

    def versions(self) -> dict[str, int]:
        """The pinned version of each mount."""
        return dict(self._versions)

    def get(self, id: str) -> StoredConcept:
        """The concept as it is now, by its id here. Raises ConceptStoreError that names an unknown id."""
        name, _, bare = id.rpartition("/")
        if name not in self._mounts:
            return self.own.get(id)
        return self._mounts[name].get(bare).model_copy(update={"id": id})

    def recall(self, query: str, *, k: int, version: int | None = None, **options: Any) -> list[Hit]:
        """The k best of all memories; ``version`` is of the own one, ``options`` are those of ``Memory.recall``.

        Each memory gives its k best in its own order; the one whose next hit has the highest score goes first, ties: the
        own memory, then the mounts in order. What a memory further to the front says word for word is left out."""
        lists = [self.own.recall(query, k=k, version=version, **options)]
        seen = {hit.concept.content_hash for hit in lists[0]}
        for name, mount in self._mounts.items():
            hits = mount.recall(query, k=k, version=self._versions[name], **options)
            new = [hit for hit in hits if hit.concept.content_hash not in seen]
            seen |= {hit.concept.content_hash for hit in new}
            lists.append([hit.model_copy(update={"id": f"{name}/{hit.id}"}) for hit in new])
        return merged(lists, k)

    def write(self, concepts: Sequence[Concept], **options: Any) -> list[MemoryWrite]:
        """``Memory.write`` of the own memory."""
        return self.own.write(concepts, **options)

    def named(self, names: Sequence[str], *, version: int | None = None) -> dict[str, Concept]:
        """``Memory.named`` of the own memory."""
        return self.own.named(names, version=version)

    def vocabulary(self, *, token_budget: int, version: int | None = None) -> str:
        """``Memory.vocabulary`` of the own memory: nothing of a mount can be extended."""
        return self.own.vocabulary(token_budget=token_budget, version=version)

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        """``Memory.record_use`` of the own memory: mounts do not count."""
        self.own.record_use(ids, accepted=accepted, operation=operation)


def check_mounts(name: str, mounts: Sequence[str]) -> None:
    """Raises ConfigurationError for a mount that comes twice or is the memory itself."""
    for place, mount in enumerate(mounts):
        if mount == name:
            raise ConfigurationError(f"memory {name!r} cannot be mounted in itself", mend="mount another one")
        if mount in mounts[:place]:
            raise ConfigurationError(f"memory {mount!r} is mounted twice", mend="mount it once")


def lacks_vectors(mount: Memory) -> bool:
    """Whether dense search misses anything in a memory that has an embedder: what is only read is not filled in."""
    if mount.embedder is None:
        return False
    with mount._ledger.reading() as connection:
        return bool(bodies_without_vectors(connection, fingerprint_id(connection) or 0, after=0, limit=1))


def merged(lists: Sequence[Sequence[Hit]], k: int) -> list[Hit]:
    """The first k of several lists; each keeps its order, the list whose head scores highest goes first, ties by list."""
    heads = [0] * len(lists)
    found: list[Hit] = []
    while len(found) < k:
        left = [place for place, head in enumerate(heads) if head < len(lists[place])]
        if not left:
            break
        best = max(left, key=lambda place: (lists[place][heads[place]].score, -place))
        found.append(lists[best][heads[best]])
        heads[best] += 1
    return found
