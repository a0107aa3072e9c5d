"""What services in containers find when they start: the bucket, the tables of catalog, ledger and Dagster, dbt's parse.

Run by infra/compose.yaml and infra/kubernetes before anything else of ours, so that nothing is made twice at once and a
password that is wrong ends here, in one line. Run again, it changes nothing.
"""

from urllib.parse import urlparse

import typer
from pyiceberg.io.fsspec import FsspecFileIO

from lakehouse.errors import ConfigurationError
from lakehouse.ledger.ledger import open_ledger
from lakehouse.settings import LakehouseSettings, load_settings
from lakehouse.tables.catalog import open_catalog
from orchestration.cli.console import reported, say, show_progress
from orchestration.dbt_launcher.manifest import ensure_dbt_manifest
from orchestration.instance.home import dagster_environment


def make_bucket(settings: LakehouseSettings) -> None:
    """Make the bucket of the warehouse, where it is in a store and missing.

    Raises:
        ConfigurationError: the store does not answer, or refuses.
    """
    where = urlparse(settings.warehouse_url)
    if where.scheme == "file":
        return
    try:
        store = FsspecFileIO(settings.plain_catalog_properties).get_fs(where.scheme, where.hostname)
        if not store.exists(where.netloc):
            store.call_s3("create_bucket", Bucket=where.netloc)  # its mkdir names a region, which us-east-1 refuses
        store.ls(where.netloc)
    except Exception as error:  # each store's library has errors of its own
        raise ConfigurationError(
            f"{settings.warehouse_url}: the store refuses or does not answer ({type(error).__name__}: {error}); "
            "next: see OMNI_WAREHOUSE, and endpoint and keys in OMNI_CATALOG_PROPERTIES"
        ) from error


def main() -> None:
    """Make what is missing, and say what is done."""
    with reported():
        settings = load_settings()
        show_progress(f"bucket of {settings.warehouse_url}")
        make_bucket(settings)
        show_progress("catalog and ledger")
        open_catalog(settings)
        open_ledger(settings)
        show_progress("Dagster's storage")
        dagster_environment(settings)
        show_progress("dbt's parse")
        ensure_dbt_manifest(settings)
        say("prepared")


if __name__ == "__main__":
    typer.run(main)
