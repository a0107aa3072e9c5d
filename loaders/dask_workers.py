"""The same work on the workers of a Dask cluster, maybe on other machines; `OMNI_DASK_SCHEDULER` names the scheduler.

What decides on rows goes with each share: settings, contract, mappings, judgments. What cannot, the code and its
packages, must be the same there, or the share is refused; so is a file that a worker sees otherwise than it was listed.
What a worker staged comes back as bytes, since its disk is its own: this process alone plans, carries and commits. Of
the lakehouse's secrets go those of stores, to the workers alone: Dask shows keys, and each share has but a number.

The package is an extra; `loaders.ingest` imports this module where the setting asks for it.
"""

import hashlib
import io
import os
import pickle
import platform
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
from distributed import Client, KilledWorker
from distributed.client import ClosedClientError
from packaging.requirements import Requirement

from lakehouse.errors import ConfigurationError, OmniError
from lakehouse.scratch import scratch_folder
from lakehouse.settings import PROJECT_ROOT, LakehouseSettings, load_settings
from lakehouse.tables.objects import object_size, put_object
from loaders.bronze.kinds import LOADERS
from loaders.errors import StoreUnavailable, WorkerDied
from loaders.plans.staged_files import new_file
from loaders.workers import Work, Workers

T = TypeVar("T")

_PATIENCE_SECONDS = 10
"""Until the scheduler is taken for gone; how often it is asked whether it has workers left."""
_MAPPINGS = "mappings/*.sql"
_OF_A_MACHINE = (LakehouseSettings, Path)
"""Kinds of arguments that are others on a worker; what is sent in their place is the kind."""
_ADVICE = "give it this checkout and the packages of requirements.lock, and start it again"


class DaskWorkers(Workers):
    """The workers of a cluster; a share is one worker's at a time, and another's where that one dies."""

    def __init__(self, settings: LakehouseSettings) -> None:
        """Find them.

        Raises:
            ConfigurationError: there is no scheduler, or it has no workers.
        """
        self._settings, self._address = settings, str(settings.dask_scheduler)
        try:
            self._client = Client(self._address, timeout=_PATIENCE_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{self._address}: no Dask scheduler answers there ({error}); next: start one, or unset "
                "OMNI_DASK_SCHEDULER"
            ) from error
        self._threads = sum(self._client.nthreads().values())
        if not self._threads:
            self._client.close()
            raise ConfigurationError(f"{self._address}: has no workers; next: dask worker {self._address}")
        super().__init__(max(self._threads, 2))  # beside this process, also where it is one

    def __exit__(self, *_: object) -> None:
        """Leave the cluster to others."""
        self._client.close()

    def _beside(self, work: Work[T, Any], shares: Sequence[Sequence[T]]) -> Iterator[tuple[T, Any]]:
        left, busy = deque(share for share in shares if share), dict[Future[bytes], Sequence[T]]()
        executor, known = self._client.get_executor(pure=False), _Known.of(self._settings, work)
        (folder,) = (each for each in work.arguments if isinstance(each, Path))
        try:
            while left or busy:
                while left and len(busy) < self._threads:  # Dask blames a death on all that waits there, too
                    share = left.popleft()
                    busy[executor.submit(omni_share, Parcel.of(known, work, share))] = share
                for future in self._done(busy):
                    share = busy.pop(future)
                    try:
                        results = _Received(future.result(), folder).load()
                    except KilledWorker as error:
                        if len(share) > 1:  # one of them kills workers: which one is seen when they are apart
                            left += [[thing] for thing in share]
                            continue
                        results = [WorkerDied(f"workers died of it, at last {error.last_worker}; next: run it again")]
                    yield from zip(share, results, strict=True)
        except (CancelledError, ClosedClientError) as error:
            raise StoreUnavailable(f"{self._address}: is gone; next: start it, and run it again") from error
        finally:
            with suppress(ClosedClientError, RuntimeError):  # the latter of a client that is closed
                executor.shutdown(wait=False)  # what has begun is done, for nobody

    def _done(self, busy: Mapping[Future[bytes], object]) -> set[Future[bytes]]:
        """Those that have ended, once there is one; whatever else than a death one ended with is raised."""
        while not (done := wait(busy, _PATIENCE_SECONDS, FIRST_COMPLETED).done):
            with suppress(OSError):  # it does not answer: then what is under way is cancelled soon
                if not self._client.nthreads():
                    raise StoreUnavailable(f"{self._address}: has no workers left; next: start some, and run it again")
        for future in done:
            error = future.exception()
            if isinstance(error, OmniError):
                raise error
            if error is not None and not isinstance(error, KilledWorker):
                raise ConfigurationError(
                    f"a worker of {self._address} could not take its share ({error!r}); next: {_ADVICE}"
                ) from error
        return done


@cache
def definition() -> dict[str, str]:
    """What decides on rows beside what goes with a share: Python, the packages, a hash of the code."""
    digest = hashlib.sha256()
    files = (file for pattern in ("lakehouse/**/*.py", "loaders/**/*.py") for file in PROJECT_ROOT.glob(pattern))
    for file in sorted(files):
        digest.update(f"{file.relative_to(PROJECT_ROOT)}\n".encode() + file.read_bytes())
    names = (Requirement(each) for each in requires("omni-lakehouse") or ())
    packages = {each.name: version(each.name) for each in names if not each.marker or each.marker.evaluate()}
    return {**packages, "python": f"{sys.version_info.major}.{sys.version_info.minor}", "code": digest.hexdigest()[:12]}


@dataclass(frozen=True, repr=False)
class _Known:
    """What a worker has to know as this process knows it."""

    settings: LakehouseSettings
    mappings: Mapping[str, str]
    proof: str | None
    """Fingerprint of an object that is in the warehouse; None where nothing is to be put there."""

    @classmethod
    def of(cls, settings: LakehouseSettings, work: Work[Any, Any]) -> "_Known":
        folders = (PROJECT_ROOT / "manifests", settings.manifests)  # as `manifest_resource`: the user's own counts
        mappings = {file.name: file.read_text("utf-8") for each in folders for file in each.glob(_MAPPINGS)}
        proof, secret = None, os.urandom(32)
        if work.make is LOADERS["files"].stager:
            put_object(settings, io.BytesIO(secret), proof := hashlib.sha256(secret).hexdigest())
        without: dict[str, Any] = {"catalog_uri": None, "ledger_uri": None, "source_properties": {}, "notify": ()}
        return cls(settings.model_copy(update={**without, "warehouse": settings.warehouse_url}), mappings, proof)

    def here(self, folder: Path) -> LakehouseSettings:
        """The settings by which a worker works."""
        (mappings := folder / "mappings").mkdir()
        for name, text in self.mappings.items():
            (mappings / name).write_text(text, "utf-8")
        return self.settings.model_copy(update={"home": load_settings().home, "manifests": folder})


@dataclass(frozen=True, repr=False)
class Parcel:
    """A share on its way to a worker; Dask, which writes down what it runs, sees no more of it than its name."""

    definition: dict[str, str]
    content: bytes
    """Not to be unpickled by other code than that which pickled it."""

    @classmethod
    def of(cls, known: _Known, work: Work[T, Any], share: Sequence[T]) -> "Parcel":
        """Pack a share, with what is to be done."""
        arguments = [type(each) if isinstance(each, _OF_A_MACHINE) else each for each in work.arguments]
        _Sent(buffer := io.BytesIO(), pickle.HIGHEST_PROTOCOL).dump((known, work.make, arguments, share))
        return cls(definition(), buffer.getvalue())

    def expect_known(self) -> None:
        """Compare this process with the one that sent it.

        Raises:
            ConfigurationError: it would stage by another definition.
        """
        ours = definition()
        if other := [name for name in {**ours, **self.definition} if ours.get(name) != self.definition.get(name)]:
            said = ", ".join(f"{each} {ours.get(each)}, expected {self.definition.get(each)}" for each in other)
            raise ConfigurationError(f"worker on {platform.node()}: found {said}; next: {_ADVICE}")


def omni_share(parcel: Parcel) -> bytes:
    """Work on a share, on a worker; its name is what Dask shows."""
    parcel.expect_known()
    pa.set_cpu_count(1)  # there is a worker for each core
    with scratch_folder(load_settings()) as folder:
        known, make, arguments, share = _Told(io.BytesIO(parcel.content)).load()
        settings = known.here(folder)
        if known.proof and object_size(settings, known.proof) is None:
            raise ConfigurationError(
                f"worker on {platform.node()}: {settings.warehouse_url} is another store there, where nobody finds "
                "what it puts; next: name a warehouse that all workers see in OMNI_WAREHOUSE"
            )
        here = {type(each): each for each in (settings, folder)}
        results = [*Work(make, tuple(here[each] if isinstance(each, type) else each for each in arguments)).of(share)]
        for error in (each for each in results if isinstance(each, Exception)):
            error.add_note("".join(traceback.format_exception(error)))  # a traceback cannot be sent
        _Returned(buffer := io.BytesIO(), pickle.HIGHEST_PROTOCOL).dump(results)
    return buffer.getvalue()


class _Sent(pickle.Pickler):
    """Leaves out what a file was judged by: numbers of this machine's disks. A worker judges it by its stamp."""

    def persistent_id(self, value: Any) -> str | None:
        """What stands for it."""
        return "elsewhere" if isinstance(value, os.stat_result) else None


class _Told(pickle.Unpickler):
    def persistent_load(self, value: str) -> str:
        """As it is."""
        return value


class _Returned(pickle.Pickler):
    """Sends the file that a path leads to."""

    def persistent_id(self, value: Any) -> bytes | None:
        """Its bytes."""
        return value.read_bytes() if isinstance(value, Path) else None


class _Received(pickle.Unpickler):
    """Writes the files that came."""

    def __init__(self, content: bytes, folder: Path) -> None:
        super().__init__(io.BytesIO(content))
        self._folder = folder

    def persistent_load(self, content: bytes) -> Path:
        """The path of such a file."""
        (file := new_file(self._folder)).write_bytes(content)
        return file
