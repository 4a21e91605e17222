"""Draws the graphs of docs/*.md from the code, between ``<!-- graph: NAME -->`` and ``<!-- end -->`` (``make docs``)."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from phronesis.core.chat import Sampling
from phronesis.graphs.refinement.refine_chain import build_chain
from phronesis.graphs.registry import SHIPPED, find

HERE = Path(__file__).parent
_PLACE = re.compile(r"(<!-- graph: ([\w.]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def _graph(name: str) -> Any:
    if name == "magicore.refine":
        sampling = Sampling()
        return build_chain(
            sampling=sampling,
            review_sampling=sampling,
            logprobs=1,
            outcome="self_certainty",
            steps="arithmetic",
            reduce="prod",
        )
    strategy = find(name)
    return strategy.build(strategy.knobs())


def drawn(name: str) -> str:
    """The Mermaid drawing of a strategy's graph, or of one branch of it (``magicore.refine``)."""
    return f"```mermaid\n{_graph(name).get_graph().draw_mermaid(with_styles=False).strip()}\n```\n"


def renewed(text: str) -> str:
    """The page with every drawing made again."""
    return _PLACE.sub(lambda match: match[1] + drawn(match[2]) + match[3], text)


def main() -> int:
    """Rewrites the pages that changed; names them."""
    for page in sorted(HERE.glob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = renewed(old)
        if new != old:
            page.write_text(new, encoding="utf-8")
            print(f"drawn again: {page.name}")
    return 0


if __name__ == "__main__":
    assert SHIPPED
    sys.exit(main())
