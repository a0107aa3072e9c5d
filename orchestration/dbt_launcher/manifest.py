"""What dbt makes of its project, anew when that has changed: its manifest, what it declares; and dbt's environment.

Imports no dbt: it is parsed in a process of its own. Called by whoever reads the manifest, and by
`orchestration.dbt_launcher.process`.
"""

import os
import shutil
from pathlib import Path

from lakehouse.dbt.declared import Declared, declared_path, read_declared
from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.dbt_launcher.forks import DECLARE, invoke_dbt

_OPTIONS = {
    prefix + name
    for prefix in ("DBT_", "DBT_ENGINE_")
    for name in ("EMPTY", "SAMPLE", "FULL_REFRESH", "DEFER", "STATE", "FAVOR_STATE", "EVENT_TIME_START")
}
"""Variables that are options of one invocation: what the project declares does not depend on them."""

_LED_ELSEWHERE = ("TARGET", "PROFILE", "TARGET_PATH", "LOG_PATH", "PROJECT_DIR", "PROFILES_DIR", "WRITE_JSON")
"""Variables of a person's shell, without dbt's prefix, that would lead dbt to another target or another folder."""

PARSE = "partial_parse.msgpack"
"""The file in which dbt keeps a parse for itself."""


def ensure_dbt_manifest(settings: LakehouseSettings) -> Path:
    """Path of dbt's manifest, parsed again when a file of the dbt project has changed.

    Not the one among dbt's artifacts: any dbt in a shell writes that, with other variables or of another project.

    Raises:
        ConfigurationError: dbt cannot parse the project.
    """
    path = settings.dbt_manifest
    if not path.exists():
        declared_path(settings).unlink(missing_ok=True)
    ensure_declared(settings)
    if not (kept := settings.dbt_target_dir / PARSE).exists():  # the first build begins with this parse
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path.with_name(PARSE), kept)
    return path


def ensure_declared(settings: LakehouseSettings) -> Declared:
    """What the dbt project declares, compiled again when a file of it has changed. dbt's manifest is written with it.

    Raises:
        ConfigurationError: dbt cannot parse the project.
    """
    if (found := read_declared(settings)) is not None:
        return found
    project = settings.dbt_project_dir
    plain = {name: value for name, value in dbt_environment(settings).items() if name not in _OPTIONS}
    environment = {**plain, "DBT_TARGET_PATH": str(settings.dbt_manifest.parent)}
    said: list[str] = []
    status = invoke_dbt([DECLARE, str(project), str(declared_path(settings))], environment, said.append)
    if status == 0 and (found := read_declared(settings)) is not None:
        return found
    if status == 0:
        raise ConfigurationError(f"{project.name} was edited while it was compiled; next: try it again")
    raise ConfigurationError(f"dbt cannot parse {project.name}: {''.join(said)[-4000:]}")


def dbt_environment(settings: LakehouseSettings) -> dict[str, str]:
    """The environment of this process, but that dbt's works on this lakehouse, in production.

    What its gate and its plugins go by is named only where it differs from what they find by themselves: dbt parses the
    whole project again when OMNI_HOME changes from unset to set, and where an option names the target that it takes
    anyway.
    """
    led = {f"{prefix}{name}" for prefix in ("DBT_", "DBT_ENGINE_") for name in _LED_ELSEWHERE}
    found = load_settings()
    given = {
        f"OMNI_{name.upper()}": str(getattr(settings, name))
        for name in ("home", "manifests", "max_quarantined_share")
        if getattr(settings, name) != getattr(found, name)
    }
    folders = {
        "DBT_PROJECT_DIR": settings.dbt_project_dir,
        "DBT_PROFILES_DIR": settings.dbt_project_dir,
        "DBT_TARGET_PATH": settings.dbt_target_dir,
        "DBT_LOG_PATH": settings.home / "dbt" / "logs",
    }
    return {
        **{name: value for name, value in os.environ.items() if name not in led},
        **{name: str(folder) for name, folder in folders.items()},
        **given,
    }
