"""Progress: bars on a terminal, plain lines in a file, nothing when quiet."""

import io
import sys

import pytest

from segmentation.core.progress import Lines, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on only when told: ``clock(seconds)``."""
    now = [1000.0]
    monkeypatch.setattr("segmentation.core.progress.time.monotonic", lambda: now[0])

    def pass_by(seconds):
        now[0] += seconds

    return pass_by


def test_a_file_gets_a_line_a_minute_and_one_at_the_end(clock, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    for _ in progress(range(480), total=480, desc="chips", unit="chip", quiet=False):
        clock(0.5)
    assert log.getvalue().splitlines() == [
        "chips: 120 of 480, 0:03:00 left",
        "chips: 240 of 480, 0:02:00 left",
        "chips: 360 of 480, 0:01:00 left",
        "chips: 480 of 480 after 0:04:00",
    ]


def test_what_is_done_within_a_minute_says_nothing(clock, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress(total=3, desc="quads", unit="quad", quiet=False) as bar:
        for _ in range(3):
            clock(10)
            bar.update()
    assert log.getvalue() == ""


def test_no_carriage_return_reaches_a_file(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with Lines(total=50, desc="quads", file=log, every_s=0) as bar:
        for _ in range(50):
            bar.update()
    assert "\r" not in log.getvalue()
    assert len(log.getvalue().splitlines()) == 50


def test_a_terminal_gets_a_bar(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress([1, 2], total=2, desc="chips", unit="chip", quiet=False)) == [1, 2]
    assert "100%" in screen.getvalue()


@pytest.mark.parametrize("stream", [Terminal, io.StringIO, None])
def test_quiet_says_nothing(clock, monkeypatch, stream):
    log = stream() if stream else None
    monkeypatch.setattr(sys, "stderr", log)
    for _ in progress([1, 2], total=2, desc="chips", unit="chip", quiet=log is not None):
        clock(100)
    assert log is None or log.getvalue() == ""


def test_a_log_that_cannot_be_written_does_not_end_the_work(clock):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    done = []
    for number in Lines(range(3), total=3, desc="chips", file=Full(), every_s=1):
        clock(2)
        done.append(number)
    assert done == [0, 1, 2]


def test_every_bar_is_made_in_one_place():
    from segmentation.core.workspace import REPOSITORY

    sources = [*(REPOSITORY / "segmentation").rglob("*.py"), *REPOSITORY.glob("*.py")]
    assert [path.name for path in sources if "import tqdm" in path.read_text(encoding="utf-8")] == ["progress.py"]
