"""dbt, imported once per process that needs it: `orchestration.dbt_launcher.forks` starts this module as a program.

Its argument is the folder of a parse to warm up with (`orchestration.dbt_launcher.warming`). Its input is one
invocation per line: arguments of dbt, or a wish to declare (`orchestration.dbt_launcher.declaring`), environment,
working directory; or `null`, to be ready for one. Each is a fork of this process, so that dbt's state ends with the
invocation; what dbt prints is followed by a line that gives the exit status. It ends with its input. No setting may be
read here: `load_settings` remembers, and a fork may be of another lakehouse.

Not `multiprocessing`'s fork server, which imports the main module of its caller anew in each fork: where that has
Dagster, `dbt --help` takes 2.1 s instead of 0.16 (to preload `__main__` changes nothing in Python 3.11). A process has
one, shared with who else uses it (Dagster does), with the environment of its start; and no public way ends it, where a
code server that has parsed the project would keep its 140 MB. It would spare neither `_become` nor the pipe for what
dbt prints.
"""

import gc
import importlib
import json
import os
import sys
import time
from functools import cache
from pathlib import Path

from orchestration.dbt_launcher.forks import DECLARE
from orchestration.dbt_launcher.manifest import PARSE

IMPORTED = (
    "dbt.adapters.sql",
    "dbt.task.build",
    "dbt_common.clients.agate_helper",
    "lakehouse.builds.logic",
    "lakehouse.ledger.ledger",
    "orchestration.readiness.gate",
    "pyiceberg.catalog.sql",
    "pyiceberg.table",
    "rich.table",
    "sqlalchemy.dialects.sqlite",
    "sqlglot.dialects.duckdb",
)
"""What a build imports beside, but for duckdb and pyarrow: those start a thread, which a fork would be without."""


def main() -> None:
    """Serve until the input ends."""
    from dbt.cli.main import cli

    for number, line in enumerate(sys.stdin):
        if (request := json.loads(line)) is None:
            _make_ready(False)
            continue
        is_declaring = DECLARE in request["arguments"]
        if number or not is_declaring:  # a first wish to declare may be all that is asked for
            _make_ready(is_declaring)
        gc.freeze()  # what is imported stays: no collection in a fork need look at it
        fork = os.fork()
        if not fork:
            _become(**request)
            if is_declaring:
                _declare(*map(Path, request["arguments"][1:]))
            cli()  # exits
        _, status = os.waitpid(fork, 0)
        print(f"\n{json.dumps({'exit_status': os.waitstatus_to_exitcode(status)})}", flush=True)


@cache
def _make_ready(is_declaring: bool) -> None:
    """Do for all forks, once, what each that declares would do, or each that is an invocation of dbt."""
    from orchestration.dbt_launcher.warming import warm

    for name in ("orchestration.dbt_launcher.declaring",) if is_declaring else IMPORTED:
        importlib.import_module(name)
    warm(Path(sys.argv[1], PARSE))


def _declare(project: Path, path: Path) -> None:
    from orchestration.dbt_launcher.declaring import declare

    declare(project, path)
    sys.exit()


def _become(arguments: list[str], environment: dict[str, str], cwd: str) -> None:
    """Make this fork what a shell would have started."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(cwd)
    sys.argv = ["dbt", *arguments]


if __name__ == "__main__":
    main()
