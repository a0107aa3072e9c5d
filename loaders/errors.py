"""Errors of the loaders.

* OmniError
  * LoaderError
    * SourceUnreadable: a declared source is missing, broken or not what its checksum says
    * LoadFailed: a dlt run ended early; what it had committed stays
      * StoreUnavailable: it did since a disk or a database did not answer, which may pass
    * MappingRefused: a mapping is not one SELECT over `raw` that keeps `source_line`
    * NotParsable: a document has no sections, for one of the reasons in `documents.refusals`, where it is
    * RecordNotHeld: no quarantined record is meant
    * ReleaseRefused: a source cannot be let in on a person's word
    * StarterRefused: no manifest can be drafted from these files
    * WorkerDied: a process that worked for this one has ended
      * TookTooLong: since one thing took it more than it may
"""

from lakehouse.errors import OmniError


class LoaderError(OmniError):
    """Root of what the loaders raise."""


class SourceUnreadable(LoaderError):
    """A declared source is missing, broken or not what its checksum says; its partitions keep their old rows."""


class LoadFailed(LoaderError):
    """A dlt run ended early. Partitions that it had committed stay; the others keep their old rows."""


class StoreUnavailable(LoadFailed):
    """A disk or a database did not answer, or another writer was faster: the same load may succeed in a moment."""


class MappingRefused(LoaderError):
    """A mapping is missing, or is not one SELECT over the view `raw` that keeps `source_line`."""


class ReleaseRefused(LoaderError):
    """A source cannot be let in: there is none, it is not in quarantine, or nobody says why."""


class RecordNotHeld(LoaderError):
    """No record that is held in quarantine is meant."""


class StarterRefused(LoaderError):
    """No starter manifest can be drafted from these files, or its own file is there already."""


class WorkerDied(LoaderError):
    """A process that worked for this one has ended, such as one that the kernel killed when memory was short."""


class TookTooLong(WorkerDied):
    """A process was ended since one thing took more of its time than it may."""
