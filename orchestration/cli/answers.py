"""What `omni ready` and `omni explain` answer: verdicts on asset partitions, and the chain of reasons behind one.

From the ledger alone; imports no engine. The commands are in `orchestration.cli.verdicts`.
"""

import time
from collections.abc import Iterator, Sequence, Set
from datetime import UTC, datetime

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.as_of import ledger_as_of
from lakehouse.ledger.history import first_loads
from lakehouse.ledger.ledger import Ledger
from lakehouse.partitions import WHOLE, InvalidPartition, named, parse_day
from lakehouse.settings import LakehouseSettings, load_settings
from loaders.manifests.expectation_files import expectations_in_force, expectations_on_record
from orchestration.cli.console import console, open_filled_ledger, say
from orchestration.readiness.arrivals import late_arrivals
from orchestration.readiness.asset_graph import AssetGraph, load_asset_graph
from orchestration.readiness.mending import next_command
from orchestration.readiness.readiness import Readiness, readiness_now
from orchestration.readiness.root_causes import RootCause, by_reason
from orchestration.readiness.root_causes import explain as find_causes
from orchestration.readiness.verdict_json import check_results, verdict_json
from orchestration.readiness.verdicts import Verdict
from orchestration.report.verdict_history import verdict_history

_POLL_SECONDS = 2.0
_SHOWN = 3
_MOMENTS = 30


def answer(asset: str, texts: Sequence[str], wait: float, at: datetime | None, *, as_json: bool) -> bool:
    """Print the verdicts on partitions of an asset, and return whether all are ready.

    Args:
        asset: Its name, as typed.
        texts: Partition keys, as typed; none for what is not partitioned.
        wait: Seconds to wait until all are ready.
        at: By what was known at this instant (UTC); None: by what is known now.
        as_json: Print everything that is known, as JSON.
    """
    settings = load_settings()
    graph, ledger = load_asset_graph(settings), open_filled_ledger(settings)
    keys = [_key(graph, asset, text) for text in texts or [WHOLE]]
    verdicts = (
        _wait(settings, graph, ledger, asset, keys, time.monotonic() + wait)
        if at is None
        else _said_then(graph, ledger, asset, keys, at)
    )
    if as_json:
        results = check_results(ledger, verdicts)
        found = [verdict_json(graph, verdict, results) for verdict in verdicts]
        console.print_json(data=found if len(found) > 1 else found[0])
    else:
        for verdict in verdicts:
            _print(verdict)
    return all(verdict.is_ready for verdict in verdicts)


def explain(asset: str, text: str, *, history: bool) -> None:
    """Print the verdict on a partition and what it rests upon, or its root causes; or what was said of it before."""
    settings = load_settings()
    graph, ledger = load_asset_graph(settings), open_filled_ledger(settings)
    key = _key(graph, asset, text)
    if history:
        _print_history(graph, ledger, asset, key)
        return
    verdict = readiness_now(settings, graph, ledger).verdict(asset, key)
    _print(verdict)
    if verdict.is_ready:
        say(*_evidence(verdict), *_late(settings, ledger, verdict))
    else:
        causes, _ = find_causes([verdict])
        say(*_chain(verdict, "  ", set(), {each.name for cause in causes for each in cause.verdicts}))
        say(*_root_causes(causes))


def _root_causes(causes: Sequence[RootCause]) -> Iterator[str]:
    for members, reasons in by_reason(causes):
        what = "; ".join(f"{named(cause.asset, cause.partitions)} {cause.status}" for cause in members)
        yield f"root cause: {what}: {reasons[0]}"
        yield from (f"  {reason}" for reason in reasons[1:])
        steps = dict.fromkeys(cause.next_step for cause in members if cause.reasons[0] in reasons)
        yield from (f"next: {step}" for step in steps)


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


def _chain(verdict: Verdict, indent: str, seen: set[str], causes: Set[str]) -> Iterator[str]:
    """Upstream partitions that are not ready, each below what it blocks, once; causes are said apart."""
    for blocker in verdict.evidence.blockers[:_SHOWN]:
        if blocker.name in seen:
            yield f"{indent}↳ {blocker.name}: see above"
            continue
        seen.add(blocker.name)
        own = "; ".join(r for r in blocker.reasons if not r.startswith("upstream ")) or "waits for its upstream"
        yield f"{indent}↳ {blocker.name}: {blocker.status}: {'root cause' if blocker.name in causes else own}"
        yield from _chain(blocker, indent + "  ", seen, causes)
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
