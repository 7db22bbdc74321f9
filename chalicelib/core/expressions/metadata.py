"""What only metadata expressions see: asInt, asFloat, toJson, jsonpath, and sprig's functions.

Argo puts them into the environment beside the event's four names, and expr calls them by reflection: types
must fit exactly, and nil becomes the parameter's zero value.

Source: argo-workflows util/expr/env/env.go.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Final

from chalicelib.core.expressions import jsonpaths, sprig
from chalicelib.core.expressions.builtins import now, to_floating, to_integer
from chalicelib.core.expressions.operations import Budget
from chalicelib.core.expressions.signatures import ANY_TYPE, Signature
from chalicelib.core.expressions.values import Method, marshal

_CHANCE: Final = random.SystemRandom()  # for who asks without naming a source of chance


def _sprig_method(function: sprig.Function) -> Method:
    signature = Signature(
        tuple(parameter.value for parameter in function.parameters), (ANY_TYPE,), function.variadic
    )

    def call(budget: Budget, *arguments: Any) -> Any:
        return sprig.call(
            function, arguments, sprig.Sources(partial(now, budget), budget.chance or _CHANCE, budget)
        )

    return Method(signature, call, checks=True, metered=True)


def _to_json(budget: Budget, value: Any) -> str:
    return marshal(value, meter=budget)


def _jsonpath(budget: Budget, document: str, path: str) -> Any:
    return jsonpaths.jsonpath(document, path, budget)


@cache
def constants() -> Mapping[str, Any]:
    """The names that stand beside the environment's, made once: sprig takes a while to import."""
    anything = Signature((ANY_TYPE,), (ANY_TYPE,))
    return {
        "asInt": Method(anything, to_integer, metered=True),
        "asFloat": Method(anything, to_floating, metered=True),
        "toJson": Method(Signature((ANY_TYPE,), ("string",)), _to_json, metered=True),
        "jsonpath": Method(Signature(("string", "string"), (ANY_TYPE,)), _jsonpath, metered=True),
        "sprig": {name: _sprig_method(function) for name, function in sprig.FUNCTIONS.items()},
    }
