"""The quads (or other pieces of imagery) of a year on disk, and what is known of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Generic, TypeVar

from segmentation.core.files import make_folder
from segmentation.core.journal import Journal
from segmentation.core.process.locks import FolderLocks
from segmentation.geo.grid import quad_name

COVERED, NOT_COVERED, FAILED = "covered", "not covered", "failed"
_IN_USE = "in use"

Quad = tuple[int, int]
Piece = TypeVar("Piece")


@dataclass(frozen=True)
class QuadRecord:
    """What is known of a quad, or of another piece of imagery.

    Attributes:
        mosaic: name of the mosaic that it was asked of.
        status: ``COVERED`` (on disk and checked), ``NOT_COVERED`` or ``FAILED``.
        reason: why it is not there.
        size: bytes of its file; 0 once it is discarded.
        blocks: numbers of the blocks in the file (see ``Grid.blocks_of``), None for all.
        cloud: cloud and heavy haze of the scenes behind it, percent, where the mosaic was chosen by that.
    """

    mosaic: str
    status: str
    reason: str = ""
    size: int = 0
    blocks: list[int] | None = None
    cloud: float | None = None


class PieceCache(Generic[Piece]):
    """A folder of pieces of imagery as GeoTIFFs, with a record of them.

    A file that the record does not name, or names with another size, counts as not there yet. Several processes may
    fill the same folder: each piece is fetched by one of them (``held``), and what another one reads is not removed.

    Args:
        folder: holds the files.
        record: name of the record file.
        name: of a piece, and of its file.
    """

    def __init__(self, folder: Path, record: str, name: Callable[[Piece], str]):
        self.folder = folder
        self._name = name
        self._records = Journal(folder / record)
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
            self._records.refresh()
            yield

    def use(self) -> None:
        """Say that this process reads pieces from now on, until ``leave``: others then discard none."""
        if not self.folder.is_dir():
            make_folder(self.folder)
        self._locks.share(_IN_USE)

    def leave(self) -> None:
        """Say that this process reads no piece any more."""
        if self.folder.exists():
            self._locks.leave(_IN_USE)

    def path(self, piece: Piece) -> Path:
        """Where a piece is, or will be."""
        return self.folder / f"{self._name(piece)}.tif"

    def record(self, piece: Piece) -> QuadRecord | None:
        """What is known of a piece."""
        known = self._records.get(self._name(piece))
        return None if known is None else QuadRecord(**known)

    def is_settled(self, piece: Piece, blocks: Collection[int] | None = None) -> bool:
        """Whether a piece need not be asked for: checked and still as it was, or known not to be covered.

        Args:
            piece: in question.
            blocks: those that are needed, None for all.
        """
        known = self.record(piece)
        if known is None or known.status == FAILED:
            return False
        if known.status == NOT_COVERED:
            return True
        path = self.path(piece)
        unchanged = path.exists() and path.stat().st_size == known.size
        enough = known.blocks is None or (blocks is not None and set(blocks) <= set(known.blocks))
        return unchanged and enough

    def size_of(self, piece: Piece) -> int:
        """Bytes of a piece's file, 0 where there is none or another than was checked."""
        known = self.record(piece)
        if known is None or known.status != COVERED or not known.size:
            return 0
        path = self.path(piece)
        return known.size if path.exists() and path.stat().st_size == known.size else 0

    def is_not_covered(self, piece: Piece) -> bool:
        """Whether a piece is known not to be covered."""
        known = self.record(piece)
        return known is not None and known.status == NOT_COVERED

    def discard(self, pieces: Sequence[Piece]) -> bool:
        """Remove the files of pieces, but remember that there were some; whether that was possible.

        For a process that has said that it uses the folder. While another one does so too, nothing is removed: it may
        be about to read these pieces.
        """
        with self._locks.alone(_IN_USE) as alone:
            for piece in pieces if alone else ():
                self.path(piece).unlink(missing_ok=True)
                self.keep(piece, replace(self.record(piece), size=0, blocks=[]))
        return alone

    def keep(self, piece: Piece, record: QuadRecord) -> None:
        """Keep what has become known of a piece."""
        self._records.keep(self._name(piece), asdict(record))

    def doubt(self, path: Path) -> None:
        """A piece's file turned out to be damaged: it is to be fetched again."""
        known = self._records.get(path.stem)
        if known is not None:
            self._records.keep(path.stem, known | {"status": FAILED, "reason": "damaged on disk", "size": 0})

    def tidy(self) -> None:
        """Sort the record, so that it does not depend on the order of downloads."""
        self._records.tidy()


class QuadCache(PieceCache[Quad]):
    """A folder of quads ``x-y.tif`` with a record of them, ``quads.jsonl``."""

    def __init__(self, folder: Path):
        super().__init__(folder, "quads.jsonl", lambda quad: quad_name(*quad))
