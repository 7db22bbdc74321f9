"""The tree: Python's own `ast` where Python has the thing, a subclass of its classes where it has not.

    payload.a          Member(Name, Constant)            a + b, a ** b        BinOp(Add), BinOp(Pow)
    payload?.a.b       Chain(Member(Member(…)))          a .. b               BinOp(Range)
    x[1], x?.[1]       Member(…, optional)               a == b, a < b        Compare, one operator each
    x[1:2]             Subscript(Slice)                  a matches b, in, …   Compare(Matches), Compare(In)
    f(x), x.f(y)       Call                              a and b, a or b      BoolOp, two values each
    len(x), any(x, p)  Builtin, with Predicate           a ?? b               Coalesce
    #, #index, #acc    Pointer                           a ? b : c, if        IfExp
    let x = a; b       Let                               a; b                 Sequence
    [a], {a: b}        List, Dict                        not a, -a            UnaryOp

A parsed tree is never changed: checking it against another event's types must find it as it was. The
optimizer builds new nodes. Positions are Python's: `lineno` from 1, `col_offset` in code points from 0;
`offset` counts code points from the start of the source, and is what errors are made from.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, ClassVar


class Node(ast.expr):
    """What our own nodes have in common; as with Python's, fields are given by name."""

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None: ...


class Member(Node):
    """`value.key`, `value[key]`, and with `optional` the forms with ``?.``."""

    _fields = ("value", "key")
    value: ast.expr
    key: ast.expr
    optional: bool
    called: bool  # the name of a method call


class Chain(Node):
    """How far a nil found by ``?.`` jumps: to the end of this node."""

    _fields = ("value",)
    value: ast.expr


class Builtin(Node):
    """A call of one of expr's own functions; the optimizer's notes on a loop are `shape`."""

    _fields = ("arguments",)
    name: str
    arguments: list[ast.expr]
    mapped: ast.expr | None  # of filter, find: what to give instead of the item
    throws: bool  # of find: none found is an error
    threshold: int | None  # of count: enough


class Predicate(Node):
    """What a loop does with each item."""

    _fields = ("body",)
    body: ast.expr


class Pointer(Node):
    """``#`` (name ""), ``#index`` or ``#acc``."""

    _fields = ()
    name: str


class Let(Node):
    """``let name = value; body``."""

    _fields = ("value", "body")
    name: str
    value: ast.expr
    body: ast.expr


class Sequence(Node):
    """Expressions one after the other; the last one's value counts."""

    _fields = ("values",)
    values: list[ast.expr]


class Coalesce(Node):
    """``left ?? right``."""

    _fields = ("left", "right")
    left: ast.expr
    right: ast.expr


class Folded(ast.Constant):
    """A value the optimizer has put in place of a literal: an array, or a set of keys for ``in``."""

    value: Any

    if TYPE_CHECKING:

        def __init__(self, **fields: Any) -> None: ...


class Range(ast.operator):
    """``..``"""


class Matches(ast.cmpop):
    """``matches``"""


class Contains(ast.cmpop):
    """``contains``"""


class StartsWith(ast.cmpop):
    """``startsWith``"""


class EndsWith(ast.cmpop):
    """``endsWith``"""


BINARY: dict[str, ast.operator] = {
    "+": ast.Add(),
    "-": ast.Sub(),
    "*": ast.Mult(),
    "/": ast.Div(),
    "%": ast.Mod(),
    "**": ast.Pow(),
    "^": ast.Pow(),
    "..": Range(),
}
COMPARE: dict[str, ast.cmpop] = {
    "==": ast.Eq(),
    "!=": ast.NotEq(),
    "<": ast.Lt(),
    "<=": ast.LtE(),
    ">": ast.Gt(),
    ">=": ast.GtE(),
    "in": ast.In(),
    "matches": Matches(),
    "contains": Contains(),
    "startsWith": StartsWith(),
    "endsWith": EndsWith(),
}
BOOLEAN: dict[str, ast.boolop] = {"and": ast.And(), "&&": ast.And(), "or": ast.Or(), "||": ast.Or()}
UNARY: dict[str, ast.unaryop] = {"not": ast.Not(), "!": ast.Not(), "-": ast.USub(), "+": ast.UAdd()}


class Positions:
    """Line and column of offsets in one source."""

    __slots__ = ("starts",)
    _ONE_LINE: ClassVar[list[int]] = [0]

    def __init__(self, source: str) -> None:
        self.starts = self._ONE_LINE
        if "\n" in source:
            self.starts = [0, *(at + 1 for at, char in enumerate(source) if char == "\n")]

    def place(self, node: ast.expr, offset: int) -> None:
        """Write the position into the node."""
        line = 1
        if len(self.starts) > 1:
            low, high = 0, len(self.starts)
            while high - low > 1:
                middle = (low + high) // 2
                if self.starts[middle] <= offset:
                    low = middle
                else:
                    high = middle
            line = low + 1
        node.lineno = line
        node.col_offset = offset - self.starts[line - 1]
        _any(node).offset = offset


def offset_of(node: ast.AST) -> int | None:
    """Where a node stands in the source; None for what the optimizer made up."""
    return getattr(node, "offset", None)


def placed_like(node: ast.expr, other: ast.expr) -> ast.expr:
    """The node, at the position of the other; what the optimizer made up stands at the very start."""
    made: Any = node
    made.lineno, made.col_offset = getattr(other, "lineno", 1), getattr(other, "col_offset", 0)
    made.offset = getattr(other, "offset", 0)
    return node


def binary(symbol: str, left: ast.expr, right: ast.expr) -> ast.expr:
    """The node for a binary operator as it is written; `operands` gives the spelling back."""
    node: Any
    if symbol in COMPARE:
        node = ast.Compare(left=left, ops=[COMPARE[symbol]], comparators=[right])
    elif symbol in BINARY:
        node = ast.BinOp(left=left, op=BINARY[symbol], right=right)
    elif symbol in BOOLEAN:
        node = ast.BoolOp(op=BOOLEAN[symbol], values=[left, right])
    else:
        node = Coalesce(left=left, right=right)
    node.symbol = symbol  # Python's nodes do not keep the spelling
    made: ast.expr = node
    return made


def operands(node: ast.expr) -> tuple[str, ast.expr, ast.expr] | None:
    """Spelling, left and right of a binary operator; None for every other node."""
    kind, one = type(node), _any(node)
    if kind is ast.Compare:
        return one.symbol, one.left, one.comparators[0]
    if kind is ast.BinOp or kind is Coalesce:
        return one.symbol, one.left, one.right
    if kind is ast.BoolOp:
        return one.symbol, one.values[0], one.values[1]
    return None


def _any(node: ast.expr) -> Any:
    return node


def unary(symbol: str, operand: ast.expr) -> ast.UnaryOp:
    node = ast.UnaryOp(op=UNARY[symbol], operand=operand)
    _any(node).symbol = symbol  # Python's nodes do not keep the spelling
    return node


def symbol_of(node: ast.UnaryOp) -> str:
    """How a unary operator is written: "!" or "not"."""
    return str(_any(node).symbol)


def constant(value: Any) -> ast.Constant:
    return ast.Constant(value=value)


def builtin(
    name: str,
    arguments: list[ast.expr],
    *,
    mapped: ast.expr | None = None,
    throws: bool = False,
    threshold: int | None = None,
) -> Builtin:
    node = Builtin(arguments=arguments)
    node.name, node.mapped, node.throws, node.threshold = name, mapped, throws, threshold
    return node
