"""Where everything is: one settings object, anchored to the repository or to OMNI_HOME, never to the working directory.

Read once per process through `load_settings`; tests build `LakehouseSettings` themselves. Every field is an
`OMNI_*` environment variable and listed in `infra/env/.env.example`.
"""

import getpass
import os
import re
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from lakehouse.errors import ConfigurationError
from lakehouse.namespaces import NAMESPACES

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class LakehouseSettings(BaseSettings):
    """Settings of one lakehouse. Relative paths are taken from the repository root."""

    model_config = SettingsConfigDict(
        env_prefix="OMNI_",
        env_file=PROJECT_ROOT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    home: Path = Field(default=Path("var"), description="Everything that a run writes.")
    manifests: Path = Field(default=Path("manifests"), description="Folder of source manifests.")
    source_root: Path | None = Field(default=None, description="Second root for relative source paths.")
    source_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="More roots of source paths, each behind a colon."
    )
    source_aliases: dict[str, str] = Field(default_factory=dict, description="URL prefix → URL prefix, as JSON.")

    source_properties: dict[str, dict[str, SecretStr]] = Field(
        default_factory=dict,
        description="URL prefix → how its store is reached, as JSON with the names of catalog_properties.",
    )

    catalog_type: Literal["sql", "rest"] = Field(default="sql", description="Kind of Iceberg catalog.")
    catalog_uri: SecretStr | None = Field(default=None, description="Default: SQLite under OMNI_HOME.")
    catalog_properties: dict[str, SecretStr] = Field(
        default_factory=dict, description="More pyiceberg catalog properties, as JSON (S3 endpoint, keys, …)."
    )
    verdicts_ask_catalog: bool = Field(
        default=True, description="With a REST catalog: ask it with each verdict whether someone else has written."
    )
    warehouse: str | None = Field(default=None, description="Root of the tables. Default: a folder under OMNI_HOME.")
    ledger_uri: SecretStr | None = Field(default=None, description="SQLAlchemy URL. Default: the catalog's database.")
    dagster_postgres_url: SecretStr | None = Field(
        default=None, description="Database of Dagster's runs and events. Default: SQLite under OMNI_HOME."
    )

    earliest_instant: date = Field(default=date(2000, 1, 1), description="Records before that day are implausible.")
    latest_after_batch_hours: int = Field(
        default=48, ge=0, description="Records later than their manifest's created_at by more are implausible."
    )
    max_quarantined_share: float = Field(
        default=0.05, ge=0, le=1, description="Share of a partition's records that may be held in quarantine."
    )

    max_manifest_bytes: int = Field(default=64 << 20, ge=1, description="Size of a manifest.")
    max_source_files: int = Field(default=100_000, ge=1, description="Files of one source: of a folder or a glob.")
    max_unpacked_bytes: int = Field(default=8 << 30, ge=1, description="Size of a compressed file once it is unpacked.")
    max_unpacked_ratio: int = Field(
        default=200, ge=1, description="Times its size that a file may unpack to; 64 MiB always may."
    )
    max_record_bytes: int = Field(default=16 << 20, ge=1, description="Size of a record, or of a line.")
    max_record_fields: int = Field(default=10_000, ge=1, description="Fields of a record, or columns of a file.")
    max_record_depth: int = Field(default=100, ge=1, le=500, description="Levels that a record is nested.")

    workers: int | None = Field(
        default=None,
        ge=1,
        description="Processes that look at and stage source files. Default: the cores that may be used.",
    )
    dask_scheduler: str | None = Field(
        default=None, pattern="^[a-z]+://", description="Dask scheduler whose workers do so in their place."
    )
    dbt_memory: str = Field(default="768MB", description="Memory of dbt's DuckDB; beyond it, it spills to disk.")
    dbt_chunk_rows: int = Field(
        default=500_000, ge=1, description="Upstream rows that a daily dbt model is built from at a time."
    )

    dev_namespace: str | None = Field(
        default=None,
        pattern="^[a-z0-9_]+$",
        description="Name of the tables that dbt's target dev writes; default: the user's.",
    )

    notify: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Apprise URLs of services that are told what is not safe, overdue, or safe again."
    )

    git_url: str | None = Field(
        default=None,
        pattern="github|gitlab",
        description="Page of this repository on GitHub or GitLab, to which the graph's code references then lead.",
    )
    git_branch: str = Field(default="main", description="Branch that they lead to.")

    run_id: str | None = Field(default=None, description="Run that dbt works for; default: dbt's invocation id.")
    partition_start: date | None = Field(default=None, description="First day partition. Default: first covered day.")

    @field_validator("home", "manifests", "source_root")
    @classmethod
    def _anchor(cls, path: Path | None) -> Path | None:
        return None if path is None else (PROJECT_ROOT / path.expanduser()).resolve()

    @field_validator("source_roots", mode="before")
    @classmethod
    def _split(cls, paths: Any) -> Any:
        return [path for path in paths.split(os.pathsep) if path] if isinstance(paths, str) else paths

    @field_validator("notify", mode="before")
    @classmethod
    def _split_urls(cls, urls: Any) -> Any:
        return urls.split() if isinstance(urls, str) else urls

    @field_validator("source_roots")
    @classmethod
    def _anchor_each(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple((PROJECT_ROOT / path.expanduser()).resolve() for path in paths)

    @field_validator("catalog_uri", "ledger_uri", "dagster_postgres_url")
    @classmethod
    def _name_the_driver(cls, uri: SecretStr | None) -> SecretStr | None:
        # As hosts of servers print their URLs; SQLAlchemy knows the scheme by another name.
        scheme, _, rest = uri.get_secret_value().partition("://") if uri else ("", "", "")
        return SecretStr(f"postgresql+psycopg2://{rest}") if scheme == "postgres" else uri

    @field_validator("warehouse")
    @classmethod
    def _locate(cls, warehouse: str | None) -> str | None:
        if warehouse is None or "://" in warehouse:
            return warehouse
        return f"file://{(PROJECT_ROOT / warehouse).resolve()}"

    @field_validator("dev_namespace")
    @classmethod
    def _is_no_layer(cls, name: str | None) -> str | None:
        if name in NAMESPACES:
            raise ValueError(f"{name} is a namespace of production; expected a name of a person or of a change")
        return name

    @field_validator("home")
    @classmethod
    def _fits_a_location(cls, path: Path) -> Path:
        # Iceberg locations are URIs: what follows one of these characters would be cut off.
        if bad := set("#?%") & set(str(path)):
            raise ValueError(f"{path}: an Iceberg warehouse cannot lie under a path with {' '.join(sorted(bad))}")
        return path

    @property
    def all_source_roots(self) -> tuple[Path, ...]:
        """Folders that local sources may lie below, beside that of their manifest; a relative path is tried in turn."""
        return (*((self.source_root,) if self.source_root else ()), *self.source_roots)

    @property
    def catalog_url(self) -> SecretStr:
        """URI of the catalog: a SQLAlchemy URL for `sql`, an HTTP address for `rest`."""
        return self.catalog_uri or SecretStr(f"sqlite:///{self.home / 'catalog.db'}")

    @property
    def ledger_url(self) -> SecretStr:
        """SQLAlchemy URL of the ledger: beside the catalog where that is a database, else SQLite under OMNI_HOME."""
        if self.ledger_uri is not None:
            return self.ledger_uri
        return self.catalog_url if self.catalog_type == "sql" else SecretStr(f"sqlite:///{self.home / 'ledger.db'}")

    @property
    def is_ledger_in_catalog(self) -> bool:
        """Whether the ledger lies in the catalog's own database, so that one transaction writes both."""
        return self.catalog_type == "sql" and self.ledger_url == self.catalog_url

    @property
    def plain_catalog_properties(self) -> dict[str, str]:
        """`catalog_properties` in the clear, for those who open the catalog or its files."""
        return {name: value.get_secret_value() for name, value in self.catalog_properties.items()}

    def properties_of_source(self, url: str) -> dict[str, str]:
        """How the store of a source is reached, in the clear: as the longest prefix of its URL says.

        What no prefix names is reached as the warehouse is, where that is of the same scheme; none else are given.
        """
        if prefixes := [prefix for prefix in self.source_properties if url.startswith(prefix)]:
            return {
                name: value.get_secret_value() for name, value in self.source_properties[max(prefixes, key=len)].items()
            }
        is_same = url.partition("://")[0] == self.warehouse_url.partition("://")[0]
        return self.plain_catalog_properties if is_same else {}

    @property
    def warehouse_url(self) -> str:
        """Root location of the Iceberg tables."""
        return self.warehouse or f"file://{self.home}/warehouse"

    @property
    def dbt_project_dir(self) -> Path:
        """The dbt project; it ships with the code."""
        return PROJECT_ROOT / "dbt_project"

    @property
    def dbt_target_dir(self) -> Path:
        """Where dbt writes its artifacts; `dbt_project.yml` names the same folder."""
        return self.home / "dbt" / "target"

    @property
    def dbt_manifest(self) -> Path:
        """Dbt's manifest that verdicts are read by, in a folder that no dbt of a shell writes to."""
        return self.home / "dbt" / "parsed" / "manifest.json"

    @property
    def dev_name(self) -> str:
        """Name of development's tables: letters, digits and underscores."""
        return self.dev_namespace or re.sub(r"[^a-z0-9]+", "_", getpass.getuser().lower()).strip("_") or "anyone"

    @property
    def dagster_home(self) -> Path:
        """The Dagster instance that `omni run` and `make ui` share."""
        return self.home / "dagster"

    def manifest_resource(self, kind: Literal["contracts", "mappings", "schema"], name: str) -> Path:
        """Path of a contract, mapping or schema: from the manifest folder, else from the one that ships."""
        own = self.manifests / kind / name
        return own if own.exists() else PROJECT_ROOT / "manifests" / kind / name


@lru_cache(maxsize=1)
def load_settings() -> LakehouseSettings:
    """Return the settings of this process, read from the environment and `.env` at the repository root.

    Raises:
        ConfigurationError: a setting is not usable.
    """
    try:
        return LakehouseSettings()
    except ValidationError as error:
        wrong = "; ".join(f"OMNI_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{wrong}; next: see infra/env/.env.example") from error
