"""What of one asset the mirror has shown in a Dagster instance; kept in the instance itself, beside the events.

Dagster keeps what its own daemon has got to in the same place (`daemon_cursor_storage`, not exported): what deletes the
events deletes this. `test_mirror` fails where it is not kept.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field

import dagster as dg

_KEY = "omni/mirror/"


@dataclass
class Mirrored:
    """Materializations and verdicts of one asset, as they were last shown."""

    asset: str
    position: int = 0
    """Events of the asset up to this one of Dagster's are among those below."""
    written: dict[str, int] = field(default_factory=dict)
    """Partition → id in the ledger of its materialization."""
    verdicts: dict[str, str] = field(default_factory=dict)
    """Partition → digest of its verdict."""


def read_mirrored(instance: dg.DagsterInstance, assets: Collection[str]) -> dict[str, Mirrored]:
    """As it was kept, by asset; nothing is shown of those of which nothing was kept."""
    found = instance.daemon_cursor_storage.get_cursor_values({_KEY + asset for asset in assets})
    return {asset: Mirrored(asset, **json.loads(found.get(_KEY + asset, "{}"))) for asset in assets}


def keep_mirrored(instance: dg.DagsterInstance, mirrored: Collection[Mirrored]) -> None:
    """Keep it for the next mirror, one by one: of several at once Dagster 1.13 loses those that are new."""
    for each in mirrored:
        kept = {"position": each.position, "written": each.written, "verdicts": each.verdicts}
        instance.daemon_cursor_storage.set_cursor_values({_KEY + each.asset: json.dumps(kept)})
