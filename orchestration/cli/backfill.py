"""`omni backfill`: plan, run, resume, and what was asked for."""

import getpass
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.counted import counted
from lakehouse.partitions import named, said_once, typed_window
from lakehouse.settings import load_settings
from orchestration.cli.console import (
    FromOption,
    JsonOption,
    PartitionOption,
    ToOption,
    asset_names,
    console,
    open_filled_ledger,
    reported,
    say,
    show_progress,
)

if TYPE_CHECKING:  # SQLAlchemy and the engines are opened by what is typed rightly
    from lakehouse.ledger.evidence import Backfill
    from lakehouse.ledger.ledger import Ledger
    from orchestration.readiness.asset_graph import AssetGraph
    from orchestration.readiness.readiness import Readiness
    from orchestration.readiness.verdicts import Verdict
    from orchestration.runs.backfill import BackfillPlan, Selection

AssetsArgument = Annotated[list[str] | None, typer.Argument(autocompletion=asset_names, help="Assets; default: all.")]


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
    listed: Annotated[bool, typer.Option("--list", help="List those that were asked for, and how they ended.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compute named partitions of named assets again, upstream first, and nothing else.

    Looks at manifests and sources first. Exit 0: all of them are ready. 1: some are not. 2: error.
    """
    with reported():
        if listed:
            _print_backfills(as_json)
            return
        window = typed_window(partition, from_, to)
        from orchestration.readiness.asset_graph import load_asset_graph
        from orchestration.readiness.readiness import readiness_now
        from orchestration.readiness.verdicts import Status
        from orchestration.runs.backfill import Selection, request_backfill, run_backfill

        flags = {Status.MISSING: missing, Status.STALE: stale, Status.FAILED: failed}
        statuses = frozenset(status for status, is_wanted in flags.items() if is_wanted)
        with_downstream = bool(statuses) if downstream is None else downstream
        wanted = Selection(tuple(assets or ()), window, statuses, with_downstream)
        if not resume:
            wanted.refuse_unbounded()
        settings = load_settings()
        graph = load_asset_graph(settings)
        for name in wanted.assets:
            graph[name]  # raises UnknownAsset
        from loaders.ingest import refresh  # the engines

        refresh(settings, show_progress)
        ledger = open_filled_ledger(settings)
        backfill, plan = _planned(ledger, readiness_now(settings, graph, ledger), wanted, resume)
        planned = _plan_json(graph, ledger, plan) if as_json else {}
        if not as_json:
            say(*_plan_lines(plan))
        if dry_run or not plan.verdicts:
            if as_json:
                console.print_json(data=planned)
            return
        backfill = backfill or request_backfill(ledger, plan, reason, by or getpass.getuser(), force)
        show_progress(f"backfill {backfill.id}; if it is interrupted: omni backfill --resume {backfill.id}")
        result = run_backfill(settings, backfill, show_progress)
        if as_json:
            not_ready = _verdicts_json(graph, ledger, result.not_ready)
            console.print_json(data={**planned, "id": backfill.id, "not_ready": not_ready, "failures": result.lines})
        else:
            left = said_once((v.asset, v.partition, f"{v.status}: {_why(v)}") for v in result.not_ready)
            say(*result.lines, *(f"{partitions} is {why}" for partitions, why in left))
            done = len(plan.verdicts) - len(result.not_ready)
            say(f"backfill {backfill.id}: {done} of {counted(len(plan.verdicts), 'partition')} ready")
    raise typer.Exit(1 if result.not_ready else 0)


def _planned(
    ledger: "Ledger", readiness: "Readiness", wanted: "Selection", resume: str | None
) -> tuple["Backfill | None", "BackfillPlan"]:
    """What is to be computed; and the backfill that is resumed, where one is."""
    from orchestration.runs.backfill import BackfillPlan, find_unfinished, plan_backfill

    if not resume:
        return None, plan_backfill(readiness, wanted)
    backfill = find_unfinished(ledger, resume)
    return backfill, BackfillPlan([readiness.verdict(*target) for target in backfill.targets], [])


def _print_backfills(as_json: bool) -> None:
    found = open_filled_ledger(load_settings()).backfills()
    if as_json:
        console.print_json(data=list(map(_as_json, found)))
        return
    for each in found:
        ended = each.outcome or f"unfinished; next: omni backfill --resume {each.id}"
        assets = ", ".join(dict.fromkeys(asset for asset, _ in each.targets))
        why = f" ({each.reason})" if each.reason else ""
        asked = f"{each.id}  {each.requested_at:%Y-%m-%dT%H:%M:%SZ}  {each.requested_by}"
        say(f"{asked}  {counted(len(each.targets), 'partition')} of {assets}: {ended}{why}")
    if not found:
        say("no backfill was asked for yet")


def _as_json(backfill: "Backfill") -> dict[str, Any]:
    return {
        "id": backfill.id,
        "requested_at": backfill.requested_at.isoformat(),
        "requested_by": backfill.requested_by,
        "reason": backfill.reason,
        "forced": backfill.is_forced,
        "finished_at": backfill.finished_at and backfill.finished_at.isoformat(),
        "outcome": backfill.outcome,
        "targets": [list(target) for target in backfill.targets],
    }


def _plan_lines(plan: "BackfillPlan") -> list[str]:
    if not plan.verdicts:
        return ["nothing to compute: no such partition is expected or was ever written, in these states"]
    lines = [f"partitions to compute: {len(plan.verdicts)}", *(f"  {line}" for line in _groups(plan.verdicts))]
    for each in plan.touched:
        amount = f"{counted(each.partitions, 'partition')}, {counted(each.rows, 'row')} now"
        lines.append(f"  downstream, not in it: {each.asset}: {amount}")
    return lines


def _groups(verdicts: Iterable["Verdict"]) -> Iterator[str]:
    """Partitions of an asset that are alike together, with the sums of their rows."""
    alike: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in verdicts:
        alike.setdefault((verdict.asset, verdict.status, _why(verdict)), []).append(verdict)
    for (asset, status, why), members in alike.items():
        found = [verdict.evidence for verdict in members]
        rows = sum(e.materialization.rows.loaded for e in found if e.materialization)
        is_bronze = found[0].rows_expected is not None
        expected = f"{counted(sum(e.rows_expected or 0 for e in found), 'row')} expected, " if is_bronze else ""
        days = named(asset, (verdict.partition for verdict in members))
        yield f"{days}: {status}, {why}; {expected}{counted(rows, 'row')} now"


def _why(verdict: "Verdict") -> str:
    if verdict.status == "BLOCKED":
        return "waits for what it reads"
    return verdict.reasons[0] if verdict.reasons else "asked for"


def _plan_json(graph: "AssetGraph", ledger: "Ledger", plan: "BackfillPlan") -> dict[str, Any]:
    return {
        "partitions": _verdicts_json(graph, ledger, plan.verdicts),
        "downstream": [
            {"asset": each.asset, "partitions": each.partitions, "rows": each.rows} for each in plan.touched
        ],
    }


def _verdicts_json(graph: "AssetGraph", ledger: "Ledger", verdicts: Sequence["Verdict"]) -> list[dict[str, Any]]:
    from orchestration.readiness.verdict_json import check_results, verdict_json

    results = check_results(ledger, verdicts)
    return [verdict_json(graph, verdict, results) for verdict in verdicts]
