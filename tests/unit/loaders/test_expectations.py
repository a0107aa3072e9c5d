"""Expectations as files: what is refused, and why; which days a rhythm names, and since when they are due."""

import json
from datetime import UTC, date, datetime

import pytest
from jsonschema_rs import Draft202012Validator

from lakehouse.errors import ConfigurationError
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from loaders.manifests.expectation_files import (
    EXPECTATION_SCHEMA,
    expectation_schema,
    load_expectations,
    read_expectations,
)
from loaders.manifests.expectations import Expectation
from loaders.seed_loader import judge_manifests

SOUND = {
    "name": "tickets",
    "asset": "raw_ticket_events",
    "rhythm": "daily",
    "due_after_hours": 6,
    "since": "2026-04-01",
    "owner": "support",
}


@pytest.fixture
def write(tmp_path):
    """Write a file of expectations; returns the settings of its lakehouse."""

    def written(document, name="tickets"):
        folder = tmp_path / "manifests" / "expectations"
        folder.mkdir(parents=True, exist_ok=True)
        text = document if isinstance(document, str) else json.dumps(document)
        (folder / f"{name}.json").write_text(text)
        return LakehouseSettings(home=tmp_path / "home", manifests=tmp_path / "manifests")

    return written


@pytest.mark.parametrize(
    ("change", "breach"),
    [
        ({"asset": "raw_tickets"}, "$.asset: found 'raw_tickets', allowed: a Bronze asset: raw_ticket_events, "),
        ({"asset": "ticket_fact"}, "$.asset: found 'ticket_fact', allowed: a Bronze asset: raw_ticket_events, "),
        ({"name": "others"}, "$.name: found 'others', allowed: 'tickets', the name of its file"),
        ({"time_zone": "Berlin"}, "$.time_zone: found 'Berlin', allowed: an IANA time zone such as Europe/Berlin"),
        ({"time_zone": "../etc/passwd"}, "$.time_zone: found '../etc/passwd', allowed: an IANA time zone"),
        ({"time_zone": "Europe"}, "$.time_zone: found 'Europe', allowed: an IANA time zone"),
        ({"time_zone": ""}, "$.time_zone: found '', allowed: an IANA time zone"),
        ({"until": "2026-03-31"}, "$.until: found 2026-03-31, allowed: 2026-04-01, its `since`, or later"),
        ({"since": "0001-01-01"}, "$.since: found 0001-01-01, allowed: 1970-01-01 or later"),
        ({"since": 20260401}, "$.since: found 20260401"),
        ({"owner": " "}, "$.owner: found ' ', allowed: a name that is not blank"),
        ({"collection": "a", "source": "b"}, "$.source: found 'b', allowed: none beside a collection"),
        ({"rhythm": "hourly"}, '$.rhythm: found "hourly"'),
        ({"rhythm": "weekly"}, "$.days: found None, allowed: names of days such as monday, under the rhythm weekly"),
        ({"rhythm": "weekly", "days": [1]}, "$.days: found (1,), allowed: names of days such as monday"),
        ({"rhythm": "monthly", "days": ["monday"]}, "$.days: found ('monday',), allowed: numbers of days, 1 to 31"),
        ({"rhythm": "monthly", "days": [32]}, "$.days[0]"),
        ({"days": ["monday"]}, "$.days: found ('monday',), allowed: none under the rhythm daily"),
        ({"rhythm": "cron"}, "$.cron: found None, allowed: five fields of cron"),
        ({"rhythm": "cron", "cron": "0 6 * *"}, "$.cron: found '0 6 * *', allowed: five fields of cron"),
        ({"rhythm": "cron", "cron": "61 6 * * *"}, "$.cron: found '61 6 * * *', allowed: five fields of cron"),
        ({"rhythm": "cron", "cron": "0 0 30 2 *"}, "$.cron: found '0 0 30 2 *', allowed: five fields of cron"),
        ({"rhythm": "cron", "cron": "0 0 r * *"}, "$.cron: found '0 0 r * *', allowed: five fields of cron"),
        ({"cron": "0 6 * * *"}, "$.cron: found '0 6 * * *', allowed: none under the rhythm daily"),
        ({"min_records": 0}, "$.min_records: found 0"),
        ({"min_records": "5"}, '$.min_records: found "5"'),
        ({"due_after_hours": -1}, "$.due_after_hours: found -1"),
        ({"due_hours": 1}, "$.due_hours: found an unknown key, allowed: only keys of docs/reference/manifests.md"),
    ],
)
def test_a_slip_is_named_and_refuses_the_lakehouse_its_expectations(write, change, breach):
    settings = write({**SOUND, **change})

    (file,) = read_expectations(settings)
    report = judge_manifests(settings)

    assert any(breach in str(each) for each in file.breaches), [str(each) for each in file.breaches]
    assert report.exit_status == 1
    first, second, *_ = report.lines()
    assert first == "expectation tickets.json is refused" and second.startswith("    $.")
    assert not report.as_json()["expectations"][0]["valid"]
    with pytest.raises(ConfigurationError, match=r"expectations tickets.json: .*; next: mend it, omni manifests check"):
        load_expectations(settings)


@pytest.mark.parametrize("text", ["", "[]", '{"name": "a", "name": "b"}', "{", "\udcff".encode("utf-8", "replace")])
def test_what_is_no_json_object_is_refused(write, text):
    settings = write(text if isinstance(text, str) else text.decode())

    assert read_expectations(settings)[0].breaches


def test_one_bad_file_hides_no_other(write):
    write(SOUND)
    settings = write({**SOUND, "name": "more", "asset": "nothing"}, "more")

    assert [bool(file.breaches) for file in read_expectations(settings)] == [True, False]


def test_a_lakehouse_without_the_folder_expects_nothing(tmp_path):
    assert load_expectations(LakehouseSettings(home=tmp_path, manifests=tmp_path)) == []


def test_the_published_schema_is_the_model_and_takes_what_ships():
    published = json.loads((PROJECT_ROOT / "manifests" / "schema" / EXPECTATION_SCHEMA).read_text("utf-8"))
    shipped = sorted((PROJECT_ROOT / "manifests" / "expectations").glob("*.json"))

    assert published == expectation_schema()
    assert shipped
    assert all(Draft202012Validator(published).is_valid(json.loads(path.read_text("utf-8"))) for path in shipped)
    assert len(load_expectations(LakehouseSettings(manifests=PROJECT_ROOT / "manifests"))) == len(shipped)


def rhythm(**fields):
    return Expectation.model_validate_json(json.dumps({**SOUND, **fields}))


NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "days"),
    [
        ({"rhythm": "weekdays", "until": "2026-04-07"}, [1, 2, 3, 6, 7]),
        ({"rhythm": "weekly", "days": ["monday", "friday"], "until": "2026-04-13"}, [3, 6, 10, 13]),
        ({"rhythm": "monthly", "days": [2, 31], "until": "2026-04-30"}, [2, 30]),
        ({"rhythm": "cron", "cron": "*/10 8-9 * * 2", "until": "2026-04-20"}, [7, 14]),
        ({"since": "2026-04-28", "until": None, "time_zone": "America/New_York"}, [28, 29, 30]),
    ],
)
def test_a_rhythm_names_its_days(fields, days):
    assert rhythm(**fields).scheduled(NOW) == [date(2026, 4, day) for day in days]


def test_a_day_begins_where_it_is_expected():
    at = datetime(2026, 4, 1, 15, tzinfo=UTC)

    assert rhythm(time_zone="Asia/Tokyo").scheduled(at)[-1] == date(2026, 4, 2)
    assert rhythm(time_zone="America/New_York").scheduled(at)[-1] == date(2026, 4, 1)


@pytest.mark.parametrize(
    ("zone", "day", "hours", "due"),
    [
        ("UTC", date(2026, 4, 1), 6, "2026-04-02T06:00"),
        ("Europe/Berlin", date(2026, 3, 28), 6, "2026-03-29T05:00"),  # six hours that pass: 07:00 on the wall
        ("Europe/Berlin", date(2026, 10, 24), 6, "2026-10-25T04:00"),
        ("America/Havana", date(2026, 3, 7), 0, "2026-03-08T05:00"),  # its midnight is skipped
        ("America/Havana", date(2026, 10, 31), 0, "2026-11-01T04:00"),  # its midnight comes twice: the first
    ],
)
def test_a_day_is_due_so_many_hours_after_it_has_ended_whatever_the_clocks_do(zone, day, hours, due):
    assert rhythm(time_zone=zone, due_after_hours=hours).due_at(day) == datetime.fromisoformat(due).replace(tzinfo=UTC)
