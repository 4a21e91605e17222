"""What a model may not copy when it abstracts: numbers and names of the problem, and the example of its own prompt.

Ours, for small models: a 1.5B one takes the people of a problem into its lesson, and now and then gives the prompt's example
back as what it learned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIGURE = re.compile(r"\d(?:[\d.,/]*\d)?")
_CAPITAL = re.compile(r"(?<![\w'])[^\W\d_]{2,}\b")
_ORDINARY = frozenset(
    re.findall(
        r"\w+",
        """
        a an the this that these those it its he she they we you his her their our your my one two three four five
        six seven eight nine ten if when while after before during since until for from to in on at by of with
        without as and or but so then because although however there here how what which who whose why where each
        every all both some many most several another other no not only also half twice today tomorrow yesterday now
        later next first second third last finally about above across against along among around below between like
        near over per through under up down out off more less much any such than too very suppose given assume find
        calculate determine let step answer january february march april may june july august september october
        november december monday tuesday wednesday thursday friday saturday sunday
        """,
    )
)
_LETTERS = "XYZWVUTSRQP"
EXAMPLES = (
    "find one part by dividing the cost by the number of parts, then multiply it by each person's parts",
    "divide the new price by one plus the share; taking the share off the new price gives too little",
    "do not multiply the rate by the whole time; split the time and add up the parts",
    "two people share a cost in unequal parts",
    "a price is raised by a share and the old price is asked for",
    "a rate holds for one part of the time only",
)
"""What the abstractor's prompts say as an example."""
_COPIED = 0.8
"""Share of the words, of the longer of both, that a copy has in common with the example."""


def names_in(text: str) -> tuple[str, ...]:
    """Proper names of a text, in order: capitalised words that are neither common nor also written small. At the start of
    a sentence a word may be taken for one wrongly; a mask too many costs little."""
    small = {word for word in re.findall(r"\w+", text) if word.islower()}
    found = dict.fromkeys(word[0] for word in _CAPITAL.finditer(text) if _is_name(word, small))
    return tuple(found)


def _is_name(word: re.Match[str], small: set[str]) -> bool:
    lowered = word[0].lower()
    return word[0].istitle() and lowered not in _ORDINARY and lowered not in small


@dataclass(frozen=True, slots=True)
class Mask:
    """Hides one problem's numbers (#) and names (X, Y, Z ..., the same letter for the same name)."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, question: str) -> Mask:
        """The mask for everything that is written about a question."""
        return cls(names_in(question))

    def __call__(self, text: str) -> str:
        """The text with its masks; what follows a name (``'s``) stays."""
        hidden = _FIGURE.sub("#", text)
        for place, name in enumerate(self.names):
            hidden = re.sub(rf"\b{re.escape(name)}\b", _LETTERS[place % len(_LETTERS)], hidden)
        return hidden


def general(value: str) -> str:
    """The text with the masks of numbers as words. Raises ValueError for a figure and for a copy of the prompt's example:
    a lesson with figures is a copy of a problem, not an abstraction of it."""
    figures = _FIGURE.findall(value)
    if figures:
        raise ValueError(f"it holds the figure {figures[0]!r}; say it in general words")
    if any(_copies(value, example) for example in EXAMPLES):
        raise ValueError("it repeats the example; say what this problem's own solution teaches")
    return re.sub(r"(?:# ?)+", "some ", value).strip()


def _copies(value: str, example: str) -> bool:
    said, shown = _words(value), _words(example)
    return len(said & shown) >= _COPIED * max(len(said), len(shown))


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"[a-z]+", text.casefold()))
