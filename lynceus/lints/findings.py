"""One thing that is to be said of one place of one file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ERROR, WARNING, NOTE = "error", "warning", "note"


@dataclass(frozen=True)
class Finding:
    """A place, what is the matter there, and the next step."""

    path: str
    line: int  # from 1
    column: int  # from 1
    level: str
    message: str
    hint: str = ""
    object: str = ""  # kind/name

    def to_data(self) -> dict[str, Any]:
        """As JSON, without what is empty."""
        return {name: value for name, value in asdict(self).items() if value != ""}
