"""One message when something is not safe any more, overdue, or safe again, to the services that OMNI_NOTIFY names.

What was said last lies under OMNI_HOME, so that nothing is said twice; what not every service took is said again with
the next run. Called at the end of `omni run`, and by the sensor that Dagster has where OMNI_NOTIFY is set.
"""

import fcntl
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.partitions import day_ranges
from lakehouse.settings import LakehouseSettings
from lakehouse.unicode_text import escaped
from orchestration.readiness.asset_graph import load_asset_graph
from orchestration.readiness.readiness import readiness_now
from orchestration.report.news import News, Said, Told, last_said, news, reports_folder

if TYPE_CHECKING:
    from apprise import Apprise

NOTIFICATIONS_SENSOR = "notifications_sensor"

_LISTED = 10
_INTERVAL_SECONDS = 120


def notify(settings: LakehouseSettings) -> str | None:
    """Tell what is new since the last message, if anything is, and write the page that it names.

    Returns:
        What was done, for a person; None where nothing is to be told, or nobody is to be told.

    Raises:
        ConfigurationError: OMNI_NOTIFY names what is no service.
    """
    if not settings.notify:
        return None
    services = _services(settings)
    graph, ledger = load_asset_graph(settings), open_ledger(settings)
    if not ledger.has_admissions():
        return None
    with _one_at_a_time(settings):
        file = reports_folder(settings) / "last_message.json"
        now = datetime.now(UTC)
        readiness = readiness_now(settings, graph, ledger)
        verdicts = [verdict for name in graph.nodes for verdict in readiness.verdicts(name).values()]
        found = news(verdicts, last_said(file))
        said = None
        if found.is_worth_a_message:
            from orchestration.report.files import write_page  # engines are imported by what uses them

            title = _title(found)
            body = "\n".join([*_lines(found), f"page: {write_page(settings)}"])
            with _silent():
                is_taken = services.notify(title=title, body=body, body_format="text")
            if not is_taken:
                return f"warning: OMNI_NOTIFY: not every service took the message, it is sent again next time: {title}"
            said = f"told OMNI_NOTIFY: {title}"
        Said.of(verdicts, now).keep(file)
        return said


def build_notifications_sensor(settings: LakehouseSettings) -> list[dg.SensorDefinition]:
    """The sensor of one lakehouse that sends messages; none where nobody is to be told."""
    if not settings.notify:
        return []

    @dg.sensor(
        name=NOTIFICATIONS_SENSOR,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends a message when something is not safe any more, overdue, or safe again.",
    )
    def notifications_sensor() -> dg.SkipReason:
        return dg.SkipReason(notify(settings) or "nothing new to tell")

    return [notifications_sensor]


@contextmanager
def _one_at_a_time(settings: LakehouseSettings) -> Iterator[None]:
    """A run and the sensor may end at once: one of them tells."""
    reports_folder(settings).mkdir(parents=True, exist_ok=True)
    with (reports_folder(settings) / "message.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _silent() -> Iterator[None]:
    """A URL is a secret: Apprise, and what sends for it, log of none."""
    loggers = [logging.getLogger(name) for name in ("apprise", "urllib3", "urllib3.connectionpool")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _services(settings: LakehouseSettings) -> "Apprise":
    import apprise  # takes a second

    services = apprise.Apprise()
    with _silent():
        wrong = [str(n) for n, url in enumerate(settings.notify, 1) if not services.add(url.get_secret_value())]
    if wrong:
        raise ConfigurationError(
            f"OMNI_NOTIFY: URL {', '.join(wrong)} of {len(settings.notify)} names no service that Apprise knows; next: "
            "compare it with https://appriseit.com/services/"
        )
    return services


def _title(found: News) -> str:
    kinds = {
        "not safe": found.unsafe,
        "waiting": found.waiting,
        "overdue": found.overdue,
        "safe again": found.safe_again,
    }
    sums = {kind: sum(len(each.partitions) for each in members) for kind, members in kinds.items()}
    return "omni: " + ", ".join(f"{number} {kind}" for kind, number in sums.items() if number)


def _lines(found: News) -> Iterator[str]:
    yield from _listed("not safe", found.unsafe)
    yield from _listed("overdue", found.overdue)
    if found.waiting:
        yield f"waiting for what is not ready: {', '.join(dict.fromkeys(each.asset for each in found.waiting))}"
    yield from _listed("safe again", found.safe_again)


def _listed(kind: str, members: Sequence[Told]) -> Iterator[str]:
    for each in members[:_LISTED]:
        why = f": {each.reason}" if each.reason else ""
        yield escaped(f"{kind}: {each.asset} {day_ranges(each.partitions)} {each.status}{why}")
    if len(members) > _LISTED:
        yield f"… and {len(members) - _LISTED} more assets"
