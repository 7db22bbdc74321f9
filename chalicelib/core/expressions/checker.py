"""The static side: Argo compiles an expression against the types of the very event it is asked about.

`check` walks the whole tree, dead branches included, gives each node its `Nature`, and raises Located at the
first thing that cannot be. Only the top level of the environment has types; what lies inside a payload is
unknown and passes here. The holes are Go's: slice bounds of unknown values and arguments of unknown calls
are not looked at.

Source: expr v1.17.8 checker/checker.go.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any, Final

from chalicelib.core.expressions import patterns
from chalicelib.core.expressions.failures import Located
from chalicelib.core.expressions.nodes import (
    Builtin,
    Chain,
    Coalesce,
    Let,
    Member,
    Pointer,
    Predicate,
    Sequence,
    offset_of,
    operands,
    symbol_of,
)
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.signatures import (
    ANY_TYPE,
    ARRAY,
    BOOL,
    BYTES,
    DURATION,
    FLOAT,
    INT,
    LOOPS,
    MAP,
    NAMES,
    NIL,
    OVERLOADS,
    STRING,
    TIME,
    UNKNOWN,
    VALIDATORS,
    Nature,
    Signature,
    array_of,
    builtin_nature,
    function_nature,
    nature_of,
)
from chalicelib.core.expressions.times import METHODS
from chalicelib.core.expressions.values import Method, go_type

Natures = dict[ast.expr, Nature]
_CONSTANTS: Final[Mapping[type, Nature]] = {
    type(None): NIL,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    str: STRING,
    bytes: BYTES,
}
_INTS = array_of(INT)
_NUMBER, _STRING, _TIME, _DURATION, _BOOL, _INTEGER = (
    "number",
    "string",
    "time",
    "duration",
    "bool",
    "integer",
)


def nature_of_value(value: Any) -> Nature:
    """The nature of a top-level value of the environment; an int is a JSON number."""
    if type(value) is int:
        return FLOAT
    return _CONSTANTS.get(type(value)) or nature_of(go_type(value))


def nature_of_constant(value: Any) -> Nature:
    """The nature of a name that stands beside the environment's: a function, or the table of sprig's."""
    return function_nature(value.signature) if isinstance(value, Method) else nature_of(go_type(value))


def check(tree: ast.expr, environment: Mapping[str, Nature]) -> Natures:
    """The nature of every node that Go looks at; raises Located."""
    checker = _Checker(environment)
    checker.visit(tree)
    return checker.natures


class _Checker:
    def __init__(self, environment: Mapping[str, Nature]) -> None:
        self.environment = environment
        self.natures: Natures = {}
        self.variables: list[tuple[str, Nature]] = []
        self.scopes: list[tuple[Nature, dict[str, Nature]]] = []
        self.pattern_size = 0  # of all literal patterns together
        self.visitors: dict[type, Callable[[Any], Nature]] = {
            ast.Constant: self.constant,
            ast.Name: self.name,
            ast.UnaryOp: self.unary,
            ast.BinOp: self.binary,
            ast.BoolOp: self.binary,
            ast.Compare: self.binary,
            Coalesce: self.binary,
            Chain: self.chain,
            Member: self.member,
            ast.Subscript: self.subscript,
            ast.Call: self.call,
            Builtin: self.builtin,
            Predicate: self.predicate,
            Pointer: self.pointer,
            Let: self.let,
            Sequence: self.sequence,
            ast.IfExp: self.conditional,
            ast.List: self.list_literal,
            ast.Dict: self.map_literal,
        }

    def visit(self, node: ast.expr) -> Nature:
        nature = self.natures[node] = self.visitors[type(node)](node)
        return nature

    def failure(self, node: ast.expr, message: str, name: str = "") -> Located:
        return Located(message, offset_of(node), name)

    def constant(self, node: ast.Constant) -> Nature:
        return _CONSTANTS[type(node.value)]

    # --- names ---

    def name(self, node: ast.Name) -> Nature:
        for name, nature in reversed(self.variables):
            if name == node.id:
                return nature
        if node.id == "$env":
            return UNKNOWN
        nature_in_env = self.environment.get(node.id)
        if nature_in_env is not None:
            return nature_in_env
        if node.id in NAMES:
            return builtin_nature(node.id)
        raise self.failure(node, f"unknown name {node.id}", node.id)

    def let(self, node: Let) -> Nature:
        name = node.name
        if name in self.environment:
            raise self.failure(node, f"cannot redeclare {name}")
        if name in NAMES:
            raise self.failure(node, f"cannot redeclare builtin {name}")
        if any(name == visible for visible, _ in self.variables):
            raise self.failure(node, f"cannot redeclare variable {name}")
        value = self.visit(node.value)
        self.variables.append((name, value))
        body = self.visit(node.body)
        self.variables.pop()
        return body

    def pointer(self, node: Pointer) -> Nature:
        if not self.scopes:
            raise self.failure(node, "cannot use pointer accessor outside predicate")
        collection, variables = self.scopes[-1]
        if node.name == "":
            return UNKNOWN if collection.unknown else collection.items()
        if node.name in variables:
            return variables[node.name]
        raise self.failure(node, f"unknown pointer #{node.name}")

    # --- operators ---

    def unary(self, node: ast.UnaryOp) -> Nature:
        nature = self.visit(node.operand).dereferenced()
        if isinstance(node.op, ast.Not):
            if nature.kind == "bool" or nature.unknown:
                return BOOL
        elif nature.number:
            return nature
        elif nature.unknown:
            return UNKNOWN
        symbol = symbol_of(node)
        raise self.failure(node, f"invalid operation: {symbol} (mismatched type {nature})")

    def binary(self, node: ast.expr) -> Nature:
        parts = operands(node)
        assert parts is not None  # noqa: S101  - for mypy: the tables send no other
        symbol, left_node, right_node = parts
        left, right = self.visit(left_node).dereferenced(), self.visit(right_node).dereferenced()
        if symbol == "in":
            result = self.contained(node, left, right)
        elif symbol == "??":
            return _coalesced(left, right)
        else:
            if symbol == "matches":
                self.pattern(node, right_node)
            result = _RULES[symbol](left, right)
        if result is None:
            raise self.failure(node, f"invalid operation: {symbol} (mismatched types {left} and {right})")
        return result

    def pattern(self, node: ast.expr, right: ast.expr) -> None:
        """A literal pattern is compiled now, so that a bad one is found in dead code as well."""
        if type(right) is ast.Constant and type(right.value) is str:
            try:
                self.pattern_size += patterns.compile_pattern(right.value).programsize
            except FunctionError as error:
                raise self.failure(node, error.message) from None
            if self.pattern_size > patterns.MAX_SIZE:
                raise self.failure(node, "the patterns of the expression are too large together")

    def contained(self, node: ast.expr, left: Nature, right: Nature) -> Nature | None:
        if (left.kind == "string" or left.unknown) and right.kind == "struct":
            return BOOL
        if right.kind == "map":
            key = right.keys()
            if not left.unknown and not left.assignable_to(key):
                raise self.failure(node, f"cannot use {left} as type {key} in map key")
            return BOOL
        if right.array:
            item = right.items()
            if not left.comparable_to(item):
                raise self.failure(node, f"cannot use {left} as type {item} in array")
            return BOOL
        if right.unknown or (left.unknown and right.kind == "string"):
            return BOOL
        return None

    def conditional(self, node: ast.IfExp) -> Nature:
        test = self.visit(node.test).dereferenced()
        if test.kind != "bool" and not test.unknown:
            raise self.failure(node.test, f"non-bool expression (type {test}) used as condition")
        body, orelse = self.visit(node.body), self.visit(node.orelse)
        if body.nil or orelse.nil:
            return orelse if body.nil else body
        if not body.assignable_to(orelse):
            return UNKNOWN
        if body.array and orelse.array:
            one, other = body.items(), orelse.items()
            if not one.assignable_to(other) or not other.assignable_to(one):
                return ARRAY
        return body

    # --- access ---

    def chain(self, node: Chain) -> Nature:
        return self.visit(node.value)

    def member(self, node: Member) -> Nature:
        key = node.key.value if type(node.key) is ast.Constant and type(node.key.value) is str else None
        if type(node.value) is ast.Name and node.value.id == "$env":
            return self.environment_member(node, key)
        base, index = self.visit(node.value), self.visit(node.key)
        if base.unknown:
            return UNKNOWN
        if key is not None:
            if base.nil:
                raise self.failure(node, f"type nil has no field {key}")
            method = METHODS.get(base.type, {}).get(key)
            if method is not None:
                return function_nature(Signature(method.parameters, (method.result,)))
        return self.indexed(node, base.dereferenced(), index, key)

    def indexed(self, node: Member, base: Nature, index: Nature, key: str | None) -> Nature:
        if base.kind == "map":
            if not index.assignable_to(base.keys()) and not index.unknown:
                raise self.failure(node.key, f"cannot use {index} to get an element from {base}")
            return base.items()
        if base.array:
            index = index.dereferenced()
            if not index.integer and not index.unknown:
                raise self.failure(
                    node.key, f"array elements can only be selected using an integer (got {index})"
                )
            return base.items()
        if key is None:
            raise self.failure(node, f"type {base}[{index}] is undefined")
        raise self.failure(node, f"type {base} has no {'method' if node.called else 'field'} {key}")

    def environment_member(self, node: Member, key: str | None) -> Nature:
        """$env.name must exist unless it is asked for with ``?.``; of $env[…] nothing is checked."""
        if key is None:
            return UNKNOWN
        nature = self.environment.get(key)
        if nature is not None:
            return nature
        if node.optional:
            return UNKNOWN
        raise self.failure(node, f"unknown name {key}", key)

    def subscript(self, node: ast.Subscript) -> Nature:
        nature = self.visit(node.value)
        if nature.unknown:
            return UNKNOWN  # and its bounds stay unchecked
        if nature.kind != "string" and not nature.array:
            raise self.failure(node, f"cannot slice {nature}")
        bounds = node.slice
        assert isinstance(bounds, ast.Slice)  # noqa: S101  - for mypy: the tables send no other
        for bound in (bounds.lower, bounds.upper):
            if bound is not None:
                index = self.visit(bound).dereferenced()
                if not index.integer and not index.unknown:
                    raise self.failure(bound, f"non-integer slice index {index}")
        return nature

    # --- literals ---

    def list_literal(self, node: ast.List) -> Nature:
        natures = [self.visit(item) for item in node.elts]
        if len({nature.kind for nature in natures}) <= 1:
            return array_of(natures[-1] if natures else UNKNOWN)
        return ARRAY

    def map_literal(self, node: ast.Dict) -> Nature:
        for key, value in zip(node.keys, node.values, strict=True):
            if key is not None:
                self.visit(key)
            self.visit(value)
        return MAP

    def sequence(self, node: Sequence) -> Nature:
        return [self.visit(value) for value in node.values][-1]

    # --- calls ---

    def call(self, node: ast.Call) -> Nature:
        function = node.func
        if type(function) is ast.Name and function.id == "$env":
            raise self.failure(node, "map[string]interface {} is not callable")
        nature = self.visit(function)
        if nature.unknown:
            return UNKNOWN  # and its arguments stay unchecked
        if nature.signature is not None and nature.signature.name:
            return self.function(nature.signature.name, node, node.args)
        name = "function"
        if type(function) is ast.Name:
            name = function.id
        elif isinstance(function, Member) and type(function.key) is ast.Constant:
            name = str(function.key.value) if type(function.key.value) is str else name
        if nature.nil:
            raise self.failure(node, f"{name} is nil; cannot call nil as function")
        if nature.signature is None:
            raise self.failure(node, f"{nature} is not callable")
        result, problem = self.arguments(name, nature.signature, node.args, node)
        if problem is not None:
            raise problem
        return result

    def function(self, name: str, node: ast.expr, arguments: list[ast.expr]) -> Nature:
        """The result of a builtin that is no loop."""
        validator = VALIDATORS.get(name)
        if validator is not None:
            natures = [self.visit(argument) for argument in arguments]
            try:
                result = validator([ANY_TYPE if nature.unknown else nature.type for nature in natures])
            except FunctionError as error:
                raise self.failure(node, error.message) from None
            return nature_of(result)
        problem: Located | None = None
        for signature in OVERLOADS.get(name) or (LOOPS[name],):
            nature, problem = self.arguments(name, signature, arguments, node)
            if problem is None:
                return nature
        assert problem is not None  # noqa: S101  - for mypy: the tables send no other
        raise problem

    def arguments(
        self, name: str, signature: Signature, arguments: list[ast.expr], node: ast.expr
    ) -> tuple[Nature, Located | None]:
        """What the call gives, or why the arguments do not fit."""
        expected, given = len(signature.parameters), len(arguments)
        result = nature_of(signature.results[0])
        count_problem = ""
        if given > expected and not signature.variadic:
            count_problem = f"too many arguments to call {name}"
        elif given < expected - signature.variadic:
            count_problem = f"not enough arguments to call {name}"
        if count_problem:
            for argument in arguments:
                self.visit(argument)
            return result, Located(count_problem, offset_of(node))
        for index, argument in enumerate(arguments):
            nature = self.visit(argument)
            wanted = nature_of(signature.parameters[min(index, expected - 1)])
            problem = _misfit(nature, wanted, name)
            if problem:
                return UNKNOWN, Located(problem, offset_of(argument))
        return result, None

    def builtin(self, node: Builtin) -> Nature:
        if node.name in LOOPS:
            return self.loop(node)
        if node.name == "get":
            return self.get(node)
        return self.function(node.name, node, node.arguments)

    def get(self, node: Builtin) -> Nature:
        if len(node.arguments) != 2:
            raise self.failure(node, f"invalid number of arguments (expected 2, got {len(node.arguments)})")
        target, key = node.arguments
        base, index = self.visit(target), self.visit(key).dereferenced()
        if type(target) is ast.Name and target.id == "$env":
            if type(key) is ast.Constant and type(key.value) is str:
                return self.environment.get(key.value, UNKNOWN)
            return UNKNOWN
        if base.unknown:
            return UNKNOWN
        if base.array:
            if not index.integer and not index.unknown:
                raise self.failure(key, f"non-integer slice index {index}")
            return base.items()
        if base.kind == "map":
            if not index.assignable_to(base.keys()) and not index.unknown:
                raise self.failure(key, f"cannot use {index} to get an element from {base}")
            return base.items()
        raise self.failure(target, f"type {base} does not support indexing")

    # --- loops ---

    def predicate(self, node: Predicate) -> Nature:
        body = self.visit(node.body)
        if body.unknown:
            results: tuple[str, ...] = (ANY_TYPE,)
        else:
            results = () if body.nil else (body.type,)
        signature = Signature((ANY_TYPE,), results)
        return Nature(str(signature), "func", signature=signature, out=body)

    def loop(self, node: Builtin) -> Nature:
        """A loop: a list, and for most a predicate in whose scope ``#`` is the item."""
        name, arguments = node.name, node.arguments
        collection = self.visit(arguments[0]).dereferenced()
        if not collection.array and not collection.unknown:
            raise self.failure(arguments[0], f"builtin {name} takes only array (got {collection})")
        if len(arguments) == 1:  # count, sum
            if name == "count":
                return INT
            return UNKNOWN if collection.unknown else collection.items()
        variables = {"index": INT} if name == "map" else {}
        if name == "reduce":
            variables = {"index": INT, "acc": UNKNOWN}
        self.scopes.append((collection, variables))
        predicate = self.visit(arguments[1])
        self.scopes.pop()
        if len(arguments) == 3:
            self.third(name, arguments[2])
        return self.loop_result(node, collection, predicate)

    def third(self, name: str, argument: ast.expr) -> None:
        nature = self.visit(argument)
        if name == "sortBy" and nature.kind != "string" and not nature.unknown:
            raise self.failure(argument, f"sortBy order argument must be a string (got {nature})")

    def loop_result(self, node: Builtin, collection: Nature, predicate: Nature) -> Nature:
        name, body = node.name, predicate.out or UNKNOWN
        if body.nil:
            if name == "sum":
                return self.function(name, node, node.arguments)
            inputs = "two" if name == "reduce" else "one"
            raise self.failure(node.arguments[1], f"predicate should has {inputs} input and one output param")
        out = nature_of(ANY_TYPE) if body.unknown else nature_of(body.type)
        if name in _BOOLEAN_PREDICATES and out.kind != "bool" and not out.unknown:
            raise self.failure(node.arguments[1], f"predicate should return boolean (got {out})")
        item = UNKNOWN if collection.unknown else collection.items()
        results: dict[str, Nature] = {
            "filter": ARRAY if collection.unknown else array_of(item),
            "map": array_of(body),
            "sum": out,
            "find": item,
            "findLast": item,
            "groupBy": Nature("map[interface {}][]interface {}", "map", item=array_of(item)),
            "sortBy": collection,
            "reduce": body,
        }
        if name in results:
            return results[name]
        return INT if name in ("count", "findIndex", "findLastIndex") else BOOL


_BOOLEAN_PREDICATES: Final = frozenset(
    {"all", "none", "any", "one", "filter", "count", "find", "findLast", "findIndex", "findLastIndex"}
)


def _misfit(given: Nature, wanted: Nature, name: str) -> str:
    """Why a value cannot be an argument, "" when it can."""
    if wanted.number and given.integer:
        return ""
    if given.nil:
        if wanted.kind in ("ptr", "interface"):
            return ""
        return f"cannot use nil as argument (type {wanted}) to call {name}"
    if given.assignable_to(wanted) or given.unknown:
        return ""
    return f"cannot use {given} as argument (type {wanted}) to call {name} "


# --- operators: natures of the operands in, nature of the result out, None when they do not go together ---

_Rule = Callable[[Nature, Nature], Nature | None]


def _is(nature: Nature, check: str) -> bool:
    if check == _NUMBER:
        return nature.number
    if check == _INTEGER:
        return nature.integer
    if check == _TIME:
        return nature.type == TIME.type
    if check == _DURATION:
        return nature.type == DURATION.type
    return nature.kind == check


def _maybe(left: Nature, right: Nature, *checks: str) -> bool:
    """Whether nobody can say no yet: a side is unknown, and the other is unknown or of a fitting type."""
    if left.unknown:
        return right.unknown or any(_is(right, check) for check in checks)
    return right.unknown and any(_is(left, check) for check in checks)


def _equality(left: Nature, right: Nature) -> Nature | None:
    return BOOL if left.comparable_to(right) else None


def _pairwise(result: Nature, *checks: str) -> _Rule:
    """Both sides of one kind out of several."""

    def rule(left: Nature, right: Nature) -> Nature | None:
        if any(_is(left, check) and _is(right, check) for check in checks):
            return result
        return result if _maybe(left, right, *checks) else None

    return rule


def _promoted(left: Nature, right: Nature) -> Nature:
    return FLOAT if left.type == FLOAT.type or right.type == FLOAT.type else INT


def _arithmetic(forms: Mapping[tuple[str, str], Nature], *checks: str) -> _Rule:
    """Numbers, and the listed forms of other types."""

    def rule(left: Nature, right: Nature) -> Nature | None:
        if left.number and right.number:
            return _promoted(left, right)
        for (one, other), result in forms.items():
            if _is(left, one) and _is(right, other):
                return result
        return UNKNOWN if _maybe(left, right, *checks) else None

    return rule


def _matching(left: Nature, right: Nature) -> Nature | None:
    if left.type == BYTES.type and right.kind == "string":
        return BOOL
    return _pairwise(BOOL, _STRING)(left, right)


def _coalesced(left: Nature, right: Nature) -> Nature:
    if left.nil or right.nil:
        return right if left.nil else left
    return left if right.assignable_to(left) else UNKNOWN


_logical = _pairwise(BOOL, _BOOL)
_ordering = _pairwise(BOOL, _NUMBER, _STRING, _TIME, _DURATION)
_division = _pairwise(FLOAT, _NUMBER)
_text = _pairwise(BOOL, _STRING)

_RULES: Final[Mapping[str, _Rule]] = {
    "==": _equality,
    "!=": _equality,
    "or": _logical,
    "||": _logical,
    "and": _logical,
    "&&": _logical,
    "<": _ordering,
    ">": _ordering,
    "<=": _ordering,
    ">=": _ordering,
    "+": _arithmetic(
        {
            (_STRING, _STRING): STRING,
            (_TIME, _DURATION): TIME,
            (_DURATION, _TIME): TIME,
            (_DURATION, _DURATION): DURATION,
        },
        _NUMBER, _STRING, _TIME, _DURATION,
    ),
    "-": _arithmetic(
        {(_TIME, _TIME): DURATION, (_TIME, _DURATION): TIME, (_DURATION, _DURATION): DURATION},
        _NUMBER, _TIME, _DURATION,
    ),
    "*": _arithmetic(
        {(_NUMBER, _DURATION): DURATION, (_DURATION, _NUMBER): DURATION, (_DURATION, _DURATION): DURATION},
        _NUMBER, _DURATION,
    ),
    "/": _division,
    "**": _division,
    "^": _division,
    "%": _pairwise(INT, _INTEGER),
    "..": _pairwise(_INTS, _INTEGER),
    "matches": _matching,
    "contains": _text,
    "startsWith": _text,
    "endsWith": _text,
}  # fmt: skip
