"""A lake of five years against the same at one year, on Postgres and a store: what commands ask, and what they take.

It prints what docs/reference/benchmarks.md tells; it asserts on what is asked, never on time.
"""

import json
import os
from dataclasses import astuple
from datetime import timedelta

import pytest

from lakehouse.settings import LakehouseSettings
from tests.faults.way_to_store import way_to
from tests.integration.postgres_server import new_database, serving_postgres
from tests.integration.s3_server import serving_s3
from tests.soak.old_lake import LAST_DAY, Cost, OldLake, write_day, write_sources

YEAR, YEARS = 365, 1826
SNAPSHOTS = 500
COMMANDS = {
    "ready": ("ready", "support_kpi_daily", str(LAST_DAY)),
    "status": ("status",),
    "run, nothing new": ("run",),
    "run, one new day": ("run",),
    "maintain": ("maintain",),
    "verify": ("verify",),
}


@pytest.fixture(scope="module")
def servers():
    with serving_postgres() as postgres, serving_s3() as store, way_to(store.endpoint) as way:
        yield postgres, store, way


def costs_at(servers, root, days: int) -> dict[str, Cost]:
    """What each command takes of a lake of so many days."""
    postgres, store, way = servers
    own = {
        "OMNI_HOME": str(root / "home"),
        "OMNI_MANIFESTS": str(root / "manifests"),
        "OMNI_CATALOG_URI": new_database(postgres).get_secret_value(),
        "OMNI_DAGSTER_POSTGRES_URL": new_database(postgres).get_secret_value(),
        "OMNI_WAREHOUSE": f"{store.bucket(f'lake-{days}')}/warehouse",
        "OMNI_CATALOG_PROPERTIES": json.dumps(store.properties()),
    }
    write_sources(root / "manifests", days)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        lake = OldLake(LakehouseSettings(), dict(os.environ), way)
        lake.fill()
        lake.age(SNAPSHOTS)
        lake.environment["OMNI_CATALOG_PROPERTIES"] = json.dumps(store.properties(endpoint=way.endpoint))
        found = {}
        for name, arguments in COMMANDS.items():
            if name == "run, one new day":
                write_day(root / "manifests", LAST_DAY + timedelta(days=1))
            found[name] = lake.omni(*arguments)
            print(f"{days} days, {name}:", found[name], flush=True)
    return found


@pytest.mark.skipif(not os.environ.get("OMNI_SOAK"), reason="make soak: it fills years of days")
@pytest.mark.timeout(4 * 3600)
def test_five_years_are_asked_about_as_one_is(servers, tmp_path_factory):
    one, five = (costs_at(servers, tmp_path_factory.mktemp("old"), days) for days in (YEAR, YEARS))

    for name in COMMANDS:
        ratios = (late / early for early, late in zip(astuple(one[name]), astuple(five[name]), strict=True))
        print(name, *(f"{ratio:.2f}" for ratio in ratios))
    assert {name for name in COMMANDS if five[name].statements > 1.5 * one[name].statements} == set()
    # Models that are built whole, or up to a day, read each day's file; a proof asks for each file.
    may_grow = {"run, one new day", "verify"}
    assert {name for name in COMMANDS if five[name].requests > 1.5 * one[name].requests} <= may_grow
