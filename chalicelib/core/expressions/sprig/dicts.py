"""sprig's functions on maps. `set`, `unset` and the merges change their first argument, as in Go.

`keys` and `values` are sorted by key here, where Go's order is random. A map may not be put into itself:
Go allows it and dies printing it.

Source: Masterminds/sprig v3.3.0 dict.go; dario.cat/mergo v1.0.1 merge.go; mitchellh/copystructure v1.2.0.
"""

from __future__ import annotations

from typing import Any

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.functions import (
    ANY,
    MAP,
    STRING,
    Function,
    NilMap,
    aliases,
    kind_of,
    steps,
    strval,
    table,
)
from chalicelib.core.expressions.sprig.reflection import is_empty
from chalicelib.core.expressions.values import AnyMap, Meter, StringMap, Strings, go_type


def dict_of(*pairs: Any) -> dict[str, Any]:
    """Keys and values in turn; a last key without a value gets ""."""
    return {
        strval(pairs[index]): pairs[index + 1] if index + 1 < len(pairs) else ""
        for index in range(0, len(pairs), 2)
    }


def set_key(members: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """The map itself, with a member set."""
    if isinstance(members, NilMap):
        raise FunctionError("assignment to entry in nil map")
    _refuse_cycle(members, value)
    members[key] = value
    return members


def unset(members: dict[str, Any], key: str) -> dict[str, Any]:
    """The map itself, without a member."""
    members.pop(key, None)
    return members


def pluck(key: str, *maps: dict[str, Any]) -> list[Any]:
    """What each map that has the key holds there."""
    return [members[key] for members in maps if key in members]


def keys(*maps: dict[str, Any]) -> Strings:
    """The keys of all maps, each sorted."""
    return Strings(key for members in maps for key in sorted(members))


def values(members: dict[str, Any]) -> list[Any]:
    """The values of a map, by key."""
    return [members[key] for key in sorted(members)]


def pick(members: dict[str, Any], *wanted: str) -> dict[str, Any]:
    """The members with these keys."""
    return {key: members[key] for key in wanted if key in members}


def omit(members: dict[str, Any], *unwanted: str) -> dict[str, Any]:
    """The members without these keys."""
    return {key: value for key, value in members.items() if key not in unwanted}


def dig(*arguments: Any) -> Any:
    """A value deep in a map: keys, then what to give where one is missing, then the map."""
    if len(arguments) < 3:
        raise FunctionError("dig needs at least three arguments")
    *path, fallback, found = arguments
    found = _asserted(found, "map[string]interface {}")
    for key in path:
        _asserted(key, "string")
    for position, key in enumerate(path):
        if key not in found:
            return fallback
        found = found[key]
        if position + 1 < len(path):
            found = _asserted(found, "map[string]interface {}")
    return found


def _asserted(value: Any, wanted: str) -> Any:
    given = "nil" if value is None else go_type(value)
    if given != wanted:
        raise FunctionError(f"interface conversion: interface {{}} is {given}, not {wanted}")
    return value


# --- merging --------------------------------------------------------------------------------------------


class _CannotMerge(Exception):
    """What mergo returns as an error, which `merge` swallows."""


def merge(target: dict[str, Any], *sources: dict[str, Any]) -> Any:
    """The target with what it lacks or has empty taken from each source in turn; "" where that fails."""
    return _merged(target, sources, overwrite=False, failed="")


def merge_overwrite(target: dict[str, Any], *sources: dict[str, Any]) -> Any:
    """The target with everything from each source in turn; "" where that fails."""
    return _merged(target, sources, overwrite=True, failed="")


def must_merge(target: dict[str, Any], *sources: dict[str, Any]) -> Any:
    """Like `merge`. Raises FunctionError where that fails."""
    return _merged(target, sources, overwrite=False)


def must_merge_overwrite(target: dict[str, Any], *sources: dict[str, Any]) -> Any:
    """Like `merge_overwrite`. Raises FunctionError where that fails."""
    return _merged(target, sources, overwrite=True)


def _merged(
    target: dict[str, Any], sources: tuple[dict[str, Any], ...], *, overwrite: bool, failed: Any = None
) -> Any:
    for source in sources:
        if isinstance(target, NilMap) and not isinstance(source, NilMap):
            target = {}
        try:
            _merge(target, source, overwrite=overwrite)
        except _CannotMerge as error:
            if failed is None:
                raise FunctionError(str(error)) from None
            return failed
    return target


def _merge(target: dict[str, Any], source: dict[str, Any], *, overwrite: bool) -> None:
    for key, value in list(source.items()):  # a source may be what it is merged into
        present = key in target
        current: Any = target.get(key)
        if value is None:
            if overwrite:
                _assign(target, source, key)
            continue
        kind, current_kind = kind_of(value), kind_of(current)
        if kind == "map" and current_kind == "map":
            if isinstance(current, AnyMap) or isinstance(value, AnyMap):
                raise FunctionError("only maps with strings as keys can be merged")
            _merge(current, value, overwrite=overwrite)
        elif kind in ("map", "struct") and current_kind == "ptr" and not overwrite:
            raise _CannotMerge("src and dst must be of same type")
        if present and not is_empty(current) and kind == current_kind == "map":
            continue
        if overwrite or not present or is_empty(current):
            _assign(target, source, key)


def _assign(target: dict[str, Any], source: dict[str, Any], key: str) -> None:
    if isinstance(target, StringMap) and not isinstance(source, StringMap):
        raise FunctionError(
            "reflect.Value.SetMapIndex: value of type interface {} is not assignable to type string"
        )
    _refuse_cycle(target, source[key])
    target[key] = source[key]


def _refuse_cycle(target: dict[str, Any], value: Any) -> None:
    """Raises FunctionError when the value is the target, or holds it somewhere."""
    meter = steps()
    seen: set[int] = set()
    open_values = [value]
    while open_values:
        current = open_values.pop()
        if current is target:
            raise FunctionError("a map cannot be put into itself")
        if id(current) in seen or not isinstance(current, dict | list):
            continue
        seen.add(id(current))
        meter.spend(1 + len(current))
        open_values.extend(current.values() if isinstance(current, dict) else current)


# --- copies ---------------------------------------------------------------------------------------------


def deep_copy(value: Any) -> Any:
    """The value with copies of all lists and maps in it; nil cannot be copied."""
    if value is None:
        raise FunctionError("reflect: call of reflect.Value.Type on zero Value")
    return _copied(value, steps())


def _copied(value: Any, meter: Meter) -> Any:
    # Comprehensions, not generators: those would recurse on the C stack, which nothing bounds.
    meter.spend(1)
    if isinstance(value, dict):
        return type(value)({key: _copied(item, meter) for key, item in value.items()})
    if isinstance(value, list):
        return type(value)([_copied(item, meter) for item in value])
    return value


FUNCTIONS = table(
    *aliases(deep_copy, (ANY,), "deepCopy", "mustDeepCopy"),
    Function("dict", (ANY,), dict_of, variadic=True),
    Function("dig", (ANY,), dig, variadic=True),
    Function("get", (MAP, STRING), lambda members, key: members.get(key, "")),
    Function("hasKey", (MAP, STRING), lambda members, key: key in members),
    Function("keys", (MAP,), keys, variadic=True),
    Function("merge", (MAP, MAP), merge, variadic=True),
    Function("mergeOverwrite", (MAP, MAP), merge_overwrite, variadic=True),
    Function("mustMerge", (MAP, MAP), must_merge, variadic=True),
    Function("mustMergeOverwrite", (MAP, MAP), must_merge_overwrite, variadic=True),
    Function("omit", (MAP, STRING), omit, variadic=True),
    Function("pick", (MAP, STRING), pick, variadic=True),
    Function("pluck", (STRING, MAP), pluck, variadic=True),
    Function("set", (MAP, STRING, ANY), set_key),
    Function("unset", (MAP, STRING), unset),
    Function("values", (MAP,), values),
)
