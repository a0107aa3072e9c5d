"""How the loaders' checks are defined, in words: what a result speaks for, beside the rows that it judged.

A check without a threshold of its own is always defined the same: `conservation` and `contract_drift` have none, and
that of `mass_delete` stands in the manifests, whose change makes the day stale. Called where results are recorded and
judged.
"""

from lakehouse.contracts.model import Contract
from lakehouse.settings import LakehouseSettings

QUARANTINE_SHARE, VOLUME = "quarantine_share", "volume"

_USUAL_SHARE = 0.5


def allowed_share(settings: LakehouseSettings, contract: Contract) -> float:
    """Share of a day's records that may be held in quarantine, 0 to 1: the contract's, else the setting's."""
    given = contract.rule_of(QUARANTINE_SHARE).at_most
    return settings.max_quarantined_share if given is None else given


def expected_share(contract: Contract) -> float:
    """Share of what is usual that a day must hold, 0 to 1: the contract's, else half."""
    given = contract.rule_of(VOLUME).at_least
    return _USUAL_SHARE if given is None else given


def check_definitions(settings: LakehouseSettings, contract: Contract) -> dict[str, str]:
    """Check → its definition today, of the checks of a contract's asset that have a threshold."""
    defined = {
        QUARANTINE_SHARE: f"at most {allowed_share(settings, contract)!r} of the records held in quarantine",
        VOLUME: f"at least {expected_share(contract)!r} of the median of its weekday",
    }
    return {check: words for check, words in defined.items() if check in contract.checks}
