"""A memory as one file: export and import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from phronesis.core.concept import Concept
from phronesis.core.ports import Vectors
from phronesis.memory.archive_file import FORMAT, Manifest, packed, write_archive
from phronesis.memory.importing import ImportedConcept, ImportStatus, Record, operation_of, plan, put, read_records
from phronesis.memory.opened import OpenMemory
from phronesis.memory.reading import current_version, erasures, fingerprint, stored

BATCH = 64
"""Concepts embedded between two reports of progress."""
Progress = Callable[[int, int], None]
"""Called with (concepts embedded, concepts to embed)."""


class ExportReport(BaseModel):
    """What was written."""

    model_config = ConfigDict(frozen=True)

    path: str
    session: str
    version: int
    concepts: int
    """Active and on probation."""
    invalid: int
    sha256: str
    """Of the concepts, as an import checks them."""
    bytes: int
    """Size of the file."""


class ImportReport(BaseModel):
    """What became of an archive."""

    model_config = ConfigDict(frozen=True)

    path: str
    session: str
    dry_run: bool
    repeated: bool
    """It was imported before, and nothing was done now."""
    added: int
    duplicates: int
    """Concepts that say the same word for word as one that is there."""
    version: int
    """The memory's version afterwards."""
    concepts: tuple[ImportedConcept, ...]
    """By line."""


class Archived(OpenMemory):
    """Goes out and comes in."""

    def export(
        self, path: Path | str, *, version: int | None = None, include_invalid: bool = False, overwrite: bool = False
    ) -> ExportReport:
        """Writes the concepts of a version, or of now, with evidence and statistics; erased ones never.

        The suffix chooses: ``.zip`` (manifest and checksum; name it ``x.phronesis-memory.zip``) or ``.jsonl``. The file
        appears whole or not at all; equal content makes equal bytes. Vectors do not travel. Raises ConfigurationError for
        a file that exists and for another suffix, SetupError for one that cannot be written."""
        target = Path(path)
        packed(target)
        with self._ledger.reading() as connection:
            at = self._at(version)
            gone = set(erasures(connection, after=0))
            found = [item for number, item in stored(connection, at=at).items() if number not in gone]
            theirs = fingerprint(connection)
            row = connection.execute("SELECT time FROM events WHERE version <= ? ORDER BY version DESC LIMIT 1", (at,))
            (last,) = row.fetchone() or ("",)
        valid = sum(item.status != "invalid" for item in found)
        going = [item for item in found if include_invalid or item.status != "invalid"]
        manifest = Manifest(
            format=FORMAT,
            phronesis=metadata.version("phronesis"),
            namespace=self.name,
            version=at,
            created=last,
            concepts=valid,
            invalid=len(going) - valid,
            embedder=None if theirs is None else theirs[1].short,
            sha256={},
        )
        lines = (item.model_dump_json().encode() + b"\n" for item in going)
        digest = write_archive(target, lines, manifest, overwrite=overwrite)
        return ExportReport(
            path=str(target),
            session=self.name,
            version=at,
            concepts=valid,
            invalid=len(going) - valid,
            sha256=digest,
            bytes=target.stat().st_size,
        )

    def import_(
        self,
        path: Path | str,
        *,
        dry_run: bool = False,
        status: ImportStatus = "probation",
        progress: Progress | None = None,
    ) -> ImportReport:
        """Brings an archive's concepts in, all or none, with origin ``import``. The same archive again changes nothing.

        A concept that is there word for word keeps its id and status and gains the archive's evidence. Trust is not
        imported: new ones are on probation whatever they were (unless ``status`` says ``active``, or ``archived``: as in
        the archive), and uses are not counted here. Raises ConceptStoreError for an archive with anything wrong in it,
        naming the line; nothing of it is imported then."""
        source = Path(path)
        records, reader = read_records(source)
        with self._ledger.reading() as connection:
            planned = plan(connection, records)
            known = connection.execute(
                "SELECT 1 FROM operations WHERE kind = 'import' AND id = ?", (operation_of(connection, reader.sha256),)
            ).fetchone()
        if dry_run:
            return self._import_report(source, planned, dry_run=True, repeated=known is not None)
        new = {item.line for item in planned if item.outcome == "added" and item.status != "invalid"}
        vectors = {} if known else self._embed([record for record in records if record.line in new], progress)
        with self._ledger.writing() as transaction:
            outcomes, repeated = put(
                transaction, self._search, records, sha256=reader.sha256, status=status, vectors=vectors
            )
        return self._import_report(source, outcomes, dry_run=False, repeated=repeated)

    def _embed(self, records: list[Record], progress: Progress | None) -> dict[Concept, Vectors]:
        made: dict[Concept, Vectors] = {}
        for batch in _batches(records):
            rows = self._views(batch)
            if rows is None:  # no embedder, or one that fails: filled in later
                break
            made.update(zip(batch, rows, strict=True))
            if progress is not None:
                progress(len(made), len(records))
        return made

    def _import_report(
        self, path: Path, concepts: list[ImportedConcept], *, dry_run: bool, repeated: bool
    ) -> ImportReport:
        with self._ledger.reading() as connection:
            return report(
                path,
                self.name,
                concepts,
                dry_run=dry_run,
                repeated=repeated,
                version=current_version(connection),
            )


def preview(path: Path | str, session: str) -> ImportReport:
    """The dry run of an import into a memory that does not exist yet, and is not made for it."""
    records, _ = read_records(Path(path))
    return report(Path(path), session, plan(None, records), dry_run=True, repeated=False, version=0)


def report(
    path: Path, session: str, concepts: list[ImportedConcept], *, dry_run: bool, repeated: bool, version: int
) -> ImportReport:
    """The report with its counts."""
    added = 0 if repeated else sum(item.outcome == "added" for item in concepts)
    return ImportReport(
        path=str(path),
        session=session,
        dry_run=dry_run,
        repeated=repeated,
        added=added,
        duplicates=len(concepts) - added,
        version=version,
        concepts=tuple(concepts),
    )


def _batches(records: list[Record]) -> Iterator[list[Concept]]:
    concepts = [record.concept for record in records]
    return (concepts[start : start + BATCH] for start in range(0, len(concepts), BATCH))
