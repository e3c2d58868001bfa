"""The documentation says what the code does: its command lines, options, links, messages, columns and keys."""

import ast
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
sys.path.insert(0, str(DOCS / "_ext"))

from parsers import COMMANDS, groups_of, help_of, module_of, parser_of, subcommands_of, typed_as  # noqa: E402

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "CHANGELOG.md", *DOCS.rglob("*.md")]
README_BYTES = 8192

# First words of shell lines that are not ours.
OTHER_PROGRAMS = {"pip", "export", "apt-get", "conda", ".", "git", "cd", "torchrun", "make"}
# Options in running text that belong to other programs.
OTHER_OPTIONS = {"--help", "--shm-size", "--array", "--signal", "--nproc-per-node", "--name"}


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def each_page(*, but: tuple[str, ...] = ()):
    pages = [page for page in PAGES if page.name not in but]
    return pytest.mark.parametrize("page", pages, ids=name_of)


# Command lines


def shell_lines(text: str) -> Iterator[str]:
    """What is typed in a page's ``sh`` and ``console`` blocks, continued lines joined."""
    for language, block in re.findall(r"^```(sh|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        lines = block.replace("\\\n", " ").splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        yield from lines


def simple_commands(lines: Iterator[str]) -> Iterator[list[str]]:
    """The single commands of shell lines, word by word; a variable has the first of its values."""
    variables: dict[str, str] = {}
    for line in lines:
        loop = re.match(r"\s*for (\w+) in (\S+)", line)
        if loop:
            variables[loop[1]] = loop[2]
            continue
        assigned = re.match(r"\s*(\w+)=\$\(\((\d+)", line)
        if assigned:
            variables[assigned[1]] = assigned[2]
            continue
        for name, value in variables.items():
            line = line.replace(f"${name}", value)  # noqa: PLW2901 - the shell reads the line as it then is
        # Not split at (, ), < and >, which stand in Python's own lines.
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.wordchars += "#:@$,()<>%"
        lexer.commenters = ""
        words: list[str] = []
        for word in lexer:
            if word == "#":
                break
            if set(word) <= set("&|;"):
                yield words
                words = []
            else:
                words.append(word)
        yield words


def command_lines(text: str) -> list[list[str]]:
    return [words for words in simple_commands(shell_lines(text)) if words and words != ["done"]]


def split_command(words: list[str]) -> tuple[str, list[str]] | None:
    """The key of ``COMMANDS`` and the arguments of one of our commands; None for another program's."""
    if words[0] == "torchrun":
        words = words[words.index("-m") - 1 :]
    elif words[0] not in {"python", "python3", ".venv/bin/python"}:
        assert words[0] in OTHER_PROGRAMS, f"what is {' '.join(words)}?"
        return None
    if words[1] == "-m":
        return (f"-m {words[2]}", words[3:]) if words[2].startswith("segmentation") else None
    if words[1].startswith("-") or "mmsegmentation" in words[1]:
        return None
    return words[1], words[2:]


def refuse(command: str, arguments: list[str], capsys, monkeypatch) -> str:
    """What a command says against some arguments; nothing where it takes them."""
    monkeypatch.setattr(sys, "argv", [command, *arguments])
    try:
        module_of(command).arguments()
    except SystemExit:
        return capsys.readouterr().err
    return ""


@each_page()
def test_every_command_line_is_taken_by_its_parser(page, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for words in command_lines(page.read_text(encoding="utf-8")):
        command = split_command(words)
        if command is None:
            continue
        assert command[0] in COMMANDS, " ".join(words)
        assert refuse(*command, capsys, monkeypatch) == "", " ".join(words)


def test_a_wrong_option_or_value_in_a_command_line_is_seen(capsys, monkeypatch):
    loop = "for year in 2016 2017; do\n    python gpkg_dataset_generation.py -year=$year \\\n  --treshold 1\ndone"
    [words] = command_lines(f"```sh\n{loop}\n```\n")
    command, arguments = split_command(words)
    assert (command, arguments) == ("gpkg_dataset_generation.py", ["-year=2016", "--treshold", "1"])
    assert "--treshold" in refuse(command, ["-iter=1", *arguments], capsys, monkeypatch)
    assert refuse(command, ["-iter=1", "-year=MMXVI"], capsys, monkeypatch)
    step_1 = "segmentation_dataset_generation.py"
    assert "is for --imagery planet" in refuse(
        step_1, ["-year=2019", "--imagery", "sentinel2", "--cloud-free"], capsys, monkeypatch
    )
    with pytest.raises(AssertionError, match="pyhton"):
        split_command(["pyhton", "gpkg_dataset_generation.py"])


def test_torchrun_continued_lines_and_what_is_typed_among_output_are_understood():
    text = "```sh\ntorchrun --nproc-per-node=8 -m segmentation.train CONFIG \\\n    --amp && make demo # twice\n```\n"
    text += "```console\n$ python gpkg_dataset_generation.py -y 2016\npython is what it prints\n```\n"
    first, second, third = command_lines(text)
    assert split_command(first) == ("-m segmentation.train", ["CONFIG", "--amp"])
    assert second == ["make", "demo"]
    assert split_command(third) == ("gpkg_dataset_generation.py", ["-y", "2016"])


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@each_page()
def test_every_target_of_make_is_there(page):
    text = page.read_text(encoding="utf-8")
    typed = [shlex.join(words) for words in command_lines(text) if words[0] == "make"]
    typed += re.findall(r"`(make(?: [^`]+)?)`", text)
    for line in typed:
        targets = [word for word in line.split()[1:] if "=" not in word]
        assert set(targets) <= make_targets(), line


def all_options() -> set[str]:
    parsers = [parser_of(command) for command in COMMANDS]
    parsers += [sub for parser in list(parsers) for sub in subcommands_of(parser).values()]
    return {option for parser in parsers for option in parser._option_string_actions}


@each_page()
def test_every_option_in_the_text_is_one_of_ours_or_of_a_program_that_is_named(page):
    code = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    )
    named = {option for text in code for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)}
    assert named - OTHER_OPTIONS <= all_options()


# Pages of the commands


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page_with_its_options(command):
    directives = [
        match for page in PAGES for match in re.findall(r"\{options\} (.+)", page.read_text(encoding="utf-8"))
    ]
    names = [f"{command} {name}" for name in subcommands_of(parser_of(command))] or [command]
    for name in names:
        assert directives.count(name) == 1, name
        parser = parser_of(name)
        listed = [action for actions in groups_of(parser).values() for action in actions]
        assert len(listed) == len(parser._actions) - 1  # all but --help
        assert all(typed_as(action) for action in listed)
        assert not [typed_as(action) for action in listed if "%(" in help_of(parser, action)]


def test_no_command_of_the_package_is_left_out():
    ran = [
        path for path in REPOSITORY.glob("segmentation/**/*.py") if "__name__ ==" in path.read_text(encoding="utf-8")
    ]
    package = {path for path in ran if "demo" not in path.parts}
    known = {name.removeprefix("-m ") for name in COMMANDS if name.startswith("-m ")}
    as_typed = {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__main__") for path in package
    }
    assert as_typed == known


def test_defaults_of_the_machine_and_the_environment_are_not_in_the_pages(monkeypatch):
    monkeypatch.setenv("PL_API_URL", "https://example.com/mine")
    parser = parser_of("segmentation_dataset_generation.py")
    texts = {action.dest: help_of(parser, action) for actions in groups_of(parser).values() for action in actions}
    assert "default: all, the cores" in texts["workers"]
    assert "example.com" not in texts["api_url"]
    assert texts["max_cloud"].endswith("(default: 80)")


# Links and size


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page()
def test_every_link_and_picture_is_there(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        found = page.parent / path if path else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_the_readme_takes_two_minutes():
    assert len((REPOSITORY / "README.md").read_bytes()) <= README_BYTES


# Architecture

HOW_IT_WORKS = (DOCS / "how-it-works.md").read_text(encoding="utf-8")


def test_every_folder_of_the_package_is_in_the_tree():
    named = re.findall(r"^\| `(\w+)/` \|", HOW_IT_WORKS, re.MULTILINE)
    there = [path.parent.name for path in REPOSITORY.glob("segmentation/*/__init__.py")]
    assert sorted(named) == sorted(there)


def test_who_may_import_whom_is_as_the_linter_checks_it():
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    checked = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    section = HOW_IT_WORKS.partition("## Who may import whom")[2].partition("```text\n")[2].partition("```")[0]
    lines = [sorted(line.split(", ")) for line in section.splitlines() if line != "the two scripts, benchmarks"]
    assert lines == [sorted(line.split(" | ")) for line in checked]


def test_every_path_that_the_architecture_names_is_there():
    named = re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", HOW_IT_WORKS)
    places = (REPOSITORY, REPOSITORY / "segmentation")
    assert len(named) > 20
    assert not [path for path in named if not any((place / path).exists() for place in places)]


def test_the_methods_of_a_source_of_imagery_are_those_of_the_protocol():
    from segmentation.imagery.source import ImagerySource

    table = HOW_IT_WORKS.partition("## Add a source of imagery")[2].partition("\n1. ")[0]
    first_cells = "".join(re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE))
    promised = {name for name in vars(ImagerySource) if not name.startswith("_")} | set(ImagerySource.__annotations__)
    assert set(re.findall(r"`(\w+)", first_cells)) == promised


# Messages


def texts_of_the_code() -> list[str]:
    """All texts in the code as they are printed, ``...`` for what is put into them."""
    found = []
    for path in (*REPOSITORY.glob("segmentation/**/*.py"), *REPOSITORY.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"%[-\d.,]*[sdgf]", "...", node.value))
            elif isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values))
    return found


def documented_messages(text: str) -> list[str]:
    ours = text.partition("## Messages of other software")[0]
    rows = re.findall(r"^\| (`.+?`) \|", ours, re.MULTILINE)
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


def in_code(message: str, texts: list[str]) -> bool:
    parts = [part.strip() for part in message.split("...")]
    return any(holds(text, parts) for text in texts)


def holds(text: str, parts: list[str]) -> bool:
    """Whether a text has all parts, one after the other."""
    place = 0
    for part in parts:
        found = text.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return True


def test_every_message_in_troubleshooting_is_one_of_the_code():
    texts = texts_of_the_code()
    messages = documented_messages((DOCS / "troubleshooting.md").read_text(encoding="utf-8"))
    assert len(messages) > 50
    assert not [message for message in messages if not in_code(message, texts)]
    assert not in_code("no Planet API key: set PL_KEY", texts)


def test_the_exit_codes_are_those_of_the_code():
    from segmentation.core import cli

    rows = re.findall(r"^\| (\d+) \|", (DOCS / "exit-codes.md").read_text(encoding="utf-8"), re.MULTILINE)
    known = (cli.DONE, cli.INCOMPLETE, cli.REFUSED, cli.INTERRUPTED, cli.UNREAD, cli.TERMINATED)
    assert list(map(int, rows)) == list(known)
