"""The quads of a year on disk, and what is known of each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from segmentation.grid import quad_name
from segmentation.records import RecordFile

COVERED, NOT_COVERED, FAILED = "covered", "not covered", "failed"

Quad = tuple[int, int]


@dataclass(frozen=True)
class QuadRecord:
    """What is known of a quad.

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


class QuadCache:
    """A folder of quads ``x-y.tif`` with a record of them, ``quads.jsonl``.

    A file that the record does not name, or names with another size, counts as not there yet.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._records = RecordFile(folder / "quads.jsonl")

    def path(self, quad: Quad) -> Path:
        """Where a quad is, or will be."""
        return self.folder / f"{quad_name(*quad)}.tif"

    def record(self, quad: Quad) -> QuadRecord | None:
        """What is known of a quad."""
        known = self._records.get(quad_name(*quad))
        return None if known is None else QuadRecord(**known)

    def is_settled(self, quad: Quad, blocks: Collection[int] | None = None) -> bool:
        """Whether a quad need not be asked for: checked and still as it was, or known not to be covered.

        Args:
            quad: in question.
            blocks: those that are needed, None for all.
        """
        known = self.record(quad)
        if known is None or known.status == FAILED:
            return False
        if known.status == NOT_COVERED:
            return True
        path = self.path(quad)
        unchanged = path.exists() and path.stat().st_size == known.size
        enough = known.blocks is None or (blocks is not None and set(blocks) <= set(known.blocks))
        return unchanged and enough

    def discard(self, quad: Quad) -> None:
        """Remove a quad's file, but remember that there was one."""
        self.path(quad).unlink(missing_ok=True)
        self.keep(quad, replace(self.record(quad), size=0, blocks=[]))

    def keep(self, quad: Quad, record: QuadRecord) -> None:
        """Keep what has become known of a quad."""
        self._records.keep(quad_name(*quad), asdict(record))

    def tidy(self) -> None:
        """Sort the record, so that it does not depend on the order of downloads."""
        self._records.tidy()
