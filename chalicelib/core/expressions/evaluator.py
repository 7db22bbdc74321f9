"""The walk: simpleeval's evaluator over our tree, with every table of Python's replaced by Go's.

simpleeval brings the shape: a table from node type to handler, a table of operators, a table of functions,
and the rule that what is in no table does not exist. None of its own entries stays. This walk is the
reference: what `closures` binds ahead of time must give the same, and a property test says so.

Source: expr v1.17.8 compiler/compiler.go, vm/vm.go.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import simpleeval

from chalicelib.core.expressions import operations, patterns, values
from chalicelib.core.expressions.builtins import BUILTINS, is_descending, ordering
from chalicelib.core.expressions.checker import Natures
from chalicelib.core.expressions.nodes import (
    Builtin,
    Chain,
    Coalesce,
    Contains,
    EndsWith,
    Folded,
    Let,
    Matches,
    Member,
    Pointer,
    Predicate,
    Range,
    Sequence,
    StartsWith,
    offset_of,
)
from chalicelib.core.expressions.operations import Budget, need_bool
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.signatures import TYPED_CALLS, UNKNOWN, Signature
from chalicelib.core.expressions.sorting import sort_by
from chalicelib.core.expressions.values import GroupMap, Meter, equal, is_nil, items_of, key_of

# Operators whose two sides are both evaluated first; each takes the budget last.
OPERATORS: Final[Mapping[type[ast.AST], Callable[[Any, Any, Budget], Any]]] = {
    ast.Add: lambda a, b, budget: budget.text(sum_) if type(sum_ := operations.add(a, b)) is str else sum_,
    ast.Sub: lambda a, b, _: operations.subtract(a, b),
    ast.Mult: lambda a, b, _: operations.multiply(a, b),
    ast.Div: lambda a, b, _: operations.divide(a, b),
    ast.Mod: lambda a, b, _: operations.modulo(a, b),
    ast.Pow: lambda a, b, _: operations.power(a, b),
    Range: operations.number_range,
    ast.Eq: equal,
    ast.NotEq: lambda a, b, budget: not equal(a, b, budget),
    ast.Lt: lambda a, b, budget: values.compare("<", a, b, budget),
    ast.LtE: lambda a, b, budget: values.compare("<=", a, b, budget),
    ast.Gt: lambda a, b, budget: values.compare(">", a, b, budget),
    ast.GtE: lambda a, b, budget: values.compare(">=", a, b, budget),
    ast.In: operations.contains_item,
    Matches: operations.matches,
    Contains: operations.contains,
    StartsWith: operations.starts_with,
    EndsWith: operations.ends_with,
}
_UNARY: Final[Mapping[type[ast.AST], Callable[[Any], Any]]] = {
    ast.Not: lambda value: not need_bool(value),
    ast.USub: operations.negate,
    ast.UAdd: lambda value: value,
}


class Skipped(Exception):  # how ``?.`` leaves a chain, never an error
    """A nil was found before ``?.``."""


class Evaluator(simpleeval.SimpleEval):  # type: ignore[misc]  # simpleeval is not typed
    """Evaluates one checked tree in one environment, once."""

    def __init__(self, natures: Natures, env: dict[str, Any], budget: Budget) -> None:
        super().__init__(operators={**OPERATORS, **_UNARY}, functions=dict(BUILTINS), names=env)
        self.natures = natures
        self.budget = budget
        self.variables: list[tuple[str, Any]] = []
        self.scopes: list[dict[str, Any]] = []
        self.loops: dict[str, Callable[[Builtin, list[Any]], Any]] = {
            name: getattr(self, f"_loop_{name}") for name in LOOPS
        }
        self.nodes = {
            ast.Constant: self._eval_constant,
            Folded: self._eval_constant,
            ast.Name: self._eval_name,
            ast.UnaryOp: self._eval_unaryop,
            ast.BinOp: self._eval_binop,
            ast.Compare: self._eval_compare,
            ast.BoolOp: self._eval_boolop,
            ast.IfExp: self._eval_ifexp,
            ast.Call: self._eval_call,
            ast.Subscript: self._eval_subscript,
            ast.List: self._eval_list,
            ast.Dict: self._eval_dict,
            Member: self._eval_member,
            Chain: self._eval_chain,
            Builtin: self._eval_builtin,
            Predicate: self._eval_predicate,
            Pointer: self._eval_pointer,
            Let: self._eval_let,
            Sequence: self._eval_sequence,
            Coalesce: self._eval_coalesce,
        }

    def _eval(self, node: ast.expr) -> Any:
        """The node's value; a failure without a place gets this node's."""
        # Not simpleeval's own: it would search every result for Python functions, and there are none here.
        try:
            handler: Any = self.nodes[type(node)]
            return handler(node)
        except FunctionError as error:
            if not hasattr(error, "offset"):
                error.offset = offset_of(node) or 0  # type: ignore[attr-defined]  # the place, for the façade
            raise

    # --- literals and names ---

    def _eval_constant(self, node: ast.Constant) -> Any:
        return node.value

    def _eval_name(self, node: ast.Name) -> Any:
        for name, value in reversed(self.variables):
            if name == node.id:
                return value
        if node.id == "$env":
            return self.names
        return self.names.get(node.id)  # a builtin's bare name is nil

    def _eval_let(self, node: Let) -> Any:
        self.variables.append((node.name, self._eval(node.value)))
        try:
            return self._eval(node.body)
        finally:
            self.variables.pop()

    def _eval_sequence(self, node: Sequence) -> Any:
        return [self._eval(value) for value in node.values][-1]

    def _eval_list(self, node: ast.List) -> Any:
        made = [self._eval(item) for item in node.elts]
        self.budget.grow(len(made))
        return made

    def _eval_dict(self, node: ast.Dict) -> Any:
        pairs = [
            (self._eval(key), self._eval(value))
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        ]
        self.budget.grow(len(pairs))
        # Go fills the map from the last pair to the first, so the first of equal keys stays.
        return {operations.need_string(key): value for key, value in reversed(pairs)}

    # --- operators ---

    def _eval_unaryop(self, node: ast.UnaryOp) -> Any:
        return self.operators[type(node.op)](self._eval(node.operand))

    def _eval_binop(self, node: ast.BinOp) -> Any:
        return self.operators[type(node.op)](self._eval(node.left), self._eval(node.right), self.budget)

    def _eval_compare(self, node: ast.Compare) -> Any:
        left, right = node.left, node.comparators[0]
        kind = type(node.ops[0])
        if kind is Matches and type(right) is ast.Constant and type(right.value) is str:
            compiled = patterns.compile_pattern(right.value)
            return operations.matches_constant(self._eval(left), compiled, compiled.programsize, self.budget)
        a, b = self._eval(left), self._eval(right)
        assertion = asserted_by(self.natures, left, right)
        if assertion is not None and (kind is ast.Eq or kind is ast.NotEq):
            # Go takes the right side from the stack, but asserts the left one first.
            assertion(a), assertion(b)
        return self.operators[kind](a, b, self.budget)

    def _eval_boolop(self, node: ast.BoolOp) -> Any:
        left = need_bool(self._eval(node.values[0]))
        if left is isinstance(node.op, ast.Or):
            return left
        return self._eval(node.values[1])

    def _eval_coalesce(self, node: Coalesce) -> Any:
        left = self._eval(node.left)
        return self._eval(node.right) if is_nil(left) else left

    def _eval_ifexp(self, node: ast.IfExp) -> Any:
        return self._eval(node.body if need_bool(self._eval(node.test)) else node.orelse)

    # --- access ---

    def _eval_chain(self, node: Chain) -> Any:
        try:
            value = self._eval(node.value)
        except Skipped:
            return None
        return None if is_nil(value) else value

    def _eval_member(self, node: Member) -> Any:
        container = self._eval(node.value)
        if node.optional and is_nil(container):
            raise Skipped
        return operations.fetch(container, self._eval(node.key), self.budget)

    def _eval_subscript(self, node: ast.Subscript) -> Any:
        container, bounds = self._eval(node.value), node.slice
        assert isinstance(bounds, ast.Slice)  # noqa: S101  - for mypy: the tables send no other
        high = self._eval(bounds.upper) if bounds.upper else operations.size_for_slice(container, self.budget)
        low = self._eval(bounds.lower) if bounds.lower else 0
        return operations.slice_of(container, low, high, self.budget)

    # --- calls ---

    def _eval_call(self, node: ast.Call) -> Any:
        # The arguments come first, even when ``?.`` then skips the call.
        arguments = [self._eval(argument) for argument in node.args]
        typed = typed_call(self.natures, node)
        return operations.call(self._eval(node.func), arguments, self.budget, typed)

    def _eval_builtin(self, node: Builtin) -> Any:
        loop = self.loops.get(node.name)
        if loop is not None:
            items = loop_items(self._eval(node.arguments[0]), self.budget)
            self.budget.spend(len(items))
            return loop(node, items)
        arguments = [self._eval(argument) for argument in node.arguments]
        return self.functions[node.name](self.budget, *arguments)

    # --- loops ---

    def _eval_pointer(self, node: Pointer) -> Any:
        return need_item(self.scopes[-1][node.name])

    def _eval_predicate(self, node: Predicate) -> Any:
        return self._eval(node.body)

    def _each(
        self, items: list[Any], body: ast.expr | None, backwards: bool = False
    ) -> Iterator[tuple[int, Any]]:
        """For each item: its index, and what the body gives with ``#`` being the item."""
        scope: dict[str, Any] = {"": None, "index": 0}
        indexes = range(len(items) - 1, -1, -1) if backwards else range(len(items))
        for index in indexes:
            self.budget.spend(1)
            scope[""], scope["index"] = items[index], index
            self.scopes.append(scope)
            try:
                value = need_item(items[index]) if body is None else self._eval(body)
            finally:
                self.scopes.pop()
            yield index, value

    def _tests(self, node: Builtin, items: list[Any], backwards: bool = False) -> Iterator[tuple[int, bool]]:
        body = node.arguments[1] if len(node.arguments) > 1 else None
        for index, value in self._each(items, body, backwards):
            yield index, need_bool(value)

    def _mapped(self, node: Builtin, items: list[Any], index: int) -> Any:
        if node.mapped is None:
            return need_item(items[index])
        self.scopes.append({"": items[index], "index": index})
        try:
            return self._eval(node.mapped)
        finally:
            self.scopes.pop()

    def _loop_all(self, node: Builtin, items: list[Any]) -> bool:
        return all(test for _, test in self._tests(node, items))

    def _loop_any(self, node: Builtin, items: list[Any]) -> bool:
        return any(test for _, test in self._tests(node, items))

    def _loop_none(self, node: Builtin, items: list[Any]) -> bool:
        return not any(test for _, test in self._tests(node, items))

    def _loop_one(self, node: Builtin, items: list[Any]) -> bool:
        return [test for _, test in self._tests(node, items)].count(True) == 1

    def _loop_filter(self, node: Builtin, items: list[Any]) -> list[Any]:
        made = [self._mapped(node, items, index) for index, test in self._tests(node, items) if test]
        self.budget.grow(len(made))
        return made

    def _loop_map(self, node: Builtin, items: list[Any]) -> list[Any]:
        made = [value for _, value in self._each(items, node.arguments[1])]
        self.budget.grow(len(made))
        return made

    def _loop_count(self, node: Builtin, items: list[Any]) -> int:
        found = 0
        for _, test in self._tests(node, items):
            found += test
            if test and found == node.threshold:
                break
        return found

    def _loop_sum(self, node: Builtin, items: list[Any]) -> Any:
        total: Any = 0
        body = node.arguments[1] if len(node.arguments) > 1 else None
        for _, value in self._each(items, body):
            total = operations.add(value, total)
        return total

    def _loop_find(self, node: Builtin, items: list[Any], backwards: bool = False) -> Any:
        for index, test in self._tests(node, items, backwards):
            if test:
                return self._mapped(node, items, index)
        if node.throws:
            raise FunctionError("reflect: slice index out of range")
        return None

    def _loop_findLast(self, node: Builtin, items: list[Any]) -> Any:  # noqa: N802  - Go's name
        return self._loop_find(node, items, backwards=True)

    def _loop_findIndex(self, node: Builtin, items: list[Any]) -> Any:  # noqa: N802  - Go's name
        return next((index for index, test in self._tests(node, items) if test), None)

    def _loop_findLastIndex(self, node: Builtin, items: list[Any]) -> Any:  # noqa: N802  - Go's name
        return next((index for index, test in self._tests(node, items, backwards=True) if test), None)

    def _loop_groupBy(self, node: Builtin, items: list[Any]) -> GroupMap:  # noqa: N802  - Go's name
        groups = GroupMap()
        for index, key in self._each(items, node.arguments[1]):
            groups.setdefault(key_of(key, groups), []).append(need_item(items[index]))
        return groups

    def _loop_sortBy(self, node: Builtin, items: list[Any]) -> list[Any]:  # noqa: N802  - Go's name
        descending = sort_order(self._third(node, items)) if len(node.arguments) == 3 else False
        keys = [value for _, value in self._each(items, node.arguments[1])]
        return sorted_by(items, keys, descending, self.budget)

    def _third(self, node: Builtin, items: list[Any]) -> Any:
        self.scopes.append({"": first_item(items), "index": 0, "acc": None})
        try:
            return self._eval(node.arguments[2])
        finally:
            self.scopes.pop()

    def _loop_reduce(self, node: Builtin, items: list[Any]) -> Any:
        first = 0
        if len(node.arguments) == 3:
            total = self._third(node, items)
        elif not items:
            raise FunctionError("reduce of empty array with no initial value")
        else:
            total, first = need_item(items[0]), 1
        for index in range(first, len(items)):
            self.budget.spend(1)
            self.scopes.append({"": items[index], "index": index, "acc": total})
            try:
                total = self._eval(node.arguments[1])
            finally:
                self.scopes.pop()
        return total


LOOPS: Final = (
    "all", "any", "none", "one", "filter", "map", "count", "sum", "find", "findLast", "findIndex",
    "findLastIndex", "groupBy", "sortBy", "reduce",
)  # fmt: skip


NO_ITEM: Final = object()  # the item of a map: Go has its length, and panics when the item is asked for


NOTHING: Final = object()  # the item that an empty list would begin with


def need_item(item: Any) -> Any:
    if item is NO_ITEM:
        raise FunctionError("reflect: call of reflect.Value.Index on map Value")
    if item is NOTHING:
        raise FunctionError("runtime error: index out of range [0] with length 0")
    return item


def first_item(items: list[Any]) -> Any:
    """What ``#`` is in a third argument: Go has opened the loop by then, and stands at its beginning."""
    return items[0] if items else NOTHING


def loop_items(collection: Any, meter: Meter) -> list[Any]:
    """The items a loop runs over: of a list, of bytes, the bytes of a string; of a map, as many as it has."""
    if isinstance(collection, list):
        return collection
    if isinstance(collection, str):
        collection = values.utf8(meter.text(collection))
    if isinstance(collection, bytes):
        meter.spend(len(collection))
        return list(items_of(collection))
    if isinstance(collection, dict):
        return [NO_ITEM] * len(collection)
    if collection is None:
        raise FunctionError("reflect: call of reflect.Value.Len on zero Value")
    raise FunctionError(f"reflect: call of reflect.Value.Len on {operations.kind_of(collection)} Value")


def sort_order(order: Any) -> bool:
    """Whether sortBy is to sort downwards."""
    if type(order) is not str:
        raise FunctionError("sortBy order argument must be a string")
    return is_descending(order, "unknown order, use asc or desc")


def sorted_by(items: list[Any], keys: list[Any], descending: bool, budget: Budget) -> list[Any]:
    """The items in the order of their keys, as Go sorts them."""
    made = [need_item(item) for item in items]
    sort_by(made, keys, ordering(descending, budget), budget)
    budget.grow(len(made))
    return made


def typed_call(natures: Natures, node: ast.Call) -> Signature | None:
    """The type of a function that Go calls directly, where it is known; None for a call by reflection."""
    signature = natures.get(node.func, UNKNOWN).signature
    return signature if signature is not None and str(signature) in TYPED_CALLS else None


def asserted_by(natures: Natures, left: ast.expr, right: ast.expr) -> Callable[[Any], Any] | None:
    """What ``==`` asserts of each side: Go compares two static ints, and two static strings, as such."""
    one, other = natures.get(left, UNKNOWN), natures.get(right, UNKNOWN)
    if one.type == other.type == "int":
        return operations.need_int
    if one.type == other.type == "string":
        return operations.need_string
    return None
