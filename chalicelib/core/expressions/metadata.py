"""What only metadata expressions see: asInt, asFloat, toJson, jsonpath, and sprig's functions.

Argo puts them into the environment beside the event's four names, and expr calls them by reflection: types
must fit exactly, and nil becomes the parameter's zero value.

Source: argo-workflows util/expr/env/env.go.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from chalicelib.core.expressions import jsonpaths, sprig
from chalicelib.core.expressions.builtins import to_floating, to_integer
from chalicelib.core.expressions.operations import Budget
from chalicelib.core.expressions.signatures import ANY_TYPE, Signature
from chalicelib.core.expressions.times import Time
from chalicelib.core.expressions.values import Method, marshal

_CHANCE: Final = random.SystemRandom()


def _now() -> Time:
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return Time(seconds, rest)


_SOURCES: Final = sprig.Sources(now=_now, random=_CHANCE)


def _sprig_method(function: sprig.Function) -> Method:
    signature = Signature(
        tuple(parameter.value for parameter in function.parameters), (ANY_TYPE,), function.variadic
    )

    def call(*arguments: Any) -> Any:
        return sprig.call(function, arguments, _SOURCES)

    return Method(signature, call, checks=True)


@cache
def constants() -> Mapping[str, Any]:
    """The names that stand beside the environment's, made once: sprig takes a while to import."""
    anything = Signature((ANY_TYPE,), (ANY_TYPE,))
    return {
        "asInt": Method(anything, lambda value: to_integer(Budget(), value)),
        "asFloat": Method(anything, lambda value: to_floating(Budget(), value)),
        "toJson": Method(Signature((ANY_TYPE,), ("string",)), marshal),
        "jsonpath": Method(Signature(("string", "string"), (ANY_TYPE,)), jsonpaths.jsonpath),
        "sprig": {name: _sprig_method(function) for name, function in sprig.FUNCTIONS.items()},
    }
