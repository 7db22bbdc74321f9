"""The machine's own clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The Clock port as it is."""

    def now(self) -> datetime:
        """See `chalicelib.ports.Clock.now`."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See `chalicelib.ports.Clock.monotonic`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See `chalicelib.ports.Clock.sleep`."""
        time.sleep(seconds)
