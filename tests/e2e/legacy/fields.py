"""The fields of a registration but its metadata."""

from __future__ import annotations

import json

from tests.e2e.legacy.observing import LONG, registers, registration, registration_with

_ANSWER = "agent_id heartbeat_interval_seconds heartbeat_url registered_at"
_RECORD = "id name type host port capabilities status version registered_at last_seen metadata"

FIELDS = [
    registers(
        "the documented registration",
        registration(),
        f"201 agent_id; *answer: {_ANSWER}",
        f"201 agent_id; *answer: {_ANSWER} session_token",
        "token",
        shows="*answer",
    ),
    registers(
        "its record",
        registration_with('"metadata":{"a":1}'),
        f"201 agent_id; *record: {_RECORD}",
        f"201 agent_id; *record: {_RECORD} health epoch hub revision",
        "fields",
        shows="*record",
    ),
    registers(
        "the times of its record",
        registration(),
        "201 agent_id; registered_at: nanoseconds, Z; last_seen: nanoseconds, Z",
        "201 agent_id; registered_at: microseconds, Z; last_seen: microseconds, Z",
        "times",
        shows="registered_at last_seen",
    ),
    registers(
        "`host` and `port` in one, as documented",
        b'{"name":"n","type":"cost","host":"a:8001","status":"healthy"}',
        "400 error",
        '201 agent_id; host: "a"; port: 8001',
        "address",
        shows="host port",
    ),
    registers(
        "`capabilities` null",
        registration_with('"capabilities":null'),
        "201 agent_id; capabilities: null",
        "201 agent_id; capabilities: []",
        "capabilities",
        shows="capabilities",
    ),
    registers(
        "no `capabilities`",
        registration(),
        "201 agent_id; capabilities: null",
        "201 agent_id; capabilities: []",
        "capabilities",
        shows="capabilities",
    ),
    registers(
        "an empty capability",
        registration_with('"capabilities":["a","","b"]'),
        '201 agent_id; capabilities: ["a", "", "b"]',
        '201 agent_id; capabilities: ["a", "b"]',
        "capabilities",
        shows="capabilities",
    ),
    registers(
        "a null capability",
        registration_with('"capabilities":["a",null]'),
        '201 agent_id; capabilities: ["a", ""]',
        '201 agent_id; capabilities: ["a"]',
        "capabilities",
        shows="capabilities",
    ),
    registers(
        "a capability twice",
        registration_with('"capabilities":["a","a"]'),
        '201 agent_id; capabilities: ["a", "a"]',
        '201 agent_id; capabilities: ["a"]',
        "capabilities",
        shows="capabilities",
    ),
    registers(
        "`capabilities` that are a text", registration_with('"capabilities":"a"'), "400 error"
    ),
    registers(
        "a capability that is a number", registration_with('"capabilities":[1]'), "400 error"
    ),
    registers(
        "a capability of 129 characters",
        registration_with(f'"capabilities":["{LONG[:129]}"]'),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers(
        "300 capabilities",
        registration_with(f'"capabilities":{json.dumps([str(n) for n in range(300)])}'),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers(
        "a type with a space",
        registration(type="not a slug"),
        '201 agent_id; type: "not a slug"',
        shows="type",
    ),
    registers(
        "a type with umlauts and a slash",
        registration(type="übermäßig/1"),
        '201 agent_id; type: "übermäßig/1"',
        shows="type",
    ),
    registers("a type of blanks", registration(type="  "), "201 agent_id", "400 error", "unseen"),
    registers(
        "a type of 65 characters",
        registration(type=LONG[:65]),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers(
        "a type with a line feed", registration(type="a\nb"), "201 agent_id", "400 error", "bounds"
    ),
    registers("an empty type", registration(type=""), "400 error"),
    registers("no type", registration(type=...), "400 error"),
    registers("a type that is a number", registration(type=5), "400 error"),
    registers("an empty name", registration(name=""), "400 error"),
    registers("a name that is null", registration(name=None), "400 error"),
    registers("a name that is a number", registration(name=5), "400 error"),
    registers(
        "a name of 129 characters",
        registration(name=LONG[:129]),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers(
        "a name with a tab", registration(name="a\tb"), "201 agent_id", "400 error", "bounds"
    ),
    registers(
        "a name with a zero-width space",
        registration(name="a\u200b"),
        "201 agent_id",
        "400 error",
        "unseen",
    ),
    registers(
        "a type whose umlaut is two characters",
        registration(type="u\u0308"),
        '201 agent_id; type: "u\u0308"',
        '201 agent_id; type: "ü"',
        "unseen",
        shows="type",
    ),
    registers("no host", registration(host=...), "400 error"),
    registers("an empty host", registration(host=""), "400 error"),
    registers(
        "a host of 256 characters",
        registration(host=LONG[:256]),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers("no port", registration(port=...), "400 error"),
    registers("a port that is null", registration(port=None), "400 error"),
    registers(
        "port 0",
        registration(port=0),
        "400 error",
        "201 agent_id; port: 0",
        "address",
        shows="port",
    ),
    registers("port -1", registration(port=-1), "201 agent_id", "400 error", "address"),
    registers("port 65536", registration(port=65536), "201 agent_id", "400 error", "address"),
    registers("a port beyond 64 bits", registration(port=2**63), "400 error"),
    registers("a port that is a text", registration(port="80"), "400 error"),
    registers("a port with a fraction", registration(port=80.0), "400 error"),
    registers(
        "names of fields in any case",
        b'{"Name":"N","TYPE":"cost","hOST":"A","Port":1,"Capabilities":["X"]}',
        '201 agent_id; name: "N"; type: "cost"; host: "A"; port: 1; capabilities: ["X"]',
        shows="name type host port capabilities",
    ),
    registers(
        "names of fields with escapes",
        b'{"n\\u0041me":"N","type":"cost","ho\\u017ft":"h","port":1}',
        '201 agent_id; name: "N"; host: "h"',
        shows="name host",
    ),
    registers(
        "a name in two cases",
        b'{"name":"a","NAME":"b","type":"cost","host":"h","port":1}',
        '201 agent_id; name: "b"',
        shows="name",
    ),
    registers(
        "a name in two cases, the exact one last",
        b'{"NAME":"b","name":"a","type":"cost","host":"h","port":1}',
        '201 agent_id; name: "a"',
        shows="name",
    ),
    registers(
        "a name twice",
        b'{"name":"a","name":"b","type":"cost","host":"h","port":1}',
        '201 agent_id; name: "b"',
        shows="name",
    ),
    registers(
        "a name, and then null",
        b'{"name":"a","name":null,"type":"cost","host":"h","port":1}',
        "201 agent_id",
        "400 error",
        "twice",
    ),
    registers(
        "`capabilities` twice",
        registration_with('"capabilities":["a","b"],"capabilities":["c"]'),
        '201 agent_id; capabilities: ["c"]',
        shows="capabilities",
    ),
    registers("an unknown field", registration_with('"color":"blue"'), "201 agent_id"),
    registers(
        "an `id`", registration_with('"id":"550e8400-e29b-41d4-a716-446655440000"'), "201 agent_id"
    ),
    registers(
        "a known status",
        registration_with('"status":"degraded"'),
        '201 agent_id; status: "healthy"',
        '201 agent_id; status: "degraded"',
        "more",
        shows="status",
    ),
    registers(
        "an unknown status",
        registration_with('"status":"fine"'),
        '201 agent_id; status: "healthy"',
        shows="status",
    ),
    registers(
        "a status that is a number",
        registration_with('"status":5'),
        '201 agent_id; status: "healthy"',
        shows="status",
    ),
    registers(
        "an empty status",
        registration_with('"status":""'),
        '201 agent_id; status: "healthy"',
        shows="status",
    ),
    registers(
        "a load below 0", registration_with('"load":-1'), "201 agent_id", "400 error", "bounds"
    ),
    registers(
        "an `exclusive` that is neither true nor false",
        registration_with('"exclusive":"x"'),
        "201 agent_id",
        "400 error",
        "more",
    ),
    registers(
        "an `agent_id` that is no UUID",
        registration_with('"agent_id":"x"'),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers(
        "a version that is null",
        registration_with('"version":null'),
        '201 agent_id; version: ""',
        shows="version",
    ),
    registers(
        "a version of 65 characters",
        registration_with(f'"version":"{LONG[:65]}"'),
        "201 agent_id",
        "400 error",
        "bounds",
    ),
    registers("a version that is a number", registration_with('"version":1'), "400 error"),
]
