"""A source of the lake that dbt would read from elsewhere, however its YAML says so."""

import pytest

from lakehouse.dbt.doors.kept_models import refuse_what_no_table_keeps
from lakehouse.errors import ConfigurationError


def source(schema="bronze", **said):
    named = {"resource_type": "source", "name": "raw_ticket_events", "original_file_path": "models/sources.yml"}
    return {**named, "database": "memory", "schema": schema, "meta": {}, "source_meta": {}, "config": {}, **said}


@pytest.mark.parametrize("key", ["external_location", "plugin"])
@pytest.mark.parametrize("place", ["meta", "source_meta", "config", "meta of the config"])
def test_a_source_of_the_lake_that_is_read_from_another_place_is_refused(key, place):
    said = {key: "of another"}
    elsewhere = {"config": {"meta": said}} if place == "meta of the config" else {place: said}

    refuse_what_no_table_keeps({}, {"one": source(), "other": source("crm", **elsewhere)}, [], "Memory")
    with pytest.raises(ConfigurationError, match=f"found {key}; expected the lake's own table"):
        refuse_what_no_table_keeps({}, {"one": source(**elsewhere)}, [], "Memory")


def test_a_source_of_the_lake_in_another_database_is_refused():
    refuse_what_no_table_keeps({}, {"other": source("crm", database="crm")}, [], "memory")
    with pytest.raises(ConfigurationError, match="found database crm; expected the lake's own table"):
        refuse_what_no_table_keeps({}, {"one": source(database="crm")}, [], "memory")
