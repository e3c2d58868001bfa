"""Where the vector data set is that a user means: a file, a layer of it, one in a zip or in a folder; whole."""

from __future__ import annotations

import shlex
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segmentation.core.errors import PipelineError
from segmentation.core.files import is_wide, read_text
from segmentation.geo.vectors.shapefiles import sound_shapefile

# What a zip or a folder may hold, by suffix. Tables and plain JSON often only describe what lies beside them.
_VECTORS = (
    *(".shp", ".gpkg", ".geojson", ".geojsonl", ".geojsons", ".kml", ".kmz", ".fgb", ".parquet", ".geoparquet"),
    *(".gml", ".gdb", ".sqlite", ".tab", ".mif"),
)
_PERHAPS_VECTORS = (".json", ".csv", ".zip")
# Formats that are zips themselves and that GDAL reads as they are.
_ZIPPED_FORMATS = (".kmz", ".xlsx", ".ods")
# Formats of which GDAL takes UTF-8 alone; XML says its own encoding.
_PLAIN_TEXT = (".geojson", ".geojsonl", ".geojsons", ".json", ".csv", ".tsv", ".txt")
# Hidden files, what macOS adds, and paths that lead out of a zip.
_NOT_THE_USERS = (".", "__MACOSX", "/")
_SHOWN = 10


@dataclass(frozen=True)
class VectorName:
    """A vector data set as a user names it.

    Attributes:
        path: of the file or folder, which exists.
        inside: what comes after a colon: a layer, a file in a zip or folder, or ``FILE:LAYER`` in it; None for all.
    """

    path: Path
    inside: str | None = None

    @property
    def stem(self) -> str:
        """A name for files made from it."""
        chosen = "" if self.inside is None else "_" + "".join(c if c.isalnum() else "_" for c in self.inside)
        return self.path.stem + chosen

    @property
    def short(self) -> str:
        """The name without its folder."""
        return str(VectorName(Path(self.path.name), self.inside))

    def __str__(self) -> str:
        return str(self.path) if self.inside is None else f"{self.path}:{self.inside}"


def find_vector(named: Path | str) -> VectorName | None:
    """Tell a file from what is chosen in it: ``FILE`` or ``FILE:LAYER``; None where there is no such file.

    The longest part that exists is the file, so that names with colons of their own keep them. The colon after the
    letter of a drive belongs to the path.
    """
    text = str(named)
    if Path(text).exists():
        return VectorName(Path(text))
    drive = len(Path(text).drive)
    for place in range(len(text) - 1, max(drive, 1) - 1, -1):
        if text[place] == ":" and Path(text[:place]).exists():
            return VectorName(Path(text[:place]), text[place + 1 :] or None)
    return None


def existing_vector(named: Path | str) -> VectorName:
    """As ``find_vector``, of a file that has to be there.

    Raises:
        PipelineError: there is no such file.
    """
    name = find_vector(named)
    if name is None:
        raise PipelineError(f"no polygons at {named}: no such file")
    return name


@contextmanager
def open_vector(name: VectorName) -> Iterator[tuple[Path, str | None]]:
    """Make a data set ready to be read: unpacked where it lies in a zip, whole, with its index.

    Yields:
        The path of the data set, and the layer that was chosen in it, None where none was.

    Raises:
        PipelineError: a zip or folder holds no data set or several, or the data set is damaged.
    """
    path, inside = name.path, name.inside
    if path.is_file() and path.stat().st_size == 0:
        raise PipelineError(f"{path} is empty (0 bytes); get the file again")
    with tempfile.TemporaryDirectory(prefix="vectors-") as scratch:
        folder = Path(scratch)
        if _is_zip(path):
            path, inside = _unpack(name, folder / "unpacked")
        elif path.is_dir() and not _is_geodatabase(path):
            path, inside = _in_folder(name)
        if path.suffix.lower() == ".shp":
            called = f"{path.name} in {name.path}" if folder in path.parents else str(path)
            path = sound_shapefile(path, called, folder / "indexed")
        elif path.suffix.lower() in _PLAIN_TEXT:
            path = _in_utf8(path, folder / "decoded")
        yield path, inside


def _in_utf8(path: Path, folder: Path) -> Path:
    """A text file that GDAL can read: the file itself, or a copy of one that is in UTF-16 or UTF-32."""
    with path.open("rb") as file:
        if not is_wide(file.read(4)):
            return path
    folder.mkdir()
    copy = folder / path.name
    copy.write_text(read_text(path), encoding="utf-8")
    projection = path.with_suffix(".prj")
    if projection.is_file():
        shutil.copyfile(projection, copy.with_suffix(".prj"))
    return copy


def example(choice: str) -> str:
    """How a choice is typed on the command line."""
    return shlex.quote(choice)


def listed(items: Sequence[str]) -> str:
    """Items for a line of text, the first of them where there are many."""
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _is_zip(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() not in _ZIPPED_FORMATS and zipfile.is_zipfile(path)


def _is_geodatabase(folder: Path) -> bool:
    return any(folder.glob("*.gdbtable"))


def _unpack(name: VectorName, folder: Path) -> tuple[Path, str | None]:
    """Unpack the one data set of a zip that is meant, with its companions, and say which layer was chosen in it."""
    try:
        with zipfile.ZipFile(name.path) as archive:
            members = [info.filename for info in archive.infolist() if not info.is_dir()]
            chosen, layer = _choose(name, members)
            for member in _companions(chosen, members):
                archive.extract(member, folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise PipelineError(f"{name.path} cannot be unpacked ({error}); unpack it and name the file in it") from None
    path = folder / chosen
    if _is_zip(path):
        return _unpack(VectorName(path, layer), folder / "inner")
    return path, layer


def _in_folder(name: VectorName) -> tuple[Path, str | None]:
    """The one data set of a folder that is meant, and the layer that was chosen in it."""
    there = [path.name for path in name.path.iterdir() if path.is_file() or path.suffix.lower() == ".gdb"]
    chosen, layer = _choose(name, sorted(there))
    path = name.path / chosen
    if _is_zip(path):
        raise PipelineError(f"{name.path} holds a zip; name it: {path}")
    return path, layer


def _choose(name: VectorName, members: Sequence[str]) -> tuple[str, str | None]:
    """Which of the files in a zip or folder is meant, and which layer of it."""
    found = _data_sets(members)
    if not found:
        raise PipelineError(f"{name.path} holds no vector file ({len(members)} files in it)")
    if name.inside is not None:
        for called, candidate in _callings(found).items():
            if name.inside == called:
                return candidate, None
            if name.inside.startswith(called + ":"):
                return candidate, name.inside[len(called) + 1 :]
    if len(found) == 1:
        return found[0], name.inside
    unknown = "" if name.inside is None else f" and none of them is {name.inside!r}"
    raise PipelineError(
        f"{name.path} holds {len(found)} vector files{unknown}: {listed(found)}; "
        f"name one after a colon, such as {example(f'{name.path}:{found[0]}')}"
    )


def _callings(found: Sequence[str]) -> dict[str, str]:
    """What files may be called: by their path, and by their name or stem where no other file has the same."""
    callings = {candidate: candidate for candidate in found}
    for part in (lambda path: path.name, lambda path: path.stem):
        called = [part(PurePosixPath(candidate)) for candidate in found]
        unique = [candidate for candidate, own in zip(found, called, strict=True) if called.count(own) == 1]
        callings |= {part(PurePosixPath(candidate)): candidate for candidate in unique}
    return callings


def _data_sets(members: Sequence[str]) -> list[str]:
    """The vector files among files; those of which one cannot be sure only where there are no others."""
    paths = [PurePosixPath(member) for member in members]
    names = [_data_set(path.parts) for path in paths if _is_the_users(path)]
    sure = sorted({name for name in names if PurePosixPath(name).suffix.lower() in _VECTORS})
    perhaps = sorted({name for name in names if PurePosixPath(name).suffix.lower() in _PERHAPS_VECTORS})
    return sure or perhaps


def _is_the_users(path: PurePosixPath) -> bool:
    return not any(part.startswith(_NOT_THE_USERS) for part in path.parts)


def _data_set(parts: tuple[str, ...]) -> str:
    """The file itself, or the File Geodatabase, a folder, that it belongs to."""
    for depth, part in enumerate(parts[:-1], start=1):
        if part.lower().endswith(".gdb"):
            return "/".join(parts[:depth])
    return "/".join(parts)


def _companions(chosen: str, members: Sequence[str]) -> list[str]:
    """A data set's own files: those in its folder, or with its name and other suffixes."""
    if chosen.lower().endswith(".gdb"):
        return [member for member in members if member.startswith(chosen + "/")]
    stem = str(PurePosixPath(chosen).with_suffix(""))
    return [member for member in members if member == chosen or member.startswith(stem + ".")]
