"""sprig's functions on lists: any slice is taken, []any is given; none changes its argument.

Each has a twin that begins with `must`: in a template one panics and the other returns its error, here both
are the same run error.

Source: Masterminds/sprig v3.3.0 list.go, strings.go (sortAlpha).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.casts import to_int64
from chalicelib.core.expressions.sprig.functions import (
    ANY,
    INT,
    NIL_DEREFERENCE,
    Function,
    aliases,
    bounded_items,
    kind_of,
    steps,
    strval,
    table,
)
from chalicelib.core.expressions.sprig.numbers import quotient
from chalicelib.core.expressions.sprig.reflection import is_empty
from chalicelib.core.expressions.sprig.strings import to_strings
from chalicelib.core.expressions.values import (
    Meter,
    NilList,
    NilStrings,
    Strings,
    deep_equal,
    items_of,
    truncate,
    utf8,
)


class Lists(list[Any]):
    """[][]any: a list cut into chunks."""

    go_type = "[][]interface {}"


def _items(value: Any, complaint: str) -> list[Any]:
    """The items of a slice; raises FunctionError with the complaint, `{}` being the value's kind."""
    if value is None:
        raise FunctionError(NIL_DEREFERENCE)
    if not isinstance(value, list | bytes):
        raise FunctionError(complaint.format(kind_of(value)))
    return list(items_of(value))


def push(value: Any, item: Any) -> list[Any]:
    """The items and one more."""
    return [*_items(value, "Cannot push on type {}"), item]


def prepend(value: Any, item: Any) -> list[Any]:
    """One more item and the items."""
    return [item, *_items(value, "Cannot prepend on type {}")]


def first(value: Any) -> Any:
    """The first item, nil of an empty list."""
    items = _items(value, "Cannot find first on type {}")
    return items[0] if items else None


def last(value: Any) -> Any:
    """The last item, nil of an empty list."""
    items = _items(value, "Cannot find last on type {}")
    return items[-1] if items else None


def rest(value: Any) -> list[Any]:
    """All items but the first."""
    return _items(value, "Cannot find rest on type {}")[1:] or _nil_if_empty(value)


def initial(value: Any) -> list[Any]:
    """All items but the last."""
    return _items(value, "Cannot find initial on type {}")[:-1] or _nil_if_empty(value)


def _nil_if_empty(value: Any) -> list[Any]:
    return [] if value else NilList()


def reverse(value: Any) -> list[Any]:
    """The items from last to first."""
    return _items(value, "Cannot find reverse on type {}")[::-1]


def compact(value: Any) -> list[Any]:
    """The items that are not empty."""
    return [item for item in _items(value, "Cannot compact on type {}") if not is_empty(item)]


def uniq(value: Any) -> list[Any]:
    """The items without those that were there before."""
    kept: list[Any] = []
    meter = steps()
    for item in _items(value, "Cannot find uniq on type {}"):
        if not _is_in(item, kept, meter):
            kept.append(item)
    return kept


def without(value: Any, *omitted: Any) -> list[Any]:
    """The items that are none of those omitted."""
    meter = steps()
    items = _items(value, "Cannot find without on type {}")
    return [item for item in items if not _is_in(item, omitted, meter)]


def has(needle: Any, value: Any) -> bool:
    """Whether an item is there, of the same type and content."""
    return value is not None and _is_in(needle, _items(value, "Cannot find has on type {}"), steps())


def _is_in(needle: Any, items: Iterable[Any], meter: Meter) -> bool:
    return any(deep_equal(needle, item, meter) for item in items)


def slice_of(value: Any, *bounds: Any) -> Any:
    """From a first to before a last position; nil of an empty list.

    Unlike sprig, which shows what else the memory behind a slice holds, a last position beyond the end is
    always an error.
    """
    items = _items(value, "list should be type of slice or array but {}")
    if not items:
        return None
    start = to_int64(bounds[0]) if bounds else 0
    end = to_int64(bounds[1]) if len(bounds) > 1 else len(items)
    if not 0 <= start <= end <= len(items):
        raise FunctionError("reflect.Value.Slice: slice index out of bounds")
    part = value[start:end]
    return type(value)(part) if isinstance(value, list) else part


def chunk(size: int, value: Any) -> Lists:
    """The items in lists of a size; the last one has the rest."""
    items = _items(value, "Cannot chunk type {}")
    # In floats as Go does, so that a size of 0 or less fails where it fails there.
    count = quotient(float(len(items) - 1), float(size))
    chunks = truncate(count if math.isnan(count) or math.isinf(count) else math.floor(count) + 1.0)
    if size < -1 and len(items) == 1:
        return Lists([items])  # the one length that a negative size goes into
    if chunks < 0 or (chunks and size < 0):
        raise FunctionError("runtime error: makeslice: len out of range")
    return Lists(items[index * size : (index + 1) * size] for index in range(chunks))


def concat(*values: Any) -> list[Any]:
    """The items of all lists in one."""
    for value in values:
        _items(value, "Cannot concat type {} as list")
    bounded_items(sum(map(len, values)))
    return [item for value in values for item in items_of(value)] or NilList()


def sort_alpha(value: Any) -> Strings:
    """The items as texts, sorted by their bytes; a single value alone."""
    if isinstance(value, NilStrings):
        return value
    if isinstance(value, list | bytes):
        return Strings(sorted(to_strings(value), key=utf8))
    return Strings([strval(value)])


FUNCTIONS = table(
    *aliases(push, (ANY, ANY), "append", "mustAppend", "push", "mustPush"),
    *aliases(prepend, (ANY, ANY), "prepend", "mustPrepend"),
    *aliases(first, (ANY,), "first", "mustFirst"),
    *aliases(last, (ANY,), "last", "mustLast"),
    *aliases(rest, (ANY,), "rest", "mustRest"),
    *aliases(initial, (ANY,), "initial", "mustInitial"),
    *aliases(reverse, (ANY,), "reverse", "mustReverse"),
    *aliases(compact, (ANY,), "compact", "mustCompact"),
    *aliases(uniq, (ANY,), "uniq", "mustUniq"),
    *aliases(has, (ANY, ANY), "has", "mustHas"),
    *aliases(chunk, (INT, ANY), "chunk", "mustChunk"),
    *aliases(without, (ANY, ANY), "without", "mustWithout", variadic=True),
    *aliases(slice_of, (ANY, ANY), "slice", "mustSlice", variadic=True),
    *aliases(lambda *items: list(items), (ANY,), "list", "tuple", variadic=True),
    Function("concat", (ANY,), concat, variadic=True),
    Function("sortAlpha", (ANY,), sort_alpha),
)
