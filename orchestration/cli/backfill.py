"""`omni backfill` and `omni backfills`: plan, run, resume, and what was asked for."""

import getpass
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from lakehouse.ledger.ledger import Ledger
from lakehouse.settings import load_settings
from orchestration.cli.console import (
    FromOption,
    JsonOption,
    PartitionOption,
    ToOption,
    console,
    open_filled_ledger,
    reported,
    say,
    show_progress,
    window_of,
)
from orchestration.readiness.asset_graph import AssetGraph, load_asset_graph
from orchestration.readiness.verdict_json import check_results, verdict_json
from orchestration.readiness.verdicts import Status, Verdict
from orchestration.runs.backfill import (
    BackfillPlan,
    Selection,
    find_unfinished,
    plan_backfill,
    request_backfill,
    run_backfill,
)

_LISTED = 40

AssetsArgument = Annotated[list[str] | None, typer.Argument(help="Assets; default: all.")]


def backfill_command(
    assets: AssetsArgument = None,
    partition: PartitionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    missing: Annotated[bool, typer.Option("--missing", help="Expected, never materialized.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="What they were computed from has changed.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="A check failed on them.")] = False,
    downstream: Annotated[
        bool | None,
        typer.Option(
            "--downstream/--only", help="With what reads them; default: yes for --missing, --stale, --failed, else no."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, compute nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Build upon what is not ready, too; it is recorded.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why: it is recorded.")] = "",
    by: Annotated[str | None, typer.Option("--by", help="Default: the user of this machine.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", metavar="ID", help="Go on with an interrupted one.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute named partitions of named assets again, upstream first, and nothing else.

    Looks at manifests and sources first. Exit 0: all of them are ready. 1: some are not. 2: error.
    """
    from loaders.ingest import refresh
    from orchestration.readiness.readiness import readiness_now

    flags = {Status.MISSING: missing, Status.STALE: stale, Status.FAILED: failed}
    statuses = frozenset(status for status, is_wanted in flags.items() if is_wanted)
    with_downstream = bool(statuses) if downstream is None else downstream
    with reported():
        settings = load_settings()
        wanted = Selection(tuple(assets or ()), window_of(partition, from_, to), statuses, with_downstream)
        refresh(settings, show_progress)
        ledger = open_filled_ledger(settings)
        readiness = readiness_now(settings, load_asset_graph(settings), ledger)
        if resume:
            backfill = find_unfinished(ledger, resume)
            plan = BackfillPlan([readiness.verdict(*target) for target in backfill.targets], [])
        else:
            plan = plan_backfill(readiness, wanted)
        planned = _plan_json(readiness.graph, ledger, plan) if as_json else {}
        if not as_json:
            say(*_plan_lines(plan))
        if dry_run or not plan.verdicts:
            if as_json:
                console.print_json(data=planned)
            return
        if not resume:
            backfill = request_backfill(ledger, plan, reason, by or getpass.getuser(), force)
        show_progress(f"backfill {backfill.id}; if it is interrupted: omni backfill --resume {backfill.id}")
        result = run_backfill(settings, backfill, show_progress)
        if as_json:
            left = _verdicts_json(readiness.graph, ledger, result.not_ready)
            console.print_json(data={**planned, "id": backfill.id, "not_ready": left, "failures": result.lines})
        else:
            say(*result.lines, *(f"{v.name} is {v.status}: {v.reasons[0]}" for v in result.not_ready[:_LISTED]))
            done = len(plan.verdicts) - len(result.not_ready)
            say(f"backfill {backfill.id}: {done} of {len(plan.verdicts)} partitions are ready")
    raise typer.Exit(1 if result.not_ready else 0)


def backfills_command(as_json: JsonOption = False) -> None:
    """List the backfills that were asked for: who, why, when, how they ended."""
    with reported():
        found = open_filled_ledger(load_settings()).backfills()
        if as_json:
            console.print_json(
                data=[
                    {
                        "id": each.id,
                        "requested_at": each.requested_at.isoformat(),
                        "requested_by": each.requested_by,
                        "reason": each.reason,
                        "forced": each.is_forced,
                        "finished_at": each.finished_at and each.finished_at.isoformat(),
                        "outcome": each.outcome,
                        "targets": [list(target) for target in each.targets],
                    }
                    for each in found
                ]
            )
            return
        for each in found:
            ended = each.outcome or f"unfinished; next: omni backfill --resume {each.id}"
            assets = ", ".join(dict.fromkeys(asset for asset, _ in each.targets))
            why = f" ({each.reason})" if each.reason else ""
            asked = f"{each.id}  {each.requested_at:%Y-%m-%dT%H:%M:%SZ}  {each.requested_by}"
            say(f"{asked}  {len(each.targets)} partitions of {assets}: {ended}{why}")
        if not found:
            say("no backfill was asked for yet")


def _plan_lines(plan: BackfillPlan) -> list[str]:
    if not plan.verdicts:
        return ["nothing to compute: no such partition is expected or was ever written, in these states"]
    lines = [f"partitions to compute: {len(plan.verdicts)}"]
    lines += [f"  {_line(verdict)}" for verdict in plan.verdicts[:_LISTED]]
    if len(plan.verdicts) > _LISTED:
        lines.append(f"  … and {len(plan.verdicts) - _LISTED} more; next: --json lists all")
    for each in plan.touched:
        lines.append(f"  downstream, not in it: {each.asset}: {each.partitions} partitions, {each.rows} rows now")
    return lines


def _line(verdict: Verdict) -> str:
    why = verdict.reasons[0] if verdict.reasons else "asked for"
    rows, item = verdict.evidence.rows_expected, verdict.evidence.materialization
    expected = "" if rows is None else f"{rows} rows expected, "
    return f"{verdict.name}: {verdict.status}, {why}; {expected}{item.rows.loaded if item else 0} rows now"


def _plan_json(graph: AssetGraph, ledger: Ledger, plan: BackfillPlan) -> dict[str, Any]:
    return {
        "partitions": _verdicts_json(graph, ledger, plan.verdicts),
        "downstream": [
            {"asset": each.asset, "partitions": each.partitions, "rows": each.rows} for each in plan.touched
        ],
    }


def _verdicts_json(graph: AssetGraph, ledger: Ledger, verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    results = check_results(ledger, verdicts)
    return [verdict_json(graph, verdict, results) for verdict in verdicts]
