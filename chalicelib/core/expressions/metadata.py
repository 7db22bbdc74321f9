"""The functions that only metadata expressions see: asInt, asFloat, toJson, jsonpath and sprig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def constants() -> Mapping[str, Any]:
    return {}
