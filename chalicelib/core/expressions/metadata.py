"""The functions that only metadata expressions see: asInt, asFloat, toJson, jsonpath and sprig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chalicelib.core.expressions.signatures import Nature


def environment() -> Mapping[str, Any]:
    return {}


NATURES: Mapping[str, Nature] = {}
