"""TLS to a hub: which certificates are trusted, and the one that the client shows."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from typing import TypeVar

from agent_client.errors import BadRequest
from agent_client.transport.credentials import FilePath

T = TypeVar("T")

CA_FILE_VARIABLE = "HOMEPORT_CA_FILE"
CLIENT_CERT_VARIABLE = "HOMEPORT_CLIENT_CERT"
CLIENT_KEY_VARIABLE = "HOMEPORT_CLIENT_KEY"


class Tls:
    """The files for `https://` and `wss://`, which are read at each connection.

    `ca_file` has the certificates to trust instead of the system's; `client_cert` is the client's
    own with its chain, `client_key` its key, unless that is in the same file. What is None comes
    from HOMEPORT_CA_FILE, HOMEPORT_CLIENT_CERT and HOMEPORT_CLIENT_KEY; the last counts with the
    one before it only. Raises BadRequest for a key without a certificate.
    """

    def __init__(
        self,
        ca_file: FilePath | None = None,
        client_cert: FilePath | None = None,
        client_key: FilePath | None = None,
    ) -> None:
        if client_key is not None and client_cert is None:
            raise BadRequest(
                "client_key: give `client_cert` as well, the certificate of this key",
                field="client_key",
            )
        self._ca_file = _File.of(ca_file, "ca_file", CA_FILE_VARIABLE)
        self._cert = _File.of(client_cert, "client_cert", CLIENT_CERT_VARIABLE)
        if client_cert is not None:
            self._key = _File.of(client_key, "client_key", "")
        else:
            self._key = _File.of(None, "client_key", CLIENT_KEY_VARIABLE)

    @property
    def shown(self) -> str | None:
        """What the client's certificate is from, for messages; None when it shows none."""
        return None if self._cert is None else str(self._cert)

    def context(self) -> ssl.SSLContext:
        """For one connection; TLS 1.2 at least. Raises BadRequest naming the file at fault."""
        if self._ca_file is None:
            context = ssl.create_default_context()
        else:
            path = self._ca_file.path
            context = self._ca_file.used(
                lambda: ssl.create_default_context(cafile=path),
                "it holds no certificate in PEM form",
            )
        if self._cert is not None:
            self._show_certificate(context, self._cert)
        return context

    def _show_certificate(self, context: ssl.SSLContext, cert: _File) -> None:
        key = self._key
        path = None
        unusable = (
            "it holds no certificate with its key in PEM form; name the file of the key with "
            "client_key, --client-key or HOMEPORT_CLIENT_KEY"
        )
        if key is not None:
            path = key.path
            unusable = f"there is no certificate in it, or no key in {path}, in PEM form"
            # OpenSSL does not say which is missing
            key.used(lambda: open(key.path, "rb").close(), unusable)
        cert.used(lambda: context.load_cert_chain(cert.path, path, _no_passphrase), unusable)


class _File:
    def __init__(self, path: FilePath, given_by: str, field: str) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._given_by = given_by
        self._field = field

    def __str__(self) -> str:
        return f"{self._given_by} {self.path}"

    @staticmethod
    def of(given: FilePath | None, field: str, variable: str) -> _File | None:
        if given is not None:
            return _File(given, field, field)
        path = os.environ.get(variable)
        return _File(path, variable, field) if path else None

    def used(self, use: Callable[[], T], unusable: str) -> T:
        """What `use` returns. Raises BadRequest: `unusable` where OpenSSL gives no reason."""
        try:
            return use()
        except ssl.SSLError as error:
            why = _SSL_REASONS.get(error.reason or "", unusable)
        except OSError as error:
            why = f"it cannot be read: {(error.strerror or str(error)).lower()}"
        except _EncryptedError:
            why = "its key has a passphrase; give a key without one"
        raise BadRequest(f"{self}: {why}", field=self._field)


_SSL_REASONS = {
    "KEY_VALUES_MISMATCH": "its certificate and the key do not belong together",
    "KEY_TYPE_MISMATCH": "its certificate and the key do not belong together",
}


class _EncryptedError(Exception):
    pass


def _no_passphrase() -> str:
    """OpenSSL would ask for it on the terminal otherwise."""
    raise _EncryptedError
