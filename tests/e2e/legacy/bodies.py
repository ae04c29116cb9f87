"""The metadata of a registration, and bodies as such."""

from __future__ import annotations

from tests.e2e.legacy.observing import LONG, registers, registration, registration_with

BODIES = [
    registers(
        "`metadata` twice",
        registration_with('"metadata":{"a":1},"metadata":{"b":2}'),
        '201 agent_id; metadata: {"a": 1, "b": 2}',
        '201 agent_id; metadata: {"b": 2}',
        "twice",
        shows="metadata",
    ),
    registers(
        "metadata that is null",
        registration_with('"metadata":null'),
        "201 agent_id; metadata: null",
        shows="metadata",
    ),
    registers(
        "empty metadata",
        registration_with('"metadata":{}'),
        "201 agent_id; metadata: null",
        shows="metadata",
    ),
    registers("metadata that is a list", registration_with('"metadata":[]'), "400 error"),
    registers(
        "metadata with keys in other cases",
        registration_with('"metadata":{"Name":"B","name":"b"}'),
        '201 agent_id; metadata: {"Name": "B", "name": "b"}',
        shows="metadata",
    ),
    registers(
        "metadata with a null",
        registration_with('"metadata":{"a":null,"b":1}'),
        '201 agent_id; metadata: {"a": null, "b": 1}',
        '201 agent_id; metadata: {"b": 1}',
        "null",
        shows="metadata",
    ),
    registers(
        "metadata with a null inside",
        registration_with('"metadata":{"a":{"b":null}}'),
        '201 agent_id; metadata: {"a": {"b": null}}',
        shows="metadata",
    ),
    registers(
        "an integer of 54 bits",
        registration_with('"metadata":{"a":9007199254740993}'),
        '201 agent_id; metadata: {"a": 9007199254740992}',
        '201 agent_id; metadata: {"a": 9007199254740993}',
        "numbers",
        shows="metadata",
    ),
    registers(
        "an integer of 65 bits",
        registration_with('"metadata":{"a":18446744073709551617}'),
        '201 agent_id; metadata: {"a": 18446744073709552000}',
        '201 agent_id; metadata: {"a": 18446744073709551617}',
        "numbers",
        shows="metadata",
    ),
    registers(
        "an integer of 30 digits",
        registration_with(f'"metadata":{{"a":1{"0" * 29}}}'),
        '201 agent_id; metadata: {"a": 1e+29}',
        '201 agent_id; metadata: {"a": 100000000000000000000000000000}',
        "numbers",
        shows="metadata",
    ),
    registers(
        "an integer of 400 digits",
        registration_with(f'"metadata":{{"a":{"9" * 400}}}'),
        "400 error",
    ),
    registers(
        "a number that is no float", registration_with('"metadata":{"a":1e400}'), "400 error"
    ),
    registers(
        "1.0 in metadata",
        registration_with('"metadata":{"a":1.0}'),
        '201 agent_id; metadata: {"a": 1}',
        '201 agent_id; metadata: {"a": 1.0}',
        "numbers",
        shows="metadata",
    ),
    registers(
        "17 KiB of metadata",
        registration_with(f'"metadata":{{"a":"{LONG[:17_000]}"}}'),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers(
        "40 levels of metadata",
        registration_with('"metadata":' + '{"a":' * 40 + "1" + "}" * 40),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers(
        "what HTML needs escaped",
        registration_with('"metadata":{"a":"<&>"}'),
        '201 agent_id; metadata: {"a": "<&>"}',
        shows="metadata",
    ),
    registers(
        "a lone surrogate",
        registration_with('"metadata":{"a":"\\ud800"}'),
        '201 agent_id; metadata: {"a": "�"}',
        "400 error",
        "text",
        shows="metadata",
    ),
    registers(
        "a name that is no UTF-8",
        registration().replace(b'"n"', b'"n\xff"'),
        '201 agent_id; name: "n�"',
        "400 error",
        "text",
        shows="name",
    ),
    registers(
        "a control character as it is", registration().replace(b'"n"', b'"n\x01"'), "400 error"
    ),
    registers("a body null", b"null", "400 error"),
    registers("no body", b"", "400 error"),
    registers("a list", b"[]", "400 error"),
    registers("a text", b'"x"', "400 error"),
    registers("no JSON", b"{name:1}", "400 error"),
    registers("a comma too many", registration().replace(b"}", b",}"), "400 error"),
    registers("white space around it", b"\n " + registration() + b"\r\n \t\n", "201 agent_id"),
    registers(
        "something behind it", registration() + b" {}", "201 agent_id", "400 error", "behind"
    ),
    registers("a NUL behind it", registration() + b"\x00", "201 agent_id", "400 error", "behind"),
    registers(
        "a byte order mark", b"\xef\xbb\xbf" + registration(), "400 error", "201 agent_id", "text"
    ),
    registers("UTF-16", registration().decode().encode("utf-16"), "400 error"),
    registers(
        "a form's content type",
        registration(),
        "201 agent_id",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    registers(
        "another charset",
        registration(),
        "201 agent_id",
        headers={"Content-Type": "application/json; charset=latin-1"},
    ),
    registers(
        "a body of 70 KiB", registration() + b" " * 70_000, "201 agent_id", "413 error", "bounds"
    ),
]
