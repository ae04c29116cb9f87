"""What a peer's answer says when it speaks otherwise than was expected: TLS, or no HTTP."""

from __future__ import annotations

import ssl

from websockets.exceptions import InvalidMessage

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
"""What OpenSSL calls the answer of a peer that speaks no TLS."""

_UNTRUSTED = {2, 18, 19, 20, 21}
_OTHER_NAME = {62, 64}
_OUT_OF_DATE = {9, 10}
"""OpenSSL's numbers of what is wrong with a certificate: its signer, its name, its dates."""

_CLIENT_CERTIFICATE = "give a client certificate (client_cert, --client-cert, HOMEPORT_CLIENT_CERT)"

_REFUSED_CERTIFICATE = frozenset({"UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN"})
"""The ends of OpenSSL's names for the alerts of a peer that does not take the certificate."""


def mismatch(error: BaseException, *, secure: bool) -> str | None:
    """One plain phrase, or None for any other error; `secure`: there was to be TLS."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message.rstrip('.')}" + _advice(
                getattr(error, "verify_code", 0)
            )
        case ssl.SSLError() if error.reason in _NO_TLS:
            return "no TLS is spoken there: use http:// or ws://"
        case ssl.SSLEOFError():
            return _closed(secure=secure)
        case ssl.SSLError() if "CERTIFICATE_REQUIRED" in (error.reason or ""):
            return f"it asks for a certificate: {_CLIENT_CERTIFICATE}"
        case ssl.SSLError() if (error.reason or "").partition("ALERT_")[2] in _REFUSED_CERTIFICATE:
            return "it does not take this client's certificate: is it of a CA that the hub trusts?"
        case ssl.SSLError() if error.reason:
            return f"TLS failed: {error.reason.replace('_', ' ').lower()}"
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return _closed(secure=secure)
        case InvalidMessage() if isinstance(error.__cause__, EOFError):
            return _closed(secure=secure)
        case InvalidMessage():
            return "what answers there is no hub: it does not speak HTTP"
        case _:
            return None


def _closed(*, secure: bool) -> str:
    hint = "TLS is spoken there, use https://"
    if secure:
        hint = f"no TLS is spoken there, use http://; if it asks for one, {_CLIENT_CERTIFICATE}"
    return f"the connection was closed before an answer came: if {hint}"


def _advice(verify_code: int) -> str:
    if verify_code in _UNTRUSTED:
        return (
            "; give the certificate of the CA that signed it (ca_file, --ca-file, HOMEPORT_CA_FILE)"
        )
    if verify_code in _OTHER_NAME:
        return "; put a name into the URL that the certificate has"
    if verify_code in _OUT_OF_DATE:
        return "; it must be renewed, or this machine's clock is wrong"
    return ""
