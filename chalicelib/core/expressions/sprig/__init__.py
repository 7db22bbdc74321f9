"""The functions of Masterminds/sprig that Argo offers to metadata expressions, as `sprig.name(…)`.

`FUNCTIONS` has all of them by name; `call(FUNCTIONS[name], arguments, sources)` calls one as Go would.
Functions are grouped by what they work on, one module each with its own table. Behaviour, errors included,
is that of sprig v3.3.0 called through expr; where it differs the function's docstring says so. Those that
need the network or make private keys are there and refuse.
"""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.core.expressions.sprig import (
    dates,
    defaults,
    dicts,
    encodings,
    lists,
    numbers,
    paths,
    reflection,
    regexes,
    secrets,
    strings,
    urls,
    versions,
)
from chalicelib.core.expressions.sprig.functions import Function, GoType, Sources, call

__all__ = ["FUNCTIONS", "Function", "GoType", "Sources", "call"]

FUNCTIONS: Mapping[str, Function] = {
    **dates.FUNCTIONS,
    **defaults.FUNCTIONS,
    **dicts.FUNCTIONS,
    **encodings.FUNCTIONS,
    **lists.FUNCTIONS,
    **numbers.FUNCTIONS,
    **paths.FUNCTIONS,
    **reflection.FUNCTIONS,
    **regexes.FUNCTIONS,
    **secrets.FUNCTIONS,
    **strings.FUNCTIONS,
    **urls.FUNCTIONS,
    **versions.FUNCTIONS,
}
