"""Reading, and paths that are not the documented ones."""

from __future__ import annotations

from tests.e2e.legacy.observing import Row, registration

READS = [
    Row(
        "a slash behind the path",
        "POST /agents/register/",
        registration(),
        "307 redirect to /agents/register",
        "201 agent_id",
        "slash",
    ),
    Row("a query string", "POST /agents/register?v=1&limit=x", registration(), "201 agent_id"),
    Row(
        "the path in another case",
        "POST /Agents/Register",
        registration(),
        "404 plain text",
        "404 error",
        "routes",
    ),
    Row("registering by GET", "GET /agents/register", None, "404 error", "405 error", "methods"),
    Row(
        "registering by PUT",
        "PUT /agents/register",
        registration(),
        "404 plain text",
        "405 error",
        "methods",
    ),
    Row(
        "the list",
        "GET /agents",
        None,
        "200 agents, with it; *answer: agents count",
        shows="*answer",
    ),
    Row(
        "the list with a slash behind it",
        "GET /agents/",
        None,
        "301 redirect to /agents",
        "200 agents, with it",
        "slash",
    ),
    Row(
        "the list with what caches and trackers add",
        "GET /agents?v=1&_=17&utm_source=x&page=3",
        None,
        "200 agents, with it",
    ),
    Row(
        "the list of a misspelt type",
        "GET /agents?typ=other",
        None,
        "200 agents, with it",
        "400 error",
        "queries",
    ),
    Row(
        "the list of another type",
        "GET /agents?type=other",
        None,
        "200 agents, with it",
        "200 agents, without it",
        "queries",
    ),
    Row(
        "the list of an unknown status",
        "GET /agents?status=fine",
        None,
        "200 agents, with it",
        "400 error",
        "queries",
    ),
    Row(
        "the list with a limit that is none",
        "GET /agents?limit=x",
        None,
        "200 agents, with it",
        "400 error",
        "queries",
    ),
    Row("HEAD of the list", "HEAD /agents", None, "404 nothing", "200 nothing", "methods"),
    Row("OPTIONS of the list", "OPTIONS /agents", None, "404 plain text", "405 error", "methods"),
    Row("DELETE of the list", "DELETE /agents", None, "404 plain text", "405 error", "methods"),
    Row("an agent", "GET /agents/{id}", None, "200 id"),
    Row("an agent with a query string", "GET /agents/{id}?x=1", None, "200 id"),
    Row(
        "an agent with a slash behind it",
        "GET /agents/{id}/",
        None,
        "301 redirect to /agents/{id}",
        "200 id",
        "slash",
    ),
    Row("an agent by its id in upper case", "GET /agents/{ID}", None, "404 error", "200 id", "ids"),
    Row("HEAD of an agent", "HEAD /agents/{id}", None, "404 nothing", "200 nothing", "methods"),
    Row("an unknown agent", "GET /agents/{unknown}", None, "404 error", shows="*answer"),
    Row("an agent whose id is no UUID", "GET /agents/no-uuid", None, "404 error", shows="*answer"),
    Row(
        "removing an agent", "DELETE /agents/{id}", None, "404 plain text", "200 message", "routes"
    ),
    Row("an agent to work with", "GET /agents/pick", None, "404 error", "200 id", "routes"),
    Row(
        "agents by type",
        "GET /agents/type/cost",
        None,
        "200 agents, with it; *answer: agents count",
        shows="*answer",
    ),
    Row(
        "agents of a type that nobody has", "GET /agents/type/none", None, "200 agents, without it"
    ),
    Row(
        "agents by a type in another case", "GET /agents/type/COST", None, "200 agents, without it"
    ),
    Row(
        "agents by a type with a slash behind it",
        "GET /agents/type/cost/",
        None,
        "301 redirect to /agents/type/cost",
        "200 agents, with it",
        "slash",
    ),
    Row("agents by no type", "GET /agents/type", None, "404 error"),
    Row(
        "agents by a type with a space", "GET /agents/type/odd%20type", None, "200 agents, with it"
    ),
    Row(
        "agents by a type with a plus", "GET /agents/type/odd+type", None, "200 agents, without it"
    ),
    Row(
        "agents by a type with a slash in it",
        "GET /agents/type/odd%2Ftype",
        None,
        "404 plain text",
        "200 agents, with it",
        "routes",
    ),
    Row(
        "agents by type and status",
        "GET /agents/type/cost?status=unreachable",
        None,
        "200 agents, with it",
        "200 agents, without it",
        "queries",
    ),
    Row(
        "HEAD of agents by type",
        "HEAD /agents/type/cost",
        None,
        "404 nothing",
        "200 nothing",
        "methods",
    ),
    Row(
        "health",
        "GET /health",
        None,
        "200 status; *answer: service status timestamp",
        shows="*answer",
    ),
    Row(
        "health with a slash behind it",
        "GET /health/",
        None,
        "301 redirect to /health",
        "200 status",
        "slash",
    ),
    Row("health by POST", "POST /health", b"", "404 plain text", "405 error", "methods"),
    Row("the root", "GET /", None, "404 plain text", "200 links", "routes"),
    Row("an unknown route", "GET /nothing", None, "404 plain text", "404 error", "routes"),
    Row(
        "an unknown route of an agent",
        "GET /agents/{id}/nothing",
        None,
        "404 plain text",
        "404 error",
        "routes",
    ),
    Row(
        "a path with two slashes",
        "POST //agents/register",
        registration(),
        "404 plain text",
        "404 error",
        "routes",
    ),
]
