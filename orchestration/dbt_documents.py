"""The dbt-duckdb plugin by which models read stored documents: functions of `loaders.contents`, in DuckDB.

* document_sections(fingerprint, file, asset_type, parsers): the sections of a content, or why it has none
* document_passages(fingerprint, sections, most_tokens, cutter): its passages
* unresolved_anchors(fingerprint, anchors, judge): ordinals of those that give another text

What a function does is part of a model's logic by the versions that the model asks for (macros/contents.sql); it
answers for no other. Contents are done in processes beside this one, on all cores, each of which may be ended.
"""

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb import DuckDBPyConnection
from duckdb.func import FunctionNullHandling, PythonUDFType

from lakehouse.dbt.doors.session import OFFERED
from lakehouse.errors import ConfigurationError
from lakehouse.settings import load_settings
from loaders.contents.judging import JUDGE, AnchorJudge
from loaders.contents.reading import CUTTER, PARSERS, PassageReader, SectionReader, unparsed
from loaders.contents.rows import ANCHOR, PASSAGE, SECTION
from loaders.documents.refusals import NotParsable
from loaders.errors import LoaderError, TookTooLong
from loaders.workers import Work, Workers

CPU_SECONDS = 60
"""What one content may take of a process."""

Column: TypeAlias = pa.ChunkedArray
"""What DuckDB hands over of an argument: a value for each row."""

_SHARES = 8
"""Of what DuckDB hands over at a time, for each process: so that none waits long for the last."""
_FEW = 32
"""Contents for which a second process costs more than it saves: to start one takes as long as to parse a thousand."""


class Plugin(BasePlugin):
    """See the module's docstring; dbt-duckdb looks for a class of this name."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Start no process yet."""
        self._workers, self._lock = Workers(), threading.Lock()  # DuckDB calls from several threads

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Offer the functions."""
        sections, passages, anchors = (_sql_type(pa.list_(each)) for each in (SECTION, PASSAGE, ANCHOR))
        text, number = duckdb.sqltypes.VARCHAR, duckdb.sqltypes.INTEGER
        functions: dict[str, tuple[Callable[..., pa.Array], list[Any], Any]] = {
            "document_sections": (self._sections, [text, text, text, text], sections),
            "document_passages": (self._passages, [text, sections, number, text], passages),
            "unresolved_anchors": (self._unresolved, [text, anchors, text], duckdb.list_type(number)),
        }
        assert functions.keys() == OFFERED
        for name, (function, arguments, result) in functions.items():
            # Special: else DuckDB answers null for a null, and what nobody has looked at passes.
            conn.create_function(
                name, function, arguments, result, type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL
            )

    def _sections(self, fingerprint: Column, file: Column, asset_type: Column, parsers: Column) -> pa.Array:
        _expect("parsers", PARSERS, parsers)
        contents = _rows(fingerprint, file, asset_type)
        rows = self._do(Work(SectionReader, (load_settings(),), CPU_SECONDS), contents)
        for number, (_, name, _) in enumerate(contents):
            if isinstance(rows[number], TookTooLong):
                error = NotParsable("timed_out", f"takes more than {CPU_SECONDS} s to parse; next: split it")
                rows[number] = [unparsed(name, error)]
        return _array(rows, SECTION)

    def _passages(self, fingerprint: Column, sections: Column, most_tokens: Column, cutter: Column) -> pa.Array:
        _expect("cutter", CUTTER, cutter)
        work = Work(PassageReader, (load_settings(),), CPU_SECONDS)
        return _array(self._do(work, _rows(fingerprint, sections, most_tokens)), PASSAGE)

    def _unresolved(self, fingerprint: Column, anchors: Column, judge: Column) -> pa.Array:
        _expect("judge", JUDGE, judge)
        work = Work(AnchorJudge, (load_settings(),), CPU_SECONDS)
        return _array(self._do(work, _rows(fingerprint, anchors)), pa.int32())

    def _do(self, work: Work[Any, Any], contents: list[Any]) -> list[Any]:
        """The result of each content, in their order, or its error."""
        parts = self._workers.most * _SHARES if len(contents) > _FEW else 1
        shares = [contents[first::parts] for first in range(parts)]
        with self._lock:
            done = {id(content): result for content, result in self._workers.do(work, shares)}
        return [done[id(content)] for content in contents]


def _rows(*columns: Column) -> list[Any]:
    return [*zip(*(column.to_pylist() for column in columns), strict=True)]


def _array(results: list[Any], kind: pa.DataType) -> pa.Array:
    for result in results:
        if isinstance(result, LoaderError):
            raise result
    return pa.array(results, type=pa.list_(kind))


def _sql_type(kind: pa.DataType) -> Any:
    empty = pa.schema([("it", kind)]).empty_table()
    with duckdb.connect() as connection:
        return connection.from_arrow(empty).types[0]


def _expect(what: str, offered: str, asked: Column) -> None:
    other = next((each for each in asked.to_pylist() if each != offered), None)
    if other is not None:
        raise ConfigurationError(
            f"found a model that asks for the {what} {other}, expected {offered}: rows of one would pass for those of "
            "the other; nothing was written; next: say so in dbt_project/macros/contents.sql"
        )
