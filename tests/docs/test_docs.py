"""The pages are true: what they name exists, and what they show can be read by the code."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from collections.abc import Iterable
from pathlib import Path

import click
import pytest

import agent_client
from bench.scenario import Scenario
from bench.scenarios import named
from homeport_protocol.openapi import openapi
from hub.cli.columns import Column, fit, fitted
from hub.cli.hubs import HUB_COLUMNS
from hub.cli.main import cli
from hub.cli.tables import AGENT_COLUMNS
from hub.cli.tokens import COLUMNS as TOKEN_COLUMNS
from hub.settings import FIELDS, load_settings
from hub.settings.__main__ import with_listing
from hub.store import Keys
from hub.telemetry.figures import as_text, worker_up
from hub.telemetry.metrics import Metrics
from tests.docs import python_reference
from tests.docs.pages import (
    ARCHITECTURE,
    PAGES,
    REFERENCE,
    ROOT,
    Block,
    anchors,
    block_id,
    blocks,
    codes,
    commands,
    every_block,
    inline_code,
    links,
    page_id,
    prose,
    table_rows,
)

# Options of other programs that the pages name.
FOREIGN_OPTIONS = {"--init", "--check"}


# --- links and names -----------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_file_and_directory_that_is_named_exists(page: Path) -> None:
    tops = "|".join(
        ("actors", "hub", "homeport_protocol", "agent_client", "tests", "docs", "deploy", "bench")
    )
    for code in inline_code(page):
        if re.fullmatch(rf"(?:{tops}|examples|\.ci)/[\w./*-]*", code):
            assert list(ROOT.glob(code.rstrip("/"))), f"{code} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_list_of_contents_has_every_section(page: Path) -> None:
    listed = re.findall(r"^- \[([^\]]*)\]\(#", prose(page), re.MULTILINE)
    if listed:
        assert listed == re.findall(r"^## (.+)$", prose(page), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_no_line_is_wider_than_120_characters(page: Path) -> None:
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        assert len(line) <= 120, f"{page.name}:{number}: {len(line)} characters"


def test_no_page_holds_a_trailing_placeholder() -> None:
    for page in PAGES:
        assert not re.search(r"\bT[O]DO\b|\bFIX[M]E\b|@@\d", page.read_text(encoding="utf-8")), page


@pytest.mark.parametrize("package", ["actors", "hub", "agent_client", "bench"])
def test_every_folder_is_on_the_map(package: str) -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    for folder in (ROOT / package).iterdir():
        if (folder / "__init__.py").exists():
            assert f"`{package}/{folder.name}/`" in text, folder.name


@pytest.mark.parametrize("package", ["actors", "hub", "agent_client"])
def test_the_arrows_on_the_map_are_those_of_the_import_contract(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = [
        each
        for each in project["tool"]["importlinter"]["contracts"]
        if each.get("containers") == [package]
    ]
    drawn = [" ".join(block.text.split()) for block in blocks(ARCHITECTURE)]
    assert " -> ".join(contract["layers"]) in drawn


# --- the command line ----------------------------------------------------------------------------


TABLES = (
    (r"ID +(?!ROLE| )", AGENT_COLUMNS),
    (r"ID +ROLE", TOKEN_COLUMNS),
    (r"HUB  ", HUB_COLUMNS),
)


def shown_tables() -> list[tuple[str, list[str], tuple[Column, ...]]]:
    """Every table of agents or hubs that a page shows: where, its lines, and all its columns."""
    found = []
    for block in every_block("console"):
        lines = block.text.splitlines()
        for at, line in enumerate(lines):
            for first, columns in TABLES:
                if re.match(first, line):
                    end = next((n for n in range(at, len(lines)) if not lines[n]), len(lines))
                    found.append((block.where, lines[at:end], columns))
    return found


def test_the_tables_that_are_shown_are_those_that_are_printed() -> None:
    tables = shown_tables()
    assert len(tables) >= 4
    for where, lines, columns in tables:
        headings = {column.heading: column for column in columns}
        starts = {m[0]: m.start() for m in re.finditer(r"\S+(?: \S+)*", lines[0])}
        assert list(starts) == [each for each in headings if each in starts], where
        bounds = [*starts.values(), max(map(len, lines))]
        rows = [
            [
                # A number stands under the end of its heading, and may begin before it.
                line[bounds[at - 1] + len(name_before) if at else 0 : bounds[at + 1]].strip()
                if headings[name].right
                else line[bounds[at] : bounds[at + 1]].strip()
                for at, (name_before, name) in enumerate(zip(["", *starts], starts, strict=False))
            ]
            for line in lines[1:]
        ]
        shown = [headings[name] for name in starts]
        layout = fit(shown, rows, 1000)
        assert [line.plain for line in fitted(shown, rows, layout)] == lines, where


def homeport_calls(lines: Iterable[str]) -> list[list[str]]:
    """The arguments of every `homeport` in the lines, up to where a shell's next command begins."""
    calls = []
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quotation that ends on another line: not a call
            continue
        for at, word in enumerate(words):
            if word.rpartition("/")[2] != "homeport" or (
                at and words[at - 1] in ("enable", "--now")
            ):
                continue
            rest = words[at + 1 :]
            end = next((i for i, each in enumerate(rest) if each in ("&&", "|", ";", "--")), None)
            calls.append(rest[:end])
    return calls


def bench_calls(lines: Iterable[str]) -> list[list[str]]:
    """The arguments of every `python -m bench` and `homeport bench` in the lines."""
    calls = [call[1:] for call in homeport_calls(lines) if call[:1] == ["bench"]]
    for line in lines:
        found = re.search(r"python -m bench(?: (.*?))?(?: [>|&].*|  +.*)?$", line)
        if found:
            calls.append(shlex.split(found[1] or "", comments=True))
    return calls


def bench_options(scenarios: Iterable[Scenario]) -> set[str]:
    fields = {field for each in scenarios for field in each.options.__struct_fields__}
    return {f"--{field.replace('_', '-')}" for field in fields} | {"--json", "--plot", "--help"}


def check_bench_call(arguments: list[str], where: str) -> None:
    end = next((at for at, word in enumerate(arguments) if word.startswith("--")), len(arguments))
    names = [name for name in arguments[:end] if re.fullmatch(r"[a-z-]+", name)]
    if "compare" in names:
        return
    for name in names:
        assert named(name), f"{where}: there is no scenario {name}"
    options = bench_options(each for name in names for each in named(name))
    for word in arguments[end:]:
        if word.startswith("--"):
            assert word in options, f"{where}: no option {word}"


def options_of(command: click.Command) -> set[str]:
    names = {name for each in command.params for name in each.opts if name.startswith("--")}
    if isinstance(command, click.Group):
        names.update(*map(options_of, command.commands.values()))
    return names | {"--help"}


def check_call(arguments: list[str], where: str) -> None:
    if not arguments or not re.fullmatch(r"[a-z-]+", arguments[0]):
        return
    command = cli.commands.get(arguments[0])
    assert command is not None, f"{where}: there is no `homeport {arguments[0]}`"
    if arguments[0] == "bench":
        check_bench_call(arguments[1:], where)
        return
    for word in arguments[1:]:
        if word.startswith("--"):
            assert word.partition("=")[0] in options_of(command), f"{where}: no option {word}"


@pytest.mark.parametrize("block", every_block("sh", "console"), ids=block_id)
def test_every_homeport_command_in_a_block_exists(block: Block) -> None:
    for arguments in homeport_calls(commands(block)):
        check_call(arguments, block.where)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_scenario_of_the_bench_that_is_named_exists(page: Path) -> None:
    for call in bench_calls(inline_code(page)):
        check_bench_call(call, page.name)
    for block in blocks(page):
        if block.info in ("sh", "console"):
            for call in bench_calls(commands(block)):
                check_bench_call(call, block.where)


def test_the_scenarios_are_found_at_all() -> None:
    lines = ["python -m bench heartbeats http --rounds 9   # two", "python -m bench all > a.json"]
    assert bench_calls(lines) == [["heartbeats", "http", "--rounds", "9"], ["all"]]
    with pytest.raises(AssertionError, match="there is no scenario perpetual-motion"):
        check_bench_call(["perpetual-motion"], "here")
    with pytest.raises(AssertionError, match="no option --colour"):
        check_bench_call(["heartbeats", "--colour"], "here")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_homeport_command_and_option_in_the_text_exists(page: Path) -> None:
    known = {name for command in cli.commands.values() for name in options_of(command)}
    known |= bench_options(named("all"))
    for code in inline_code(page):
        if code.startswith("homeport "):
            for arguments in homeport_calls([code]):
                check_call(arguments, f"{page.name}: {code}")
        elif code.startswith("--") and "." not in code:
            option = re.split(r"[ =]", code)[0]
            assert option in known | FOREIGN_OPTIONS, f"{page.name}: no option {option}"


def test_the_commands_are_found_at_all() -> None:
    found = [
        arguments
        for block in every_block("sh", "console")
        for arguments in homeport_calls(commands(block))
    ]
    assert {"serve", "watch", "register", "agents", "agent", "pick"} <= {
        arguments[0] for arguments in found if arguments
    }
    with pytest.raises(AssertionError, match="no option --colour"):
        check_call(["agents", "--colour"], "here")


# --- settings ------------------------------------------------------------------------------------


def test_the_listing_of_settings_is_what_the_settings_are() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert text == with_listing(text), "run: python -m hub.settings docs/reference.md"


def test_the_toml_example_is_a_good_configuration(tmp_path: Path) -> None:
    (block,) = [each for each in blocks(REFERENCE) if each.info == "toml"]
    file = tmp_path / "homeport.toml"
    file.write_text(block.text, encoding="utf-8")
    settings = load_settings({}, {}, str(file))
    for name, value in tomllib.loads(block.text).items():
        assert getattr(settings, name) == value


def test_every_variable_that_is_named_is_read() -> None:
    ours = {field.variable for field in FIELDS.values()}
    clients = {"HOMEPORT_URL", "HOMEPORT_TOKEN", "HOMEPORT_TOKEN_FILE", "HOMEPORT_HEADERS"}
    clients |= {"HOMEPORT_CA_FILE", "HOMEPORT_CLIENT_CERT", "HOMEPORT_CLIENT_KEY"}
    commands = {"HOMEPORT_CONFIG", "HOMEPORT_DEBUG"}
    sidecars = {"HOMEPORT_AGENT_ID"}
    tests = {"HOMEPORT_CI_ENV"}
    for file in [*PAGES, *(ROOT / "deploy").iterdir()]:
        named = set(re.findall(r"\bHOMEPORT_[A-Z_]*[A-Z]\b", file.read_text(encoding="utf-8")))
        assert named <= ours | clients | commands | sidecars | tests, file.name


# --- HTTP, metrics, Redis ------------------------------------------------------------------------


def test_every_route_is_described() -> None:
    text = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    for path, item in openapi()["paths"].items():
        for method in item:
            if method in ("get", "post"):
                assert f"`{method.upper()} {path}`" in text, path


@pytest.mark.parametrize("name", ["http.md", "quickstart.md", "what-happens-when.md"])
def test_every_json_answer_that_is_shown_is_json(name: str) -> None:
    shown = 0
    for block in blocks(ROOT / "docs" / name):
        if block.info == "console":
            for found in re.finditer(r"^\{", block.text, re.MULTILINE):
                value, end = json.JSONDecoder().raw_decode(block.text, found.start())
                assert isinstance(value, dict)
                assert block.text[end] == "\n"
                shown += 1
    assert shown


def metric_names() -> set[str]:
    text = as_text([*Metrics("hub-1", "0").figures(), worker_up({})]).decode()
    return set(re.findall(r"^# HELP (homeport_\w+)", text, re.MULTILINE))


def test_every_metric_that_is_named_exists_and_every_one_that_exists_is_named() -> None:
    ours = metric_names()
    assert len(ours) > 10
    for page in PAGES:
        for name in re.findall(
            r"\bhomeport_(?!protocol\b)[a-z_]+[a-z]\b", page.read_text(encoding="utf-8")
        ):
            base = re.sub(r"_(?:bucket|sum|count)$", "", name)
            assert name in ours or base in ours, f"{page.name}: {name}"
    assert ours <= set(re.findall(r"homeport_\w+", REFERENCE.read_text(encoding="utf-8")))


def test_every_key_in_redis_is_explained() -> None:
    keys = Keys()
    named = {code for row in table_rows(REFERENCE, "## Keys in Redis") for code in codes(row[0])}
    assert named == {
        keys.agent("{id}").decode(),
        keys.hub("{hub_id}").decode(),
        keys.epoch("{id}").decode(),
        keys.wake("{hub_id}").decode(),
        keys.owners.decode(),
        *(
            key.decode()
            for key in (
                *(keys.active, keys.log, keys.log_name, keys.secret, keys.namespaces),
                *(keys.hubs, keys.seen, keys.loss, keys.times, keys.ended, keys.tokens),
            )
        ),
    }


def test_every_log_event_that_is_explained_is_logged_at_that_level() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "hub").rglob("*.py"))
    for events, level, *_ in table_rows(REFERENCE, "## Logs"):
        for event in codes(events):
            assert re.search(rf'\.{level}\(\s*"{re.escape(event)}"', source), event


# --- Python --------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", every_block("python"), ids=block_id)
def test_every_python_block_is_a_program_of_names_that_exist(block: Block) -> None:
    tree = ast.parse(block.text, block.where)
    cells = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if block.text.startswith("# %%") else 0
    compile(tree, block.where, "exec", flags=cells)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "agent_client":
            for name in node.names:
                assert name.name in agent_client.__all__


def test_the_python_reference_is_what_the_code_says() -> None:
    written = python_reference.PAGE.read_text(encoding="utf-8")
    assert written == python_reference.page(), "run: python -m tests.docs.python_reference"


def test_every_public_name_is_in_the_python_reference_and_says_what_it_is() -> None:
    sections = anchors(python_reference.PAGE)
    text = python_reference.PAGE.read_text(encoding="utf-8")
    for name in agent_client.__all__:
        assert name.lower() in sections or f"\n- `{name}`" in text, name
        assert python_reference.is_documented(getattr(agent_client, name)), name


# --- the project ---------------------------------------------------------------------------------


def test_the_changelog_tells_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or newer" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_directory_of_tests_is_explained_to_contributors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for directory in (ROOT / "tests").iterdir():
        if directory.is_dir() and any(directory.glob("test_*.py")):
            assert f"`tests/{directory.name}`" in text
