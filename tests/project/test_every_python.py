"""``make test-all`` finds the interpreters of a machine, runs each, and fails if one fails."""

import sys
from pathlib import Path

import every_python
import pytest
from every_python import SUPPORTED, interpreters

REPOSITORY = Path(__file__).resolve().parents[2]


def program(path: Path, version: str | None) -> Path:
    """A stand-in for an interpreter that says a version, or one that does not run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + (f"echo {version}\n" if version else "echo 'command not found' >&2; exit 127\n"))
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path):
    """A path with 3.12 and a shim that does not run, and pyenv's 3.13 in two patches."""
    program(tmp_path / "bin" / "python3.12", "3.12")
    program(tmp_path / "bin" / "python3.13", None)
    program(tmp_path / "bin" / "python3", "3.10")
    for patch in ("3.13.9", "3.13.10", "3.9.18"):
        program(tmp_path / "pyenv" / "versions" / patch / "bin" / "python", patch.rpartition(".")[0])
    return {"PATH": str(tmp_path / "bin"), "PYENV_ROOT": str(tmp_path / "pyenv")}


def test_what_runs_is_found_on_the_path_and_in_pyenv(machine, tmp_path):
    assert interpreters(machine) == {
        "3.12": tmp_path / "bin" / "python3.12",
        "3.13": tmp_path / "pyenv" / "versions" / "3.13.10" / "bin" / "python",
    }


def test_a_plain_python3_serves_if_it_is_a_supported_one(tmp_path):
    program(tmp_path / "python3", "3.14")
    assert interpreters({"PATH": str(tmp_path), "HOME": str(tmp_path)}) == {"3.14": tmp_path / "python3"}


@pytest.mark.parametrize(("failing", "status"), [([], 0), (["3.12"], 1)])
def test_every_interpreter_is_run_and_one_failure_fails_all(machine, monkeypatch, capfd, tmp_path, failing, status):
    failures = "|".join(f"*{version}*" for version in failing) or "nothing"
    make = program(tmp_path / "bin" / "make", None)
    make.write_text(f'#!/bin/sh\necho "ran $*"\ncase "$*" in {failures}) exit 2;; esac\n')
    monkeypatch.setenv("PATH", machine["PATH"] + ":/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", machine["PYENV_ROOT"])
    monkeypatch.setattr(every_python, "SUPPORTED", ("3.12", "3.13", "3.19"))
    assert every_python.main() == status
    said = capfd.readouterr().out
    for version in ("3.12", "3.13"):
        assert f"VENV=.venv-{version}" in said
        assert f"Python {version}: {'FAILED' if version in failing else 'passed'}" in said
    assert "Python 3.19: not found on this machine, not run" in said


def test_no_interpreter_at_all_is_a_failure(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert every_python.main() == 1
    assert capsys.readouterr().out.count("not found") == len(SUPPORTED)


def test_what_is_supported_is_said_alike_everywhere():
    oldest, newest = SUPPORTED[0], SUPPORTED[-1]
    project = (REPOSITORY / "pyproject.toml").read_text()
    assert f'target-version = "py{oldest.replace(".", "")}"' in project
    refused = f"({oldest.replace('.', ', ')}) <= v <= ({newest.replace('.', ', ')})"
    assert refused in (REPOSITORY / "Makefile").read_text()
    said_by = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/platforms.md")
    for name in (*said_by, "Makefile", "pyproject.toml", "requirements.txt"):
        assert f"{oldest} to {newest}" in (REPOSITORY / name).read_text(), name
    assert every_python.version_of(sys.executable) in SUPPORTED
