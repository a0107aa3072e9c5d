"""`omni ready` and `omni explain`: the verdict on asset partitions, and the chain of reasons behind one.

Answers from the ledger alone; imports no engine.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.as_of import ledger_as_of
from lakehouse.ledger.history import first_loads
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE, InvalidPartition, parse_day
from lakehouse.settings import LakehouseSettings, load_settings
from loaders.manifests.expectation_files import expectations_in_force, expectations_on_record
from orchestration.cli.console import JsonOption, console, open_filled_ledger, reported, say
from orchestration.readiness.arrivals import late_arrivals
from orchestration.readiness.asset_graph import AssetGraph, load_asset_graph
from orchestration.readiness.mending import next_command
from orchestration.readiness.readiness import Readiness, readiness_now
from orchestration.readiness.root_causes import explain as find_causes
from orchestration.readiness.verdict_json import check_results, verdict_json
from orchestration.readiness.verdicts import Verdict
from orchestration.report.verdict_history import verdict_history

_POLL_SECONDS = 2.0
_SHOWN = 3
_MOMENTS = 30


def ready_command(
    asset: str,
    partitions: Annotated[list[str] | None, typer.Argument(help="UTC days; none for what is not partitioned.")] = None,
    wait: Annotated[float, typer.Option("--wait", metavar="SECONDS", help="So long, until all are ready.")] = 0,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="INSTANT", help="By what was known then.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether asset partitions are safe to consume: exit 0 all are ready, 1 some are not, 2 error."""
    with reported():
        settings = load_settings()
        graph, ledger = load_asset_graph(settings), open_filled_ledger(settings)
        keys = [_key(graph, asset, text) for text in partitions or [WHOLE]]
        verdicts = (
            _wait(settings, graph, ledger, asset, keys, time.monotonic() + wait)
            if as_of is None
            else _said_then(graph, ledger, asset, keys, _past_instant(as_of, wait))
        )
        if as_json:
            results = check_results(ledger, verdicts)
            found = [verdict_json(graph, verdict, results) for verdict in verdicts]
            console.print_json(data=found if len(found) > 1 else found[0])
        else:
            for verdict in verdicts:
                _print(verdict)
    raise typer.Exit(0 if all(verdict.is_ready for verdict in verdicts) else 1)


def explain_command(
    asset: str,
    partition: Annotated[str, typer.Argument()] = WHOLE,
    history: Annotated[bool, typer.Option("--history", help="What was said of it before, and since when.")] = False,
) -> None:
    """Show why an asset partition is (not) ready: the chain of reasons up to the root cause, and what mends it."""
    with reported():
        settings = load_settings()
        graph, ledger = load_asset_graph(settings), open_filled_ledger(settings)
        key = _key(graph, asset, partition)
        if history:
            _print_history(graph, ledger, asset, key)
            return
        verdict = readiness_now(settings, graph, ledger).verdict(asset, key)
        _print(verdict)
        if verdict.is_ready:
            say(*_evidence(verdict), *_late(settings, ledger, verdict))
        else:
            say(*_chain(verdict, "  ", set()))
            causes, _ = find_causes([verdict])
            for cause in causes:
                days = ", ".join(cause.partitions[:_SHOWN]) + (" …" if len(cause.partitions) > _SHOWN else "")
                say(f"root cause: {cause.asset} {days} {cause.status}: {cause.reasons[0]}", f"next: {cause.next_step}")


def _late(settings: LakehouseSettings, ledger: Ledger, verdict: Verdict) -> Iterator[str]:
    """How late a day of Bronze came."""
    expectations = [each for each in expectations_in_force(settings, ledger) if each.asset == verdict.asset]
    if expectations and verdict.partition != WHOLE:
        loaded_at = first_loads(ledger, verdict.asset, verdict.partition)
        day = parse_day(verdict.partition)
        for late in late_arrivals(expectations, verdict.asset, day, loaded_at, datetime.now(UTC)):
            yield f"  {late.reason}"


def _key(graph: AssetGraph, asset: str, text: str) -> str:
    if graph[asset].is_partitioned:
        if text == WHOLE:
            raise InvalidPartition(f"{asset} is partitioned by day; next: omni ready {asset} 2026-04-15")
        return parse_day(text).isoformat()
    if text != WHOLE:
        raise InvalidPartition(f"{asset} is not partitioned; next: omni ready {asset}")
    return WHOLE


def _past_instant(text: str, wait: float) -> datetime:
    """The instant (UTC) that `--as-of` names.

    Raises:
        ConfigurationError: it is none, or not past, or is to be waited for.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ConfigurationError(f"--as-of {text}: expected an instant with its offset, such as 2026-05-01T06:00:00Z")
    if at > datetime.now(UTC):
        raise ConfigurationError(f"--as-of {text}: expected an instant that is past; next: leave --as-of out for now")
    if wait:
        raise ConfigurationError("--as-of and --wait: what was said then will not change; next: leave one out")
    return at.astimezone(UTC)


def _said_then(graph: AssetGraph, ledger: Ledger, asset: str, keys: list[str], at: datetime) -> list[Verdict]:
    known = ledger_as_of(ledger, at)
    if not known.has_admissions():
        raise ConfigurationError(f"at {_utc(at)} no manifest was admitted yet: nothing was known of any partition")
    readiness = Readiness(graph, known, at, expectations_on_record(known))
    return [readiness.verdict(asset, key) for key in keys]


def _print_history(graph: AssetGraph, ledger: Ledger, asset: str, key: str) -> None:
    for moment in verdict_history(graph, ledger, asset, key, datetime.now(UTC), _MOMENTS):
        console.print(f"{_utc(moment.since)} {moment.verdict.status}", style=_style(moment.verdict))
        say(*(f"  {reason}" for reason in moment.verdict.reasons))
        if (item := moment.verdict.evidence.materialization) is not None:
            say(f"  {item.rows.loaded} rows, run {item.run_id}")


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"


def _style(verdict: Verdict) -> str:
    return "green" if verdict.is_ready else "red"


def _wait(
    settings: LakehouseSettings, graph: AssetGraph, ledger: Ledger, asset: str, keys: list[str], until: float
) -> list[Verdict]:
    while True:
        readiness = readiness_now(settings, graph, ledger)
        verdicts = [readiness.verdict(asset, key) for key in keys]
        left = until - time.monotonic()
        if left <= 0 or all(verdict.is_ready for verdict in verdicts):
            return verdicts
        time.sleep(min(_POLL_SECONDS, left))


def _print(verdict: Verdict) -> None:
    console.print(f"{verdict.name}: {verdict.status}", style=_style(verdict))
    say(*(f"  {reason}" for reason in verdict.reasons))
    if accepted := verdict.evidence.acceptance:
        say(f"  computed by an older SQL, accepted {accepted.word}")
    if verdict.evidence.unchecked:
        say(f"  unchecked: {verdict.evidence.unchecked}")
    say(*(f"  warning: {warning}; it may hold any day" for warning in verdict.evidence.warnings))
    if (item := verdict.evidence.materialization) is not None:
        batches = ", ".join(item.batch_ids) or "none of its own"
        say(f"  snapshot {item.readable_snapshot_id}, batches {batches}, run {item.run_id}")
        if item.is_forced:
            say("  built with force: what it reads may not have been ready")
    if command := next_command(verdict):
        say(f"  next: {command}")


def _chain(verdict: Verdict, indent: str, seen: set[str]) -> Iterator[str]:
    """Upstream partitions that are not ready, each below what it blocks, each explained once."""
    for blocker in verdict.evidence.blockers[:_SHOWN]:
        if blocker.name in seen:
            yield f"{indent}↳ {blocker.name}: see above"
            continue
        seen.add(blocker.name)
        own = "; ".join(r for r in blocker.reasons if not r.startswith("upstream ")) or "waits for its upstream"
        yield f"{indent}↳ {blocker.name}: {blocker.status}: {own}"
        yield from _chain(blocker, indent + "  ", seen)
    if (more := len(verdict.evidence.blockers) - _SHOWN) > 0:
        yield f"{indent}↳ and {more} more"


def _evidence(verdict: Verdict) -> Iterator[str]:
    """What a partition that is ready rests upon."""
    item = verdict.evidence.materialization
    if item is None:
        yield "  nothing is expected, nothing was ever written"
        return
    rows = item.rows
    yield (
        f"  {rows.read} rows read = {rows.loaded} loaded + {rows.deduplicated} deduplicated + "
        f"{rows.quarantined} quarantined, committed {item.committed_at:%Y-%m-%dT%H:%M:%SZ}"
    )
    yield from (f"  from {name}" for name in item.source_files)
    yield from (f"  from {name}, version {version[:12]}" for name, version in sorted(item.inputs.items()) if version)
    checks = verdict.evidence.checks
    yield f"  {len(checks.passed)} of {len(checks.names)} checks passed"
    yield from (f"  warning: {c.check}: {c.message}" for c in checks.failed)
