"""dlt's own ways to read what a pipeline loaded, from the repository's folder: Bronze, as the tables have it."""

import inspect

import dlt
import pytest
from dlt.dataset import lineage
from dlt.pipeline.exceptions import CannotRestorePipelineException
from sqlglot.optimizer.qualify import qualify

from lakehouse.settings import PROJECT_ROOT, load_settings
from loaders.bronze.pipelines import pipelines_dir
from tests.conftest import DOC_ASSETS, TICKET_EVENTS


@pytest.fixture
def at_home(filled_sample, monkeypatch):
    """A Python process in a folder, with the sample as its lakehouse."""

    def stand_in(folder):
        monkeypatch.setenv("OMNI_HOME", str(filled_sample.home))
        load_settings.cache_clear()
        monkeypatch.chdir(folder)

    yield stand_in
    monkeypatch.undo()
    load_settings.cache_clear()


def test_a_pipeline_that_is_attached_in_the_repository_reads_bronze(at_home, filled_sample):
    at_home(PROJECT_ROOT)
    pipeline = dlt.attach("ticket_events")
    dataset = pipeline.dataset()
    table = dataset[TICKET_EVENTS]

    assert pipeline.working_dir == str(pipelines_dir(filled_sample) / "ticket_events")
    assert dataset.row_counts(table_names=[TICKET_EVENTS]).fetchall() == [(TICKET_EVENTS, len(table.arrow()))]
    assert {"event_id", "occurred_at", "batch_id"} < set(table.arrow().column_names)
    assert table.where("event_type", "eq", "created").select("ticket_id").arrow().num_rows == 515
    with pipeline.sql_client() as client:
        ((first,),) = client.execute_sql(f"select min(occurred_at) from {TICKET_EVENTS}")
    assert str(first.date()) == "2026-04-01"


def test_any_table_of_bronze_can_be_asked_for_in_sql(at_home):
    at_home(PROJECT_ROOT)
    of_documents = dlt.attach("doc_snapshots").dataset()

    joined = of_documents(f"select count(*) from {DOC_ASSETS} join quarantine on false", _execute_raw_query=True)

    assert joined.fetchall() == [(0,)]


def test_nothing_that_is_written_there_reaches_the_tables(at_home):
    at_home(PROJECT_ROOT)
    rows = dlt.attach("ticket_events").dataset().row_counts(table_names=[TICKET_EVENTS]).fetchall()
    with dlt.attach("ticket_events").sql_client() as client:
        client.execute_sql(f"drop view {TICKET_EVENTS}")

    assert dlt.attach("ticket_events").dataset().row_counts(table_names=[TICKET_EVENTS]).fetchall() == rows


def test_in_another_folder_dlt_looks_where_it_does_by_itself(at_home, tmp_path, monkeypatch):
    at_home(tmp_path)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path))

    with pytest.raises(CannotRestorePipelineException):
        dlt.attach("ticket_events")


def test_dlt_still_gives_an_argument_that_sqlglot_does_not_take():
    assert "infer_schema=" in inspect.getsource(lineage), "next: remove _qualify from loaders/bronze/dataset.py"
    assert "infer_schema" not in inspect.signature(qualify).parameters
