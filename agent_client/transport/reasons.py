"""What a peer's answer says when it speaks otherwise than was expected: TLS, or no HTTP."""

from __future__ import annotations

import ssl

from websockets.exceptions import InvalidMessage

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})
"""What OpenSSL calls the answer of a peer that speaks no TLS."""


def mismatch(error: BaseException, *, secure: bool) -> str | None:
    """One plain phrase, or None for any other error; `secure`: there was to be TLS."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError() if error.reason in _NO_TLS:
            return "no TLS is spoken there: use http:// or ws://"
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
    hint = "no TLS is spoken there, use http://" if secure else "TLS is spoken there, use https://"
    return f"the connection was closed before an answer came: if {hint}"
