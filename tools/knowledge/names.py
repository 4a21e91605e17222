"""Where knowledge bases lie and what they may be called."""

from __future__ import annotations

import re
from pathlib import Path

from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import Settings

FILE_NAME = "kb.sqlite3"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def knowledge_base_folder(settings: Settings, name: str) -> Path:
    """The folder of a knowledge base in the home. Raises ConfigurationError for a name that is no such thing."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise ConfigurationError(
            f"knowledge base name {name!r} is not allowed",
            mend="use 1 to 64 letters (a-z), digits, '.', '_' and '-', starting with a letter or digit, without '..'",
        )
    return settings.home / "kb" / name


def knowledge_base_names(settings: Settings) -> list[str]:
    """The knowledge bases of this home, by name."""
    folder = settings.home / "kb"
    return sorted(path.parent.name for path in folder.glob(f"*/{FILE_NAME}")) if folder.is_dir() else []
