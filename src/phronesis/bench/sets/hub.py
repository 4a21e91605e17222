"""Data sets from the Hugging Face hub: one file per set, kept in the home folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from phronesis.bench.sets.adapter import Fields
from phronesis.bench.sets.files import read_rows
from phronesis.bench.sets.row import Row
from phronesis.core.errors import ConfigurationError

_PATIENCE = 10.0
"""Seconds to wait for the hub's first word."""


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """Where the hub has a set."""

    repo: str
    file: str
    fields: Callable[[Fields, int], Fields]
    """Our fields of a row, from the hub's and its index from 0. Raises KeyError."""
    revision: str = "main"


def kept(source: HubFile, folder: Path) -> bool:
    """Whether the file was fetched before."""
    return (folder / source.file).is_file()


def fetched(source: HubFile, folder: Path) -> Path:
    """The file in the folder, downloaded when it is not there. Raises ConfigurationError when the hub does not give it."""
    path = folder / source.file
    if path.is_file():
        return path
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    except ImportError:
        raise ConfigurationError("huggingface_hub is not installed (pip install 'phronesis[bench]')") from None
    try:
        # The download asks five times when nobody answers; this asks once.
        url = hf_hub_url(source.repo, source.file, repo_type="dataset", revision=source.revision)
        get_hf_file_metadata(url, timeout=_PATIENCE)
        found = hf_hub_download(
            source.repo,
            source.file,
            repo_type="dataset",
            revision=source.revision,
            local_dir=folder,
            etag_timeout=_PATIENCE,
        )
    # The library raises errors of three HTTP packages and its own; here each of them means "not from the hub".
    except Exception as error:
        said = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise ConfigurationError(f"the hub gives no {source.repo}: {said}", mend="go online once") from None
    return Path(found)


def hub_rows(source: HubFile, path: Path) -> list[Row]:
    """The rows of a fetched file with our fields. Raises ConfigurationError when the file is not of the known shape."""
    rows = []
    for index, row in enumerate(read_rows(path)):
        try:
            rows.append(Row(source.fields(row.fields, index), row.number, row.where))
        except (KeyError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{row.where}: not the known shape of {source.repo}: {error!r}", mend=f"delete {str(path)!r}"
            ) from None
    return rows


def _gsm8k(split: str) -> HubFile:
    def fields(row: Fields, index: int) -> Fields:
        rationale, _, answer = str(row["answer"]).rpartition("####")
        return {
            "id": f"gsm8k-{split}-{index}",
            "question": row["question"],
            "answer": answer.strip().replace(",", ""),
            "rationale": rationale.strip(),
            "n_steps": len(re.findall("<<", rationale)),
        }

    return HubFile(repo="openai/gsm8k", file=f"main/{split}-00000-of-00001.parquet", fields=fields)


HUB: dict[str, HubFile] = {
    "gsm8k": _gsm8k("test"),
    "gsm8k_train": _gsm8k("train"),
    "math500": HubFile(
        repo="HuggingFaceH4/MATH-500",
        file="test.jsonl",
        fields=lambda row, _: {**row, "id": row["unique_id"], "question": row["problem"]},
    ),
    "humaneval": HubFile(
        repo="openai/openai_humaneval",
        file="openai_humaneval/test-00000-of-00001.parquet",
        fields=lambda row, _: {**row, "id": row["task_id"], "question": row["prompt"]},
    ),
    "mbpp": HubFile(
        repo="google-research-datasets/mbpp",
        file="sanitized/test-00000-of-00001.parquet",
        fields=lambda row, _: {**row, "id": f"mbpp-{row['task_id']}", "question": row["prompt"]},
    ),
}
"""Known sets that the hub has in one file."""
