"""What many lakehouses start with: a parse of the dbt project, as dbt keeps it, and which unit tests passed on it.

Parsing is the same for every lakehouse, but dbt parses anew where an environment variable that dbt_project.yml reads
has changed, and it reads OMNI_HOME, for the target folder. It compares a hash of that variable, which is put right
here. Should dbt keep it in another way one day, it parses anew: slower, and no less right.
"""

import hashlib
import shutil
from dataclasses import dataclass

from lakehouse.dbt.declared import declared_path
from lakehouse.dbt.unit_tests import passed_path
from lakehouse.settings import LakehouseSettings
from orchestration.dbt_launcher.manifest import PARSE

KEPT = PARSE


@dataclass(frozen=True)
class ParsedProject:
    """The parse of one lakehouse."""

    settings: LakehouseSettings

    def give_to(self, settings: LakehouseSettings) -> None:
        """Let a new lakehouse start with this parse."""
        source = self.settings.dbt_manifest
        kept = source.with_name(KEPT).read_bytes().replace(_hash(self.settings), _hash(settings))
        for target in (settings.dbt_manifest.parent, settings.dbt_target_dir):
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
            (target / KEPT).write_bytes(kept)
        for path in (declared_path, passed_path):
            shutil.copy(path(self.settings), path(settings))


def _hash(settings: LakehouseSettings) -> bytes:
    return hashlib.sha256(f"OMNI_HOME:{settings.home}|".encode()).hexdigest().encode()
