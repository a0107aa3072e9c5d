"""The expectations of a lakehouse: read from `expectations/*.json` of its manifest folder, with every breach named.

Form and fields: docs/reference/manifests.md. A folder with one file that is none is refused whole: a day that nobody
expects because of a slip would pass for one that nobody needs.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from lakehouse.contracts.registry import bronze_contracts
from lakehouse.contracts.rules import type_breaches
from lakehouse.errors import ConfigurationError
from lakehouse.ledger.declarations import recorded_expectations
from lakehouse.ledger.ledger import Ledger
from lakehouse.settings import LakehouseSettings
from lakehouse.strict_json import Breach, load_json, read_declared
from loaders.manifests.expectations import Expectation

EXPECTATION_SCHEMA = "expectation_v1.schema.json"

_EARLIEST = date(1970, 1, 1)
_DRAWN = re.compile(r"(?<![a-z])[hr](?![a-z])", re.IGNORECASE)
"""Fields that croniter draws by lot: other days in every process."""


@dataclass(frozen=True)
class ExpectationFile:
    """One file, as read: an expectation, or every reason why it is none."""

    path: Path
    expectation: Expectation | None
    breaches: tuple[Breach, ...] = ()


def load_expectations(settings: LakehouseSettings) -> list[Expectation]:
    """The expectations of the manifest folder.

    Raises:
        ConfigurationError: a file is no expectation.
    """
    files = read_expectations(settings)
    refused = [f"{file.path.name}: {'; '.join(map(str, file.breaches))}" for file in files if file.breaches]
    if refused:
        raise ConfigurationError(f"expectations {' | '.join(refused)}; next: mend it, omni manifests check")
    return [file.expectation for file in files if file.expectation is not None]


def expectations_in_force(settings: LakehouseSettings, ledger: Ledger) -> list[Expectation]:
    """The expectations of the manifest folder, and those that the last look at the manifests found beside them.

    So in another folder, or where it is gone, no day is called empty that should have come. What is taken out on
    purpose is expected no more after the next look.

    Raises:
        ConfigurationError: a file is no expectation.
    """
    found = load_expectations(settings)
    names = {each.name for each in found}
    return [*found, *(each for each in expectations_on_record(ledger) if each.name not in names)]


def expectations_on_record(ledger: Ledger) -> list[Expectation]:
    """The expectations that the last look at the manifests found."""
    return [Expectation.model_validate_json(json.dumps(each)) for each in recorded_expectations(ledger)]


def read_expectations(settings: LakehouseSettings) -> list[ExpectationFile]:
    """Read and judge every file of expectations; none where there is no such folder."""
    paths = sorted((settings.manifests / "expectations").glob("*.json"))
    assets = bronze_contracts(settings).keys() if paths else ()
    return [_read(path, assets, settings.max_manifest_bytes) for path in paths]


def expectation_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file, as it is published in `manifests/schema`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Expectation.model_json_schema()}


def _read(path: Path, assets: Collection[str], most: int) -> ExpectationFile:
    try:
        document = load_json(read_declared(path, most))
        expectation = Expectation.model_validate_json(json.dumps(document))
    except ValidationError as error:
        return ExpectationFile(path, None, tuple(type_breaches(error, "docs/reference/manifests.md")))
    except OSError as error:
        return ExpectationFile(path, None, (Breach("$", str(error.strerror), "a readable file"),))
    except ValueError as error:
        return ExpectationFile(path, None, (Breach("$", str(error), "a JSON object in UTF-8, each key once"),))
    breaches = tuple(_breaches(expectation, path.stem, assets))
    return ExpectationFile(path, None if breaches else expectation, breaches)


def _breaches(found: Expectation, stem: str, assets: Collection[str]) -> Iterator[Breach]:
    if found.name != stem:
        yield Breach("$.name", repr(found.name), f"{stem!r}, the name of its file")
    if found.asset not in assets:
        yield Breach("$.asset", repr(found.asset), f"a Bronze asset: {', '.join(assets)}")
    if found.collection and found.source:
        yield Breach("$.source", repr(found.source), "none beside a collection")
    if not _is_zone(found.time_zone):
        yield Breach("$.time_zone", repr(found.time_zone), "an IANA time zone such as Europe/Berlin")
    if found.since < _EARLIEST:
        yield Breach("$.since", str(found.since), f"{_EARLIEST} or later")
    if found.until and found.until < found.since:
        yield Breach("$.until", str(found.until), f"{found.since}, its `since`, or later")
    if not found.owner.strip():
        yield Breach("$.owner", repr(found.owner), "a name that is not blank")
    yield from _days_breaches(found)
    yield from _cron_breaches(found)


def _days_breaches(found: Expectation) -> Iterator[Breach]:
    kinds = {"weekly": (str, "names of days such as monday"), "monthly": (int, "numbers of days, 1 to 31")}
    if found.rhythm not in kinds:
        if found.days is not None:
            yield Breach("$.days", str(found.days), f"none under the rhythm {found.rhythm}")
        return
    kind, allowed = kinds[found.rhythm]
    if not found.days or not all(isinstance(day, kind) for day in found.days):
        yield Breach("$.days", str(found.days), f"{allowed}, under the rhythm {found.rhythm}")


def _cron_breaches(found: Expectation) -> Iterator[Breach]:
    if found.rhythm != "cron":
        if found.cron is not None:
            yield Breach("$.cron", repr(found.cron), f"none under the rhythm {found.rhythm}")
    elif not _fires(found.cron or ""):
        yield Breach("$.cron", repr(found.cron), "five fields of cron that some day meets, such as '0 6 * * 1'")


def _is_zone(name: str) -> bool:
    try:
        return bool(ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of the database, a path outside of it
        return False


def _fires(cron: str) -> bool:
    from croniter import CroniterError, croniter  # only where a rhythm is one

    if _DRAWN.search(cron):
        return False
    try:
        return len(cron.split()) == 5 and bool(croniter(cron, datetime(2000, 1, 1)).get_next(datetime))
    except (CroniterError, ValueError):
        return False
