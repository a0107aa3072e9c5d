"""Tokens and sentences, by the rules of Unicode and of a library that knows abbreviations: no model, no network.

A token is a word or a mark as Unicode's UAX #29 parts them, white space aside; of one that is longer than `_LONG`
characters each begun `_LONG` is one, so that what has no words has tokens.
"""

from collections.abc import Iterator

from sentencex import get_sentence_boundaries
from unicode_segmentation_rs import split_word_bounds

TOKENIZER = "uax29-1"
_LONG = 16


def count_tokens(text: str) -> int:
    """How many tokens a text has."""
    words = split_word_bounds(text)
    count = len(words) - sum(map(str.isspace, words))
    if len(text) > _LONG and max(map(len, words)) > _LONG:
        count += sum((len(each) - 1) // _LONG for each in words if not each.isspace())
    return count


def sentence_starts(text: str, language: str) -> list[int]:
    """Where each sentence but the first begins; language by its ISO 639-1 code."""
    return [found["start_index"] for found in get_sentence_boundaries(language, text)][1:]


def full_runs(text: str, most: int) -> Iterator[int]:
    """Where a text must be cut, so that no part has more than so many tokens."""
    position = count = 0
    for word in split_word_bounds(text):
        for start in range(0, len(word), _LONG):
            if word.isspace():
                break
            if count == most:
                yield position + start
                count = 0
            count += 1
        position += len(word)
