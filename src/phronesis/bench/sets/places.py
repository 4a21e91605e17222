"""Where the rows of a known set lie: the user's data folder, else the hub."""

from __future__ import annotations

from pathlib import Path

from phronesis.bench.sets.files import data_file, read_rows
from phronesis.bench.sets.generated import generator_names
from phronesis.bench.sets.hub import HUB, fetched, hub_rows, kept
from phronesis.bench.sets.row import Row
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import Settings


def known_rows(name: str, settings: Settings) -> tuple[list[Row], Path]:
    """The rows of a known set and the folder they lie in: of the data folder, else as fetched from the hub.

    Raises ConfigurationError that says how to give the data when neither has it."""
    own = _own_folder(name, settings)
    if own is not None:
        return read_rows(own), data_file(own).parent
    tried = f"no folder {name!r} in {str(settings.data)!r}" if settings.data else "PHRONESIS_DATA is not set"
    if name in HUB:
        try:
            path = fetched(HUB[name], settings.home / "data" / name)
        except ConfigurationError as error:
            tried += f"; {error.message}"
        else:
            return hub_rows(HUB[name], path), path.parent
    also = f", or generate one: {name}(n=40)" if name in generator_names() else ""
    mend = f"set PHRONESIS_DATA to a folder that holds {name}/dev.jsonl{also}"
    raise ConfigurationError(f"the data of {name!r} are not here: {tried}", mend=mend)


def place(name: str, settings: Settings) -> str:
    """Where a known set would come from: a path, ``hub``, or empty when it is nowhere. Fetches nothing."""
    own = _own_folder(name, settings)
    if own is not None:
        return str(own)
    if name not in HUB:
        return ""
    folder = settings.home / "data" / name
    return str(folder / HUB[name].file) if kept(HUB[name], folder) else "hub"


def _own_folder(name: str, settings: Settings) -> Path | None:
    folder = settings.data / name if settings.data is not None else None
    return folder if folder is not None and folder.is_dir() else None
