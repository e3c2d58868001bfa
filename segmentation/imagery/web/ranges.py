"""Parts of a remote file instead of all of it, by HTTP range requests, for readers such as GDAL's."""

from __future__ import annotations

import io
from collections.abc import Sequence

from segmentation.core.errors import PipelineError
from segmentation.imagery.web.client import Web

# What a remote file is called where it is opened, see ``RemoteFile.opener``.
REMOTE_NAME = "remote.tif"

# Small reads (a TIFF's directory) are rounded up to this, so that they become few requests.
_LEAST_BYTES = 1 << 16
# Blocks of a row follow each other but for a few bytes that say how long they are.
_GAP_BYTES = 1 << 12


class RemoteFile:
    """A remote file that is read in parts; every part is fetched once.

    Args:
        web: sends the requests.
        link: where the file is, as the API gives it; redirects are followed and remembered while they last.

    Attributes:
        size: bytes of the file.
        failure: why a part could not be read.

    Raises:
        NoRanges: the server sends whole files only.
    """

    def __init__(self, web: Web, link: str):
        self._web, self._link = web, link
        self.failure: PipelineError | None = None
        head = web.part(link, 0, _LEAST_BYTES)
        self.size, self._address = head.file_bytes, head.address
        # By their first byte.
        self._parts = {0: head.content}

    def between(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``; none after a failure."""
        for first, part in self._parts.items():
            if first <= start and end <= first + len(part):
                return part[start - first : end - first]
        length = min(max(end - start, _LEAST_BYTES), self.size - start)
        try:
            fetched = self._web.part(self._link, start, length, self._address)
        except PipelineError as error:
            # GDAL calls this from C, where an exception would be lost: it sees a short read, the caller the reason.
            self.failure = error
            return b""
        self._address = fetched.address
        self._parts[start] = fetched.content
        return fetched.content[: end - start]

    def fetch(self, spans: Sequence[tuple[int, int]]) -> None:
        """Read spans (first byte, end) of the file ahead, those that nearly follow each other in one request.

        Raises:
            PipelineError: it failed for good.
        """
        waiting = sorted(spans)
        while waiting:
            start, end = waiting.pop(0)
            while waiting and waiting[0][0] <= end + _GAP_BYTES:
                _, next_end = waiting.pop(0)
                end = max(end, next_end)
            self.between(start, end)
            if self.failure is not None:
                raise self.failure

    def forget(self) -> None:
        """Let go of all parts but the first, which holds the file's directory."""
        self._parts = {0: self._parts[0]}

    def opener(self, path: str, mode: str = "rb") -> _View:
        """What ``rasterio.open`` opens the file with; there are no files beside it."""
        if not path.endswith(REMOTE_NAME) or "w" in mode:
            raise FileNotFoundError(path)
        return _View(self)


class _View(io.RawIOBase):
    """A remote file as Python's files are read."""

    def __init__(self, remote: RemoteFile):
        self._remote = remote
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._remote.size}[whence]
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        end = self._remote.size if size < 0 else min(self._position + size, self._remote.size)
        content = self._remote.between(self._position, end) if end > self._position else b""
        self._position += len(content)
        return content
