"""``make test`` on every supported Python of this machine, each in an environment of its own (``make test-all``)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SUPPORTED = ("3.11", "3.12", "3.13", "3.14")


def version_of(program: str | Path) -> str | None:
    """The version of Python that a program says it is, as ``3.13``; None if it does not run.

    pyenv puts a program for every version that it has onto the path, and most refuse to run.
    """
    question = 'import sys; print("%d.%d" % sys.version_info[:2])'
    try:
        answer = subprocess.run([program, "-c", question], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def candidates(version: str, environment: Mapping[str, str]) -> list[Path]:
    """Where an interpreter may be: on the path under its own name or a plain one, then pyenv's, the newest first."""
    names = (f"python{version}", "python3", "python")
    on_path = [shutil.which(name, path=environment.get("PATH")) for name in names]
    home = environment.get("PYENV_ROOT") or Path(environment.get("HOME", "/")) / ".pyenv"
    installed = Path(home, "versions").glob(f"{version}.*/bin/python")
    by_patch = sorted(installed, key=lambda path: [int(part) for part in path.parts[-3].split(".") if part.isdigit()])
    return [Path(found) for found in on_path if found] + by_patch[::-1]


def interpreters(environment: Mapping[str, str]) -> dict[str, Path]:
    """The first interpreter of each supported version that is here and runs, by version."""
    found = {}
    for version in SUPPORTED:
        for program in candidates(version, environment):
            if version_of(program) == version:
                found[version] = program
                break
    return found


def run_tests(version: str, program: Path) -> bool:
    """Run ``make test`` with one interpreter, in ``.venv-VERSION``; whether all passed."""
    print(f"\n=== Python {version}: {program}", flush=True)
    command = ["make", "test", f"PYTHON={program}", f"VENV=.venv-{version}"]
    return subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0


def main() -> int:
    """Test on all, whatever fails on the way, and say what was run; 1 if any failed or none was found."""
    found = interpreters(os.environ)
    passed = {version: run_tests(version, program) for version, program in found.items()}
    print()
    for version in SUPPORTED:
        if version in found:
            print(f"Python {version}: {'passed' if passed[version] else 'FAILED'} ({found[version]})")
        else:
            print(f"Python {version}: not found on this machine, not run")
    return 0 if passed and all(passed.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
