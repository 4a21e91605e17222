"""Model files from the Hugging Face hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from phronesis.core.errors import ModelMissing
from phronesis.models.catalogue import ModelEntry

PATIENCE = 5.0
"""Seconds to wait for the hub's first word before another source is tried."""


def hub_download(entry: ModelEntry, folder: Path) -> None:
    """Puts the entry's files into ``folder``. Raises ModelMissing with the reason.

    Size and sha256 are compared with what the hub announces before anything is downloaded."""
    if entry.hub is None:
        raise ModelMissing("the catalogue names no repository for it")
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    except ImportError:
        raise ModelMissing("huggingface_hub is not installed") from None
    repo = entry.hub.repo
    try:
        seen = get_hf_file_metadata(hf_hub_url(repo, entry.hub.files[0]), timeout=PATIENCE)
        _compare(entry, seen.size, seen.etag)
        for name in entry.hub.files:
            hf_hub_download(repo, name, local_dir=folder, etag_timeout=PATIENCE)
    except (ModelMissing, MemoryError):
        raise
    # The library raises errors of three HTTP packages and its own; here each of them means "not from the hub".
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise ModelMissing(f"{repo}: {type(error).__name__}: {lines[0]}") from None
    finally:
        shutil.rmtree(folder / ".cache", ignore_errors=True)


def _compare(entry: ModelEntry, size: int | None, etag: str | None) -> None:
    assert entry.hub is not None
    if size is not None and size != entry.bytes:
        raise ModelMissing(f"{entry.hub.repo} has {size} bytes, the catalogue {entry.bytes}")
    if etag is not None and len(etag) == 64 and etag != entry.sha256:
        raise ModelMissing(f"{entry.hub.repo} has sha256 {etag}, the catalogue {entry.sha256}")
