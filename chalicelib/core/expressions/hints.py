"""What the author of an expression probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_NOT_WORDS = {"null": "nil", "None": "nil", "undefined": "nil", "True": "true", "False": "false"}


def hint_for(name: str, source: str, known: Iterable[str]) -> str:
    """A sentence for an unknown name, "" when nothing is like it."""
    if name in _NOT_WORDS:
        return f"did you mean {_NOT_WORDS[name]}?"
    if name == "event":
        return "there is no event: write payload, metadata, discriminator or namespace alone"
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else ""
