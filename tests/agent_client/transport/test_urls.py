"""The hubs' URLs: every form that a user may write, and what may be shown of them."""

from __future__ import annotations

import pytest

from agent_client import BadURL
from agent_client.transport.urls import hub_urls, websocket_url, without_secrets


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://hub:8080", "ws://hub:8080/ws"),
        ("http://hub:8080/", "ws://hub:8080/ws"),
        ("HTTPS://hub", "wss://hub/ws"),
        ("ws://hub/ws", "ws://hub/ws"),
        ("wss://hub/ws/", "wss://hub/ws"),
        ("https://proxy/homeport", "wss://proxy/homeport/ws"),
        ("http://[::1]:8080?namespace=blue", "ws://[::1]:8080/ws?namespace=blue"),
        ("http://[::ffff:127.0.0.1]:8080", "ws://[::ffff:127.0.0.1]:8080/ws"),
        ("http://127.1:8080", "ws://127.0.0.1:8080/ws"),
        ("https://agent:x%40y@0x7f.1", "wss://agent:x%40y@127.0.0.1/ws"),
        ("http://127.1.example:8080", "ws://127.1.example:8080/ws"),
    ],
)
def test_every_form_of_a_url_leads_to_the_websocket(given: str, expected: str) -> None:
    assert websocket_url(given) == expected


def test_the_environment_may_name_several_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_urls(None) == ["ws://127.0.0.1:8080/ws"]
    monkeypatch.setenv("HOMEPORT_URL", "http://a:1, http://b:2 ,http://a:1/ws")
    assert hub_urls(None) == ["ws://a:1/ws", "ws://b:2/ws"]
    monkeypatch.setenv("HOMEPORT_URL", " ")
    assert hub_urls(None) == ["ws://127.0.0.1:8080/ws"]


def test_a_malformed_url_is_refused_without_repeating_its_password() -> None:
    for url in ("http://user:password@hub:0", "http://user:password@:80", "x://user:password@h"):
        with pytest.raises(BadURL) as caught:
            websocket_url(url)
        assert "password" not in str(caught.value)
    assert without_secrets("ws://u:p@h:1/ws?token=t") == "ws://h:1/ws"
