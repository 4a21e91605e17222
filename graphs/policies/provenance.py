"""Keeps what came out of the memory away from those who write into it."""

from __future__ import annotations

import re
from collections.abc import Iterable

LEAST_WORDS = 4
"""Shorter quotations are ordinary language, not quotations."""
LEFT_OUT = "[...]"


def without(text: str, quotations: Iterable[str]) -> str:
    """The text with every word-for-word occurrence of a quotation (spacing and case aside) left out, longest first."""
    for quotation in sorted(set(quotations), key=lambda said: (-len(said), said)):
        words = quotation.split()
        if len(words) >= LEAST_WORDS:
            pattern = r"\s+".join(map(re.escape, words))
            text = re.sub(pattern, LEFT_OUT, text, flags=re.IGNORECASE)
    return text
