"""Puts recalled concepts into a prompt: a bounded, plainly marked list of suggestions.

What a concept says was written by a model or came with a file, so none of it is trusted to be short or to stay in its
place: each field is one line behind a mark of ours, and what servers or models read as the end of a turn is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from phronesis.core.concept import Concept, Hit, Parameter
from phronesis.core.result import MemoryRecall

DISCLAIMER = "Suggestions from earlier tasks. They may not fit this one: ignore any that does not."
"""First line, always."""
MAX_CHARACTERS = 600
"""Length a field is cut to; what a model once wrote is not trusted to be short."""
LEAST_CHARACTERS = 24
"""A line that would be cut to less is left out."""
CONCEPT_TOKENS = 120
"""Longest concept, unless a recipe says otherwise."""
NO_ROOM = "no room"
"""Why a recalled concept is not shown: the section's token budget."""
_FORGED = (
    (re.compile(r"<(?=[|/!]|\w)"), "< "),  # tags, and the tokens that end a turn: <|im_end|>
    (re.compile(r"\|>"), "| >"),
    (re.compile(r"`{3,}|~{3,}"), "'''"),
    (re.compile(r"\[(?=/?INST\b)", re.IGNORECASE), "[ "),
)

Tokens = Callable[[str], int]


def render(
    hits: Sequence[Hit],
    *,
    token_budget: int,
    tokens: Tokens,
    concept_tokens: int = CONCEPT_TOKENS,
    others: Sequence[str] = (),
) -> tuple[str, list[MemoryRecall]]:
    """The text of at most ``token_budget`` tokens, and for each hit, in the order given, whether it is in it.

    Active concepts come before those on probation, otherwise in the order given. One that does not fit is left out and
    the next, perhaps shorter, is tried. ``others``: names of concepts that were not chosen, on one last line if it fits.
    Nothing rendered: the text is empty."""
    order = sorted(range(len(hits)), key=lambda place: (hits[place].status != "active", place))
    text = ""
    rendered: set[int] = set()
    for place in order:
        shown = entry(hits[place], concept_tokens=concept_tokens, tokens=tokens)
        longer = f"{text or DISCLAIMER}\n{shown}"
        if shown and tokens(longer) <= token_budget:
            text = longer
            rendered.add(place)
    if text and others:
        longer = f"{text}\nOther known concepts, by name: {'; '.join(one_line(name) for name in others)}"
        text = longer if tokens(longer) <= token_budget else text
    recalls = [
        MemoryRecall(
            id=hit.id,
            score=hit.score,
            rendered=place in rendered,
            text=one_line(hit.concept.suggestion),
            situation=one_line(hit.concept.situation),
            trust=hit.trust,
            reason="" if place in rendered else NO_ROOM,
        )
        for place, hit in enumerate(hits)
    ]
    return text, recalls


def entry(hit: Hit, *, concept_tokens: int, tokens: Tokens) -> str:
    """One concept of at most ``concept_tokens`` tokens, with its trust mark: ``- [proven] When ...: ...``.

    An open-ended one is one line. A parameterised one has a line for each of what it is, takes, gives, needs and avoids."""
    lines = _lines(hit.concept)
    lines[0] = f"- [{hit.trust}] {lines[0]}"
    kept: list[str] = []
    for line in lines:
        whole = "\n".join([*kept, line])
        if tokens(whole) <= concept_tokens:
            kept.append(line)
            continue
        short = _cut("\n".join(kept) + "\n" if kept else "", line, concept_tokens, tokens)
        kept += [short] if short else []
        break
    return "\n".join(kept)


def bullet(concept: Concept) -> str:
    """``When <situation>: <suggestion>``, one line; without a situation the suggestion alone."""
    situation = one_line(concept.situation).removeprefix("When ").removeprefix("when ").rstrip(".:")
    suggestion = one_line(concept.suggestion)
    what = f"avoid this: {suggestion}" if concept.kind == "pitfall" else suggestion
    return f"When {situation}: {what}" if situation else what


def one_line(text: str) -> str:
    """The text without line breaks, control characters and marks that end a turn or a block, cut to MAX_CHARACTERS."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    for pattern, harmless in _FORGED:
        line = pattern.sub(harmless, line)
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1].rstrip() + "…"


def _lines(concept: Concept) -> list[str]:
    """What a concept says, a line per field that it has; every line but the first is indented."""
    avoid = "; ".join(one_line(item) for item in concept.avoid)
    if not concept.name:
        return [f"{bullet(concept)} (not when {avoid})" if avoid else bullet(concept)]
    kind = " ".join(part for part in (one_line(concept.subtype), concept.kind) if part)
    lines = [f"{one_line(concept.name)} ({kind}): {one_line(concept.suggestion)}"]
    when = "; ".join(one_line(item) for item in (concept.situation, *concept.cues) if item)
    parts = (
        ("when", when),
        ("takes", "; ".join(_parameter(parameter) for parameter in concept.parameters)),
        ("gives", one_line(concept.typing)),
        ("notes", "; ".join(one_line(item) for item in concept.implementation)),
        ("not when", avoid),
        ("made of", "; ".join(one_line(item) for item in concept.parts)),
    )
    return lines + [f"  {name}: {said}" for name, said in parts if said]


def _parameter(parameter: Parameter) -> str:
    typing = f" ({one_line(parameter.typing)})" if parameter.typing else ""
    said = f", {one_line(parameter.description)}" if parameter.description else ""
    return f"{one_line(parameter.name)}{typing}{said}"


def _cut(before: str, line: str, most: int, tokens: Tokens) -> str:
    """The longest beginning of the line, with …, that fits behind the text: in whole words, in characters where that would
    lose half of it (many scripts have no spaces). Empty when too little of it fits to say anything."""
    low, high = 0, len(line)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokens(f"{before}{line[:middle]} …") <= most else (low, middle - 1)
    space = line.rfind(" ", 0, low + 1)
    kept = line[: space if space >= low // 2 else low].rstrip(" ;,:")
    return f"{kept} …" if len(kept) >= LEAST_CHARACTERS else ""
