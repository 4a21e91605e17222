"""Renews what docs/*.md show of the code, between a mark and ``<!-- end -->`` (``make docs``).

``<!-- graph: NAME -->`` draws a strategy's graph, ``<!-- file: PATH -->`` shows a file, and ``<!-- output: COMMAND -->`` what
phronesis prints; paths and commands stand under docs/examples/.
"""

from __future__ import annotations

import io
import re
import shlex
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from phronesis.agents.scorers.table import choose_scorer
from phronesis.cli.main import main as phronesis
from phronesis.core.chat import Sampling
from phronesis.graphs.refinement.refine_chain import build_chain
from phronesis.graphs.registry import SHIPPED, find

HERE = Path(__file__).parent
EXAMPLES = HERE / "examples"
_PLACE = re.compile(r"(<!-- (graph|file|output): ([^\n]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_FENCES = {".py": "py", ".toml": "ini"}
"""Not ``python`` and ``toml``: what stands in those the documentation's tests run by itself."""


def _graph(name: str) -> Any:
    if name == "magicore.refine":
        sampling = Sampling()
        return build_chain(
            sampling=sampling,
            review_sampling=sampling,
            logprobs=1,
            outcome=choose_scorer("self_certainty"),
            steps=choose_scorer("arithmetic"),
            reduce="prod",
        )
    strategy = find(name)
    return strategy.build(strategy.knobs())


def drawn(name: str) -> str:
    """The Mermaid drawing of a strategy's graph, or of one branch of it (``magicore.refine``)."""
    return f"```mermaid\n{_graph(name).get_graph().draw_mermaid(with_styles=False).strip()}\n```\n"


def written(path: str) -> str:
    """A file as it stands."""
    file = EXAMPLES / path
    return f"```{_FENCES[file.suffix]}\n{file.read_text(encoding='utf-8')}```\n"


def printed(command: str) -> str:
    """A command of ours and what it prints, errors too."""
    output, words = io.StringIO(), sys.argv
    with chdir(EXAMPLES), redirect_stdout(output), redirect_stderr(output):
        try:
            sys.argv = ["phronesis", *shlex.split(command)]
            phronesis()
        except SystemExit:
            pass
        finally:
            sys.argv = words
    return f"```console\n$ phronesis {command}\n{output.getvalue().rstrip()}\n```\n"


_SHOWN = {"graph": drawn, "file": written, "output": printed}


def renewed(text: str) -> str:
    """The page with everything that is shown made again."""
    return _PLACE.sub(lambda match: f"{match[1]}{_SHOWN[match[2]](match[3])}{match[4]}", text)


def main() -> int:
    """Rewrites the pages that changed; names them."""
    for page in sorted(HERE.glob("*.md")):
        old = page.read_text(encoding="utf-8")
        new = renewed(old)
        if new != old:
            page.write_text(new, encoding="utf-8")
            print(f"renewed: {page.name}")
    return 0


if __name__ == "__main__":
    assert SHIPPED
    sys.exit(main())
