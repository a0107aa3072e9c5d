"""Typing and judging the records of one file by the contract, chunk by chunk, as Arrow tables.

Two ways lead to the same rows. What the quick way (`loaders.events.quick_typing`) cannot vouch for goes the careful
way, which names every breach (`loaders.events.typing_sql`): a chunk that pyarrow refuses, a row that breaks a rule, any
other format, a mapping. Memory is bounded by a chunk, not by the file.
"""

from collections.abc import Iterator

import duckdb
import pyarrow as pa

from lakehouse.contracts.model import Contract
from lakehouse.tables.duck import quoted
from loaders.events.dating import Dating, first_instant
from loaders.events.derivations import derived_columns
from loaders.events.quick_typing import QuickTyper
from loaders.events.record_hash import sha256_texts
from loaders.events.records import selected_lines, time_texts
from loaders.events.typing_sql import (
    breaches,
    canonical,
    extra_column,
    parse_columns,
    rest_column,
    typed_columns,
    with_source_words,
)
from loaders.manifests.admission import Admission
from loaders.sources.bounds import Bounds
from loaders.sources.lines import Stream, lines_of, read_chunks

BATCH_ROWS = 50_000

_CAREFUL_BYTES = 16 * 1024 * 1024
"""Lines that go the careful way together: DuckDB takes a tenth of a second to plan it, however few they are."""


class RecordTyper:
    """Types the records of one file.

    Grain of its tables: one row per record that the manifest means. Columns: the contract's; `extra`, JSON of the
    fields that the contract does not name; `record_sha256`; `source_line`; `day`, null where nothing dates the record;
    `raw_record`, `reason_code` and `reason`, null for a good record.
    """

    def __init__(
        self, contract: Contract, admission: Admission, dating: Dating, connection: duckdb.DuckDBPyConnection
    ) -> None:
        """Type on a connection that serves one file after another."""
        self._contract, self._admission, self._dating, self._connection = contract, admission, dating, connection
        self._quick = QuickTyper(contract, admission.manifest, dating, connection)

    def type_lines(self, stream: Stream, name: str, bounds: Bounds) -> Iterator[pa.Table]:
        """Type a plain JSONL file.

        Raises:
            SourceUnreadable: as `loaders.sources.lines.read_chunks`.
        """
        doubtful: list[pa.Table] = []
        for chunk in read_chunks(stream, name, bounds):
            found = self._quick.type_chunk(chunk, bounds)
            if found is None:
                doubtful.append(lines_of(chunk, bounds))
            else:
                typed, bad = found
                yield typed
                if bad:
                    doubtful.append(lines_of(chunk, bounds, bad))
            if sum(lines.nbytes for lines in doubtful) > _CAREFUL_BYTES:
                yield from self._type_carefully(doubtful)
                doubtful.clear()
        if doubtful:
            yield from self._type_carefully(doubtful)

    def type_selected(self) -> Iterator[pa.Table]:
        """Type the relation `selected`, see `loaders.events.records.open_records`, the careful way."""
        for batch in self._connection.execute(self._careful_query()).to_arrow_reader(BATCH_ROWS):
            texts = pa.chunked_array([batch.column("canonical")])
            yield pa.table(batch).drop_columns(["canonical"]).append_column("record_sha256", sha256_texts(texts))

    def _type_carefully(self, lines: list[pa.Table]) -> Iterator[pa.Table]:
        self._connection.register("lines", pa.concat_tables(lines))
        try:
            meant = selected_lines(self._contract, self._admission.manifest)
            self._connection.execute(f"create or replace temp view selected as {meant}")
            yield from list(self.type_selected())
        finally:
            self._connection.unregister("lines")

    def _careful_query(self) -> str:
        source, manifest, dating = self._admission.source, self._admission.manifest, self._dating
        at = first_instant(time_texts(self._contract))
        plausible = f", expected from {dating.earliest:%Y-%m-%d} to before {dating.latest:%Y-%m-%dT%H:%M:%SZ}"
        rules = [
            ("doc is null", "broken_record", quoted(_NOT_AN_OBJECT)),
            *(
                (f"doc is not null and ({condition})", code, message)
                for condition, code, message in breaches(
                    self._contract, is_text=source.asset_type == "csv" or manifest.mapping is not None
                )
            ),
            (dating.is_implausible(at), "implausible_instant", f"'found ' || {at} || {quoted(plausible)}"),
            (
                f"not ({dating.is_implausible(at)}) and ({dating.is_outside(at)})",
                "outside_window",
                f"'found ' || {at} || {quoted(f', the file declares records {dating.declared}')}",
            ),
        ]
        cases = ", ".join(f"case when {c} then {{code: {quoted(code)}, message: {m}}} end" for c, code, m in rules)
        return f"""
            with parsed as (
                select source_line, raw_record, times, doc, {parse_columns(self._contract)} from selected
            ), judged as (
                select *, {with_source_words(self._contract, rest_column(self._contract, "doc"))} as rest,
                    {" or ".join(f"coalesce({condition}, false)" for condition, _, _ in rules)} as is_bad
                from parsed
            ), reasoned as (
                select *, case when is_bad then list_filter([{cases}], lambda r: r is not null) end as reasons
                from judged
            ), typed as (
                select source_line, raw_record, reasons, {typed_columns(self._contract)},
                    {extra_column("rest")} as extra, {dating.day(at)} as day
                from reasoned
            )
            select * exclude (reasons, raw_record){derived_columns(self._contract)},
                {canonical(self._contract)} as canonical,
                case when reasons is not null then raw_record end as raw_record, reasons[1].code as reason_code,
                array_to_string(list_transform(reasons, lambda r: r.message), '; ') as reason
            from typed
        """


_NOT_AN_OBJECT = "not a JSON object, or dropped by the mapping"
