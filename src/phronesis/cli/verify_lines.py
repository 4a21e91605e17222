"""What a recipe's section ``[verify]`` comes to, in words."""

from __future__ import annotations

from phronesis.cli.plain import counted, plain
from phronesis.graphs.verify_section import VerifySection


def verify_line(section: VerifySection) -> str | None:
    """One line; None where nothing is verified."""
    chosen = section.chosen
    if chosen is None:
        return None
    rule = "accepted by its own rule" if section.accept is None else f"accepted from {section.accept:g} on"
    rounds = f"at most {counted(section.rounds, 'further attempt')}" if section.rounds else "no further attempt"
    asks = f"; a person is asked about {_ASKED[section.ask]}" if section.asks else ""
    return f"verified by {plain(chosen.text)}, {rule}, {rounds} after rejections{asks}"


_ASKED = {
    "accept": "acceptances",
    "reject": "rejections",
    "unsure": "verdicts that are unknown or contradict themselves",
    "all": "all verdicts",
}
