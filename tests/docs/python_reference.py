"""docs/python.md: the public names of `agent_client`, from their signatures and docstrings.

`python -m tests.docs.python_reference` writes the page; a test holds it to the code.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from types import FunctionType
from typing import Annotated, Any, get_args, get_origin

import msgspec

import agent_client
from agent_client import HomeportError
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "python.md"

HEAD = """\
# Python reference

What `agent_client` offers to programs. Everything here is imported from `agent_client` itself.
The page is made from the signatures and docstrings of the code; whole programs are in the
[recipes](recipes.md).

"""

AGENTS = ["AgentClient", "run", "AgentRegistration", "Lease", "Backoff"]
CALLERS = ["HubClient", "Watch", "Hub", "BlockingWatch"]

MADE_BY_OTHERS = {
    "Watch",
    "BlockingWatch",
}  # by methods, so that their constructors say nothing to a user
PASSED_ON = {"Backoff"}  # what a user makes and never calls

_PAGE_WIDTH = 100
_WIDTH = 100  # characters of a signature that stays in one line
_INDENT = "    "


def page() -> str:
    """The text of the page."""
    names = agent_client.__all__
    errors = [name for name in names if is_error(getattr(agent_client, name))]
    values = [name for name in names if name not in {*AGENTS, *CALLERS, *errors}]
    groups = {
        "Agents": [name for name in AGENTS if name in names],
        "Callers": [name for name in CALLERS if name in names],
        "Values": values,
        "Errors": ["HomeportError"],
    }
    parts = [HEAD, *contents(groups)]
    for title, chosen in groups.items():
        parts += ["", f"## {title}", ""]
        if title == "Errors":
            parts += [*text(agent_client.errors)]
        for name in chosen:
            parts += described(name, getattr(agent_client, name))
    parts += listed([name for name in errors if name != "HomeportError"])
    return "\n".join(parts).rstrip() + "\n"


def contents(groups: dict[str, list[str]]) -> Iterator[str]:
    for title, names in groups.items():
        yield f"- [{title}](#{title.lower()})"
        links = ", ".join(f"[{name}](#{name.lower()})" for name in names)
        yield from textwrap.wrap(links, _PAGE_WIDTH, initial_indent="  ", subsequent_indent="  ")


def is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, HomeportError)


def is_documented(value: Any) -> bool:
    """Whether it has a docstring; a union or a set of literals says by itself what it is."""
    return bool(inspect.getdoc(value)) or not isinstance(value, type | FunctionType)


def described(name: str, value: Any) -> Iterator[str]:
    """The section of a class, function or type."""
    yield from (f"### {name}", "")
    if isinstance(value, type) and issubclass(value, msgspec.Struct):
        yield from fenced([f"class {name}:", *fields(value)])
        yield from text(value)
        yield from members(name, value)
    elif isinstance(value, type):
        if name not in MADE_BY_OTHERS:
            yield from fenced(signature(name, value.__init__))
        yield from text(value)
        if name not in PASSED_ON:
            yield from members(name, value)
    elif inspect.isroutine(value):
        yield from fenced(signature(name, value))
        yield from text(value)
    else:
        yield from fenced([f"{name} = {without_modules(value)}"])


def fields(struct: type[msgspec.Struct]) -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        written = annotation(struct, field.name)
        default = ""
        if field.default is msgspec.UNSET:  # the wire's own word for what may be left out
            written, default = written.replace(" | UnsetType", ""), " = ..."
            written = re.sub(r"\b_\w+", lambda alias: behind(struct, alias[0]), written)
        elif field.default is not msgspec.NODEFAULT:
            default = f" = {field.default!r}"
        elif field.default_factory is not msgspec.NODEFAULT:
            default = f" = {field.default_factory()!r}"
        yield f"{_INDENT}{field.name}: {written}{default}"


def behind(owner: type, alias: str) -> str:
    """What a private alias of the owner's module stands for, without its bounds."""
    meant = getattr(sys.modules[owner.__module__], alias)
    while get_origin(meant) is Annotated:
        meant = get_args(meant)[0]
    if get_origin(meant) is list:
        item = get_args(meant)[0]
        while get_origin(item) is Annotated:
            item = get_args(item)[0]
        return "list[Status]" if item is agent_client.Status else f"list[{item.__name__}]"
    return str(meant.__name__)


def without_modules(value: object) -> str:
    """A type as code, without the modules of what it is made of."""
    return re.sub(r"[a-z_.]+[.](?=[A-Z])", "", str(value))


def annotation(owner: type, name: str) -> str:
    """The annotation of a field as it stands in the code."""
    for each in owner.__mro__:
        if name in (own := inspect.get_annotations(each)):
            return str(own[name])
    raise LookupError(f"{owner.__name__}.{name} has no annotation")


def members(name: str, owner: type) -> Iterator[str]:
    """The public attributes and methods that the class itself has or inherits from ours."""
    found: dict[str, Any] = {}
    for each in reversed(owner.__mro__):
        if each.__module__.startswith(("agent_client", "homeport_protocol")):
            found |= {key: value for key, value in vars(each).items() if not key.startswith("_")}
    struct_fields = set(getattr(owner, "__struct_fields__", ()))
    for key, value in found.items():
        if isinstance(value, property):
            returns = inspect.signature(value.fget).return_annotation if value.fget else ""
            yield from (f"#### {name}.{key}", "")
            yield from fenced([f"{key}: {returns}"])
            yield from text(value)
        elif inspect.isroutine(inspect.unwrap(getattr(owner, key))) and key not in struct_fields:
            if not inspect.getdoc(value):
                continue
            yield from (f"#### {name}.{key}", "")
            yield from fenced(signature(key, getattr(value, "__func__", value)))
            yield from text(value)


def signature(name: str, function: Any) -> list[str]:
    """The signature as it stands in the code, a parameter a line where it is long."""
    signed = inspect.signature(function)
    shown: list[str] = []
    for each in signed.parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and not any(one.startswith("*") for one in shown):
            shown.append("*")
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind, "")
        default = "" if each.default is each.empty else f" = {each.default!r}"
        shown.append(f"{stars}{each.name}: {each.annotation}{default}")
    returns = signed.return_annotation
    arrow = "" if returns in (signed.empty, None, "None") else f" -> {returns}"
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    line = f"{prefix}{name}({', '.join(shown)}){arrow}"
    if len(line) <= _WIDTH:
        return [line]
    return [f"{prefix}{name}(", *(f"{_INDENT}{each}," for each in shown), f"){arrow}"]


def text(value: object) -> Iterator[str]:
    """The docstring, its indented programs as Python blocks."""
    program: list[str] = []
    for line in [*(inspect.getdoc(value) or "").splitlines(), ""]:
        if line.startswith(_INDENT) or (program and not line):
            program.append(line.removeprefix(_INDENT))
            continue
        if program:
            yield from fenced(program)
            program = []
        yield line
    if program:
        yield from fenced(program)


def fenced(lines: list[str]) -> Iterator[str]:
    """The lines as code; a docstring's programs are parts of one, so that they are not run."""
    while lines and not lines[-1]:
        lines = lines[:-1]
    yield from ("```py", *lines, "```", "")


def listed(errors: list[str]) -> Iterator[str]:
    """The errors that only differ in when they are raised."""
    yield from (
        "All others are subclasses of it. The same call may succeed later where it says so.",
        "",
    )
    for name in errors:
        error = getattr(agent_client, name)
        made = error("") if "message" in inspect.signature(error).parameters else error()
        facts = [f"`{error.code}`" if error.code else "", "retryable" if made.retryable else ""]
        known = ", ".join(each for each in facts if each)
        when = " ".join((inspect.getdoc(error) or "").split())
        words = f"- `{name}`{f' ({known})' if known else ''}: {when}"
        yield from textwrap.wrap(words, _PAGE_WIDTH, subsequent_indent="  ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
