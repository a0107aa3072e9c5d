"""dbt as a shell runs it, in the project's folder with nothing but OMNI_HOME set.

Each invocation is a fork of the server that the graph's invocations are forks of (`orchestration.dbt_launcher.server`), which
saves the imports, half of what dbt costs here. The installed `dbt` command is tested in tests/e2e/test_commands.py.
"""

import os
import subprocess
from pathlib import Path

from lakehouse.settings import PROJECT_ROOT, LakehouseSettings
from orchestration.dbt_launcher.forks import invoke_dbt


class _Stopped(Exception):
    """Of a command that does not end by itself."""


def dbt(
    settings: LakehouseSettings, *arguments: str, cwd: Path | None = None, until: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run dbt on a lakehouse; what it printed is in `stdout`. It is stopped, as if well, at a line that has `until`."""
    env = {
        **os.environ,
        "OMNI_HOME": str(settings.home),
        "OMNI_MANIFESTS": str(settings.manifests),
        "DBT_LOG_PATH": str(settings.home / "logs"),
        **environment,
    }
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        if until is not None and until in line:
            raise _Stopped

    try:
        status = invoke_dbt(arguments, env, hear, cwd or PROJECT_ROOT / "dbt_project")
    except _Stopped:
        status = 0
    return subprocess.CompletedProcess(["dbt", *arguments], status, "".join(said))


def build(settings: LakehouseSettings, *arguments: str, window: tuple[str, str] | None = None):
    """Run `dbt build`, of a window [from, to) or of everything; without unit tests, which have passed on the project."""
    flags = ("--event-time-start", window[0], "--event-time-end", window[1]) if window else ()
    return dbt(settings, "build", "--exclude-resource-type", "unit_test", *arguments, *flags)
