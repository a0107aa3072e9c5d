"""`omni quarantine …`: what was read and not loaded, and its way back or out."""

import getpass
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.counted import counted
from lakehouse.partitions import typed_window
from lakehouse.settings import load_settings
from orchestration.cli.console import (
    FromOption,
    JsonOption,
    PartitionOption,
    ToOption,
    console,
    examples,
    reported,
    say,
)

if TYPE_CHECKING:  # the loaders are opened by the commands that need them
    from loaders.bronze.held_records import HeldRecord, Selection
    from loaders.quarantine import ReleaseReport

quarantine_app = typer.Typer(no_args_is_help=True, help="Records that were read and not loaded: see, release, discard.")

IdsArgument = Annotated[list[str] | None, typer.Argument(help="Ids of records, from `omni quarantine list`.")]
AssetOption = Annotated[str | None, typer.Option("--asset", help="Default: all.")]
CodeOption = Annotated[str | None, typer.Option("--reason-code", help="Such as value_not_allowed.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why: it is recorded.")]
ByOption = Annotated[str | None, typer.Option("--by", help="Default: the user of this machine.")]


@quarantine_app.command("list", epilog=examples("omni quarantine list --partition 2026-04-14"))
def list_records(
    asset: AssetOption = None,
    partition: PartitionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    reason_code: CodeOption = None,
    every: Annotated[bool, typer.Option("--all", help="With those that were released.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what is held: per partition and reason the number of records, and each with its id, file and line."""
    from lakehouse.ledger.ledger import open_ledger
    from lakehouse.tables.catalog import open_catalog
    from loaders.bronze.held_records import held_records

    with reported():
        settings = load_settings()
        selection = _selection(None, asset, partition, from_, to, reason_code)
        records = held_records(open_catalog(settings), selection, with_released=every)
        actions = {action.record_id: action for action in open_ledger(settings).quarantine_actions()}
        if as_json:
            console.print_json(data=[_as_json(record, actions) for record in records])
            return
        groups = defaultdict(list)
        for record in records:
            groups[record.asset, record.partition, record.reason_code].append(record)
        for (name, key, code), members in groups.items():
            say(f"{name} {key} {code}: {len(members)}")
            say(*(f"  {r.record_id}  {r.source_file}:{r.source_line}{_state(r, actions)}" for r in members))
        say(f"{counted(len(records), 'record')}; next: omni quarantine show ID" if records else "nothing is held")


@quarantine_app.command("show", epilog=examples("omni quarantine show 8a17bb0f3d2b"))
def show_record(record_id: str) -> None:
    """Show one record: every breach, where it stands, and the record as it stands there. May hold personal data."""
    from lakehouse.ledger.ledger import open_ledger
    from lakehouse.tables.catalog import open_catalog
    from loaders.bronze.held_records import Selection, held_records
    from loaders.errors import RecordNotHeld

    with reported():
        settings = load_settings()
        wanted = Selection(record_ids=frozenset({record_id}))
        records = held_records(open_catalog(settings), wanted, with_released=True)
        if not records:
            raise RecordNotHeld(f"not in quarantine: {record_id}; next: omni quarantine list --all")
        for record in records:
            say(
                f"{record.record_id}  {record.asset} {record.partition}  {record.reason_code}",
                f"  {record.reason}",
                f"  {record.source_file}:{record.source_line} of {record.source_id}, {record.manifest_id}",
                f"  held since {record.quarantined_at:%Y-%m-%dT%H:%M:%SZ}, run {record.run_id}",
                f"  {record.raw_record}",
            )
        for action in open_ledger(settings).quarantine_actions():
            if action.record_id == record_id:
                say(f"  {action.action} by {action.acted_by} at {action.acted_at:%Y-%m-%dT%H:%M:%SZ}: {action.reason}")


@quarantine_app.command(
    "release", epilog=examples("omni quarantine release --partition 2026-04-14 --reason 'the mapping was mended'")
)
def release(
    reason: ReasonOption,
    record_ids: IdsArgument = None,
    asset: AssetOption = None,
    partition: PartitionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    reason_code: CodeOption = None,
    by: ByOption = None,
) -> None:
    """Read records again, after source, mapping or contract was mended, and load exactly their partitions.

    Exit 0: all are released. Exit 1: some are still held, or their partition cannot be computed.
    """
    from loaders.quarantine import release_records

    with reported():
        selection = _selection(record_ids, asset, partition, from_, to, reason_code)
        report = release_records(load_settings(), selection, reason=reason, by=by or getpass.getuser())
        say(*(f"released {r.record_id}  {r.asset} {r.partition}" for r in report.released))
        say(*(f"still held {r.record_id}  {r.source_file}:{r.source_line}: {r.reason}" for r in report.still_held))
        say(
            *report.problems,
            f"{len(report.released)} released, {len(report.still_held)} still held; next: {_next(report)}",
        )
    raise typer.Exit(1 if report.still_held or report.problems else 0)


def _next(report: "ReleaseReport") -> str:
    if report.problems:
        return "mend the sources named above, then the same command again"
    if report.still_held:
        return "mend the source, its mapping or the contract, then the same command again; or: omni quarantine discard"
    return "omni run"


@quarantine_app.command("discard", epilog=examples("omni quarantine discard 8a17bb0f3d2b --reason 'a test record'"))
def discard(
    reason: ReasonOption,
    record_ids: IdsArgument = None,
    asset: AssetOption = None,
    partition: PartitionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    reason_code: CodeOption = None,
    by: ByOption = None,
) -> None:
    """Say that records are not wanted: they stay on record, and no longer count against their partition."""
    from loaders.quarantine import discard_records

    with reported():
        selection = _selection(record_ids, asset, partition, from_, to, reason_code)
        records = discard_records(load_settings(), selection, reason=reason, by=by or getpass.getuser())
        say(*(f"discarded {record.record_id}  {record.asset} {record.partition}" for record in records))


def _selection(
    record_ids: list[str] | None,
    asset: str | None,
    partition: str | None,
    from_: str | None,
    to: str | None,
    reason_code: str | None,
) -> "Selection":
    from loaders.bronze.held_records import Selection

    window = typed_window(partition, from_, to)
    return Selection(frozenset(record_ids or ()), asset, window, reason_code)


def _state(record: "HeldRecord", actions: dict[str, Any]) -> str:
    if record.released_at:
        return "  released"
    action = actions.get(record.record_id)
    return "  discarded" if action is not None and action.action == "discarded" else ""


def _as_json(record: "HeldRecord", actions: dict[str, Any]) -> dict[str, Any]:
    return {
        "record_id": record.record_id,
        "asset": record.asset,
        "partition": record.partition,
        "reason_code": record.reason_code,
        "reason": record.reason,
        "source_id": record.source_id,
        "source_file": record.source_file,
        "source_line": record.source_line,
        "manifest_id": record.manifest_id,
        "batch_id": record.batch_id,
        "quarantined_at": record.quarantined_at.isoformat(),
        "state": _state(record, actions).strip() or "held",
    }
