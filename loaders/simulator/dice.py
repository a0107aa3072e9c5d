"""Chance that falls the same on every machine.

Only `random.Random.random()` is drawn, whose sequence Python guarantees for an integer seed; choices are
built from it here, because the choosing methods of `random` may change between Python versions. Called by
every module beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from random import Random
from typing import TypeVar

Face = TypeVar("Face")


class Dice:
    """One independent stream of chance, named so that a change in one part moves no other part."""

    def __init__(self, seed: int, name: str) -> None:
        """Derive the stream from the seed and the name of the part that draws from it."""
        self._random = Random(int(digest(seed, name, length=16), 16))

    def below(self, bound: int) -> int:
        """Return a whole number from 0 to `bound` - 1."""
        return int(self._random.random() * bound)

    def happens(self, per_thousand: int) -> bool:
        """Answer yes in `per_thousand` of 1000 cases."""
        return self.below(1000) < per_thousand

    def pick(self, faces: Sequence[Face]) -> Face:
        """Return one of the faces, each as likely as the others."""
        return faces[self.below(len(faces))]

    def weigh(self, faces: Sequence[tuple[int, Face]]) -> Face:
        """Return one of the faces, as likely as its weight says."""
        drawn = self.below(sum(weight for weight, _ in faces))
        for weight, face in faces:
            if drawn < weight:
                return face
            drawn -= weight
        raise AssertionError("a draw below the sum of the weights always meets a face")

    def soon(self, shortest: int, longest: int) -> int:
        """Return a whole number between the bounds, small ones more likely."""
        return shortest + self.below(longest - shortest + 1) * self.below(1000) // 1000


def digest(*parts: object, length: int) -> str:
    """Return the first `length` hex digits of the SHA-256 over the parts."""
    return sha256("/".join(str(part) for part in parts).encode()).hexdigest()[:length]
