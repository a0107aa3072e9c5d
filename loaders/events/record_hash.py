"""The hash of a typed record: SHA-256 over its canonical text, which is the same for the same record.

`loaders.events.typing_sql` says in SQL what the text is. Here is the same text made of Arrow columns, at a quarter of
the cost: a column that needs no escape is copied as it is, one whose values are not plain is left to DuckDB. Called by
`loaders.events.record_typing` and `loaders.events.quick_typing`.
"""

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

_INSTANT = pa.timestamp("us", "UTC")

_CONTROLS = {chr(code): f"\\u{code:04X}" for code in range(32)} | dict(
    zip("\b\t\n\f\r", ("\\b", "\\t", "\\n", "\\f", "\\r"), strict=True)
)
_ESCAPES = {"\\": "\\\\", '"': '\\"', **_CONTROLS}
_ESCAPED_BYTES = "".join(_ESCAPES).encode()


def canonical_list(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """The JSON list of each row's values, all as text: what `to_json` of DuckDB gives for a list of texts.

    Args:
        columns: The texts of the values, `escaped`; booleans and whole numbers as they are.
    """
    parts: list[pa.Array | str] = []
    for number, column in enumerate(columns):
        parts.append("," if number else "[")
        if column.null_count == len(column):
            parts.append("null")
            continue
        texts = _one_array(column if pa.types.is_string(column.type) else column.cast(pa.string()))
        quoted = ['"', texts, '"']
        parts += [_joined(quoted).fill_null("null")] if texts.null_count else quoted
    if all(isinstance(part, str) for part in parts):  # of no rows, too, every column is null throughout
        return pa.chunked_array([pa.repeat("".join([*parts, "]"]), len(columns[0]))])
    return pa.chunked_array([_joined([*parts, "]"])])


def escaped(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as JSON writes them between quotes; values of another type as they are."""
    if not pa.types.is_string(column.type):
        return column
    return pa.chunked_array([_escaped(chunk) for chunk in column.chunks], pa.string())


def plain_instants(column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray] | None:
    """Instants and their canonical texts, of a column of texts such as 2026-04-15T08:00:00Z; None if one is another."""
    if column.null_count == len(column):
        return column.cast(_INSTANT), column
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    if lengths != {"min": 20, "max": 20} or not pc.all(pc.ends_with(column, "Z")).as_py():
        return None
    if pc.any(pc.starts_with(column, "0000")).as_py():  # 1 BC
        return None
    try:
        instants = column.cast(_INSTANT)
    except pa.ArrowInvalid:
        return None
    return instants, pc.binary_replace_slice(pc.binary_replace_slice(column, 19, 20, "+00"), 10, 11, " ")


def plain_lists(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The canonical texts of lists of texts; None where an element has to be escaped, or is null."""
    elements = pc.list_flatten(column)
    if elements.null_count or _has_escapes(elements):
        return None
    texts = pc.binary_join_element_wise('["', pc.binary_join(column, '","'), '"]', "")
    return pc.if_else(pc.equal(pc.list_value_length(column), 0), "[]", texts)


def _escaped(texts: pa.Array) -> pa.Array:
    content = _content(texts)
    if not _holds_escapes(content):  # looks for what is there before it replaces anything
        return texts
    for character, escape in _ESCAPES.items():
        if character.encode() in content:
            texts = pc.replace_substring(texts, character, escape)
    return texts


def sha256_texts(column: pa.ChunkedArray) -> pa.Array:
    """SHA-256 of each text, in hexadecimal. OpenSSL hashes ten times as fast as DuckDB, which is worth the loop."""
    texts, hashes = _one_array(column), []
    if len(texts):
        _, offsets, data = texts.buffers()  # the bytes of each text, uncopied
        ends = memoryview(offsets).cast("i")[texts.offset : texts.offset + len(texts) + 1].tolist()
        content, sha256 = memoryview(data), hashlib.sha256
        hashes = [sha256(content[start:end]).hexdigest() for start, end in zip(ends, ends[1:], strict=False)]
    return pa.array(hashes, pa.string())


def _joined(parts: list[pa.Array | str]) -> pa.Array:
    """Arrays and literals behind one another, row by row; neighbouring literals become one."""
    merged: list[pa.Array | str] = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return pc.binary_join_element_wise(*(pa.scalar(p) if isinstance(p, str) else p for p in merged), "")


def _has_escapes(texts: pa.ChunkedArray) -> bool:
    """Whether JSON writes a character of the texts, between quotes, as an escape."""
    return any(_holds_escapes(_content(chunk)) for chunk in texts.chunks)


def _holds_escapes(content: bytes) -> bool:
    return len(content.translate(None, _ESCAPED_BYTES)) != len(content)


def _content(texts: pa.Array) -> bytes:
    _, _, data = texts.buffers()
    return data.to_pybytes() if data is not None else b""


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies even one chunk
