"""Settings: anchored to the repository, complete in `.env.example`, silent about secrets."""

import re
import subprocess
import sys

import pytest
from pydantic import SecretStr, ValidationError

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings, load_settings

SECRET = "hunter2"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Another working directory, and an environment without OMNI_HOME."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMNI_HOME", raising=False)
    return monkeypatch


def test_defaults_lie_in_the_repository_whatever_the_working_directory(elsewhere):
    settings = LakehouseSettings()

    assert settings.home == PROJECT_ROOT / "var"
    assert settings.manifests == PROJECT_ROOT / "manifests"
    assert settings.source_root is None


@pytest.mark.parametrize("name", ["home", "manifests", "source_root"])
def test_a_relative_path_is_taken_from_the_repository_whatever_the_working_directory(elsewhere, name):
    elsewhere.setenv(f"OMNI_{name.upper()}", "some/../where")

    assert getattr(LakehouseSettings(), name) == PROJECT_ROOT / "where"


@pytest.mark.parametrize("name", ["home", "manifests", "source_root"])
def test_an_absolute_path_and_a_home_directory_are_kept(elsewhere, tmp_path, name):
    elsewhere.setenv("HOME", str(tmp_path))

    absolute = LakehouseSettings(**{name: tmp_path / "a b"})
    of_the_user = LakehouseSettings(**{name: "~/a b"})

    assert getattr(absolute, name) == getattr(of_the_user, name) == tmp_path / "a b"


def test_settings_of_another_process_are_the_same_from_another_working_directory(tmp_path):
    program = "from lakehouse.settings import load_settings; print(load_settings().home)"
    environment = {"OMNI_HOME": "lake", "PATH": "", "PYTHONPATH": str(PROJECT_ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == str(PROJECT_ROOT / "lake")


@pytest.mark.parametrize("name", ["OMNI_HOME", "OMNI_SOURCE_ROOT", "OMNI_CATALOG_URI", "OMNI_PARTITION_START"])
def test_a_blank_variable_means_the_default(elsewhere, name):
    default = LakehouseSettings()
    elsewhere.setenv(name, "")

    assert LakehouseSettings() == default


@pytest.mark.parametrize("bad", "#?%")
def test_a_home_that_an_iceberg_location_cannot_express_is_refused(tmp_path, bad):
    with pytest.raises(ValidationError, match=f"cannot lie under a path with {re.escape(bad)}"):
        LakehouseSettings(home=tmp_path / f"lake {bad}1")


def test_a_manifest_folder_may_have_any_name(tmp_path):
    assert LakehouseSettings(manifests=tmp_path / "50% #1").manifests == tmp_path / "50% #1"


@pytest.mark.parametrize(
    ("name", "value"), [("OMNI_CATALOG_TYPE", "hive"), ("OMNI_PARTITION_START", "soon"), ("OMNI_SOURCE_ALIASES", "x")]
)
def test_a_variable_that_makes_no_sense_is_refused_by_name(elsewhere, name, value):
    elsewhere.setenv(name, value)

    with pytest.raises(ValueError, match=name.removeprefix("OMNI_").lower()):
        LakehouseSettings()


def test_aliases_and_catalog_properties_are_read_as_json(elsewhere):
    elsewhere.setenv("OMNI_SOURCE_ALIASES", '{"s3://a/": "/b/"}')
    elsewhere.setenv("OMNI_CATALOG_PROPERTIES", '{"s3.region": "x"}')

    settings = LakehouseSettings()

    assert settings.source_aliases == {"s3://a/": "/b/"}
    assert settings.catalog_properties["s3.region"].get_secret_value() == "x"


def test_settings_cannot_be_changed_once_read():
    with pytest.raises(ValidationError):
        load_settings().home = "elsewhere"


def test_settings_are_read_once_per_process():
    assert load_settings() is load_settings()


def test_catalog_ledger_and_warehouse_lie_under_the_home_by_default(tmp_path):
    settings = LakehouseSettings(home=tmp_path)

    assert settings.catalog_url.get_secret_value() == f"sqlite:///{tmp_path}/catalog.db"
    assert settings.ledger_url == settings.catalog_url
    assert settings.warehouse_url == f"file://{tmp_path}/warehouse"


@pytest.mark.parametrize(
    ("warehouse", "url"),
    [
        ("s3://lake/warehouse", "s3://lake/warehouse"),
        ("/data/warehouse", "file:///data/warehouse"),
        ("data/../warehouse", f"file://{PROJECT_ROOT}/warehouse"),
    ],
)
def test_a_warehouse_of_its_own_is_a_url_or_a_path_from_the_repository_root(warehouse, url):
    assert LakehouseSettings(warehouse=warehouse).warehouse_url == url


def test_the_ledger_lies_beside_a_sql_catalog_and_under_the_home_beside_a_rest_catalog(tmp_path):
    beside = LakehouseSettings(home=tmp_path, catalog_uri="postgresql://host/lake")
    apart = LakehouseSettings(home=tmp_path, catalog_type="rest", catalog_uri="http://host")
    named = LakehouseSettings(home=tmp_path, catalog_uri="postgresql://host/lake", ledger_uri="postgresql://other/l")

    urls = [settings.ledger_url.get_secret_value() for settings in (beside, apart, named)]

    assert urls == ["postgresql://host/lake", f"sqlite:///{tmp_path}/ledger.db", "postgresql://other/l"]


def test_every_setting_is_listed_in_the_example_environment_and_nothing_else():
    example = (PROJECT_ROOT / "infra" / "env" / ".env.example").read_text("utf-8")

    listed = set(re.findall(r"^#? ?(OMNI_[A-Z_]+)=", example, re.MULTILINE))

    assert listed == {f"OMNI_{name.upper()}" for name in LakehouseSettings.model_fields}


def test_the_example_environment_as_it_stands_changes_no_setting():
    as_it_stands = LakehouseSettings(_env_file=PROJECT_ROOT / "infra" / "env" / ".env.example")

    assert as_it_stands == LakehouseSettings()


def test_no_way_of_showing_settings_shows_a_secret():
    settings = LakehouseSettings(
        catalog_uri=f"postgresql://user:{SECRET}@host/lake",
        ledger_uri=f"postgresql://user:{SECRET}@host/ledger",
        catalog_properties={"s3.secret-access-key": SECRET},
    )

    shown = [repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()]
    shown += [repr(settings.catalog_url), str(settings.ledger_url)]

    assert [text for text in shown if SECRET in text] == []
    assert settings.catalog_properties["s3.secret-access-key"] == SecretStr(SECRET)


@pytest.mark.parametrize("kind", ["contracts", "mappings", "schema"])
def test_a_resource_of_the_manifest_folder_goes_before_the_one_that_ships(settings, kind):
    shipped = settings.manifest_resource(kind, "x")
    (settings.manifests / kind).mkdir()
    (settings.manifests / kind / "x").write_text("own")

    assert shipped == PROJECT_ROOT / "manifests" / kind / "x"
    assert settings.manifest_resource(kind, "x") == settings.manifests / kind / "x"


def test_a_refused_secret_is_not_quoted_by_the_error():
    with pytest.raises(ValidationError) as refused:
        LakehouseSettings(catalog_properties={"s3.secret-access-key": {"value": SECRET}})

    assert SECRET not in str(refused.value)
