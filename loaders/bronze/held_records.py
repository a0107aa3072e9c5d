"""The records in quarantine: read from the table, each with an id that outlives loads."""

import hashlib
from dataclasses import dataclass, fields
from datetime import datetime
from functools import reduce

from pyiceberg.catalog import Catalog
from pyiceberg.expressions import And, BooleanExpression

from lakehouse.namespaces import QUARANTINE, bronze
from lakehouse.partitions import Window
from lakehouse.tables.catalog import load_table_if_exists
from lakehouse.tables.filters import ALWAYS, HELD, asset_filter, key_filter


@dataclass(frozen=True)
class HeldRecord:
    """One record of the quarantine table."""

    asset: str
    partition: str
    reason_code: str
    reason: str
    raw_record: str
    source_id: str
    source_file: str
    source_line: int
    manifest_id: str
    batch_id: str
    run_id: str
    quarantined_at: datetime
    released_at: datetime | None

    @property
    def place(self) -> tuple[str, str, str, str, str]:
        """Where the record stands: asset, manifest, source, file, line."""
        return self.asset, self.manifest_id, self.source_id, self.source_file, str(self.source_line)

    @property
    def record_id(self) -> str:
        """Identity that outlives loads: where the record stands and what it says."""
        return hashlib.sha256("\x1f".join((*self.place, self.raw_record)).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Selection:
    """Which records are meant; every condition that is given must hold."""

    record_ids: frozenset[str] = frozenset()
    asset: str | None = None
    window: Window | None = None
    reason_code: str | None = None

    def __contains__(self, record: HeldRecord) -> bool:
        """Whether a record is meant."""
        return (not self.record_ids or record.record_id in self.record_ids) and (
            self.reason_code in (None, record.reason_code)
        )

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing, and so would mean everything."""
        return self == Selection()


def held_records(
    catalog: Catalog, selection: Selection = Selection(), *, with_released: bool = False
) -> list[HeldRecord]:
    """Records in quarantine, by partition, file and line; those that were released only where asked for."""
    table = load_table_if_exists(catalog, bronze(QUARANTINE))
    if table is None:
        return []
    conditions: list[BooleanExpression] = [] if with_released else [HELD]
    conditions += [] if selection.asset is None else [asset_filter(selection.asset)]
    conditions += [] if selection.window is None else [key_filter(selection.window)]
    rows = table.scan(row_filter=reduce(And, conditions, ALWAYS)).to_arrow().to_pylist()
    names = [field.name for field in fields(HeldRecord)]
    records = [HeldRecord(**{name: row[name] for name in names}) for row in rows]
    found = [record for record in records if record in selection]
    return sorted(found, key=lambda r: (r.asset, r.partition, r.source_file, r.source_line, str(r.released_at)))
