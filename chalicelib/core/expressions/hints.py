"""What the author of an expression probably meant by a name that nobody knows.

Most such names come from elsewhere: from Argo's own outdated documentation, from JavaScript, Python or JSON.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Final

from chalicelib.core.expressions.signatures import NAMES

# What other languages say → what expr says
_ELSEWHERE: Final[Mapping[str, str]] = {
    "null": "nil",
    "None": "nil",
    "undefined": "nil",
    "NULL": "nil",
    "True": "true",
    "TRUE": "true",
    "False": "false",
    "FALSE": "false",
    "AND": "and",
    "OR": "or",
    "NOT": "not",
    "startswith": "startsWith",
    "endswith": "endsWith",
    "length": "len",
    "size": "len",
    "body": "payload",
    "headers": "metadata",
    "header": "metadata",
    "toUpperCase": "upper",
    "toLowerCase": "lower",
    "includes": "contains",
    "indexof": "indexOf",
    "parseInt": "int",
    "str": "string",
}
_METADATA_ONLY: Final = frozenset({"sprig", "asInt", "asFloat", "toJson", "jsonpath"})
_EVENT_MEMBER = re.compile(r"\bevent\s*\??\.\s*(\w+)")


def hint_for(name: str, source: str, known: Iterable[str]) -> str:
    """A sentence for an unknown name, "" when nothing is like it; `known` are the environment's names."""
    names = list(known)
    if name == "event":
        member = _EVENT_MEMBER.search(source)
        right = member.group(1) if member and member.group(1) in names else "payload"
        return f'there is no "event" here, though old examples have it: write {right}… without "event."'
    if name in _ELSEWHERE:
        return f'did you mean "{_ELSEWHERE[name]}"?'
    if name in _METADATA_ONLY:
        return f'"{name}" exists only in submit.metadata, not in selectors and parameters'
    close = difflib.get_close_matches(name, [*names, *sorted(NAMES)], n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    return f"known names are {', '.join(sorted(names))}; a text needs quotes" if names else ""
