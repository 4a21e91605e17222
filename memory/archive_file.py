"""A memory as a file: one JSON object a line, plain (``.jsonl``) or in a ZIP with a manifest (``.zip``).

An archive may come from anywhere. Nothing of it is ever extracted: two members with fixed names are read, in pieces, up to
fixed limits. Equal content makes equal bytes.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from phronesis.core.errors import ConceptStoreError, ConfigurationError, SetupError

FORMAT = "phronesis/memory/1"
MANIFEST = "manifest.json"
CONCEPTS = "concepts.jsonl"
MOST_TOTAL = 512 * 2**20
"""Largest file of concepts, unpacked, in bytes."""
MOST_LINE = 4 * 2**20
"""Longest line: a concept with its evidence."""
MOST_MANIFEST = 2**20
MOST_RATIO = 200
"""Highest compression that is believed; exports reach about 50."""
_SMALL = 2**20
"""Bytes up to which the compression does not matter."""
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
"""What zipfile raises for files that are no archives, or no whole ones."""


class Manifest(BaseModel):
    """What an archive says of itself."""

    model_config = ConfigDict(frozen=True)

    format: str
    phronesis: str
    """Version that wrote it."""
    namespace: str
    """Name of the memory it came from."""
    version: int
    """The memory's version that it holds."""
    created: str
    """Time of that version's last change, so that equal content makes equal archives; UTC, ISO 8601."""
    concepts: int
    """Valid ones, active and on probation."""
    invalid: int
    embedder: str | None
    """Fingerprint of the memory's vectors, for people: vectors do not travel."""
    sha256: dict[str, str]
    """Of each other member, in hexadecimal digits."""


def packed(path: Path) -> bool:
    """Whether the name asks for a ZIP. Raises ConfigurationError for a name that asks for nothing known."""
    if path.suffix.lower() not in (".zip", ".jsonl"):
        raise ConfigurationError(
            f"cannot tell the format of {str(path)!r}", mend="use a name that ends in .phronesis-memory.zip or .jsonl"
        )
    return path.suffix.lower() == ".zip"


@contextmanager
def _new_file(path: Path, *, overwrite: bool) -> Iterator[IO[bytes]]:
    """A file that takes its name when it is whole and on disk."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        _refuse_existing(path, overwrite=overwrite)
        try:
            with aside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _refuse_existing(path, overwrite=overwrite)
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(
            f"cannot write {str(path)!r}: {error.strerror or error}", mend="check the folder, its rights and space"
        ) from error


def _refuse_existing(path: Path, *, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        raise ConfigurationError(
            f"{str(path)!r} exists", mend="choose another name, or allow overwriting (--overwrite)"
        )


def write_archive(path: Path, lines: Iterable[bytes], manifest: Manifest, *, overwrite: bool) -> str:
    """Writes the file; the sha256 of its concepts. The manifest's sha256 is filled in, and left out of plain files."""
    digest = hashlib.sha256()
    with _new_file(path, overwrite=overwrite) as file:
        if not packed(path):
            for line in lines:
                digest.update(line)
                file.write(line)
            return digest.hexdigest()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open(_member(CONCEPTS), "w", force_zip64=True) as member:
                for line in lines:
                    digest.update(line)
                    member.write(line)
            found = manifest.model_copy(update={"sha256": {CONCEPTS: digest.hexdigest()}})
            archive.writestr(_member(MANIFEST), found.model_dump_json(indent=2) + "\n")
    return digest.hexdigest()


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
    return info


class ArchiveReader:
    """Reads an archive once: iterate for its lines, then look at ``manifest`` and ``sha256``.

    Raises ConceptStoreError for whatever is wrong with the file, ConfigurationError for one that cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest: Manifest | None = None
        """None for a plain file."""
        self.sha256 = ""

    def refuse(
        self, what: str, *, mend: str = "get the archive again, or correct the line; nothing was imported"
    ) -> ConceptStoreError:
        """The error that names the file."""
        return ConceptStoreError(f"{str(self.path)!r}: {what}", mend=mend)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """(line number from 1, line), without empty lines. The checksum is compared behind the last one."""
        zipped = packed(self.path)
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise ConfigurationError(f"cannot read {str(self.path)!r}: {error}", mend="check the path") from None
        with file:
            yield from self._unpacked(file) if zipped else self._lines(file)

    def _unpacked(self, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        try:
            with zipfile.ZipFile(file) as archive:
                self._check_members(archive)
                self.manifest = manifest = self._read_manifest(archive)
                with archive.open(CONCEPTS) as member:
                    yield from self._lines(member)
        except _BROKEN as error:
            raise self.refuse(f"no readable ZIP archive: {error}") from None
        if manifest.sha256.get(CONCEPTS) != self.sha256:
            raise self.refuse(f"{CONCEPTS} is not what the manifest says: its sha256 is {self.sha256}")

    def _lines(self, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        digest, total, number = hashlib.sha256(), 0, 0
        while line := file.readline(MOST_LINE + 1):
            number += 1
            total += len(line)
            digest.update(line)
            if len(line) > MOST_LINE:
                raise self.refuse(f"line {number} is longer than {MOST_LINE:,} bytes")
            if total > MOST_TOTAL:
                raise self.refuse(f"more than {MOST_TOTAL:,} bytes of concepts", mend="split it")
            if line.strip():
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        self.sha256 = digest.hexdigest()

    def _check_members(self, archive: zipfile.ZipFile) -> None:
        seen = set()
        for info in archive.infolist():
            name = info.orig_filename
            if name not in (MANIFEST, CONCEPTS) or stat.S_ISLNK(info.external_attr >> 16):
                raise self.refuse(f"unexpected member {name!r}; a memory has {MANIFEST} and {CONCEPTS}, as files")
            if name in seen:
                raise self.refuse(f"the member {name!r} is there twice")
            seen.add(name)
            most = MOST_MANIFEST if name == MANIFEST else MOST_TOTAL
            if info.file_size > most:
                raise self.refuse(f"{name} takes {info.file_size:,} bytes unpacked, {most:,} are allowed")
            if info.file_size > _SMALL and info.file_size > MOST_RATIO * info.compress_size:
                raise self.refuse(f"{name} is packed {info.file_size // max(1, info.compress_size)} to 1: a ZIP bomb")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise self.refuse(f"{name} is packed with method {info.compress_type}")
        for name in (MANIFEST, CONCEPTS):
            if name not in seen:
                raise self.refuse(f"the member {name!r} is missing", mend="is this a memory archive?")

    def _read_manifest(self, archive: zipfile.ZipFile) -> Manifest:
        with archive.open(MANIFEST) as member:
            text = member.read(MOST_MANIFEST + 1)
        try:
            format = _Format.model_validate_json(text).format
            if format != FORMAT:
                raise self.refuse(f"format {format[:40]!r}; this phronesis reads {FORMAT}", mend="upgrade phronesis")
            return Manifest.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise self.refuse(f"{MANIFEST}: {'.'.join(map(str, first['loc']))} {first['msg']}") from None


class _Format(BaseModel):
    format: str
