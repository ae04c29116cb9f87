"""Client certificates: whose they are, and what the file of principals says of them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from actors.rules.permissions import Principal
from hub.auth.certificates import Certificates, PrincipalsError
from hub.auth.evidence import Evidence
from hub.auth.refusals import Unauthorized
from tests.support.certificate_authority import Authority

FILE = """
["CN=agent-1,OU=fleet,O=Example"]
role = "agent"
namespace = "prod"
names = ["web-*"]

["CN=admin"]
role = "operator"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "principals.toml"
    path.write_text(FILE)
    return path


def shown(authority: Authority, subject: str) -> Evidence:
    pem = authority.issue(subject, client=True).cert.read_text()
    return Evidence(certificate=ssl.PEM_cert_to_DER_cert(pem))


def test_a_subject_of_the_file_stands_for_a_token(tmp_path: Path, file: Path) -> None:
    certificates, authority = Certificates(str(file)), Authority(tmp_path)
    agent = certificates.recognise(shown(authority, "CN=agent-1,OU=fleet,O=Example"))
    assert agent.id == "certificate:CN=agent-1,OU=fleet,O=Example"
    assert (agent.role, agent.namespace, agent.names) == ("agent", "prod", ("web-*",))
    assert agent.not_after is not None
    operator = certificates.recognise(shown(authority, "CN=admin"))
    assert (operator.role, operator.namespace, operator.names) == ("operator", "*", ("*",))
    assert certificates.ended(agent) is None
    assert certificates.ended(operator) is None


@pytest.mark.parametrize(
    "subject",
    [
        "CN=admin,O=Evil",
        "CN=agent-1",
        "O=Example,OU=fleet,CN=agent-1",
        "CN=Admin",
        "CN=admin ",
        "CN=admin+O=x",
        "O=admin",
        r"CN=agent-1\,OU=fleet\,O=Example",
    ],
)
def test_every_other_subject_is_refused_by_name(tmp_path: Path, file: Path, subject: str) -> None:
    certificates = Certificates(str(file))
    try:
        evidence = shown(Authority(tmp_path), subject)
    except ValueError:
        return  # no certificate can have it
    with pytest.raises(Unauthorized, match="is not among tls_principals"):
        certificates.recognise(evidence)


def test_a_token_counts_before_a_certificate(file: Path) -> None:
    certificates = Certificates(str(file))
    assert certificates.claims(Evidence(certificate=b"x"))
    assert not certificates.claims(Evidence(credential="hp1_x", certificate=b"x"))
    assert not certificates.claims(Evidence())


def test_what_is_no_certificate_is_refused(file: Path) -> None:
    with pytest.raises(Unauthorized, match="cannot be read"):
        Certificates(str(file)).recognise(Evidence(certificate=b"nonsense"))


def test_a_subject_may_be_written_as_openssl_shows_it(tmp_path: Path, file: Path) -> None:
    file.write_text('["emailAddress=a@example.org, CN=a , O=Ex\\\\2C ample"]\nrole = "caller"\n')
    try:
        certificates = Certificates(str(file))
    except PrincipalsError:
        file.write_text('["emailAddress=a@example.org,CN=a,O=Ex\\\\2C ample"]\nrole = "caller"\n')
        certificates = Certificates(str(file))
    evidence = shown(Authority(tmp_path), r"1.2.840.113549.1.9.1=a@example.org,CN=a,O=Ex\, ample")
    assert certificates.recognise(evidence).role == "caller"


def test_who_leaves_the_file_or_gets_other_rights_has_ended(tmp_path: Path, file: Path) -> None:
    certificates, authority = Certificates(str(file)), Authority(tmp_path)
    agent = certificates.recognise(shown(authority, "CN=agent-1,OU=fleet,O=Example"))
    operator = certificates.recognise(shown(authority, "CN=admin"))
    assert not certificates.look()
    file.write_text(FILE.replace('"operator"', '"observer"'))
    assert certificates.look()
    assert certificates.ended(agent) is None
    assert certificates.ended(operator) == "what tls_principals says of the certificate has changed"
    file.write_text("")
    assert certificates.look()
    assert certificates.ended(agent) is not None
    assert certificates.ended(Principal(id="token:abc", role="agent")) is None


def test_a_broken_file_leaves_the_old_one(tmp_path: Path, file: Path) -> None:
    certificates = Certificates(str(file))
    file.write_text("[")
    assert not certificates.look()
    assert certificates.problem is not None
    assert certificates.problem.startswith(f"tls_principals: {file} is not valid TOML: ")
    assert certificates.recognise(shown(Authority(tmp_path), "CN=admin")).role == "operator"
    file.write_text(FILE + "\n")
    assert not certificates.look(), "it says the same"
    assert certificates.problem is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('["CN=a"]\nrole = "root"', '["CN=a"] in'),
        ('["CN=a"]\nrole = "agent"\nnamespace = "*"', "namespace: * is only for the roles"),
        ('["CN=a"]\nrole = "agent"\nname = ["x"]', "no such key name"),
        ('["CN=a"]\nnames = ["x"]', "role"),
        ('["agent-1"]\nrole = "agent"', "is no subject, such as CN=agent-1,O=Example"),
        ('["CN=a"]\nrole = "agent"\n["CN=\\\\61"]\nrole = "operator"', "another table too"),
        ('"CN=a" = "operator"', '["CN=a"] in'),
        ("= 1", "is not valid TOML"),
    ],
)
def test_a_mistake_is_one_plain_sentence(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(PrincipalsError) as caught:
        Certificates(str(file))
    assert str(caught.value).startswith("tls_principals: ")
    assert words in str(caught.value)
