from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from hub.settings import (
    FIELDS,
    Settings,
    SettingsError,
    default_data_dir,
    default_hub_id,
    describe,
    load_settings,
    worker_id,
)

HOME = {"HOME": "/home/ann"}


def load(
    flags: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
    config: Path | None = None,
) -> Settings:
    return load_settings(
        flags or {}, HOME | (environ or {}), None if config is None else str(config)
    )


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "homeport.toml"
        path.write_text(text)
        return path

    return write


def refused(*args, **kwargs) -> str:
    with pytest.raises(SettingsError) as caught:
        load(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_defaults_are_those_of_the_contract():
    settings = load()
    assert (settings.host, settings.port, settings.redis) == ("127.0.0.1", 8080, None)
    assert settings.workers == 1
    assert (settings.heartbeat_interval, settings.heartbeat_timeout) == (30, 45)
    assert (settings.lease_ttl, settings.resume_window) == (60, 5)
    assert (settings.log_format, settings.log_level) == ("console", "info")
    assert (settings.max_frame_bytes, settings.log_length, settings.max_rate) == (
        65536,
        50000,
        5000,
    )
    assert (settings.max_connections, settings.max_connections_per_address) == (None, 0)
    assert settings.max_registrations_per_second == 500
    assert settings.registration_burst == 10_000
    assert (settings.max_handshakes, settings.handshake_timeout) == (1024, 10)
    assert (settings.request_timeout, settings.max_body_bytes) == (30, 65536)
    assert settings.key_prefix == ""
    assert settings.data_dir == default_data_dir(HOME)
    assert settings.hub_id == default_hub_id(8080)


def test_a_flag_beats_the_environment_which_beats_the_file(toml):
    config = toml(
        "port = 1\nlease_ttl = 1\nheartbeat_interval = 1\nheartbeat_timeout = 2\nhost = 'file'"
    )
    environ = {"HOMEPORT_PORT": "2", "HOMEPORT_LEASE_TTL": "2.5"}
    settings = load({"port": 3, "host": None}, environ, config)
    assert settings.port == 3
    assert settings.lease_ttl == 2.5
    assert settings.heartbeat_interval == 1
    assert settings.host == "file"


def test_every_setting_can_be_given_in_each_of_the_three_ways(toml):
    given = {
        "host": "0.0.0.0",
        "port": 9,
        "tls_cert": "/etc/hub.pem",
        "tls_key": "/etc/hub.key",
        "tls_client_ca": "/etc/agents.pem",
        "tls_principals": "/etc/agents.toml",
        "jwt_keys": "https://issuer.example/jwks.json",
        "jwt_issuer": "https://issuer.example",
        "jwt_audience": "homeport",
        "auth": "none",
        "insecure": True,
        "operator_token_sha256": "0a" * 32,
        "allowed_hosts": ("hub.example.org", "*.lan", "10.0.0.7", "[::1]"),
        "allowed_origins": ("https://example.org", "http://[::1]:3000"),
        "workers": 2,
        "redis": "redis://h:1",
        "data_dir": "/data",
        "hub_id": "a-hub",
        "key_prefix": "x:",
        "heartbeat_interval": 0.3,
        "heartbeat_timeout": 0.45,
        "lease_ttl": 0.6,
        "resume_window": 0.05,
        "loss_share": 0.5,
        "loss_hold": 60.0,
        "log_format": "json",
        "log_level": "debug",
        "audit_log": "-",
        "legacy_until": "2027-01-31",
        "max_frame_bytes": 2048,
        "max_body_bytes": 4096,
        "max_connections": 100,
        "max_connections_per_address": 10,
        "trusted_proxies": ("10.0.0.0/8", "fd00::1"),
        "max_handshakes": 20,
        "handshake_timeout": 2.5,
        "request_timeout": 7.5,
        "log_length": 10,
        "max_log_bytes": 65536,
        "max_agents": 7,
        "max_agent_bytes": 65537,
        "max_namespaces": 5,
        "open_namespaces": 4,
        "max_watches": 3,
        "max_unsent_bytes": 4194304,
        "max_total_unsent_bytes": 4194305,
        "max_unparsed_bytes": 1048577,
        "send_timeout": 0.5,
        "max_rate": 0,
        "burst": 10,
        "max_registrations_per_second": 20,
        "registration_burst": 30,
    }
    assert given.keys() == FIELDS.keys()
    texts = {
        name: ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in given.items()
    }
    environ = {FIELDS[name].variable: text for name, text in texts.items()}
    lines = [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    expected = Settings(**given)
    assert load(given) == expected
    assert load(texts) == expected
    assert load(environ=environ) == expected
    assert load(config=toml("\n".join(lines))) == expected


def test_a_file_is_named_from_the_directory_that_the_hub_starts_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    settings = load({"tls_cert": "hub.pem", "tls_key": "~/hub.key"})
    assert settings.tls_cert == str(tmp_path / "hub.pem")
    assert settings.tls_key == "/home/me/hub.key"


@pytest.mark.parametrize("name", ["tls_key", "tls_client_ca"])
def test_there_is_no_tls_without_a_certificate(name):
    with pytest.raises(SettingsError, match=f"^{FIELDS[name].flag}: there is no TLS without"):
        load({name: "x.pem"})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"tls_principals": "x"}, "--tls-principals: nobody can show a certificate"),
        ({"jwt_audience": "x"}, "--jwt-audience: there are no JWTs without jwt_keys"),
        ({"jwt_issuer": "x"}, "--jwt-issuer: there are no JWTs without jwt_keys"),
        ({"jwt_keys": "http://issuer.example/k"}, "--jwt-keys: whoever changes an answer"),
        ({"jwt_keys": "http://127.evil.example/k"}, "--jwt-keys: whoever changes an answer"),
        ({"jwt_keys": "ftp://issuer.example/k"}, "--jwt-keys: expected a file, or a URL"),
        ({"jwt_keys": "https://me:pw@issuer.example/k"}, "--jwt-keys: expected a file"),
    ],
)
def test_what_others_issue_has_to_be_whole_and_safe(given, words):
    with pytest.raises(SettingsError, match=f"^{words}") as caught:
        load(given)
    assert "me:pw" not in str(caught.value)


@pytest.mark.parametrize("network", ["300.0.0.0/8", "10.0.0.0/33", "10.0.0", "fd00::/129", "::1::"])
def test_an_impossible_network_is_told_where_it_was_given(network, toml):
    words = f"expected addresses or networks such as 10.0.0.0/8, .*, got '{network}'$"
    with pytest.raises(SettingsError, match=f"^--trusted-proxies: {words}"):
        load({"trusted_proxies": f"10.0.0.7,{network}"})
    with pytest.raises(SettingsError, match=f"^trusted_proxies in .*: {words}"):
        load(config=toml(f'trusted_proxies = ["fd00::1", "{network}"]'))


def test_keys_may_come_without_tls_from_this_machine():
    for url in ("http://127.0.0.1:1/k", "http://localhost/k", "http://[::1]:2/k"):
        assert load({"jwt_keys": url}).jwt_keys == url


def test_a_list_has_commas_or_is_an_array_and_each_of_its_items_is_checked(toml):
    spaced = load({"allowed_hosts": " a.example , ,b.example,"})
    assert spaced.allowed_hosts == ("a.example", "b.example")
    assert "names or addresses without ports" in refused({"allowed_hosts": "a.example:8080"})
    assert "origins such as" in refused({"allowed_origins": "https://a.example/page"})
    assert "origins such as" in refused({"allowed_origins": "null"})
    assert "origins such as" in refused({"allowed_origins": "http://a.example:65536"})
    ports = load({"allowed_origins": "http://a.example:65535,http://a.example:8,http://a.example"})
    assert len(ports.allowed_origins) == 3
    assert "origins such as" in refused(config=toml("allowed_origins = [3]"))


def test_the_file_may_be_named_by_the_environment(toml):
    assert load(environ={"HOMEPORT_CONFIG": str(toml("port = 7"))}).port == 7


def test_a_flag_names_the_file_before_the_environment_does(toml):
    assert load(environ={"HOMEPORT_CONFIG": "/nowhere"}, config=toml("port = 7")).port == 7


def test_an_empty_variable_counts_as_not_given(toml):
    environ = {"HOMEPORT_PORT": "", "HOMEPORT_REDIS": "", "HOMEPORT_CONFIG": "", "PORT": ""}
    assert load(environ=environ).port == 8080
    assert load(environ={"HOMEPORT_PORT": ""}, config=toml("port = 7")).port == 7


def test_the_legacy_port_counts_unless_ours_is_given(toml):
    assert load(environ={"PORT": "9000"}).port == 9000
    assert load(environ={"PORT": "9000", "HOMEPORT_PORT": "9001"}).port == 9001
    assert load(environ={"PORT": "9000"}, config=toml("port = 7")).port == 9000
    assert refused(environ={"PORT": "x"}).startswith("PORT: ")


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({"REDIS_ADDR": "redis.local:6380"}, "redis://redis.local:6380"),
        ({"REDIS_ADDR": "redis.local"}, "redis://redis.local:6379"),
        ({"REDIS_ADDR": "[::1]:6379"}, "redis://[::1]:6379"),
        (
            {"REDIS_ADDR": "h:1", "REDIS_PASSWORD": "a/b@c:d é"},
            "redis://:a%2Fb%40c%3Ad%20%C3%A9@h:1",
        ),
        ({"REDIS_PASSWORD": "pw"}, "redis://:pw@localhost:6379"),
        ({"REDIS_ADDR": "h:1", "HOMEPORT_REDIS": "redis://ours"}, "redis://ours"),
        ({"REDIS_ADDR": "", "REDIS_PASSWORD": ""}, None),
    ],
)
def test_the_legacy_redis_address_and_password_make_a_url(environ, url):
    assert load(environ=environ).redis == url


@pytest.mark.parametrize(
    "address", ["redis://h:1", "h:x", "h:0", "h:70000", ":6379", "a b:1", "::1"]
)
def test_a_wrong_legacy_address_is_refused(address):
    assert refused(environ={"REDIS_ADDR": address}).startswith("REDIS_ADDR: expected HOST:PORT")


def test_a_kubernetes_service_link_is_not_taken_for_a_port():
    assert load(environ={"HOMEPORT_PORT": "tcp://10.0.0.7:8080", "PORT": "9"}).port == 9


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("port", "-1", "a whole number from 0 to 65535, got '-1'"),
        ("port", "65536", "a whole number from 0 to 65535"),
        ("port", "80.5", "a whole number"),
        ("port", "8_0", "a whole number"),
        ("port", "9" * 5000, "a whole number"),
        ("heartbeat_interval", "0", "a number above 0"),
        ("heartbeat_interval", "-3", "a number above 0"),
        ("heartbeat_timeout", "nan", "a number above 0"),
        ("lease_ttl", "inf", "a number above 0"),
        ("lease_ttl", "1e999", "a number above 0"),
        ("resume_window", "5s", "a number above 0 and at most 31536000, got '5s'"),
        ("log_format", "xml", "console or json, got 'xml'"),
        ("log_level", "loud", "debug, info, warning, error or critical, got 'loud'"),
        ("hub_id", "a b", "1 to 64 letters, digits, dots, underscores or hyphens"),
        ("hub_id", "x" * 65, "1 to 64 letters"),
        ("hub_id", "ok\n", "1 to 64 letters"),
        ("host", "http://x", "a host name or an address"),
        ("key_prefix", "a b", "at most 128 characters without spaces"),
        ("max_frame_bytes", "10", "a whole number from 1024 to"),
        ("max_rate", "-1", "a whole number from 0 to"),
        ("log_length", "0", "a whole number from 1 to"),
        ("data_dir", "a\0b", "a directory"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_it_was_given_under(name, value, expected):
    field = FIELDS[name]
    assert refused(environ={field.variable: value}).startswith(
        f"{field.variable}: expected {expected}"
    )
    assert refused({name: value}).startswith(f"{field.flag}: expected {expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("port = true", "port in homeport.toml: expected a whole number"),
        ("port = 80.0", "port in homeport.toml: expected a whole number"),
        (
            "port = '8080'",
            "port in homeport.toml: expected a whole number from 0 to 65535, got text",
        ),
        ("port = [1]", "port in homeport.toml: expected a whole number"),
        ("host = 1", "host in homeport.toml: expected a host name"),
        ("log_format = 1", "log_format in homeport.toml: expected console or json"),
        ("lease_ttl = nan", "lease_ttl in homeport.toml: expected a number"),
        (f"lease_ttl = {'9' * 400}", "lease_ttl in homeport.toml: expected a number"),
        (f"port = {'9' * 400}", "port in homeport.toml: expected a whole number"),
        ("prot = 1", "prot in homeport.toml: no such setting; did you mean port?"),
        ("heartbeat-interval = 1", "no such setting; did you mean heartbeat_interval?"),
        ("zzz = 1", "zzz in homeport.toml: no such setting; known are host, port"),
        ("[serve]\nport = 1", "serve in homeport.toml: no such setting"),
        ("port = ", "not valid TOML"),
        (f"port = {'9' * 5000}", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_the_place_in_it(toml, line, expected):
    assert expected in refused(config=toml(line))


def test_a_file_that_cannot_be_read_is_named_with_its_source(tmp_path):
    assert refused(config=tmp_path / "none.toml") == (
        f"--config: cannot read {tmp_path}/none.toml: No such file or directory"
    )
    said = refused(environ={"HOMEPORT_CONFIG": str(tmp_path)})
    assert said.startswith(f"HOMEPORT_CONFIG: cannot read {tmp_path}: ")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    assert "not valid TOML" in refused(config=tmp_path / "bad.toml")


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://u:p@h:6379/3",
        "rediss://h:6380?ssl_cert_reqs=none",
        "redis://[::1]:6379",
        "unix:///run/redis.sock",
        "unix://:pw@/run/redis.sock?db=1",
        "memory://",
        "redis+sentinel://h:26379/mymaster",
        "rediss+sentinel://u:p%40ss@a,b:1,[::1]:2/my%20primary/3?sentinel_password=pw",
        "redis+cluster://h:7000",
        "rediss+cluster://u:p@a:7000,b:7001,[::1]:7002/0?ssl_cert_reqs=none",
    ],
)
def test_every_kind_of_store_url_is_accepted(url):
    assert load({"redis": url}).redis == url


@pytest.mark.parametrize(
    "url",
    ["", "localhost:6379", "http://h", "redis://", "redis://:hunter2@", "redis://h:hunter2",
     "redis://h:70000", "redis://h/hunter2", "unix://", "unix://rel", "memory://hunter2",
     "redis://h: 1", "redis://[::1", "redis+sentinel:///hunter2",
     "redis+sentinel://h/p/hunter2", "redis+sentinel://h,/hunter2", "redis+sentinel://h:0/hunter2",
     "redis+cluster://hunter2/x", "redis+cluster://", "redis+cluster://a,b:hunter2",
     "redis+cluster://[::1:hunter2", "redis+unix:///hunter2"],
)  # fmt: skip
def test_a_wrong_store_url_is_refused_without_being_shown(url):
    said = refused({"redis": url})
    assert said.startswith("--redis: expected redis://HOST:PORT, rediss://")
    assert "hunter2" not in said


def test_what_sentinels_and_clusters_lack_is_said_in_particular():
    assert "the name of the primary is missing" in refused({"redis": "redis+sentinel://a,b:1"})
    for url in ("redis+cluster://a/1", "redis+cluster://a?db=1"):
        assert "a Redis Cluster has no database but 0" in refused({"redis": url})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"heartbeat_timeout": 10},
            "--heartbeat-timeout: heartbeat_timeout (10 s) must be longer than "
            "heartbeat_interval (30 s)",
        ),
        (
            {"heartbeat_interval": 60},
            "--heartbeat-interval: heartbeat_timeout (45 s) must be longer than "
            "heartbeat_interval (60 s)",
        ),
        (
            {"heartbeat_interval": 45},
            "--heartbeat-interval: heartbeat_timeout (45 s) must be longer than "
            "heartbeat_interval (45 s)",
        ),
        (
            {"heartbeat_interval": 10, "heartbeat_timeout": 5},
            "--heartbeat-timeout: heartbeat_timeout (5 s) must be longer than "
            "heartbeat_interval (10 s)",
        ),
        (
            {"lease_ttl": 30},
            "--lease-ttl: lease_ttl (30 s) must not be shorter than heartbeat_timeout (45 s)",
        ),
        (
            {"heartbeat_timeout": 61},
            "--heartbeat-timeout: lease_ttl (60 s) must not be shorter than "
            "heartbeat_timeout (61 s)",
        ),
    ],
)
def test_times_that_cannot_work_are_refused_with_both_settings_and_values(given, said):
    assert refused(given).startswith(said)


def test_times_that_cannot_work_are_refused_wherever_they_were_given(toml):
    environ = {"HOMEPORT_LEASE_TTL": "30"}
    assert refused(environ=environ).startswith("HOMEPORT_LEASE_TTL: lease_ttl (30 s)")
    config = toml("heartbeat_interval = 90")
    assert refused(config=config).startswith("heartbeat_interval in homeport.toml: heartbeat_")
    # Each is possible with the defaults, and both together are not.
    said = refused({"heartbeat_timeout": 50}, {"HOMEPORT_LEASE_TTL": "45.5"})
    assert said.startswith("HOMEPORT_LEASE_TTL: lease_ttl (45.5 s) must not be shorter than")


def test_the_sentence_says_what_would_work():
    said = refused({"heartbeat_interval": 60})
    assert "set heartbeat_timeout to 90 or more, or heartbeat_interval to 30 or less" in said
    said = refused({"heartbeat_timeout": 90})
    assert "set lease_ttl to 90 or more, or heartbeat_timeout to 60 or less" in said


@pytest.mark.parametrize(
    "given",
    [
        {"heartbeat_interval": 2, "heartbeat_timeout": 10, "lease_ttl": 30},
        {"heartbeat_interval": 2, "heartbeat_timeout": 10},
        {"heartbeat_interval": 2, "heartbeat_timeout": 10, "lease_ttl": 10},
        {"heartbeat_interval": 5},
    ],
)
def test_times_that_work_are_accepted_without_a_warning(given):
    assert load(given).timing.warning is None


def test_times_that_flap_are_accepted_with_a_warning():
    timing = load({"heartbeat_interval": 40}).timing
    assert timing.warning is not None
    assert "heartbeat_timeout (45 s) is below 1.5 times heartbeat_interval (40 s)" in timing.warning


def test_an_unknown_flag_is_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="prot"):
        load({"prot": 1})


def test_choices_are_read_in_any_case():
    assert load(environ={"HOMEPORT_LOG_LEVEL": "INFO"}).log_level == "info"


def test_a_relative_or_home_data_directory_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    assert load({"data_dir": "d"}).data_dir == str(tmp_path / "d")
    assert load(environ={"HOMEPORT_DATA_DIR": "~/d"}).data_dir == "/home/ann/d"


@pytest.mark.parametrize(
    ("system", "environ", "expected"),
    [
        ("linux", HOME, "/home/ann/.local/share/homeport"),
        ("linux", HOME | {"XDG_DATA_HOME": "/x"}, "/x/homeport"),
        ("linux", HOME | {"XDG_DATA_HOME": "rel"}, "/home/ann/.local/share/homeport"),
        ("darwin", {"HOME": "/Users/ann"}, "/Users/ann/Library/Application Support/homeport"),
    ],
)
def test_the_default_data_directory_is_the_users(system, environ, expected):
    assert default_data_dir(environ, system) == expected


@pytest.mark.parametrize(
    ("hostname", "expected"),
    [
        ("box", "box-8080"),
        ("my box é.local", "my-box-.local-8080"),
        ("x" * 80, "x" * 59 + "-8080"),
        ("…", "hub-8080"),
    ],
)
def test_the_default_hub_id_is_a_slug_of_host_and_port(monkeypatch, hostname, expected):
    monkeypatch.setattr("socket.gethostname", lambda: hostname)
    assert default_hub_id(8080) == expected
    assert load().hub_id == expected


def test_described_settings_hold_no_secret_and_say_what_is_embedded():
    described = describe(load({"redis": "redis://u:hunter2@h:1/0"}))
    assert "hunter2" not in str(described)
    assert "h:1/0" in str(described["redis"])
    assert "data_dir" not in described
    keys = describe(load({"jwt_keys": "https://issuer.example/jwks?key=hunter2"}))
    assert keys["jwt_keys"] == "https://issuer.example/jwks"
    embedded = describe(load({"data_dir": "/d"}))
    assert (embedded["redis"], embedded["data_dir"]) == ("embedded", "/d")


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        load().port = 1


def test_the_table_has_all_that_options_and_documentation_need():
    assert list(FIELDS) == [field.name for field in msgspec.structs.fields(Settings)]
    for field in FIELDS.values():
        assert field.help.endswith(".")
        assert field.default_text not in ("", "None")
        assert bool(field.metavar) != (bool(field.choices) or field.kind == "switch")
    interval = FIELDS["heartbeat_interval"]
    assert (interval.flag, interval.variable) == (
        "--heartbeat-interval",
        "HOMEPORT_HEARTBEAT_INTERVAL",
    )
    assert (interval.kind, interval.default, interval.default_text) == ("number", 30.0, "30")
    assert FIELDS["log_format"].choices == ("console", "json")
    assert FIELDS["data_dir"].default is None
    assert FIELDS["redis"].secret


def test_hubs_on_any_free_port_have_ids_of_their_own(monkeypatch):
    ids = set()
    for pid in (101, 102):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        ids.add(default_hub_id(0))
    assert len(ids) == 2


def test_workers_with_memory_are_refused_in_the_users_own_terms(toml):
    said = refused({"redis": "memory://"}, {"HOMEPORT_WORKERS": "2"})
    assert said.startswith("HOMEPORT_WORKERS: workers with memory:// could not see each other's")
    assert "leave out --redis" in said
    said = refused(config=toml("workers = 2\nredis = 'memory:///'"))
    assert said.startswith("workers in homeport.toml: workers with memory://")
    assert load({"redis": "memory://", "workers": 1}).workers == 1


@pytest.mark.parametrize("count", ["0", "-1", "257", "2.5", "many"])
def test_a_count_of_workers_is_a_small_whole_number(count):
    assert refused({"workers": count}).startswith("--workers: expected a whole number from 1 to")


def test_a_name_that_leaves_no_room_for_its_workers_names_is_refused():
    assert load({"hub_id": "x" * 62, "workers": 2}).hub_id == "x" * 62
    said = refused({"hub_id": "x" * 62, "workers": 10})
    assert said.startswith("--hub-id: the names of 10 workers are made of it")
    assert "at most 61 characters" in said


def test_a_default_name_leaves_room_for_its_workers_names(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "x" * 80)
    hub_id = load({"workers": 16}).hub_id
    assert hub_id == "x" * 56 + "-8080"
    assert worker_id(hub_id, 16) == f"{hub_id}-16"
