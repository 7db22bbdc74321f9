"""Hypothesis takes the same examples in every run and times none of them: a red run is a change, not a slow machine.

To look further: `make unit TESTS=--hypothesis-profile=default`, and `make fuzz`.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("lynceus", deadline=None, derandomize=True)
settings.load_profile("lynceus")
