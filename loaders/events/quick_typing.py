"""The quick way to type records: a chunk of plain JSONL, read by pyarrow with the contract's types.

Strictly, so that no other type and no repeated key passes unseen. Arrow judges whole columns where all values are
plain, at a tenth of what DuckDB takes, else DuckDB does, value by value; texts stay as they were read. What is in doubt
is left to the careful way of `loaders.events.record_typing`, which gives the same rows.
"""

import io

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from lakehouse.contracts.model import Contract, ContractField
from lakehouse.kinds import FieldType
from lakehouse.tables.duck import quoted
from lakehouse.tables.field_rules import keeps_rules
from loaders.events.dating import Dating
from loaders.events.derivations import derived_columns, is_found_in_record
from loaders.events.record_hash import canonical_list, escaped, plain_instants, plain_lists, sha256_texts
from loaders.events.records import selection
from loaders.events.typing_sql import canonical_texts, extra_column, instant, rest_column, value_conditions
from loaders.manifests.manifest import Manifest
from loaders.sources.bounds import Bounds
from loaders.sources.lines import Chunk, is_bounded, line_texts

_ARROW_TYPES: dict[FieldType, pa.DataType] = {
    "string": pa.string(),
    "boolean": pa.bool_(),
    "long": pa.int64(),
    "double": pa.float64(),
    "date": pa.string(),
    "timestamp": pa.string(),
    "list<string>": pa.list_(pa.field("l", pa.string())),  # as DuckDB names it
}

_HASHED_AS_THEY_ARE = {"string", "boolean", "long"}
"""Types whose canonical text needs no DuckDB."""


class QuickTyper:
    """Types the chunks of one file."""

    def __init__(
        self, contract: Contract, manifest: Manifest, dating: Dating, connection: duckdb.DuckDBPyConnection
    ) -> None:
        """Type on a connection that serves one file after another."""
        self._contract, self._manifest, self._dating, self._connection = contract, manifest, dating, connection
        self._schema = pa.schema([(field.name, _ARROW_TYPES[field.type]) for field in contract.record_fields])

    def type_chunk(self, chunk: Chunk, bounds: Bounds) -> tuple[pa.Table, set[int]] | None:
        """Type a chunk of JSON objects that have the contract's types; None where that is in doubt.

        Returns:
            The good rows, and the lines of those that break a rule.
        """
        where = self._quick_selection()
        if where is None or not _has_an_object_on_each_line(chunk):
            return None
        rows, rest = _parsed(chunk, self._schema, "error"), "null::json"
        has_rest = rows is None
        if has_rest and _holds_no_false_number(chunk):
            rows = _parsed(chunk, self._schema, "ignore")
        if rows is None or rows.num_rows != chunk.lines:
            return None
        if has_rest:
            texts = line_texts(chunk)
            if not is_bounded(texts, bounds):
                return None
            rows = rows.append_column("raw_text", pa.chunked_array([texts]))
            rest = rest_column(self._contract, "raw_text::json")
        lines = pa.array(range(chunk.first_line, chunk.first_line + chunk.lines), pa.int64())
        rows = rows.append_column("source_line", lines)
        if not has_rest and where == "true" and (judged := self._judge_plain(rows)) is not None:
            return self._assembled(chunk, rows, judged), set()
        judged, bad = self._over("chunk", rows, self._quick_query(rest, where)), set[int]()
        if pc.any(is_bad := judged.column("is_bad")).as_py():
            bad = set(judged.filter(is_bad).column("source_line").to_pylist())
            judged = judged.filter(pc.invert(is_bad))
        kept = judged.column("source_line")
        if not kept.equals(rows.column("source_line")):
            rows = rows.take(pc.subtract(kept, chunk.first_line))
        return self._assembled(chunk, rows, judged), bad

    def _judge_plain(self, rows: pa.Table) -> pa.Table | None:
        """What `_quick_query` finds out, where Arrow sees that every value is plain and every row good; else None."""
        found = {"source_line": rows.column("source_line")}
        for field in self._contract.record_fields:
            name, column = field.name, rows.column(field.name)
            if field.type == "timestamp" and (instants := plain_instants(column)) is not None:
                column, found[_text_of(name)] = instants
                found[name] = column
            if not keeps_rules(field, column):
                return None
            if field.type == "list<string>" and (texts := plain_lists(column)) is not None:
                found[_text_of(name)] = texts
            elif field.type == "date" and column.null_count == len(column):
                found[name] = column.cast(pa.date32())
            elif field.type not in _HASHED_AS_THEY_ARE and name not in found and column.null_count < len(column):
                return None
        if any(
            rows.column(field.name).null_count for field in self._contract.record_fields if is_found_in_record(field)
        ):
            return None
        if self._dating.of_batch is not None:
            days = pa.repeat(pa.scalar(self._dating.of_batch, pa.date32()), len(rows))
        elif (days := self._dating.plain_days(found[self._contract.time_fields[0]])) is None:
            return None
        constants = {"extra": pa.nulls(len(rows), pa.string()), _text_of("rest"): pa.repeat("{}", len(rows))}
        return pa.table(found | {"day": days} | constants)

    def _assembled(self, chunk: Chunk, rows: pa.Table, judged: pa.Table) -> pa.Table:
        """Typed rows: the columns that DuckDB judged or derived, and the others as they were read, uncopied."""
        fields, names = self._contract.record_fields, set(judged.column_names)
        typed = {"source_line": judged.column("source_line")}
        typed |= {f.name: (judged if f.name in names else rows).column(f.name) for f in fields}
        has_escapes = b"\\" in chunk.content  # else no text that was read has a character to escape

        def text(field: ContractField) -> pa.ChunkedArray:
            is_judged = (name := _text_of(field.name)) in names
            column = judged.column(name) if is_judged else typed[field.name]
            return escaped(column) if is_judged or has_escapes else column

        texts = [*map(text, fields), escaped(judged.column(_text_of("rest")))]
        nothing = pa.nulls(len(judged), pa.string())
        return pa.table(
            typed
            | {name: judged.column(name) for name in ("extra", "day")}
            | dict.fromkeys(("raw_record", "reason_code", "reason"), nothing)
            | {"record_sha256": sha256_texts(canonical_list(texts))}
        )

    def _over(self, name: str, rows: pa.Table, query: str) -> pa.Table:
        self._connection.register(name, rows)
        try:
            return self._connection.execute(query).to_arrow_table()
        finally:
            self._connection.unregister(name)

    def _quick_selection(self) -> str | None:
        """SQL: the records that are meant; None where that depends on a field that the contract does not name."""
        unknown: list[str] = []

        def value(field: str) -> str:
            if field not in self._schema.names or self._schema.field(field).type != pa.string():
                unknown.append(field)
            return f'"{field}"'

        where = selection(self._manifest, [f'"{name}"' for name in self._contract.time_fields], value)
        return None if unknown else where

    def _quick_query(self, rest: str, where: str) -> str:
        """SQL over `chunk`: what is found out about each row; what stays as it was read is not in it."""
        instants = [field.name for field in self._contract.record_fields if field.type == "timestamp"]
        at = ", ".join(f"""{quoted(name)}: {instant(f'"{name}"')}""" for name in instants) or "'none': null"
        times = [f'instants."{name}"' for name in self._contract.time_fields]
        when = f"coalesce({', '.join(times)})" if times else "null::timestamptz"
        rules = [*value_conditions(self._contract), self._dating.is_implausible("happened")]
        rules += [self._dating.is_outside("happened")] if self._dating.declared else []
        typed = ", ".join(_plain_typed(field.name, field.type) for field in self._contract.record_fields)
        fields = self._contract.record_fields
        found = [f.name for f in fields if f.type in ("timestamp", "date") or is_found_in_record(f)]
        kept_as_read = {f.name for f in fields if f.type in _HASHED_AS_THEY_ARE and not is_found_in_record(f)}
        texts = {name: sql for name, sql in canonical_texts(self._contract).items() if name not in kept_as_read}
        columns = [f'"{name}"' for name in ("source_line", "is_bad", *found, "extra", "day")]
        columns += [f'"{_text_of(name)}"' for name in texts]
        hashed = ", ".join(f'{sql} as "{_text_of(name)}"' for name, sql in texts.items())
        derived = derived_columns(self._contract)  # what is hashed is as it came, not as derived
        return f"""
            with parsed as (
                select *, {{{at}}} as instants from chunk where {where}
            ), dated as (
                select *, {when} as happened from parsed
            ), judged as (
                select *, coalesce({_any(rules)}, false) as is_bad, {rest} as rest from dated
            ), typed as (
                select source_line, is_bad, {typed}, {extra_column("rest")} as extra,
                    {self._dating.day("happened")} as day
                from judged
            )
            select {", ".join(columns)}
            from (select *{derived}, {hashed} from typed)
        """


def _plain_typed(name: str, kind: FieldType) -> str:
    if kind == "timestamp":
        return f'instants."{name}" as "{name}"'
    return f'try_cast("{name}" as date) as "{name}"' if kind == "date" else f'"{name}"'


def _any(conditions: list[str]) -> str:
    return " or ".join(f"coalesce({condition}, false)" for condition in conditions)


def _text_of(name: str) -> str:
    """Name of the column with a field's canonical text; no field's own name has a blank."""
    return f"text of {name}"


def plain_times(chunk: Chunk, field: str) -> pa.ChunkedArray | None:
    """The instants of a field of the records of a chunk; None where a line is no object, or has another there."""
    if not _has_an_object_on_each_line(chunk) or not _holds_no_false_number(chunk):
        return None
    rows = _parsed(chunk, pa.schema([(field, pa.string())]), "ignore")
    if rows is None or rows.num_rows != chunk.lines or rows.column(field).null_count:
        return None
    found = plain_instants(rows.column(field))
    return None if found is None else found[0]


def _parsed(chunk: Chunk, schema: pa.Schema, unexpected: str) -> pa.Table | None:
    """Read a chunk with these types; None where a value has another, or (`error`) a field has no name."""
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    try:
        return pj.read_json(
            pa.BufferReader(chunk.content),
            pj.ReadOptions(block_size=len(chunk.content) + 1, use_threads=False),
            options,
        )
    except pa.ArrowInvalid:
        return None


def _has_an_object_on_each_line(chunk: Chunk) -> bool:
    """Whether each line begins like an object: pyarrow does not look, and dies of a line `null`."""
    return {line[0] for line in io.BytesIO(chunk.content)} == {ord("{")}


def _holds_no_false_number(chunk: Chunk) -> bool:
    """Whether no field that pyarrow passes over can hold a number that JSON does not know."""
    return b"NaN" not in chunk.content and b"Infinity" not in chunk.content
