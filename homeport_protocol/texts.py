"""Names in one form, so that two that look the same are the same.

Which characters a name may have is in the patterns of `bounds`, which every decoder checks. Here
it is brought to Normalization Form C (Unicode Standard Annex 15), in which é is one character.
"""

from __future__ import annotations

from collections.abc import Mapping
from unicodedata import normalize

from msgspec import Struct
from msgspec.structs import force_setattr

from homeport_protocol.bounds import LONGEST


def composed(text: str) -> str:
    """The text in NFC."""
    return text if text.isascii() else normalize("NFC", text)


def compose(message: Struct, longest: Mapping[str, int] = LONGEST, prefix: str = "") -> None:
    """Bring the fields that `longest` names to NFC; for the `__post_init__` of what is decoded.

    Raises ValueError, which begins with `prefix` and the field, for the few texts that NFC makes
    longer than the characters that `longest` allows.
    """
    for field, most in longest.items():
        value = getattr(message, field, None)
        if isinstance(value, str):
            if value.isascii():
                continue
            value = composed(value)
            size = len(value)
        elif isinstance(value, list):
            if all(each is None or each.isascii() for each in value):
                continue
            value = [each and composed(each) for each in value]
            size = max(len(each or "") for each in value)
        else:
            continue
        if size > most:
            raise ValueError(f"`{prefix}{field}`: more than {most} characters in Unicode's NFC")
        force_setattr(message, field, value)
