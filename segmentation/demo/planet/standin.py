"""The stand-in for Planet's API, run in a process of its own while it is needed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segmentation.core.errors import PipelineError
from segmentation.core.workspace import REPOSITORY

if TYPE_CHECKING:
    from segmentation.demo.planet.faults import Faults

DEMO_KEY = "demo"
_GRACE_S = 5
_TOLD_LINES = 5


@contextmanager
def standin(cache: Path, key: str = DEMO_KEY, faults: Faults | None = None) -> Iterator[str]:
    """Run the stand-in while the block lasts.

    Args:
        cache: folder for rendered quads; several stand-ins may share it.
        key: the API key that it accepts.
        faults: what is to go wrong, for tests; the stand-in then also counts.

    Yields:
        The API's base URL.

    Raises:
        PipelineError: the stand-in did not start.
    """
    server = [sys.executable, "-m", "segmentation.demo.planet.server"]
    command = [*server, "--cache", str(Path(cache).resolve()), "--key", key]
    if faults is not None:
        command += ["--faults", faults.to_json()]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        try:
            word, _, url = process.stdout.readline().strip().partition(" ")
            if word != "ready":
                process.wait()
                complaints.seek(0)
                told = complaints.read().decode(errors="replace").splitlines()[-_TOLD_LINES:]
                raise PipelineError("the demo's local server did not start: " + " | ".join(told))
            yield url
        finally:
            # Closing its standard input asks it to end.
            process.stdin.close()
            try:
                process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
