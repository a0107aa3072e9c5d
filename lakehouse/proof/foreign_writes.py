"""What did someone else change? Compares a table as we left it with the table as it is, and takes it for ours again.

Tables that only we wrote since are not opened. Of the others each partition is judged by its files; those that differ
go into the ledger, so that a verdict needs no Iceberg, and then the row of `lakehouse.database.versions` moves. Called
by `omni verify`, at the start of each load and run, and before maintenance, which might remove what we left.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import RESTError
from pyiceberg.table import StaticTable, Table
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.builds.commit_evidence import unrecorded_materializations
from lakehouse.database.versions import TableVersion
from lakehouse.ledger.catalog_versions import catalog_versions, take_for_ours
from lakehouse.ledger.evidence import Materialization
from lakehouse.ledger.foreign_writes import (
    ForeignWrite,
    ForeignWrites,
    record_foreign_writes,
    standing_foreign_writes,
)
from lakehouse.ledger.ledger import Ledger
from lakehouse.namespaces import NAMESPACES, QUARANTINE
from lakehouse.partitions import WHOLE
from lakehouse.proof.partition_comparison import Finding, run_step
from lakehouse.proof.partition_files import NO_DAY
from lakehouse.proof.table_states import TableState
from lakehouse.tables.catalog import load_table_if_exists
from lakehouse.tables.followed_commits import mark_commit

logger = logging.getLogger(__name__)

_LOOKS = 5
"""Other writers may commit while one looks."""


@dataclass(frozen=True)
class Unsettled:
    """A table of which nothing can be taken for ours: all of its partitions stay unsafe."""

    asset: str
    identifier: str
    problem: str

    @property
    def next_step(self) -> str:
        """What makes it anew."""
        return f"mend it, or drop {self.identifier} from the catalog; then: omni backfill {self.asset}"


def find_foreign_writes(catalog: Catalog, ledger: Ledger) -> list[Unsettled]:
    """Look at every table that someone else has written since we left it, and record which partitions differ.

    Returns:
        Tables that stay as they are, since what was changed in them belongs to no partition, or cannot be read.
    """
    found: list[Unsettled] = []
    for _ in range(_LOOKS):
        if (versions := _versions(ledger)) is None:
            break
        foreign = [version for version in versions if not version.is_ours]
        found = [unsettled for version in foreign if (unsettled := _settle(catalog, ledger, version))]
        if len(found) == len(foreign):
            _record_missing_tables(ledger, {version.name for version in versions})
            break
    return found


def foreign_findings(ledger: Ledger, unsettled: Iterable[Unsettled]) -> list[Finding]:
    """What someone else wrote and no run has written anew since, as disagreements."""
    code, expected = "foreign_write", "only what our runs wrote"
    found = [Finding(code, each.asset, WHOLE, each.problem, expected, each.next_step) for each in unsettled]
    for each in standing_foreign_writes(ledger):
        found.append(Finding(code, each.asset, each.partition, each.reason, expected, run_step(each.partition)))
    return found


def _versions(ledger: Ledger) -> list[TableVersion] | None:
    """Of the tables of our layers; one that someone made beside a table of ours, by the same name, is no asset."""
    if ledger.catalog_engine is None and ledger.asked is None:
        return None
    found = [each for each in (catalog_versions(ledger) or {}).values() if each.namespace in NAMESPACES]
    known = {each.name for each in found if each.is_known}
    return [each for each in found if each.is_known or each.name not in known]


def _record_missing_tables(ledger: Ledger, tables: Set[str]) -> None:
    """Record what was written into tables that neither the catalog nor our rows name."""
    items = [item for item in ledger.current_materializations().values() if item.asset not in tables]
    if not any(item.rows.loaded for item in items):
        return
    known, now = ForeignWrites(ledger), datetime.now(UTC)
    record_foreign_writes(
        ledger,
        [
            ForeignWrite(item.asset, item.partition, item.id, None, None, now, "the table is gone")
            for item in items
            if item.rows.loaded and not known.of(item.asset, item.partition, item)
        ],
    )


def _settle(catalog: Catalog, ledger: Ledger, version: TableVersion) -> Unsettled | None:
    if version.name != QUARANTINE:  # no asset: a load and `omni verify` count its records
        # Before the table: what is committed and recorded meanwhile is newer than what is found.
        recorded = {key: item for (_, key), item in ledger.current_materializations([version.name]).items()}
        try:
            table = load_table_if_exists(catalog, version.identifier)
            state = TableState.of(table)
        except FileNotFoundError as error:
            return Unsettled(version.name, version.identifier, f"its metadata cannot be read ({error})")
        except (OSError, RESTError, SQLAlchemyError):
            raise  # of the store or the catalog, not of the table
        except Exception as error:  # what a decoder says to bytes that are none of its is any error
            return Unsettled(version.name, version.identifier, f"its metadata cannot be read ({error})")
        if (table.metadata_location if table else None) != version.current:
            return None  # written meanwhile; the next look sees it
        comparison = _Comparison(version, _left(catalog, version), state, recorded, _pending(table, ledger))
        if problem := comparison.problem():
            return Unsettled(version.name, version.identifier, problem)
        found = list(comparison.foreign_writes())
        record_foreign_writes(ledger, found)
        for each in found:
            logger.warning("%s %s: %s", each.asset, each.partition, each.reason)
    # The mark first: it may name what is not there any more, and what is ours must not be older than it is.
    if version.current and (table := load_table_if_exists(catalog, version.identifier)):
        mark_commit(table.io, table.location(), version.current, is_final=True)
    take_for_ours(ledger, version)
    return None


def _left(catalog: Catalog, version: TableVersion) -> TableState | None:
    """The table as we left it; None where we do not know, or its metadata are gone."""
    if not version.is_known:
        return None
    try:
        return TableState.of(StaticTable.from_metadata(version.left, catalog.properties) if version.left else None)
    except FileNotFoundError:
        return None
    except (OSError, RESTError, SQLAlchemyError):
        raise
    except Exception:  # bytes that no decoder knows
        return None


def _pending(table: Table | None, ledger: Ledger) -> dict[str, Materialization]:
    return {item.partition: item for item in unrecorded_materializations(table, ledger)} if table else {}


@dataclass(frozen=True)
class _Comparison:
    """One table, as we left it and as it is."""

    version: TableVersion
    left: TableState | None
    now: TableState
    recorded: Mapping[str, Materialization]
    pending: Mapping[str, Materialization]
    """Committed by us, and not in the ledger yet."""

    def problem(self) -> str | None:
        """Why the change is one of the whole table; None where its partitions tell."""
        if self.now.table is None:
            return None
        has_days = any(key != WHOLE for key in self.recorded)
        is_another = self.left and self.left.table and self.left.partitioned_by != self.now.partitioned_by
        if is_another or (self.recorded and has_days != bool(self.now.partitioned_by)):
            return f"it is partitioned by {self.now.partitioned_by or 'nothing'}, and was not when it was left"
        strange = self.now.files_of(NO_DAY) - (self.left.files_of(NO_DAY) if self.left else frozenset())
        if strange:
            return f"{len(strange)} files of no day, or of another partitioning, such as {min(f.path for f in strange)}"
        return None

    def foreign_writes(self) -> Iterator[ForeignWrite]:
        """The partitions that are not as we left them, nor as we wrote them afterwards."""
        left = self.left.files.keys() if self.left else set[str]()
        found_at = datetime.now(UTC)
        for key in sorted({*self.recorded, *self.pending, *left, *self.now.files} - {NO_DAY}):
            item = self.pending.get(key) or self.recorded.get(key)
            change = self._unrecorded_change(key) if item is None else self._change(item)
            if change:
                recorded, pending = self.recorded.get(key), self.pending.get(key)
                yield ForeignWrite(
                    asset=self.version.name,
                    partition=key,
                    materialization_id=recorded.id if recorded else None,
                    snapshot_id=pending.snapshot_id if pending else None,
                    left_at=self.version.left_at,
                    found_at=found_at,
                    change=change,
                )

    def _unrecorded_change(self, key: str) -> str | None:
        files = self.now.files_of(key)
        is_as_left = self.left is not None and self.left.files_of(key) == files
        return None if is_as_left or not files else "rows where none were written"

    def _change(self, item: Materialization) -> str | None:
        schema = None
        if self.now.holds_exactly(item):
            schema = self.now.schema_of(item) or (self.left.table.schema() if self.left and self.left.table else None)
            if schema is None and item.rows.loaded:
                return "nothing says with which columns it was written"
        elif self._is_as_left(item):
            schema = self.left.table.schema() if self.left and self.left.table else None
        else:
            return self._difference(item)
        lost = self.now.lost_columns(schema) if schema and item.rows.loaded else []
        return f"columns {', '.join(lost)} are not as they were" if lost else None

    def _is_as_left(self, item: Materialization) -> bool:
        """Whether we left it with this materialization, and its files are the same."""
        if self.left is None:
            return False
        was_left = {item.snapshot_id, item.held_by_snapshot_id} & self.left.snapshot_ids
        return bool(was_left) and self.left.files_of(item.partition) == self.now.files_of(item.partition)

    def _difference(self, item: Materialization) -> str:
        rows = sum(file.rows for file in self.now.files_of(item.partition) if file.is_data)
        if self.now.table is None:
            return "the table is gone"
        known = "" if self.left else "; what we left of the table cannot be read"
        return f"{rows} rows in its files, not those of run {item.run_id} ({item.rows.loaded} rows){known}"
