"""The websocket library's log at the level DEBUG, without the secrets that it would hold.

It has each header's value, the query of the URL, and the beginning and the end of each message: a
session token may be in it.
"""

from __future__ import annotations

import logging

from websockets.frames import DATA_OPCODES, Frame

_HIDDEN = "(hidden)"
_SECRET_ANSWERS = frozenset({"location", "set-cookie"})


class _WithoutSecrets(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        match record.msg, record.args:
            case "> %s: %s", (name, _):
                record.args = (name, _HIDDEN)
            case "< %s: %s", (str() as name, _) if name.lower() in _SECRET_ANSWERS:
                record.args = (name, _HIDDEN)
            case "> GET %s HTTP/1.1", (str() as path,):
                record.args = (path.partition("?")[0],)
            case "> %s" | "< %s", (Frame() as frame,) if frame.opcode in DATA_OPCODES:
                record.args = (f"{frame.opcode.name} ({len(frame.data)} bytes)",)
        return True


websocket_logger = logging.getLogger("homeport.client.websocket")
websocket_logger.addFilter(_WithoutSecrets())
