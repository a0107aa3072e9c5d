"""The files that a starter manifest declares: those of the paths that a person named, each with an id of its own.

An id is the file's path below the folder that was named, as it is: the same in each snapshot of a folder, and never
that of another file. What is left out can be listed, and what can be neither declared nor left out is refused.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lakehouse.settings import LakehouseSettings
from lakehouse.unicode_text import escaped
from loaders.errors import StarterRefused

_WILD = "*?["
_NO_DATA = (".", "_")
"""How the names begin that a folder source passes over (`loaders.sources.files`)."""


@dataclass(frozen=True)
class FileSet:
    """Files that a manifest declares."""

    ids: Mapping[Path, str]
    root: Path | None = None
    """The folder or glob that stands for all of them, where they are to be one source."""


def file_set(paths: Sequence[Path], *, as_one: bool) -> FileSet:
    """The files that paths stand for.

    Args:
        paths: files, or folders for what is below them; a glob only `as_one`, for a shell expands any other.
        as_one: they are to be one source, so that one path must stand for all.

    Raises:
        StarterRefused: a path is missing, two files have one id, or several paths are to be one source.
    """
    if not as_one:
        return FileSet(_ids(paths))
    if len(paths) != 1:
        raise StarterRefused(
            f"found {len(paths)} paths for one source, expected a file, a folder, or a glob in quotes; next: name the "
            "folder, put the glob in quotes, or leave out --source-id"
        )
    (path,) = paths
    if not path.exists() and (matches := _matches(path)):
        return FileSet(matches, Path(*_split(path)))
    return FileSet(_ids(paths), path.resolve() if path.is_dir() else None)


def left_out(paths: Sequence[Path]) -> list[str]:
    """What is below the named folders and no source, since its name starts with `.` or `_`: the topmost of it."""
    found = {}
    for folder in (path.resolve() for path in paths if path.is_dir()):
        for each in folder.rglob("*"):
            below = each.relative_to(folder)
            if each.name.startswith(_NO_DATA) and not _is_no_data(below.parent):
                found[each] = f"{below.as_posix()}/" if each.is_dir() else below.as_posix()
    return [escaped(found[each]) for each in sorted(found)]


def declared_path(settings: LakehouseSettings, path: Path) -> str:
    """A path that `loaders.sources.files` resolves to this very file, folder or glob."""
    if path.is_relative_to(settings.manifests):
        return path.relative_to(settings.manifests).as_posix()
    if settings.source_root and path.is_relative_to(settings.source_root):
        relative = path.relative_to(settings.source_root)
        if not any(_there(settings.manifests / relative)):  # the manifest folder is looked into first
            return relative.as_posix()
    return str(path)


def some(files: Collection[Path]) -> str:
    """The first files by name, and how many more."""
    more = f" and {len(files) - 3} more" if len(files) > 3 else ""
    return ", ".join(file.name for file in sorted(files)[:3]) + more


def _ids(paths: Sequence[Path]) -> dict[Path, str]:
    ids: dict[Path, str] = {}
    by_id: dict[str, Path] = {}
    for path in sorted(path.resolve() for path in paths):  # a folder before what is named of it
        for file, name in _files(path):
            if file in ids:
                continue
            if name in by_id:
                raise StarterRefused(
                    f"found {by_id[name]} and {file}, which would both have the id {name!r}, expected ids that differ; "
                    "next: name the folder that holds both, or draft a manifest for each"
                )
            ids[file], by_id[name] = name, file
    return ids


def _there(path: Path) -> Iterator[Path]:
    if path.exists():
        yield path
    else:
        yield from _matches(path)


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """The files that a path stands for, as a folder source has them, each with its path below it."""
    if path.is_file():
        yield path, path.name
    elif path.is_dir():
        for each in path.rglob("*"):
            below = each.relative_to(path)
            if _is_no_data(below) or (each.is_dir() and not each.is_symlink()):
                continue
            if not each.is_file():
                raise StarterRefused(
                    f"{each}: found a link to a folder or to nothing, or a device, expected a file; next: take it out, "
                    "or put the files there"
                )
            yield each, below.as_posix()
    else:
        raise StarterRefused(f"{path}: no file and no folder there; next: name one that exists")


def _is_no_data(below: Path) -> bool:
    return any(part.startswith(_NO_DATA) for part in below.parts)


def _matches(path: Path) -> dict[Path, str]:
    """The files that a glob stands for; none where the path is no glob."""
    fixed, pattern = _split(path)
    return (
        {file: file.relative_to(fixed).as_posix() for file in fixed.glob(pattern) if file.is_file()} if pattern else {}
    )


def _split(path: Path) -> tuple[Path, str]:
    """The folder before the first wildcard of a glob, resolved as the settings' folders are, and the rest."""
    parts = path.absolute().parts
    first = next((number for number, part in enumerate(parts) if set(_WILD) & set(part)), len(parts))
    return Path(*parts[:first]).resolve(), "/".join(parts[first:])
