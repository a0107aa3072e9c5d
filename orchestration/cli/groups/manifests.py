"""`omni manifests …`: what should arrive, and who let it in."""

import getpass
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.counted import counted
from lakehouse.settings import load_settings
from orchestration.cli.console import JsonOption, ManifestDirOption, console, examples, reported, say, settings_of

if TYPE_CHECKING:  # the loaders are opened by the commands that need them
    from lakehouse.ledger.evidence import ManifestVersion
    from lakehouse.ledger.ledger import Ledger
    from loaders.manifests.admission import Admission
    from loaders.seed_loader import AdmissionReport

manifests_app = typer.Typer(no_args_is_help=True, help="What should arrive: source manifests and their admission.")


@manifests_app.command(
    "check", epilog=examples("omni manifests check", "omni manifests check --manifest-dir /tmp/sample")
)
def check_manifests(manifest_dir: ManifestDirOption = None, as_json: JsonOption = False) -> None:
    """Judge what is declared: exit 0 all admitted, 1 something quarantined or rejected, 2 unreadable."""
    from loaders.seed_loader import judge_manifests

    with reported():
        report = judge_manifests(settings_of(manifest_dir))
        if as_json:
            console.print_json(data=report.as_json())
        else:
            say(*report.lines())
    raise typer.Exit(report.exit_status)


@manifests_app.command("list", epilog=examples("omni manifests list --all"))
def list_manifests(
    every_version: Annotated[bool, typer.Option("--all", help="Every version that was ever admitted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the manifests with the judgments of their sources and when they were admitted; then what is held back."""
    from lakehouse.ledger.ledger import open_ledger
    from loaders.seed_loader import admit_manifests

    with reported():
        settings = load_settings()
        ledger = open_ledger(settings)
        report = admit_manifests(settings, ledger)
        versions = ledger.manifest_versions()
        if not every_version:
            current = {file.sha256 for file in report.files}
            versions = [version for version in versions if version.manifest_sha256 in current]
        rows = [_listed(ledger, report, version) for version in versions]
        if as_json:
            console.print_json(data=rows)
        else:
            say(*_aligned(rows), *report.lines())


@manifests_app.command("explain", epilog=examples("omni manifests explain crm-tickets"))
def explain_source(source_id: Annotated[str, typer.Argument(help="As a manifest declares it.")]) -> None:
    """Say of a source who let it in, when, by which version of which manifest, and what it brought."""
    from lakehouse.ledger.ledger import open_ledger
    from loaders.errors import LoaderError
    from loaders.seed_loader import admit_manifests

    with reported():
        settings = load_settings()
        ledger = open_ledger(settings)
        report = admit_manifests(settings, ledger)
        found = [admission for admission in report.admissions if admission.source.source_id == source_id]
        if not found:
            raise LoaderError(f"no manifest declares the source {source_id!r}; next: omni manifests list")
        for admission in found:
            say(*_explained(ledger, admission))


@manifests_app.command(
    "release",
    epilog=examples(
        "omni manifests release manifest-help-center-20260422-001 help-center-refund-form --reason 'cleared by legal'"
    ),
)
def release(
    manifest_id: str,
    source_id: str,
    reason: Annotated[str, typer.Option(help="Who cleared it, and how: it is recorded.")],
    by: Annotated[str | None, typer.Option(help="Default: the user of this machine.")] = None,
) -> None:
    """Let a quarantined source in, for the current version of its manifest, on a person's word."""
    from lakehouse.ledger.ledger import open_ledger
    from loaders.seed_loader import release_source

    with reported():
        settings = load_settings()
        let_in = release_source(
            settings, open_ledger(settings), manifest_id, source_id, reason=reason, by=by or getpass.getuser()
        )
        say(
            f"{let_in.source_id} of {let_in.manifest_id} is let in by {let_in.released_by}, for this version of the "
            "manifest; next: omni run"
        )


@manifests_app.command("init", epilog=examples("omni manifests init exports/april --name april --owner support"))
def init_manifest(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders of files.")],
    name: Annotated[str, typer.Option(help="Goes into the ids; of documents, it is the collection as well.")],
    owner: Annotated[str, typer.Option(help="Who answers for the sources.")],
    contract: Annotated[
        str | None, typer.Option(help="Contract, by name or ref; default: tickets or documents, by the files' endings.")
    ] = None,
    source_id: Annotated[
        str | None, typer.Option(help="One source for the file, the folder or the glob (in quotes); default: per file.")
    ] = None,
    mapping: Annotated[str | None, typer.Option(help="SQL of mappings/ that adapts the records.")] = None,
    license_tag: Annotated[str | None, typer.Option("--license", help="Of all sources; default: unknown.")] = None,
    number: Annotated[int, typer.Option(min=1, max=999, help="Of the manifest on this day.")] = 1,
    manifest_dir: ManifestDirOption = None,
) -> None:
    """Write a valid starter manifest for files. It admits nothing until a person has filled in what only they know."""
    from loaders.manifests.starter import Choices, draft_manifest, write_starter
    from loaders.manifests.starter_files import left_out

    with reported():
        settings = settings_of(manifest_dir)
        if skipped := left_out(paths):
            say(f"left out {len(skipped)} that start with . or _: {', '.join(skipped)}")
        choices = Choices(contract, source_id, mapping, license_tag)
        named: dict[str, Any] = {"name": name, "owner": owner, "number": number, "choices": choices}
        draft = draft_manifest(settings, paths, created_at=datetime.now(UTC), **named)
        unsaid = "" if license_tag else "license_tag, and "
        say(
            f"wrote {write_starter(settings, draft)} with {counted(len(draft['assets']), 'source')}",
            f"next: set {unsaid}metadata_status and pii_scan_status of each source; then: omni manifests check",
        )


def _listed(ledger: "Ledger", report: "AdmissionReport", version: "ManifestVersion") -> dict[str, Any]:
    """One version of a manifest, with the number of its sources by judgment."""
    current = {(a.manifest.manifest_id, a.file.sha256, a.source.source_id): a.judgment for a in report.admissions}
    judgments: dict[str, int] = {}
    for source in ledger.source_admissions(version):
        key = (version.manifest_id, version.manifest_sha256, source.source_id)
        judgment = current.get(key, source.judgment)
        judgments[judgment] = judgments.get(judgment, 0) + 1
    return {
        "manifest_id": version.manifest_id,
        "batch_id": version.batch_id,
        "load_mode": version.load_mode,
        "sources": judgments,
        "sha256": version.manifest_sha256,
        "admitted_at": version.admitted_at.isoformat(timespec="seconds"),
    }


def _aligned(rows: list[dict[str, Any]]) -> list[str]:
    shown = [
        (
            row["manifest_id"],
            row["batch_id"],
            row["load_mode"] or "",
            ", ".join(f"{number} {judgment}" for judgment, number in sorted(row["sources"].items())),
            row["admitted_at"],
            row["sha256"][:12],
        )
        for row in rows
    ]
    header = ("manifest", "batch", "load mode", "sources", "admitted at", "sha256")
    widths = [max(map(len, column)) for column in zip(header, *shown, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *shown)]


def _explained(ledger: "Ledger", admission: "Admission") -> Iterator[str]:
    manifest, source = admission.manifest, admission.source
    yield f"{source.source_id} of {manifest.manifest_id} ({admission.file.path.name}, batch {manifest.batch_id})"
    yield f"  {admission.judgment}: {source.asset_type} at {source.source_url_or_path}"
    yield from (f"  {line}" for line in (*admission.reasons, *admission.way_in))
    yield "  admitted versions:"
    before: Any = None
    for version in ledger.manifest_versions(manifest.manifest_id):
        judged = {each.source_id: each for each in ledger.source_admissions(version)}.get(source.source_id)
        if judged is not None:
            changed = "" if before is None or before == judged.declared else f"; declared {json.dumps(judged.declared)}"
            at = f"{version.admitted_at:%Y-%m-%dT%H:%M:%SZ}"
            yield f"    {at} {version.manifest_sha256[:12]} {judged.judgment}{changed}"
            before = judged.declared
    yield from _brought(ledger, admission)


def _brought(ledger: "Ledger", admission: "Admission") -> Iterator[str]:
    """What of a source is in the ledger's coverage."""
    asset = admission.asset
    covered = [row for rows in ledger.coverage(asset).values() for row in rows]
    rows = [row for row in covered if (row.manifest_id, row.source_id) == admission.key]
    if not rows:
        yield f"  nothing of it is covered in {asset}"
        return
    days, files = sorted({row.partition for row in rows}), {row.source_file for row in rows}
    records = sum(row.rows_expected or 0 for row in rows)
    amount = f"{counted(records, 'record')} in {counted(len(files), 'file')} on {counted(len(days), 'day')}"
    yield f"  {asset}: {amount}, {days[0]} to {days[-1]}"
    yield from sorted({f"  {row.problem}" for row in rows if row.problem})
