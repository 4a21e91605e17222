"""Concepts and embedders that the checks use."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.concept import Concept, Parameter
from phronesis.core.ports import Vectors
from phronesis.index.embedders import HashEmbedder

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates, not the times")
PUMPS_AGAIN = Concept(situation="two pumps fill a tank together!", suggestion="sum up both rates")
"""Says in other words what PUMPS says: the situations' cosine is 1."""
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")
DISCOUNT = Concept(
    situation="a discount on a price", suggestion="multiply by one minus the rate", cues=("so many percent off",)
)
ROUTINE = Concept(
    name="work rate",
    kind="routine",
    subtype="arithmetic",
    typing="rate",
    situation="several workers share a job",
    suggestion="the rate at which they finish together",
    parameters=(Parameter(name="times", typing="list of durations", description="how long each needs alone"),),
    cues=("together", "alone it takes"),
    avoid=("they work one after another",),
    parts=("reciprocal", "sum"),
    implementation=("add the reciprocals",),
    source="task 7",
)
TEXTS = (
    "Zwei Pumpen füllen einen Tank",
    "два насоса наполняют бак",
    "两个水泵一起注满水箱",
    "مضختان تملآن خزانا معا",
    "दो पंप मिलकर टंकी भरते हैं",
    "δύο αντλίες γεμίζουν μια δεξαμενή",
    "pompe n° 2 → citerne (½ m³) 🚰👩🏽‍🔧",
    "quotes ' \" and ; DROP TABLE concepts -- % _ * NEAR( AND OR NOT",
    "e\u0301 composed of two characters",
)
WORDS = ("pumps", "tank", "rate", "train", "speed", "price", "discount", "angle", "circle", "coins")


def numbered(count: int, *, cues: bool = True) -> list[Concept]:
    """Different concepts; every third has a cue."""
    return [
        Concept(
            situation=f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} {WORDS[n * 7 // 3 % 10]} case {n}",
            suggestion=f"do {n}",
            cues=(f"{WORDS[n * 3 % 10]} sign {n}",) if cues and n % 3 == 0 else (),
        )
        for n in range(count)
    ]


class Breaking(HashEmbedder):
    """Fails while ``broken``."""

    broken = False

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if self.broken:
            raise OSError("the model's file vanished")
        return super().embed_documents(texts)


class Stranger(HashEmbedder):
    """Another model that calls itself the same."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return super().embed_documents([text[::-1] for text in texts])
