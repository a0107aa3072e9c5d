"""A stored content is read: into its sections, and these into passages.

Each class does one content at a time, in a process that may be ended (`loaders.workers`).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from unicodedata import normalize

from lakehouse.settings import LakehouseSettings
from loaders.contents.rows import READ_AS, Row, boxes_of, flat
from loaders.contents.stored import stored_content
from loaders.documents import passages, tokens
from loaders.documents.anchoring import Origin
from loaders.documents.languages import language_of
from loaders.documents.parsing import VERSIONS, parse, parser_version
from loaders.documents.passages import Limits, Passage, Placed, passages_of
from loaders.documents.refusals import NotParsable
from loaders.documents.sections import Block, ParsedDocument


def _with_libraries(versions: Iterable[str], *libraries: str) -> str:
    """Our versions, and those of the libraries by which the same bytes could come out else."""
    return " ".join([*versions, *(f"{name}-{version(name)}" for name in libraries)])


PARSERS = _with_libraries(VERSIONS, "markdown-it-py", "pypdfium2", "turbohtml")
CUTTER = _with_libraries((passages.VERSION, tokens.TOKENIZER), "py3langid", "sentencex", "unicode-segmentation-rs")


class SectionReader:
    """Reads the sections of a content: a row for each, or the one that says why it has none."""

    def __init__(self, settings: LakehouseSettings) -> None:
        """Read from the store that the settings name."""
        self._settings = settings

    def __call__(self, content: tuple[str, str, str | None]) -> list[Row]:
        """Parse one content, by its fingerprint, the name of its file, and its asset type where the name tells nothing.

        Raises:
            SourceUnreadable: the store does not have it, or other bytes under its name.
        """
        fingerprint, name, asset_type = content
        name = name if parser_version(name) else f"{name}.{asset_type}"
        try:
            document = parse(stored_content(self._settings, fingerprint), name)
        except NotParsable as error:
            return [unparsed(name, error)]
        return [*_section_rows(document, parser_version(name))]


def unparsed(name: str, error: NotParsable) -> Row:
    """The row of a content that has no sections."""
    return {"ordinal": 0, "text": str(error), "parser_version": parser_version(name), "reason": error.reason}


def _section_rows(document: ParsedDocument, parser: str | None) -> Iterator[Row]:
    ordinal = 0
    for section in document.sections:
        for block in section.blocks:
            yield {
                "ordinal": ordinal,
                "heading_ordinal": section.ordinal,
                "heading_level": section.level,
                "heading_path": section.heading_path,
                "heading_ids": section.heading_ids,
                "kind": block.kind,
                "text": block.text,
                "byte_start": block.byte_start,
                "byte_end": block.byte_end,
                "boxes": flat(block.boxes),
                "page": block.page,
                "start_seconds": block.start_seconds,
                "end_seconds": block.end_seconds,
                "speaker": block.speaker,
                "code_language": block.language,
                "encoding": document.encoding,
                "normalisation": document.normalisation,
                "parser_version": parser,
            }
            ordinal += 1


class PassageReader:
    """Cuts the sections of a content into passages."""

    def __init__(self, settings: LakehouseSettings) -> None:
        """Read from the store that the settings name."""
        self._settings = settings

    def __call__(self, content: tuple[str, list[Row], int]) -> list[Row]:
        """Cut one content, by its fingerprint, the rows of its sections and the most tokens of a passage.

        Raises:
            SourceUnreadable: the store does not have the content, or other bytes under its name.
        """
        fingerprint, unordered, most_tokens = content
        rows = sorted((row for row in unordered if row["reason"] is None), key=lambda row: int(row["ordinal"]))
        if not rows:
            return []
        shared = {name: rows[0][name] for name, _ in READ_AS}
        language = language_of(" ".join(row["text"] for row in rows if row["kind"] not in ("code", "html")))
        origin = Origin(
            shared["encoding"], shared["normalisation"], partial(stored_content, self._settings, fingerprint)
        )
        found: list[Row] = []
        said = Counter[str]()
        for passage in passages_of([_placed(row) for row in rows], Limits(most_tokens, language), origin):
            words = words_sha256(passage.text)
            said[words] += 1
            own = {"ordinal": len(found), "text_sha256": words, "occurrence": said[words], "language": language}
            found.append(_passage_row(passage) | shared | own)
        return found


def words_sha256(text: str) -> str:
    """What two passages have in common that say the same: the text in NFC, each run of white space one space."""
    return sha256(" ".join(normalize("NFC", text).split()).encode(errors="surrogatepass")).hexdigest()


def _placed(row: Row) -> Placed:
    block = Block(
        row["kind"],
        row["text"],
        row["byte_start"],
        row["byte_end"],
        row["page"],
        tuple(boxes_of(row["boxes"])),
        row["start_seconds"],
        row["end_seconds"],
    )
    return Placed(row["ordinal"], row["heading_ordinal"], tuple(row["heading_path"]), block)


def _passage_row(passage: Passage) -> Row:
    parts: list[Row] = [
        {
            "byte_start": part.byte_start,
            "byte_end": part.byte_end,
            "boxes": flat(part.boxes),
            "text_start": part.text_start,
            "text_end": part.text_end,
        }
        for part in passage.parts
    ]
    starts = [part.byte_start for part in passage.parts if part.byte_start is not None]
    ends = [part.byte_end for part in passage.parts if part.byte_end is not None]
    return {
        "heading_path": passage.heading_path,
        "first_section": passage.first_section,
        "last_section": passage.last_section,
        "text": passage.text,
        "byte_start": min(starts, default=None),
        "byte_end": max(ends, default=None),
        "boxes": [edge for part in parts for edge in part["boxes"]],
        "parts": parts,
        "page": passage.page,
        "start_seconds": passage.start_seconds,
        "end_seconds": passage.end_seconds,
        "token_count": passage.token_count,
    }
