"""Which runs in this project's own processes are alive: a process that is killed leaves its runs as started for ever.

Each process holds a lock that the kernel releases when it ends, however it ends, and names it in the tags of its runs.
Runs that the daemon launches are watched by Dagster (`run_monitoring` in infra/dagster/dagster.yaml).
"""

import fcntl
import socket
import uuid
import weakref
from pathlib import Path
from typing import TextIO

import dagster as dg

_TAG = "omni/process"
_FOLDER = "processes"


class LiveProcess:
    """The mark of a process that runs the graph; it lasts as long as this object, at most as long as the process."""

    def __init__(self, home: Path) -> None:
        """Take the lock, under the Dagster home."""
        name = uuid.uuid4().hex
        path = _lock_file(home, name)
        path.parent.mkdir(exist_ok=True)
        stream = path.open("w")
        fcntl.flock(stream, fcntl.LOCK_EX)
        weakref.finalize(self, _release, path, stream)
        self.tags = {_TAG: f"{socket.gethostname()} {name}"}
        """What the runs of the process carry."""


def fail_dead_runs(instance: dg.DagsterInstance, home: Path) -> list[str]:
    """Record as failed the runs whose process on this machine has ended; returns their ids."""
    dead = []
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])):
        host, _, name = run.tags.get(_TAG, "").partition(" ")
        if host == socket.gethostname() and not _is_alive(_lock_file(home, name)):
            instance.report_run_failed(run, "the process of this run has ended; next: omni run")
            _lock_file(home, name).unlink(missing_ok=True)
            dead.append(run.run_id)
    return dead


def _release(path: Path, stream: TextIO) -> None:
    path.unlink(missing_ok=True)
    stream.close()


def _is_alive(lock: Path) -> bool:
    try:
        with lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _lock_file(home: Path, name: str) -> Path:
    return home / _FOLDER / f"{name}.lock"
