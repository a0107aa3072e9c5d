"""Freshness: is a day late that should have arrived by now.

Not a verdict on a partition: a day of which nothing is known is EMPTY, and rightly so. Pure, and without a clock, but
for `read_freshness`, which collects from the ledger what is judged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from lakehouse.contracts.registry import load_contracts
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import ONE_DAY, parse_day
from lakehouse.settings import LakehouseSettings


@dataclass(frozen=True)
class Freshness:
    """What is known of an asset's latest days, at one instant."""

    asset: str
    within_hours: int
    """So many hours after a day has ended, it is expected to be loaded."""
    due: date
    """The latest day that is expected by now."""
    arrived: date
    """The latest day that any source file holds records of."""
    loaded: date | None
    """The latest day that was loaded with records."""

    @property
    def is_late(self) -> bool:
        """Whether the latest expected day is not loaded."""
        return self.loaded is None or self.loaded < self.due

    @property
    def message(self) -> str:
        """Found, expected, next step."""
        if not self.is_late:
            return f"{self.asset}: loaded up to {self.loaded}, expected up to {self.due}"
        lacks, step = f"{self.arrived} is the latest day that has arrived", "bring its files, then: omni run"
        if self.arrived >= self.due:
            lacks, step = f"it has arrived, and {self.loaded or 'no day'} is the latest that was loaded", "omni run"
        expected = f"{self.due} was expected by now, {self.within_hours} hours after its end"
        return f"{self.asset}: {expected}; {lacks}; next: {step}"


def judge(asset: str, within_hours: int, arrived: date, loaded: date | None, now: datetime) -> Freshness:
    """Judge an asset; `now` (UTC) is given."""
    begun = (now - timedelta(hours=within_hours)).date()
    return Freshness(asset, within_hours, begun - ONE_DAY, arrived, loaded)


def expected_hours(settings: LakehouseSettings) -> dict[str, int]:
    """Bronze asset → hours after the end of a day within which it is expected to be loaded.

    Raises:
        ConfigurationError: an asset is named that no contract names.
    """
    assets = load_contracts(settings).assets
    if unknown := sorted(settings.expected_within_hours.keys() - assets.keys()):
        raise ConfigurationError(
            f"OMNI_EXPECTED_WITHIN_HOURS: found {', '.join(unknown)}, expected Bronze assets: {', '.join(assets)}; "
            "next: mend the setting"
        )
    return dict(settings.expected_within_hours)


def read_freshness(settings: LakehouseSettings, ledger: Ledger, now: datetime) -> Iterator[Freshness]:
    """Judge each asset that OMNI_EXPECTED_WITHIN_HOURS names and that any record has ever arrived for.

    Raises:
        ConfigurationError: as `expected_hours`.
    """
    for asset, hours in expected_hours(settings).items():
        rows = ledger.coverage(asset)
        arrived = [key for (_, key), found in rows.items() if any(row.rows_expected for row in found)]
        current = ledger.current_materializations([asset]).items()
        loaded = [key for (_, key), item in current if item.rows.read]
        if arrived:
            yield judge(asset, hours, parse_day(max(arrived)), parse_day(max(loaded)) if loaded else None, now)
