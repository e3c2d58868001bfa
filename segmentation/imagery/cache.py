"""The pieces of imagery of a year on disk (quads, tiles, composites), and what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from segmentation.core.files import make_folder
from segmentation.core.journal import Journal
from segmentation.core.process.locks import FolderLocks
from segmentation.geo.grid import quad_name

COVERED, NOT_COVERED, FAILED = "covered", "not covered", "failed"
# What is told of a piece that nobody has asked for yet; it is never kept.
UNKNOWN = "unknown"
_IN_USE = "in use"


class CacheRecord(Protocol):
    """A dataclass that says at least this of a piece.

    Attributes:
        status: ``COVERED`` (on disk and checked), ``NOT_COVERED`` or ``FAILED``.
        reason: why it is not there.
        size: bytes of its file.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def status(self) -> str: ...  # noqa: D102

    @property
    def reason(self) -> str: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102


Piece = TypeVar("Piece")
Record = TypeVar("Record", bound=CacheRecord)

Quad = tuple[int, int]


class PieceCache(Generic[Piece, Record]):
    """A folder of pieces of imagery as GeoTIFFs, with a record of them.

    A file that the record does not name, or names with another size, counts as not there yet. Several processes may
    fill the same folder: each piece is fetched (or made) by one of them, see ``held``.

    Args:
        folder: holds the files.
        record_name: name of the record file.
        name: of a piece, and of its file.
        record_type: makes what is known of a piece from the fields that were kept.
    """

    def __init__(
        self, folder: Path, record_name: str, name: Callable[[Piece], str], record_type: Callable[..., Record]
    ):
        self.folder = folder
        self._name = name
        self._record_type = record_type
        self._records = Journal(folder / record_name)
        self._locks = FolderLocks(folder)

    @contextmanager
    def held(self, piece: Piece, given_up: Event) -> Iterator[None]:
        """Hold a piece, to fetch it: another process waits, and then knows what has become of it.

        Args:
            piece: to hold.
            given_up: ends the waiting from another thread.

        Raises:
            GivenUp: ``given_up`` was set while another process held the piece.
        """
        make_folder(self.folder)
        with self._locks.held(self._name(piece), given_up):
            self.refresh()
            yield

    def refresh(self) -> None:
        """Take in what other processes have recorded."""
        self._records.refresh()

    def path(self, piece: Piece) -> Path:
        """Where a piece is, or will be."""
        return self.folder / f"{self._name(piece)}.tif"

    def get(self, piece: Piece) -> Record | None:
        """What is known of a piece, None where that is nothing."""
        known = self._records.get(self._name(piece))
        return None if known is None else self._record_type(**known)

    def record(self, piece: Piece) -> Record:
        """What is known of a piece that has been asked for.

        Raises:
            KeyError: nothing is known of it.
        """
        known = self.get(piece)
        if known is None:
            raise KeyError(f"{self._name(piece)} is not in the record of {self.folder}")
        return known

    def is_complete(self, piece: Piece) -> bool:
        """Whether nothing is left to fetch of a piece: it is on disk as it was checked, or known not to be covered."""
        return self.is_not_covered(piece) or self._is_on_disk(piece)

    def is_not_covered(self, piece: Piece) -> bool:
        """Whether a piece is known not to be covered."""
        known = self.get(piece)
        return known is not None and known.status == NOT_COVERED

    def size_of(self, piece: Piece) -> int:
        """Bytes of a piece's file, 0 where there is none or another than was checked."""
        return self.record(piece).size if self._is_on_disk(piece) else 0

    def _is_on_disk(self, piece: Piece) -> bool:
        """Whether the file of a piece is there, as large as when it was checked."""
        known = self.get(piece)
        if known is None or known.status != COVERED:
            return False
        path = self.path(piece)
        return path.exists() and path.stat().st_size == known.size

    def keep(self, piece: Piece, record: Record) -> None:
        """Keep what has become known of a piece."""
        self._records.keep(self._name(piece), asdict(record))

    def mark_damaged(self, path: Path) -> None:
        """Note that a piece's file cannot be read: it is to be fetched again."""
        known = self._records.get(path.stem)
        if known is not None:
            self._records.keep(path.stem, known | {"status": FAILED, "reason": "damaged on disk", "size": 0})

    def tidy(self) -> None:
        """Sort the record, so that it does not depend on the order of downloads."""
        self._records.tidy()


@dataclass(frozen=True)
class PieceRecord:
    """What is known of a quad or a tile.

    Attributes:
        mosaic: name of the mosaic that it was asked of.
        status: ``COVERED`` (on disk and checked), ``NOT_COVERED`` or ``FAILED``.
        reason: why it is not there.
        size: bytes of its file; 0 once it is discarded.
        blocks: numbers of the blocks in the file, see the cache; None for all.
        cloud: cloud and heavy haze of the scenes behind it, percent, where the mosaic was chosen by that.
    """

    mosaic: str
    status: str
    reason: str = ""
    size: int = 0
    blocks: list[int] | None = None
    cloud: float | None = None


class BlockCache(PieceCache[Piece, PieceRecord]):
    """A folder of pieces of which only some blocks may be there, see ``PieceCache``."""

    def is_complete(self, piece: Piece, blocks: Collection[int] | None = None) -> bool:
        """Whether nothing is left to fetch of a piece.

        Args:
            piece: in question.
            blocks: those that are needed, None for all.
        """
        if self.is_not_covered(piece):
            return True
        if not self._is_on_disk(piece):
            return False
        there = self.record(piece).blocks
        return there is None or (blocks is not None and set(blocks) <= set(there))

    def told(self, piece: Piece) -> PieceRecord:
        """What is known of a piece, as it is told: ``UNKNOWN`` where that is nothing."""
        return self.get(piece) or PieceRecord("", UNKNOWN)

    def blocks_on_disk(self, piece: Piece) -> list[int] | None:
        """Numbers of the blocks of a piece that are on disk as they were checked; None for all of them."""
        return self.record(piece).blocks if self._is_on_disk(piece) else []


class QuadCache(BlockCache[Quad]):
    """A folder of quads ``x-y.tif`` with a record of them, ``quads.jsonl``; blocks as ``Grid.blocks_of`` numbers them.

    What another process reads is not discarded.
    """

    def __init__(self, folder: Path):
        super().__init__(folder, "quads.jsonl", lambda quad: quad_name(*quad), PieceRecord)

    def begin_reading(self) -> None:
        """Say that this process reads quads from now on, until ``end_reading``: others then discard none."""
        if not self.folder.is_dir():
            make_folder(self.folder)
        self._locks.share(_IN_USE)

    def end_reading(self) -> None:
        """Say that this process reads no quad any more."""
        if self.folder.exists():
            self._locks.leave(_IN_USE)

    def discard(self, quads: Sequence[Quad]) -> bool:
        """Remove the files of quads, but remember that there were some.

        For a process that has said that it reads. While another one does so too, nothing is removed: it may be about
        to read these quads.

        Returns:
            Whether that was possible.
        """
        with self._locks.alone(_IN_USE) as alone:
            if alone:
                for quad in quads:
                    self.path(quad).unlink(missing_ok=True)
                    self.keep(quad, replace(self.record(quad), size=0, blocks=[]))
        return alone


class TileCache(BlockCache[str]):
    """A folder of Sentinel-2 tiles by name with a record of them, ``tiles.jsonl``; blocks as ``tiles`` numbers them."""

    def __init__(self, folder: Path):
        super().__init__(folder, "tiles.jsonl", str, PieceRecord)
