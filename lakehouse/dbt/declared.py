"""What the dbt project says today: the logic of each model, the definition of each test; read from one file.

`orchestration.dbt_launcher.declaring` compiles the project and writes the file; here it is read, and told whether it
still speaks of the project as it is. Imports no dbt.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from lakehouse.whole_files import replace_file

_WRITTEN_BY = ("dbt-core", "dbt-duckdb", "duckdb", "sqlglot", "omni-lakehouse")
"""Packages that have a say in how SQL is compiled, in its canonical form, and in what comes of a unit test."""
_FORM = ("builds/chunks.py", "builds/dialects.py", "builds/logic.py", "builds/reach.py", "dbt/definitions.py")
"""Modules that make the hashes."""
_CLOCK_SECONDS = 0.02
"""By so much the time that a file system notes may lag behind the clock."""


@dataclass(frozen=True)
class Declared:
    """The project as it was compiled."""

    stamp: str
    """Of the project's files; see `stamp_of`."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variable that the project reads → hash of the value that it was compiled with; empty where unset."""
    logic: Mapping[str, str] = field(default_factory=dict)
    """Model → hash of its logic; a model that cannot be compiled is left out."""
    definitions: Mapping[str, str] = field(default_factory=dict)
    """Unique id of a data test or unit test → hash of its definition; likewise."""
    on_spark: Mapping[str, str] = field(default_factory=dict)
    """Model → hash of its logic on Spark, where that is another one."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Model, or unique id of a test, that cannot be compiled → why."""

    @property
    def is_current(self) -> bool:
        """Whether the environment is the one that it was compiled in."""
        return all(hash_of_variable(name) == value for name, value in self.variables.items())


def declared_path(settings: LakehouseSettings) -> Path:
    """Where it is kept."""
    return settings.home / "dbt" / "declared.json"


def read_declared(settings: LakehouseSettings) -> Declared | None:
    """What the project says; None where it, or its environment, has changed since it was compiled."""
    try:
        found = Declared(**json.loads(declared_path(settings).read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # none, or one of another version
        return None
    return found if found.stamp == stamp_of(settings.dbt_project_dir) and found.is_current else None


def write_declared(path: Path, declared: Declared) -> None:
    """Put it in the place of the one before, whole."""
    replace_file(path, json.dumps(asdict(declared)))


def stamp_of(project: Path) -> str:
    """Tells whether a file of the project has changed, without reading any: by inode, size and times of each."""
    form = [PROJECT_ROOT / "lakehouse" / name for name in _FORM]
    seen = [[str(path), *_stamp(path)] for path in [*form, *_files_of(project)] if path.exists()]
    by = {name: version(name) for name in _WRITTEN_BY}
    return hashlib.sha256(json.dumps([seen, by]).encode()).hexdigest()


def has_changed_since(project: Path, at: datetime) -> bool:
    """Whether a file of the project may have changed since an instant: what was read then may be another one."""
    earliest_ns = (at.timestamp() - _CLOCK_SECONDS) * 1e9
    return any(path.stat().st_ctime_ns >= earliest_ns for path in _files_of(project) if path.exists())


def _files_of(project: Path) -> list[Path]:
    """As dbt looks for them: behind links, too."""
    return sorted(Path(folder, name) for folder, _, names in os.walk(project, followlinks=True) for name in names)


def _stamp(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def hash_of_variable(name: str) -> str:
    """Hash of an environment variable's value, which may be a secret; empty where it is not set."""
    value = os.environ.get(name)
    return "" if value is None else hashlib.sha256(value.encode()).hexdigest()
