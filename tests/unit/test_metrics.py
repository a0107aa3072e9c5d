"""The KPIs of dbt_project/metrics.yml against the models that they are computed from, and the page that shows them."""

from typing import Any

import pytest
import sqlglot
import yaml
from sqlglot import exp

from lakehouse.settings import PROJECT_ROOT

GOLD = PROJECT_ROOT / "dbt_project" / "models" / "gold"
KPI_MODELS = ("support_kpi_daily", "support_backlog_daily")
FIELDS = {"name", "definition", "unit", "owner", "model", "kind", "numerator", "denominator", "additive", "expression"}
METRICS: list[dict[str, Any]] = yaml.safe_load((PROJECT_ROOT / "dbt_project" / "metrics.yml").read_text("utf-8"))[
    "metrics"
]


def model(name: str) -> dict[str, Any]:
    (found,) = yaml.safe_load((GOLD / f"{name}.yml").read_text("utf-8"))["models"]
    return found


def measures(name: str) -> set[str]:
    """Columns that count something: everything that is a whole number."""
    return {column["name"] for column in model(name)["columns"] if column["data_type"] == "bigint"}


def operands(metric: dict[str, Any]) -> set[str]:
    return {metric["numerator"], metric["denominator"]} - {None}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric["name"])
def test_a_metric_says_all_that_a_reader_needs(metric):
    assert set(metric) == FIELDS
    assert all(isinstance(metric[name], str) and metric[name] for name in FIELDS - {"denominator", "additive"})
    assert metric["owner"].startswith("team:")
    assert set(metric["additive"]) == {"days", "dimensions"}
    assert metric["kind"] in ("count", "mean", "ratio", "share", "level")
    assert (metric["denominator"] is None) == (metric["kind"] in ("count", "level"))
    assert metric["additive"]["days"] == (metric["kind"] != "level")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric["name"])
def test_a_metric_is_computed_from_measures_of_its_model_and_from_nothing_else(metric):
    assert metric["model"] in KPI_MODELS
    assert operands(metric) <= measures(metric["model"])
    expression = sqlglot.parse_one(metric["expression"], dialect="duckdb")
    assert {column.name for column in expression.find_all(exp.Column)} == operands(metric)
    assert [total.this.name for total in expression.find_all(exp.Sum, bfs=False)] == [
        name for name in (metric["numerator"], metric["denominator"]) if name
    ]


@pytest.mark.parametrize("name", KPI_MODELS)
def test_every_measure_of_a_kpi_model_is_part_of_a_metric(name):
    named = set().union(*(operands(metric) for metric in METRICS if metric["model"] == name))

    assert named == measures(name)


def test_a_share_is_held_within_0_and_1_by_a_test_of_its_model():
    shares = [metric for metric in METRICS if metric["kind"] == "share"]

    assert shares
    for metric in shares:
        rules = " and ".join(
            test["holds_true"]["arguments"]["condition"]
            for test in model(metric["model"])["data_tests"]
            if "holds_true" in test
        ).split(" and ")
        assert f"{metric['numerator']} <= {metric['denominator']}" in rules
        assert f"{metric['numerator']} >= 0" in rules


def test_names_are_unique():
    names = [metric["name"] for metric in METRICS]

    assert len(set(names)) == len(names)


def test_the_page_shows_the_metrics_as_they_are():
    head = ["| metric | unit | kind | from | expression | meaning |", "| --- | --- | --- | --- | --- | --- |"]
    rows = [
        f"| `{m['name']}` | {m['unit']} | {m['kind']} | `{m['model']}` | `{m['expression']}` | {m['definition']} |"
        for m in METRICS
    ]
    page = (PROJECT_ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")

    assert "\n".join([*head, *rows]) in page, "next: copy this table into the page:\n" + "\n".join([*head, *rows])
