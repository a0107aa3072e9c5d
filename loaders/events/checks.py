"""Checks of a day of records beside conservation; called by `loaders.bronze.checks`.

quarantine_share (error): no more of the records are held in quarantine than the contract allows, else than
OMNI_MAX_QUARANTINED_SHARE. Records that a person discarded count as settled.

contract_drift (warn): the source brings no field that the contract does not name. Such fields are kept in `extra`.
"""

from collections.abc import Iterable, Iterator, Mapping

from lakehouse.contracts.check_definitions import QUARANTINE_SHARE, allowed_share
from lakehouse.ledger.evidence import Materialization
from loaders.plans.findings import Finding, Found, Inspection

CONTRACT_DRIFT = "contract_drift"


def record_findings(inspection: Inspection) -> Iterator[Found]:
    """Judge days of records. Without a load `contract_drift` keeps its result."""
    actions = inspection.ledger.quarantine_actions()
    settled = {action.record_id for action in actions if action.action == "discarded"}
    allowed = allowed_share(inspection.settings, inspection.contract)
    for item in inspection.items:
        held = inspection.held.get(item.partition, ())
        yield item, QUARANTINE_SHARE, quarantine_share(item, held, settled, allowed)
        if inspection.unknown_fields is not None:
            yield item, CONTRACT_DRIFT, contract_drift(inspection.unknown_fields.get(item.partition, {}))


def quarantine_share(item: Materialization, held: Iterable[str], discarded: set[str], allowed: float) -> Finding:
    """Judge the share of held records.

    Args:
        item: The partition.
        held: Ids of its records in quarantine.
        discarded: Ids of records that a person discarded.
        allowed: Share of the records read, 0 to 1.
    """
    open_ids = [record_id for record_id in held if record_id not in discarded]
    share = len(open_ids) / max(item.rows.read, 1)
    message = (
        f"{len(open_ids)} of {item.rows.read} records are held in quarantine ({share:.1%}), allowed are {allowed:.1%}"
    )
    if share <= allowed:
        return message, 0
    return f"{message}; next: omni quarantine list --partition {item.partition}", len(open_ids)


_NAMED_FIELDS = 50


def contract_drift(places: Mapping[str, str]) -> Finding:
    """Name the fields that the contract does not name, each with the first place that has it."""
    if not places:
        return "no field but those of the contract", 0
    found = [f"{field} (first in {place})" for field, place in sorted(places.items())]
    more = f" and {len(found) - _NAMED_FIELDS} more" if len(found) > _NAMED_FIELDS else ""
    named = ", ".join(found[:_NAMED_FIELDS]) + more
    return (
        f"fields that the contract does not name: {named}; they are kept in `extra`; next: add them to the contract, "
        "or ask the source to drop them",
        len(places),
    )
