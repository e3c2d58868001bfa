"""Which files a user means by ``--imagery PATH``: those named, and in folders the rasters that belong together."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import rasterio

from segmentation.core.errors import PipelineError

SUFFIXES = (".tif", ".tiff", ".vrt")
# Rasters too, but in folders they are left to the user: many are parts of something else.
_OTHER_SUFFIXES = (".jp2", ".img", ".ecw", ".sid", ".ntf", ".nitf", ".hdf", ".h5", ".nc", ".bil", ".ers", ".pix")
# What systems keep in folders for themselves, beside what begins with a dot.
_OF_THE_SYSTEM = {
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "__macosx",
    "@eadir",
    "#recycle",
    "#snapshot",
    "~snapshot",
}
# Words in the names of files that lie beside imagery and are none.
_BESIDE_IMAGERY = {
    *("udm", "udm2", "mask", "msk", "qa", "scl", "fmask", "qa60"),
    *("dem", "dsm", "dtm", "slope", "hillshade"),
    *("preview", "browse", "thumb", "thumbnail", "quicklook", "overview", "ovr", "aux"),
}
# Planet's masks of usable data: words in their names, and what they call their bands.
_USABLE_DATA_MASK = {"udm", "udm2"}
_USABLE_DATA_BANDS = {"clear", "snow", "shadow", "cloud"}
_NAMED = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """How the pixels of a file are stored: number of bands, their data types, their descriptions in lower case."""

    bands: int
    dtypes: tuple[str, ...]
    descriptions: tuple[str, ...]

    def __str__(self) -> str:
        plural = "s" if self.bands > 1 else ""
        return f"{self.bands} band{plural} of {' and '.join(self.dtypes)}"

    @classmethod
    def of(cls, file: rasterio.DatasetReader) -> Layout:
        """The layout of an open file."""
        descriptions = tuple((text or "").lower() for text in file.descriptions)
        return cls(file.count, tuple(sorted(set(file.dtypes))), descriptions)

    def resembles(self, other: Layout) -> bool:
        """Whether two files may be of one kind: one of them may have alpha or near infrared beside the colours."""
        same_bands = self.bands == other.bands
        one_more = min(self.bands, other.bands) >= 3 and abs(self.bands - other.bands) == 1
        return self.dtypes == other.dtypes and (same_bands or one_more)


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The rasters that paths name: files as given, those in folders by name, with all folders below.

    What is hidden (its name begins with a dot) or the system's own, such as a bin or a snapshot, is left out. Links to
    folders are followed; a file that several names lead to comes once.

    Raises:
        PipelineError: nothing is there, a link leads nowhere, or a folder cannot be read.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _in_folder(path)
        elif path.exists():
            found.append(path)
        else:
            raise PipelineError(f"--imagery names no source and there is no file or folder {path}")
    by_content = {os.path.realpath(path): path for path in reversed(found)}
    return [path for path in dict.fromkeys(found) if by_content[os.path.realpath(path)] == path]


def require_one_kind(layouts: Mapping[Path, Layout], named: Sequence[Path]) -> None:
    """Refuse files that lie beside imagery and are none, or of another kind.

    Of files found in folders, those are refused whose bands or data types are not those of most others, or whose names
    say that they are something else (masks, elevation, previews). Files named one by one are taken at their word, but
    for Planet's masks of usable data, which are no imagery whatever they are called for.

    Args:
        layouts: of all files, in order.
        named: the files that the user has named one by one.

    Raises:
        PipelineError: a file does not fit; the message names it and the way out.
    """
    masks = [path for path, layout in layouts.items() if _is_usable_data_mask(path, layout)]
    if masks:
        others = [path for path in layouts if path not in masks]
        raise PipelineError(
            f"{_listed(masks)}: Planet's mask of usable data, no imagery; {_way_out(masks, others, 'leave it out')}"
        )
    in_folders = [path for path in layouts if path not in set(named)]
    if len(in_folders) < 2:
        return
    apart = [path for path in in_folders if _words(path) & _BESIDE_IMAGERY]
    if len(apart) == len(in_folders):
        apart = []
    imagery = [path for path in in_folders if path not in apart]
    most_common, _ = Counter(str(layouts[path]) for path in imagery).most_common(1)[0]
    usual = next(layouts[path] for path in imagery if str(layouts[path]) == most_common)
    odd = [path for path in in_folders if path in apart or not layouts[path].resembles(usual)]
    if odd:
        fitting = [path for path in in_folders if path not in odd]
        raise PipelineError(
            f"{_listed(odd)}: does not fit the other files found ({layouts[odd[0]]}; {fitting[0].name} has {usual}"
            f"{', and its name says that it is no imagery' if odd[0] in apart else ''}); "
            f"{_way_out(odd, fitting, 'take it out of the folder')}"
        )


def _in_folder(folder: Path) -> list[Path]:
    """The rasters in a folder and below, by name."""
    left_out: list[Path] = []
    files = list(_walk(folder, left_out))
    rasters = [file for file in files if file.suffix.lower() in SUFFIXES]
    other = [file for file in files if file.suffix.lower() in _OTHER_SUFFIXES]
    if left_out:
        log.warning("left out of %s: %d hidden folders (%s)", folder, len(left_out), _listed(left_out, folder))
    if other:
        log.warning(
            "left out of %s: %d files that are no %s (%s); name those that are imagery one by one",
            *(folder, len(other), " or ".join(SUFFIXES), _listed(other, folder)),
        )
    if not rasters:
        raise PipelineError(f"no {', '.join(SUFFIXES)} file in {folder}")
    broken = [file for file in rasters if not file.exists()]
    if broken:
        raise PipelineError(f"{broken[0]} links to a file that is not there; repair or remove the link")
    return sorted(rasters, key=lambda file: file.relative_to(folder).as_posix())


def _walk(folder: Path, left_out: list[Path]) -> Iterator[Path]:
    """All files in a folder and below that are not hidden; every folder once, by its own name rather than a link's.

    Args:
        folder: to begin with.
        left_out: takes the hidden folders.
    """
    root = folder.resolve()
    seen = set(root.parents)  # a link to one of these leads in a circle
    own: deque[Path] = deque([folder])
    linked: deque[Path] = deque()
    while own or linked:
        here = (own or linked).popleft()
        if here.resolve() in seen:
            continue
        seen.add(here.resolve())
        try:
            entries = sorted(here.iterdir())
        except OSError as error:
            raise PipelineError(f"folder {here} cannot be read: {error.strerror}") from None
        for entry in entries:
            hidden = entry.name.startswith(".") or entry.name.lower() in _OF_THE_SYSTEM
            if not entry.is_dir():
                if not hidden:
                    yield entry
            elif hidden:
                left_out.append(entry)
            elif entry.is_symlink():
                linked.append(entry)
            else:
                own.append(entry)


def _is_usable_data_mask(path: Path, layout: Layout) -> bool:
    return bool(_words(path) & _USABLE_DATA_MASK) or set(layout.descriptions) >= _USABLE_DATA_BANDS


def _words(path: Path) -> set[str]:
    return set(re.split(r"[^a-z0-9]+", path.stem.lower()))


def _listed(paths: Sequence[Path], folder: Path | None = None) -> str:
    names = [str(path if folder is None else path.relative_to(folder)) for path in paths]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _common_ending(names: Sequence[str]) -> str:
    """What all names end with."""
    shortest = min((len(name) for name in names), default=0)
    length = 0
    while length < shortest and len({name[-length - 1] for name in names}) == 1:
        length += 1
    return names[0][-length:] if length else ""


def _way_out(odd: Sequence[Path], fitting: Sequence[Path], first: str) -> str:
    """What the user can do: with a pattern of the shell that names the fitting files alone, where there is one."""
    if len(fitting) == 1:
        return f"{first}, or name the file to read: --imagery {fitting[0]}"
    folders = {path.parent for path in fitting}
    ending = _common_ending([path.name for path in fitting])
    pattern = ""
    if len(folders) == 1 and ending and not any(path.name.endswith(ending) for path in odd):
        pattern = f", such as --imagery {folders.pop()}/*{ending}"
    return f"{first}, or name the files to read one by one{pattern}"
