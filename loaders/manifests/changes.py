"""What changed between two versions of a manifest, for a person: sources that came, went or are declared otherwise."""

from collections.abc import Iterator, Mapping
from typing import Any

from lakehouse.ledger.evidence import ManifestVersion, SourceAdmission
from lakehouse.ledger.ledger import Ledger


def changes_since(ledger: Ledger, version: ManifestVersion, sources: list[SourceAdmission]) -> list[str]:
    """How a version differs from the one that was admitted before it; nothing for the first one."""
    known = ledger.manifest_versions(version.manifest_id)
    earlier = [each for each in known if each.manifest_sha256 != version.manifest_sha256]
    if not earlier:
        return []
    before = {each.source_id: each.declared for each in ledger.source_admissions(earlier[-1])}
    now = {each.source_id: each.declared for each in sources}
    found = list(_changed_fields("", earlier[-1].declared, version.declared))
    found += [f"source {name} came" for name in sorted(now.keys() - before.keys())]
    found += [f"source {name} went" for name in sorted(before.keys() - now.keys())]
    for name in sorted(now.keys() & before.keys()):
        found += _changed_fields(f"source {name}: ", before[name], now[name])
    return found or ["nothing that is read: spelling, order or notes"]


def _changed_fields(prefix: str, before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> Iterator[str]:
    if before is None or now is None:  # admitted before declarations were recorded
        return
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old != new:
            yield f"{prefix}{name} was {_shown(old)}, is {_shown(new)}"


def _shown(value: object) -> str:
    return "not given" if value is None else str(value)
