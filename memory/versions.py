"""Versions of a memory: snapshots, differences, going back, branches."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from phronesis.core.errors import ConfigurationError
from phronesis.memory.branching import branch
from phronesis.memory.differences import MemoryDiff
from phronesis.memory.ledger import check_name, namespace_folder
from phronesis.memory.opened import OpenMemory
from phronesis.memory.reading import LedgerEvent, current_version, last_events
from phronesis.memory.restoring import compare, restore

Reference = int | str
"""A version: its number, or the name of a snapshot."""


class Snapshot(BaseModel):
    """A name for a version."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: int
    created: str
    """UTC time at which the name was given, ISO 8601."""
    note: str = ""


# ``list`` is a method of Memory, so the builtin is named here.
Snapshots = list[Snapshot]
Events = list[LedgerEvent]


class Versioned(OpenMemory):
    """Names, compares and brings back versions. A version is a number or the name of a snapshot."""

    def snapshot(self, name: str, note: str = "") -> Snapshot:
        """Names the version of now. A name is given once; the same name for the same version changes nothing.

        Raises ConfigurationError for a name that is not allowed or stands for another version."""
        check_name(name, what="snapshot name")
        if name.isdecimal():
            raise ConfigurationError(f"snapshot name {name!r} reads as a version", mend="put a letter into it")
        with self._ledger.writing() as transaction:
            now = current_version(transaction.connection)
            known = self._snapshot(name)
            if known is None:
                transaction.connection.execute(
                    "INSERT INTO snapshots (name, version, time, note) VALUES (?, ?, ?, ?)",
                    (name, now, transaction.now, note),
                )
                return Snapshot(name=name, version=now, created=transaction.now, note=note)
        if known.version != now:
            raise ConfigurationError(
                f"snapshot {name!r} of memory {self.name!r} is version {known.version}, not {now}",
                mend=f"choose another name, or drop it first: phronesis memory snapshot {name} --drop",
            )
        return known

    def snapshots(self) -> Snapshots:
        """All of them, by version, then name."""
        with self._ledger.reading() as connection:
            rows = connection.execute(
                "SELECT name, version, time, note FROM snapshots ORDER BY version, name"
            ).fetchall()
        return [Snapshot(name=name, version=version, created=time, note=note) for name, version, time, note in rows]

    def drop_snapshot(self, name: str) -> None:
        """Takes a name back; the version stays. Raises ConfigurationError for an unknown name."""
        with self._ledger.writing() as transaction:
            if transaction.connection.execute("DELETE FROM snapshots WHERE name = ?", (name,)).rowcount:
                return
        raise self._unknown(name)

    def resolve(self, ref: Reference) -> int:
        """The version that a number, its digits or a snapshot's name stands for.

        Raises ConfigurationError for a version that does not exist and for an unknown name."""
        if isinstance(ref, int) or ref.removeprefix("-").isdecimal():
            return self._at(int(ref))
        known = self._snapshot(ref)
        if known is None:
            raise self._unknown(ref)
        return known.version

    def diff(self, before: Reference, after: Reference) -> MemoryDiff:
        """What became of the concepts between two versions, which may stand in either order."""
        one, two = self.resolve(before), self.resolve(after)
        with self._ledger.reading() as connection:
            return compare(connection, one, two)

    def restore(self, ref: Reference, *, operation: str | None = None, dry_run: bool = False) -> MemoryDiff:
        """Makes every concept say what it said at the version, and have the status it had; what was changed for that.

        Nothing is taken back, the changes are new ones: concepts that came later become invalid, invalid ones return.
        Afterwards ``diff(ref, version())`` is empty but for ``erased``: an erased concept stays erased. Uses, evidence,
        snapshots and proposals stay as they are. Once per operation id. ``dry_run``: only says what would change;
        ``after`` is then the version gone back to."""
        version = self.resolve(ref)
        if dry_run:
            with self._ledger.reading() as connection:
                return compare(connection, current_version(connection), version)
        views = None if self._search is None else self._views
        return restore(self._ledger, self._search, version, views=views, operation=operation)

    def branch(self, new_name: str, at: Reference | None = None, *, root: Path | None = None) -> Path:
        """Makes a new memory that equals this one at a version, or now, and is independent from then on; its folder.
        ``root``: the memory folder it is made in; None = where this one lies.

        It is a whole copy in which that version was restored, so it has the same ids, all of the history, and an event
        ``branched`` after it. A kill leaves no half memory. Raises ConfigurationError for a name that is taken or not
        allowed."""
        version = self._at(None) if at is None else self.resolve(at)
        folder = namespace_folder(root or self.folder.parent, new_name)
        branch(self._ledger, folder, name=self.name, version=version)
        return folder

    def changes(self, *, limit: int = 20, since: Reference = 0) -> Events:
        """The last changes of the whole memory after a version, oldest first."""
        if limit < 1:
            raise ConfigurationError(f"limit = {limit} is below 1", mend="ask for at least one change")
        version = self.resolve(since)
        with self._ledger.reading() as connection:
            return last_events(connection, since=version, limit=limit)

    def _snapshot(self, name: str) -> Snapshot | None:
        return next((known for known in self.snapshots() if known.name == name), None)

    def _unknown(self, name: str) -> ConfigurationError:
        known = [snapshot.name for snapshot in self.snapshots()]
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"snapshots: {', '.join(known) or 'none'}; or give a number"
        return ConfigurationError(f"memory {self.name!r} has no snapshot {name!r}", mend=hint)
