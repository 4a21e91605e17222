"""A small real knowledge base in the test's home, for strategies and tools that search documents."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson

from phronesis.core.settings import load_settings
from phronesis.tools.knowledge.base import KnowledgeBase


def documents(texts: Mapping[str, str | tuple[str, str]]) -> str:
    """The name of a knowledge base of these passages: id to text, or to (title, text). Equal ones have one name.

    Each passage is found under its own id; the hashing embedder makes the ranks those of shared words."""
    rows = []
    for id, said in texts.items():
        title, text = said if isinstance(said, tuple) else ("", said)
        rows.append({"id": id, "title": title, "text": text})
    lines = b"".join(orjson.dumps(row) + b"\n" for row in rows)
    name = f"toy-{hashlib.blake2b(lines, digest_size=6).hexdigest()}"
    settings = load_settings()
    file = settings.home / "toy" / f"{name}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(lines)
    with KnowledgeBase.open(name, settings=settings) as base:
        report = base.add(file)
    assert not report.problems, report.problems
    return name
