"""What is known before running: Go's static types, and what each builtin takes and gives.

A `Nature` is a static type as expr knows it: a Go type by name, nil, or nothing known. `OVERLOADS` lists the
builtins that Go types one by one, `VALIDATORS` those that look at their arguments; both are tables, so that
a new builtin is a row here and a function in `builtins`.

Source: expr v1.17.8 checker/nature/nature.go, builtin/builtin.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from chalicelib.core.expressions.panics import FunctionError

ANY_TYPE: Final = "interface {}"
_NUMBERS: Final = frozenset({"int", "uint8", "int64", "float64"})
_INTEGERS: Final = frozenset({"int", "uint8", "int64"})


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's type; a variadic one takes any number of its last parameter."""

    parameters: tuple[str, ...]
    results: tuple[str, ...]
    variadic: bool = False
    name: str = ""  # of a builtin, which has more than one signature

    def __str__(self) -> str:
        parameters = list(self.parameters)
        if self.variadic:
            parameters[-1] = "..." + parameters[-1]
        results = ", ".join(self.results)
        if len(self.results) > 1:
            results = f"({results})"
        return f"func({', '.join(parameters)}) {results}".rstrip()


@dataclass(frozen=True, slots=True)
class Nature:
    """A static type. `item` says more about the items of a list than its Go type does."""

    type: str = ""  # Go's name, "" when nothing is known
    kind: str = "invalid"
    nil: bool = False
    item: Nature | None = None
    signature: Signature | None = None
    out: Nature | None = None  # of a predicate: what it gives

    def __str__(self) -> str:
        return self.type or "unknown"

    @property
    def unknown(self) -> bool:
        return (not self.type and not self.nil) or self.kind == "interface"

    @property
    def number(self) -> bool:
        return self.type in _NUMBERS

    @property
    def integer(self) -> bool:
        return self.type in _INTEGERS

    @property
    def array(self) -> bool:
        return self.kind in ("slice", "array")

    @property
    def named(self) -> bool:
        """Whether the type belongs to a package: time.Month is no plain int."""
        return "." in self.type and self.kind != "func"

    def dereferenced(self) -> Nature:
        return nature_of(self.type[1:]) if self.kind == "ptr" else self

    def items(self) -> Nature:
        """What an item of a list or a value of a map is."""
        if self.item is not None:
            return self.item
        if self.kind == "slice":
            return nature_of(self.type[2:])
        if self.kind == "array":
            return nature_of(self.type[self.type.index("]") + 1 :])
        if self.kind == "map":
            return nature_of(self.type[self.type.index("]") + 1 :])
        return UNKNOWN

    def keys(self) -> Nature:
        """What a key of a map is."""
        return nature_of(self.type[4 : self.type.index("]")]) if self.kind == "map" else UNKNOWN

    def assignable_to(self, other: Nature) -> bool:
        if self.nil and other.kind in ("ptr", "interface", "func", "map", "slice"):
            return True
        if not self.type or not other.type:
            return False
        return other.kind == "interface" or self.type == other.type

    def comparable_to(self, other: Nature) -> bool:
        return (
            self.unknown
            or other.unknown
            or self.nil
            or other.nil
            or (self.number and other.number)
            or (self.array and other.array)
            or self.assignable_to(other)
        )


_KINDS: Final[Mapping[str, str]] = {
    ANY_TYPE: "interface",
    "time.Time": "struct",
    "time.Location": "struct",
    "time.Duration": "int64",
    "time.Month": "int",
    "time.Weekday": "int",
}


@lru_cache(maxsize=256)
def nature_of(type_name: str) -> Nature:
    """The nature of a Go type by its name; of "" the unknown one."""
    if not type_name:
        return UNKNOWN
    kind = _KINDS.get(type_name)
    if kind is None:
        prefixes = (("[]", "slice"), ("[", "array"), ("map[", "map"), ("func(", "func"), ("*", "ptr"))
        kind = next((kind for prefix, kind in prefixes if type_name.startswith(prefix)), type_name)
    return Nature(type_name, kind)


UNKNOWN: Final = Nature()
NIL: Final = Nature(nil=True)
ANY: Final = nature_of(ANY_TYPE)
BOOL: Final = nature_of("bool")
INT: Final = nature_of("int")
FLOAT: Final = nature_of("float64")
STRING: Final = nature_of("string")
BYTES: Final = nature_of("[]uint8")
ARRAY: Final = nature_of("[]interface {}")
MAP: Final = nature_of("map[string]interface {}")
TIME: Final = nature_of("time.Time")
DURATION: Final = nature_of("time.Duration")


def array_of(item: Nature) -> Nature:
    """A []any whose items are known."""
    return Nature(ARRAY.type, ARRAY.kind, item=item)


def function_nature(signature: Signature) -> Nature:
    return Nature(str(signature), "func", signature=signature)


# --- builtins that Go types by signature -------------------------------------------------------------------


def _overload(text: str, result: str) -> Signature:
    return Signature(tuple(part.strip() for part in text.split(",") if part), (result,))


_ANYS = "[]interface {}"
_INT_INT = (_overload("int, int", "int"),)

# https://expr-lang.org/docs/language-definition: the first overload that fits counts, the last one's error shows
OVERLOADS: Final[Mapping[str, tuple[Signature, ...]]] = {
    "type": (_overload(ANY_TYPE, "string"),),
    "string": (_overload(ANY_TYPE, "string"),),
    "trim": (_overload("string", "string"), _overload("string, string", "string")),
    "trimPrefix": (_overload("string, string", "string"), _overload("string", "string")),
    "trimSuffix": (_overload("string, string", "string"), _overload("string", "string")),
    "upper": (_overload("string", "string"),),
    "lower": (_overload("string", "string"),),
    "split": (_overload("string, string", "[]string"), _overload("string, string, int", "[]string")),
    "splitAfter": (_overload("string, string", "[]string"), _overload("string, string, int", "[]string")),
    "replace": (
        _overload("string, string, string, int", "string"),
        _overload("string, string, string", "string"),
    ),
    "repeat": (_overload("string, int", "string"),),
    "join": (
        _overload("[]string, string", "string"),
        _overload(f"{_ANYS}, string", "string"),
        _overload(_ANYS, "string"),
        _overload("[]string, string", "string"),
        _overload("[]string", "string"),
    ),
    "indexOf": (_overload("string, string", "int"),),
    "lastIndexOf": (_overload("string, string", "int"),),
    "hasPrefix": (_overload("string, string", "bool"),),
    "hasSuffix": (_overload("string, string", "bool"),),
    "toJSON": (_overload(ANY_TYPE, "string"),),
    "fromJSON": (_overload("string", ANY_TYPE),),
    "toBase64": (_overload("string", "string"),),
    "fromBase64": (_overload("string", "string"),),
    "duration": (Signature(("string",), ("time.Duration", "error")),),
    "timezone": (Signature(("string",), ("*time.Location", "error")),),
    "sort": (
        _overload(f"{_ANYS}, string", _ANYS),
        _overload("[]int, string", _ANYS),
        _overload("[]float64, string", _ANYS),
        _overload("[]string, string", _ANYS),
        _overload(_ANYS, _ANYS),
        _overload("[]float64", _ANYS),
        _overload("[]string", _ANYS),
        _overload("[]int", _ANYS),
    ),
    "bitand": _INT_INT,
    "bitor": _INT_INT,
    "bitxor": _INT_INT,
    "bitnand": _INT_INT,
    "bitshl": _INT_INT,
    "bitshr": _INT_INT,
    "bitushr": _INT_INT,
    "bitnot": (_overload("int", "int"),),
}

# --- builtins that look at their arguments -----------------------------------------------------------------
# A validator takes the argument types ("" for nil, ANY_TYPE for unknown) and gives the result's type.

Validator = Callable[[list[str]], str]


def _one(arguments: list[str]) -> str:
    if len(arguments) != 1:
        raise FunctionError(f"invalid number of arguments (expected 1, got {len(arguments)})")
    return arguments[0]


def _kind(type_name: str) -> str:
    return nature_of(type_name).dereferenced().kind if type_name else "invalid"


def _shown(type_name: str) -> str:
    return type_name or "%!s(<nil>)"


_NUMERIC_KINDS: Final = frozenset({"int", "int64", "uint8", "float64"})
_LISTS: Final = frozenset({"interface", "slice", "array"})


def _takes(kinds: frozenset[str], result: str, complaint: str) -> Validator:
    """A validator for one argument of certain kinds; result "=" is the argument's own type."""

    def validate(arguments: list[str]) -> str:
        argument = _one(arguments)
        if _kind(argument) in kinds:
            return argument if result == "=" else result
        raise FunctionError(complaint.format(_shown(argument)))

    return validate


def _first_item(complaint: str) -> Validator:
    def validate(arguments: list[str]) -> str:
        argument = _one(arguments)
        if _kind(argument) == "interface":
            return ANY_TYPE
        if _kind(argument) in ("slice", "array"):
            return nature_of(argument).items().type
        raise FunctionError(complaint.format(_shown(argument)))

    return validate


def _aggregate(name: str) -> Validator:
    def validate(arguments: list[str]) -> str:
        if not arguments:
            raise FunctionError(f"not enough arguments to call {name}")
        for argument in arguments:
            if _kind(argument) in _LISTS:
                return ANY_TYPE
            if _kind(argument) not in _NUMERIC_KINDS:
                raise FunctionError(f"invalid argument for {name} (type {_shown(argument)})")
        return arguments[0]

    return validate


def _now(arguments: list[str]) -> str:
    if not arguments or arguments == ["*time.Location"]:
        return TIME.type
    raise FunctionError(f"invalid number of arguments (expected 0, got {len(arguments)})")


def _date(arguments: list[str]) -> str:
    if not arguments:
        raise FunctionError("invalid number of arguments (expected at least 1, got 0)")
    rest = arguments[1:] if arguments[0] == "*time.Location" else arguments
    if len(rest) > 3:
        raise FunctionError(f"invalid number of arguments (expected at most 3, got {len(rest)})")
    return TIME.type


def _take(arguments: list[str]) -> str:
    if len(arguments) != 2:
        raise FunctionError(f"invalid number of arguments (expected 2, got {len(arguments)})")
    if _kind(arguments[0]) not in _LISTS:
        raise FunctionError(f"cannot take from {_shown(arguments[0])}")
    if _kind(arguments[1]) not in ("interface", "int", "int64"):
        raise FunctionError(f"cannot take {_shown(arguments[1])} elements")
    return arguments[0]


def _concat(arguments: list[str]) -> str:
    if not arguments:
        raise FunctionError("invalid number of arguments (expected at least 1, got 0)")
    for argument in arguments:
        if _kind(argument) not in _LISTS:
            raise FunctionError(f"cannot concat {_shown(argument)}")
    return _ANYS


_ROUNDS = _NUMERIC_KINDS | {"interface"}
_CONVERTS = _NUMERIC_KINDS | {"interface", "string"}
_MAPS = frozenset({"interface", "map"})

VALIDATORS: Final[Mapping[str, Validator]] = {
    "len": _takes(_LISTS | {"map", "string"}, "int", "invalid argument for len (type {})"),
    "abs": _takes(_ROUNDS, "=", "invalid argument for abs (type {})"),
    "ceil": _takes(_ROUNDS, "float64", "invalid argument for ceil (type {})"),
    "floor": _takes(_ROUNDS, "float64", "invalid argument for floor (type {})"),
    "round": _takes(_ROUNDS, "float64", "invalid argument for round (type {})"),
    "int": _takes(_CONVERTS, "int", "invalid argument for int (type {})"),
    "float": _takes(_CONVERTS, "float64", "invalid argument for float (type {})"),
    "max": _aggregate("max"),
    "min": _aggregate("min"),
    "mean": _aggregate("mean"),
    "median": _aggregate("median"),
    "now": _now,
    "date": _date,
    "first": _first_item("cannot get first element from {}"),
    "last": _first_item("cannot get last element from {}"),
    "take": _take,
    "keys": _takes(_MAPS, _ANYS, "cannot get keys from {}"),
    "values": _takes(_MAPS, _ANYS, "cannot get values from {}"),
    "toPairs": _takes(_MAPS, _ANYS, "cannot transform {} to pairs"),
    "fromPairs": _takes(_LISTS, "map[interface {}]interface {}", "cannot transform {} from pairs"),
    "reverse": _takes(_LISTS, _ANYS, "cannot reverse {}"),
    "uniq": _takes(_LISTS, _ANYS, "cannot uniq {}"),
    "concat": _concat,
    "flatten": _takes(_LISTS, _ANYS, "cannot flatten {}"),
}

# The function types that Go's machine calls without reflection: arguments are asserted there, and nil is none.
# Source: vm/func_types[generated].go; those without arguments make no difference.
TYPED_CALLS: Final = frozenset(
    f"func({parameters}) {result}"
    for parameters, results in {
        "time.Duration": ("time.Duration", "time.Time"),
        "time.Time": ("time.Duration", "bool"),
        _ANYS: (_ANYS, ANY_TYPE, "map[string]interface {}"),
        f"{_ANYS}, string": ("string",),
        "[]string, string": ("string",),
        ANY_TYPE: (_ANYS, ANY_TYPE, "bool", "float64", "int", "map[string]interface {}", "string"),
        f"{ANY_TYPE}, {ANY_TYPE}": (_ANYS, ANY_TYPE, "bool", "string"),
        "bool": ("bool", "float64", "int", "string"),
        "float64": ("bool", "float64", "int", "string"),
        "int": ("bool", "float64", "int", "string"),
        "int, int": ("int", "string"),
        "int64": ("time.Time",),
        "string": ("[]string", "bool", "float64", "int", "string"),
        "string, uint8": ("int",),
        "string, int": ("int",),
        "string, string": ("bool", "string"),
    }.items()
    for result in results
)

_PREDICATE = "func(interface {}) bool"
_LOOP_RESULTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("all", "none", "any", "one"), "bool"),
    **dict.fromkeys(("findIndex", "findLastIndex", "count", "sum"), "int"),
    **dict.fromkeys(("find", "findLast"), ANY_TYPE),
    "filter": _ANYS,
}
# The type of a loop's bare name; calls are checked by the checker itself.
LOOPS: Final[Mapping[str, Signature]] = {
    **{name: Signature((_ANYS, _PREDICATE), (result,)) for name, result in _LOOP_RESULTS.items()},
    "map": Signature((_ANYS, "func(interface {}) interface {}"), (_ANYS,)),
    "groupBy": Signature((_ANYS, "func(interface {}) interface {}"), ("map[interface {}][]interface {}",)),
    "sortBy": Signature((_ANYS, _PREDICATE, "string"), (_ANYS,)),
    "reduce": Signature((_ANYS, "func(interface {}, interface {}) interface {}", ANY_TYPE), (ANY_TYPE,)),
}

NAMES: Final = frozenset({*OVERLOADS, *VALIDATORS, *LOOPS, "get"})
_UNTYPED = Signature((ANY_TYPE,), (ANY_TYPE, "error"), variadic=True)


def builtin_nature(name: str) -> Nature:
    """The type of a builtin's bare name."""
    first = LOOPS[name] if name in LOOPS else OVERLOADS.get(name, (_UNTYPED,))[0]
    named = Signature(first.parameters, first.results, first.variadic, name)
    return Nature(str(first), "func", signature=named)
