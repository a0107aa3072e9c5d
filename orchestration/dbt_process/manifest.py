"""dbt's manifest of this lakehouse, parsed anew when the dbt project has changed; and the environment that dbt runs in.

Imports no dbt: it is parsed in a process of its own. Called by whoever reads the manifest, and by
`orchestration.dbt_process.process`.
"""

import json
import os
import shutil
from pathlib import Path

from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.dbt_process.forks import invoke_dbt

_LED_ELSEWHERE = ("TARGET", "PROFILE", "TARGET_PATH", "LOG_PATH", "PROJECT_DIR", "PROFILES_DIR", "WRITE_JSON")
"""Variables of a person's shell, without dbt's prefix, that would lead dbt to another target or another folder."""

PARSE = "partial_parse.msgpack"
"""The file in which dbt keeps a parse for itself."""


def ensure_dbt_manifest(settings: LakehouseSettings) -> Path:
    """Path of dbt's manifest, parsed again when a file of the dbt project is newer.

    Not the one among dbt's artifacts: any dbt in a shell writes that, with other variables or of another project.

    Raises:
        ConfigurationError: dbt cannot parse the project.
    """
    path, project = settings.dbt_manifest, settings.dbt_project_dir
    files = [p for p in project.rglob("*") if p.suffix in (".sql", ".yml", ".yaml")]
    if path.exists() and path.stat().st_mtime >= max(p.stat().st_mtime for p in files):
        return path
    said: list[str] = []
    environment = {**dbt_environment(settings), "DBT_TARGET_PATH": str(path.parent)}
    status = invoke_dbt(["--quiet", "parse"], environment, said.append)
    if status != 0 or not path.exists():
        raise ConfigurationError(f"dbt cannot parse {project.name}: {''.join(said)[-4000:]}")
    path.touch()  # dbt leaves an unchanged manifest's time as it is
    if not (kept := settings.dbt_target_dir / PARSE).exists():  # the first build begins with this parse
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path.with_name(PARSE), kept)
    return path


def dbt_environment(settings: LakehouseSettings) -> dict[str, str]:
    """The environment of this process, but that dbt's works on this lakehouse, in production.

    OMNI_HOME is named only where it differs: dbt parses the whole project again when it changes from unset to set, and
    where an option names the target that it takes anyway.
    """
    led = {f"{prefix}{name}" for prefix in ("DBT_", "DBT_ENGINE_") for name in _LED_ELSEWHERE}
    home = {} if settings.home == load_settings().home else {"OMNI_HOME": str(settings.home)}
    # dbt_project.yml silences these, but only after the project is read, which is what they are about.
    silence = json.dumps({"silence": ["ConfigTargetPathDeprecation", "ConfigLogPathDeprecation"]})
    folders = {
        "DBT_PROJECT_DIR": settings.dbt_project_dir,
        "DBT_PROFILES_DIR": settings.dbt_project_dir,
        "DBT_TARGET_PATH": settings.dbt_target_dir,
        "DBT_LOG_PATH": settings.home / "dbt" / "logs",
    }
    return {
        **{name: value for name, value in os.environ.items() if name not in led},
        **{name: str(folder) for name, folder in folders.items()},
        "DBT_WARN_ERROR_OPTIONS": silence,
        **home,
    }
