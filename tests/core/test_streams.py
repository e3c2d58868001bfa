"""How commands end from outside: nobody reads on, streams are closed, signals come, a worker is killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from segmentation.core.workspace import REPOSITORY

PROGRAM = """
import argparse, os, signal, sys, time
from pathlib import Path
from segmentation.core import cli
from segmentation.core.process.workers import Crew, worker_pool

def wait(seconds):
    time.sleep(seconds)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def talk(options):
    for number in range(100_000):
        print("line", number)
    return cli.DONE

def whisper(options):
    print("one line")
    return cli.DONE

def name(options):
    print("C\\u00f4te d'Ivoire \\udcff")
    return cli.DONE

def write(options):
    with open(options.path, "w") as file:
        os.write(1, b"from C")
        os.write(2, b"from C")
        file.write("kept")
    return cli.DONE

def work(options):
    with Crew(2) as crew:
        print("at work", flush=True)
        for _ in range(1000):
            crew.submit(wait, 0.1)

def lose(options):
    with worker_pool(1) as pool:
        pool.submit(die).result()

def swell(options):
    raise MemoryError

if __name__ == "__main__":
    options = argparse.Namespace(verbose=False, path=sys.argv[2:] and sys.argv[2])
    cli.run(globals()[sys.argv[1]], options)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM)
    return path


def command(program, *words):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return [sys.executable, str(program), *words], environment


def shell(program, words, redirected, **settings):
    """The status and what stands on standard error, of a command whose output is redirected in a shell."""
    typed, environment = command(program, *words.split())
    # Not in the shell's own environment, which has something to say of locales as well.
    set_first = ["env", *(f"{name}={text}" for name, text in settings.items())]
    line = " ".join(f"'{word}'" for word in [*set_first, *typed])
    found = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{line} {redirected}"],
        capture_output=True,
        env=environment,
        check=False,
    )
    return found.returncode, found.stderr.decode(errors="replace"), found.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["talk", "whisper"])
def test_whoever_reads_no_further_ends_a_command_quietly(program, words, unbuffered):
    # The reader is gone before there is anything to read.
    gone = shell(program, words, "| (exec 0<&-)", PYTHONUNBUFFERED=unbuffered)
    assert gone[:2] == (141, "")


def test_help_for_nobody_is_no_error(program):
    script = REPOSITORY / "gpkg_dataset_generation.py"
    status, said, _ = shell(script, "--help", "| (exec 0<&-)", PYTHONUNBUFFERED="")
    assert (status, said) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
def test_output_that_cannot_be_written_is_said(program):
    status, said, _ = shell(program, "whisper", "> /dev/full", PYTHONUNBUFFERED="")
    assert (status, said) == (2, "error: standard output cannot be written: No space left on device\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams_do_no_harm(program, closed, tmp_path):
    status, said, _ = shell(program, f"write {tmp_path / 'file'}", closed)
    assert status == 0
    assert "Traceback" not in said
    assert (tmp_path / "file").read_text() == "kept", "what C prints must not get into a data file"
    assert shell(program, "whisper", closed)[0] == 0


@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "xx_YY", "LANG": "xx"}, {"TERM": ""}])
def test_letters_that_a_locale_lacks_are_no_error(program, settings):
    status, said, out = shell(program, "name", "", **settings)
    assert (status, said) == (0, "")
    assert out.startswith(b"C")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_and_its_workers_in_one_line(program, number, status):
    typed, environment = command(program, "work")
    with subprocess.Popen(
        typed, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while process.stdout.readline() != "at work\n":
            assert process.poll() is None
        # A terminal sends Ctrl-C to all processes, a batch system SIGTERM to the first.
        os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (status, "interrupted: run the same command again to go on\n")
    deadline = time.monotonic() + 30
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


@pytest.mark.parametrize("how", ["lose", "swell"])
def test_short_memory_is_one_line_that_says_what_to_do(program, how):
    status, said, _ = shell(program, how, "")
    assert status == 2
    assert said.count("\n") == 1
    assert "memory ran short: run the same command again with fewer processes" in said
