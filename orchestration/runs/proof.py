"""All that can be proven of a lakehouse: tables against ledger, ledger against sources, claims against checks.

Records what someone else wrote, and nothing beside: what must be done again is done in a copy of the ledger. Called by
`omni verify`.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from pyiceberg.catalog import Catalog

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.ledger import schema as t
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE, Window, lies_within
from lakehouse.proof.ledger.check_comparison import check_findings
from lakehouse.proof.ledger.rehearsal import ledger_url, rehearsal
from lakehouse.proof.ledger.rows import changed_rows
from lakehouse.proof.partition_comparison import Finding
from lakehouse.proof.verification import VerificationReport, verify
from lakehouse.scratch import scratch_folder
from lakehouse.settings import LakehouseSettings
from loaders.proof.admissions import admission_findings, unread_versions
from loaders.proof.checks import NOT_ASKED, claimed_checks
from loaders.proof.coverage import prove_coverage
from orchestration.dbt_launcher.manifest import PARSE, ensure_dbt_manifest
from orchestration.dbt_launcher.process import Event, run_dbt

_RUN = "dbt asked again"
"""Run of dbt's results in a copy of the ledger."""


def prove(
    settings: LakehouseSettings,
    catalog: Catalog,
    ledger: Ledger,
    *,
    asset: str | None = None,
    window: Window | None = None,
    reading: Callable[[str], None] | None = None,
) -> VerificationReport:
    """Compare ledger, tables and manifests; where `reading` is given (it is told what is read), by reading all of it.

    Raises:
        UnknownTable: neither the catalog nor the ledger knows the asset.
        LedgerUnreadable: a row of the ledger cannot be read.
    """
    changed = [each for each in changed_rows(ledger, settings) if asset in (None, each.asset)]
    report = verify(catalog, ledger, settings, asset=asset, window=window, reading=reading)
    with scratch_folder(settings) as folder:
        empty = rehearsal(ledger, folder / "empty.db", t.metadata.sorted_tables)
        findings = [*changed, *report.findings, *admission_findings(settings, ledger, empty)]
        report = replace(report, findings=findings)
        if reading is None:
            return report
        if versions := unread_versions(settings, ledger, empty):
            report.notes.append(f"{versions} admitted versions of manifests are not in the manifest folder any more")
        return _Deep(settings, catalog, ledger, folder, asset, window, reading).prove(report)


class _Deep:
    """What is done again, in copies of the ledger."""

    def __init__(
        self,
        settings: LakehouseSettings,
        catalog: Catalog,
        ledger: Ledger,
        folder: Path,
        asset: str | None,
        window: Window | None,
        reading: Callable[[str], None],
    ) -> None:
        self._settings, self._catalog, self._ledger, self._folder = settings, catalog, ledger, folder
        self._asset, self._window, self._reading = asset, window, reading

    def prove(self, report: VerificationReport) -> VerificationReport:
        """Add what the sources and the checks say to what the tables do."""
        bronze = bronze_contracts(self._settings)
        assets = [name for name in bronze if self._asset in (None, name)]
        unsourced = [each for each in t.metadata.sorted_tables if each.name.startswith(_OF_COVERAGE)]
        copy = rehearsal(self._ledger, self._folder / "coverage.db", unsourced)
        coverage = prove_coverage(self._settings, self._ledger, copy, assets, self._window, self._reading)
        found = [*report.findings, *(each for each in coverage.findings if self._is_asked(each.asset, each.partition))]
        notes = [*report.notes, *coverage.notes]
        broken = {each.asset for each in found if each.code in _UNREADABLE}
        asked = [key for key in self._ledger.current_materializations() if self._is_asked(*key) and key[0] in bronze]
        if any(each.code in _UNREADABLE for each in found):
            notes.append(f"checks are asked again when the tables can be read: {', '.join(sorted(broken))}")
            return replace(report, findings=found, notes=notes)
        file = self._folder / "checks.db"
        copy = rehearsal(self._ledger, file)
        found += claimed_checks(self._settings, self._catalog, self._ledger, copy, asked, self._reading)
        found += self._claimed_by_dbt(copy, file, notes)
        return replace(report, findings=found, notes=[*notes, NOT_ASKED])

    def _claimed_by_dbt(self, copy: Ledger, file: Path, notes: list[str]) -> Iterator[Finding]:
        self._reading("dbt's tests")
        said: list[str] = []

        def note(event: Event) -> None:
            if event["info"]["level"] == "error":
                said.append(event["info"]["msg"])

        target = self._settings.home / "dbt" / "proof"  # a person's own artifacts stay
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(ensure_dbt_manifest(self._settings).with_name(PARSE), target)
        environment = {"OMNI_LEDGER_URI": ledger_url(file), "DBT_TARGET_PATH": str(target)}
        asked = ["--select", self._asset, f"source:*.{self._asset}"] if self._asset else []
        if self._window:  # `dbt test` has no option for it
            asked += ["--vars", json.dumps({"start": str(self._window.first), "end": str(self._window.end)})]
        run_dbt(self._settings, ["test", *asked], window=None, run_id=_RUN, on_event=note, environment=environment)
        again = [each for results in copy.current_checks().values() for each in results if each.run_id == _RUN]
        if said and not again:
            step = "mend what dbt says, then: omni verify --deep"
            found = f"dbt's tests cannot be asked: {' '.join(said)[-500:]}"
            yield Finding("checks_unasked", self._asset or "dbt", WHOLE, found, "their results", step)
        elif not again:
            notes.append("dbt ran no test of what was asked about")
        yield from check_findings(self._ledger, (each for each in again if self._is_asked(each.asset, each.partition)))

    def _is_asked(self, asset: str, partition: str) -> bool:
        return self._asset in (None, asset) and lies_within(partition, self._window)


_OF_COVERAGE = (t.coverage.name, t.source_files.name)
_UNREADABLE = ("metadata_gone", "metadata_differs", "file_gone", "file_differs", "table_unknown")
