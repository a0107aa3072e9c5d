"""What dbt makes on first use, made once for all forks of a server (`orchestration.dbt_launcher.server`).

dbt writes its own code, at runtime, for how each kind of node is read and written, and a schema for each kind of
file: a second of CPU in each process, two thirds of a parse where nothing has changed. Both are of dbt's classes alone:
nothing that was read stays, and nothing starts a thread.
"""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dbt.flags
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.project import Configuration, PackageConfig, ProfileConfig, Project, ProjectFlags
from dbt.contracts.selection import SelectorFile

flags: Any = dbt.flags

FILES = (Configuration, PackageConfig, ProfileConfig, Project, ProjectFlags, SelectorFile)


def warm(kept: Path) -> None:
    """Read a parse that dbt has kept, and write it, so that it is done before the fork that needs it.

    One that is being written, or is of another version, warms less: a fork finds that by itself.
    """
    for file in FILES:
        file.json_schema()
    with suppress(AttributeError, OSError, LookupError, TypeError, ValueError):
        manifest: Any = Manifest.from_msgpack(kept.read_bytes())
        manifest.build_flat_graph()
        with _flags_of_an_invocation():
            manifest.writable_manifest().to_dict(omit_none=False)


@contextmanager
def _flags_of_an_invocation() -> Iterator[None]:
    before = flags.get_flags()
    flags.set_flags(Namespace(SEND_ANONYMOUS_USAGE_STATS=False))  # the one that is asked for
    try:
        yield
    finally:
        flags.set_flags(before)
