"""The files of a folder that may hold manifests, with what tells whether one has changed. Opens none of them."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (".yaml", ".yml", ".json")
NOT_OURS = ("kustomization.yaml", "kustomization.yml")
MOST_FILES = 20_000
MOST_DEPTH = 32


@dataclass(frozen=True)
class Stamp:
    """Differs when a file was written, replaced or touched."""

    mtime_ns: int
    size: int
    inode: int

    @staticmethod
    def of(found: os.stat_result) -> "Stamp":
        return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


@dataclass
class Listing:
    """Names are relative to the folder, with slashes."""

    files: dict[str, Stamp] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    """Files and folders (these end in a slash) that cannot be looked at, and why."""

    def hides(self, file: str) -> bool:
        """Whether the file may well be there: it, or a folder around it, could not be looked at."""
        return any(file == name or (name.endswith("/") and file.startswith(name)) for name in self.unreadable)


def list_files(directory: Path) -> Listing | None:
    """None: there is no such folder now."""
    if not directory.is_dir():
        return None
    listing = Listing()
    try:
        _list(directory, "", listing, ())
    except OSError as error:
        return None if isinstance(error, FileNotFoundError) else Listing(unreadable={"/": said(error)})
    return listing


def is_ours(name: str) -> bool:
    """Neither hidden nor an editor's."""
    return name.endswith(SUFFIXES) and not name.startswith((".", "#", "~")) and name not in NOT_OURS


def said(error: OSError) -> str:
    """Why, without the path of this machine that Python puts into it."""
    return f"{(error.strerror or type(error).__name__).lower()}; mend it, or take it out of the folder"


def _list(directory: Path, prefix: str, listing: Listing, above: tuple[tuple[int, int], ...]) -> None:
    here = directory.stat()
    identity = (here.st_dev, here.st_ino)
    if identity in above or len(above) > MOST_DEPTH:
        return  # a symlink to a folder around itself
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        name = prefix + entry.name
        if entry.name.startswith("."):
            continue
        if len(listing.files) >= MOST_FILES:
            listing.unreadable["/"] = f"more than {MOST_FILES} files; the rest is not read"
            return
        try:
            if entry.is_dir():
                _list(Path(entry.path), f"{name}/", listing, (*above, identity))
            elif is_ours(entry.name) and stat.S_ISREG((found := entry.stat()).st_mode):
                listing.files[name] = Stamp.of(found)
        except FileNotFoundError as error:
            # Gone while we looked; a symlink to nowhere is still there.
            if entry.is_symlink() and is_ours(entry.name):
                listing.unreadable[name] = said(error)
        except OSError as error:
            listing.unreadable[name if is_ours(entry.name) else f"{name}/"] = said(error)
