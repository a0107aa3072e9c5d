"""dbt's manifest of this lakehouse, parsed anew when the dbt project has changed; and the environment that dbt runs in.

Imports no dbt: it is parsed in a process of its own. Called by whoever reads the manifest, and by
`orchestration.dbt_process.process`.
"""

import json
import os
from pathlib import Path

from lakehouse.errors import ConfigurationError
from lakehouse.settings import LakehouseSettings, load_settings
from orchestration.dbt_process.forks import invoke_dbt


def ensure_dbt_manifest(settings: LakehouseSettings) -> Path:
    """Path of dbt's manifest, parsed again when a file of the dbt project is newer.

    Raises:
        ConfigurationError: dbt cannot parse the project.
    """
    path = settings.dbt_target_dir / "manifest.json"
    project = settings.dbt_project_dir
    files = [p for p in project.rglob("*") if p.suffix in (".sql", ".yml", ".yaml")]
    if path.exists() and path.stat().st_mtime >= max(p.stat().st_mtime for p in files):
        return path
    where = {"DBT_PROJECT_DIR": str(project), "DBT_PROFILES_DIR": str(project), **dbt_environment(settings)}
    said: list[str] = []
    status = invoke_dbt(["--quiet", "parse"], {**os.environ, **where}, said.append)
    if status != 0 or not path.exists():
        raise ConfigurationError(f"dbt cannot parse {project.name}: {''.join(said)[-4000:]}")
    path.touch()  # dbt leaves an unchanged manifest's time as it is
    return path


def dbt_environment(settings: LakehouseSettings) -> dict[str, str]:
    """Environment that points dbt's process at this lakehouse.

    OMNI_HOME is named only where it differs: dbt parses the whole project again when it changes from unset to set.
    """
    home = {} if settings.home == load_settings().home else {"OMNI_HOME": str(settings.home)}
    # dbt_project.yml silences these, but only after the project is read, which is what they are about.
    silence = json.dumps({"silence": ["ConfigTargetPathDeprecation", "ConfigLogPathDeprecation"]})
    paths = {"DBT_TARGET_PATH": str(settings.dbt_target_dir), "DBT_LOG_PATH": str(settings.home / "dbt" / "logs")}
    return {**paths, "DBT_WARN_ERROR_OPTIONS": silence, **home}
