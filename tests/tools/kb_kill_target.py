"""The process that test_kb_kills.py kills: adds a folder to a knowledge base and prints each file once it is durable.

Arguments: the folder, and the word ``slow`` for an embedder that says when it begins a batch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from phronesis.core.ports import Vectors
from phronesis.index.embedders import HashEmbedder
from phronesis.tools.knowledge.base import KnowledgeBase


class Telling(HashEmbedder):
    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        print(f"embedding {len(texts)}", flush=True)
        return super().embed_documents(texts)


def main(folder: str) -> None:
    with KnowledgeBase.open("kb", embedder=Telling()) as base:
        report = base.add(folder, told=lambda source, outcome: print(f"{outcome} {source}", flush=True))
    print(f"done {report.added} {report.unchanged} {len(report.problems)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
