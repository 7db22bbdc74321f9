"""The rewrites of Go's expr that show: in results, in which error comes first, in what is never evaluated.

`x and true` gives x whatever it is, `x in ["a"]` asks a set, `filter(…)[0]` stops at the first, `sum([a, b])`
is `a + b`. Each rewrite is a function from node to node, run over the whole tree from the leaves up, in Go's
order. Nodes are never changed, only replaced: the parsed tree serves other shapes of the environment too.

Source: expr v1.17.8 optimizer/*.go.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from typing import Any, Final

from chalicelib.core.expressions import nodes, operations
from chalicelib.core.expressions.checker import Natures
from chalicelib.core.expressions.failures import Located
from chalicelib.core.expressions.nodes import Builtin, Folded, Member, Pointer, Predicate, offset_of, operands
from chalicelib.core.expressions.operations import KeySet
from chalicelib.core.expressions.signatures import ANY, ARRAY, BOOL, FLOAT, INT, STRING, Nature, nature_of
from chalicelib.core.expressions.values import wrap

_FOLDS: Final = 1000  # rounds of folding; Go's number
_NATURES: Final[dict[type, Nature]] = {bool: BOOL, int: INT, float: FLOAT, str: STRING}


def optimize(tree: ast.expr, natures: Natures) -> ast.expr:
    """The rewritten tree; `natures` learns about the new nodes. Raises Located for a constant ``x % 0``."""
    optimizer = _Optimizer(natures)
    seen = optimizer.seen(tree)
    if "in" in seen:
        tree = optimizer.walk(tree, optimizer.in_array)
    if "constant" in seen or "filter" in seen:
        tree = optimizer.fold(tree)
    if "in" in seen:
        tree = optimizer.walk(tree, optimizer.in_range)
    for names, rewrite in optimizer.rewrites:
        if not seen.isdisjoint(names):
            tree = optimizer.walk(tree, rewrite)
    return tree


Rewrite = Callable[[ast.expr], ast.expr]


class _Optimizer:
    def __init__(self, natures: Natures) -> None:
        self.natures = natures
        self.changed = False
        # Which builtins each is about, in Go's order
        self.rewrites: tuple[tuple[frozenset[str], Rewrite], ...] = (
            (frozenset({"map"}), self.filter_map),
            (frozenset({"filter"}), self.filter_len),
            (frozenset({"filter"}), self.filter_last),
            (frozenset({"filter"}), self.filter_first),
            (frozenset({"all", "any", "none"}), self.predicate_combination),
            (frozenset({"sum", "reduce"}), self.sum_range),
            (frozenset({"sum"}), self.sum_array),
            (frozenset({"sum"}), self.sum_map),
            (frozenset({"count", "filter"}), self.count_any),
            (frozenset({"count", "filter"}), self.count_threshold),
        )

    def seen(self, tree: ast.expr) -> set[str]:
        """What there is to rewrite: names of builtins, "in", and whether there are constants to fold."""
        found: set[str] = set()
        stack: list[ast.AST] = [tree]
        while stack:
            node = stack.pop()
            if type(node) is ast.Constant:
                continue
            if isinstance(node, Builtin):
                found.add(node.name)
            elif isinstance(node, ast.Compare) and type(node.ops[0]) is ast.In:
                found.add("in")
            children = _children(node)
            stack += children
            if "constant" not in found and _may_fold(node, children):
                found.add("constant")
        return found

    # --- walking and replacing ---

    def walk(self, node: ast.expr, rewrite: Rewrite) -> ast.expr:
        """The tree with every node rewritten, children first; what did not change is kept."""
        kind = type(node)
        if kind is ast.Constant or kind is ast.Name:
            return node
        return rewrite(self.with_children(node, rewrite))

    def with_children(self, node: ast.expr, rewrite: Rewrite) -> ast.expr:
        made: ast.expr | None = None
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.expr):
                better: Any = self.walk(value, rewrite)
                same = better is value
            elif isinstance(value, list) and value and isinstance(value[0], ast.expr):
                better = []
                same = True
                for item in value:
                    new = self.walk(item, rewrite)
                    same = same and new is item
                    better.append(new)
            else:
                continue
            if not same:
                if made is None:
                    made = copy.copy(node)
                    self.natures[made] = self.nature(node)
                setattr(made, name, better)
        return made or node

    def nature(self, node: ast.expr) -> Nature:
        return self.natures.get(node, ANY)

    def replaced(self, old: ast.expr, new: ast.expr, nature: Nature | None = None) -> ast.expr:
        """The new node in the old one's place, with its position and, if none is given, its type."""
        self.changed = True
        nodes.placed_like(new, old)
        self.natures[new] = nature or nature_of(self.nature(old).type or ANY.type)
        return new

    def constant(self, old: ast.expr, value: Any) -> ast.expr:
        return self.replaced(old, nodes.constant(value), _NATURES[type(value)])

    # --- folding of constants ---

    def fold(self, tree: ast.expr) -> ast.expr:
        for _ in range(_FOLDS + 1):
            self.changed = False
            tree = self.walk(tree, self.folded)
            if not self.changed:
                break
        return tree

    def folded(self, node: ast.expr) -> ast.expr:
        kind = type(node)
        if kind is ast.UnaryOp:
            return self.folded_unary(node)
        if kind is ast.List:
            return self.folded_list(node)
        if kind is Builtin:
            return self.folded_filter(node)
        parts = operands(node)
        if parts is None:
            return node
        symbol, left, right = parts
        if symbol in ("and", "&&", "or", "||"):
            return self.folded_logic(node, left, right, symbol in ("and", "&&"))
        a, b = _constant(left), _constant(right)
        if a is None or b is None:
            return node
        value = _folded_value(node, symbol, a, b)
        return node if value is None else self.constant(node, value)

    def folded_unary(self, node: ast.expr) -> ast.expr:
        assert isinstance(node, ast.UnaryOp)  # noqa: S101  - for mypy: the tables send no other
        value = _constant(node.operand)
        if value is None:
            return node
        if isinstance(node.op, ast.Not):
            return self.constant(node, not value) if type(value) is bool else node
        if type(value) not in (int, float):
            return node
        if isinstance(node.op, ast.USub):
            value = wrap(-value) if type(value) is int else -value
        return self.constant(node, value)

    def folded_logic(self, node: ast.expr, left: ast.expr, right: ast.expr, is_and: bool) -> ast.expr:
        """`true and x` is x, even when x is no bool; `x and false` is false, and x is never evaluated."""
        a, b = _constant(left), _constant(right)
        if a is is_and:
            return self.replaced(node, copy.copy(right))
        if b is is_and:
            return self.replaced(node, copy.copy(left))
        if a is (not is_and) or b is (not is_and):
            return self.constant(node, not is_and)
        return node

    def folded_list(self, node: ast.expr) -> ast.expr:
        assert isinstance(node, ast.List)  # noqa: S101  - for mypy: the tables send no other
        if not node.elts:
            return node
        made = []
        for item in node.elts:
            value = _constant(item)
            if type(value) not in _NATURES:
                return node
            made.append(value)
        return self.replaced(node, Folded(value=made), ARRAY)

    def folded_filter(self, node: ast.expr) -> ast.expr:
        """filter(filter(xs, p), q) is filter(xs, p && q)."""
        assert isinstance(node, Builtin)  # noqa: S101  - for mypy: the tables send no other
        inner = _builtin(node.arguments[0], "filter") if node.name == "filter" else None
        if inner is None:
            return node
        both = nodes.binary("&&", _body(inner), _body(node))
        return self.replaced(node, nodes.builtin("filter", [inner.arguments[0], Predicate(body=both)]))

    # --- in ---

    def in_array(self, node: ast.expr) -> ast.expr:
        """A literal list of strings, or of ints asked about an int, becomes a set of keys."""
        parts = operands(node)
        if parts is None or parts[0] != "in":
            return node
        _, left, right = parts
        if not isinstance(right, ast.List) or not right.elts:
            return node
        keys = [_constant(item) for item in right.elts]
        if self.nature(left).kind == "int" and all(type(key) is int for key in keys):
            key_set = KeySet(frozenset(keys), "int")
        elif all(type(key) is str for key in keys):
            key_set = KeySet(frozenset(keys), "string")
        else:
            return node
        made = Folded(value=key_set)
        self.natures[made] = nature_of(key_set.go_type)
        return self.replaced(node, nodes.binary("in", left, made))

    def in_range(self, node: ast.expr) -> ast.expr:
        """An int in a range of constants is compared with both ends."""
        parts = operands(node)
        if parts is None or parts[0] != "in" or self.nature(parts[1]).kind != "int":
            return node
        _, left, right = parts
        ends = _constant_range(right)
        if ends is None:
            return node
        low = nodes.binary(">=", left, nodes.constant(ends[0]))
        high = nodes.binary("<=", left, nodes.constant(ends[1]))
        for end in (low, high):
            self.natures[end] = BOOL
        return self.replaced(node, nodes.binary("and", low, high))

    # --- loops ---

    def filter_map(self, node: ast.expr) -> ast.expr:
        """map(filter(xs, p), f) is one loop, unless f asks for the index."""
        outer = _builtin(node, "map")
        inner = _builtin(outer.arguments[0], "filter") if outer else None
        if outer is None or inner is None or inner.mapped is not None or _asks_index(outer.arguments[1]):
            return node
        return self.replaced(node, nodes.builtin("filter", inner.arguments, mapped=_body(outer)))

    def filter_len(self, node: ast.expr) -> ast.expr:
        outer = _builtin(node, "len", 1)
        inner = _builtin(outer.arguments[0], "filter") if outer else None
        return self.replaced(node, nodes.builtin("count", inner.arguments)) if inner else node

    def filter_first(self, node: ast.expr) -> ast.expr:
        return self.filter_end(node, 0, "first", "find")

    def filter_last(self, node: ast.expr) -> ast.expr:
        return self.filter_end(node, -1, "last", "findLast")

    def filter_end(self, node: ast.expr, index: int, function: str, search: str) -> ast.expr:
        """filter(…)[0] and first(filter(…)) stop at the first; the index form throws when there is none."""
        inner, throws = None, False
        if isinstance(node, Member) and not node.optional:
            if type(node.key) is ast.Constant and type(node.key.value) is int and node.key.value == index:
                inner, throws = _builtin(node.value, "filter"), True
        else:
            outer = _builtin(node, function, 1)
            inner = _builtin(outer.arguments[0], "filter") if outer else None
        if inner is None:
            return node
        made = nodes.builtin(search, inner.arguments, mapped=inner.mapped, throws=throws)
        return self.replaced(node, made)

    def predicate_combination(self, node: ast.expr) -> ast.expr:
        """any(xs, p) or any(xs, q) is any(xs, p or q); all with and; none with and, which joins by or."""
        parts = operands(node)
        if parts is None or type(node) is not ast.BoolOp:
            return node
        symbol, left, right = parts
        if not isinstance(left, Builtin) or not isinstance(right, Builtin) or left.name != right.name:
            return node
        joined = _JOINED.get((left.name, symbol))
        if joined is None or not _alike(left.arguments[0], right.arguments[0]):
            return node
        both = self.predicate_combination(nodes.binary(joined, _body(left), _body(right)))
        return self.replaced(node, nodes.builtin(left.name, [left.arguments[0], Predicate(body=both)]))

    def sum_range(self, node: ast.expr) -> ast.expr:
        """sum(1..n), with simple arithmetic on the item, and reduce(1..n, # + #acc) are formulas."""
        if not isinstance(node, Builtin) or node.name not in ("sum", "reduce"):
            return node
        ends = _constant_range(node.arguments[0])
        if ends is None or ends[1] < ends[0]:
            return node
        low, high = ends
        count = wrap(high - low + 1)
        twice = wrap(count * wrap(low + high))
        total = -(-twice // 2) if twice < 0 else twice // 2
        if node.name == "reduce":
            return self.reduced_range(node, total)
        if len(node.arguments) == 1:
            return self.constant(node, total)
        result = _sum_of(_body(node), total, count)
        return node if result is None else self.constant(node, wrap(result))

    def reduced_range(self, node: Builtin, total: int) -> ast.expr:
        if not isinstance(node.arguments[1], Predicate) or not _adds_item_to_acc(_body(node)):
            return node
        if len(node.arguments) == 2:
            return self.constant(node, total)
        start = _constant(node.arguments[2])
        return self.constant(node, wrap(start + total)) if type(start) is int else node

    def sum_array(self, node: ast.expr) -> ast.expr:
        """sum([a, b, c]) is a + (b + c): it joins strings, and rounds differently."""
        outer = _builtin(node, "sum", 1)
        if outer is None or type(outer.arguments[0]) is not ast.List or len(outer.arguments[0].elts) < 2:
            return node
        items = outer.arguments[0].elts
        made = items[-1]
        for item in reversed(items[:-1]):
            made = nodes.binary("+", item, made)
        return self.replaced(node, made)

    def sum_map(self, node: ast.expr) -> ast.expr:
        outer = _builtin(node, "sum", 1)
        inner = _builtin(outer.arguments[0], "map") if outer else None
        return self.replaced(node, nodes.builtin("sum", inner.arguments)) if inner else node

    def count_any(self, node: ast.expr) -> ast.expr:
        """count(xs, p) > 0 and >= 1 are any(xs, p)."""
        compared = _compared_count(node)
        if compared is None or (compared[0], compared[2]) not in ((">", 0), (">=", 1)):
            return node
        return self.replaced(node, nodes.builtin("any", compared[1].arguments))

    def count_threshold(self, node: ast.expr) -> ast.expr:
        """count(xs, p) > n stops at n + 1; so do the others as soon as the answer is known."""
        compared = _compared_count(node)
        if compared is None or compared[2] < 0:
            return node
        symbol, count, limit = compared
        threshold = limit + (symbol in (">", "<="))
        if threshold <= 1 or symbol not in (">", ">=", "<", "<="):
            return node
        made = nodes.builtin("count", count.arguments, threshold=threshold)
        self.natures[made] = self.nature(count)
        nodes.placed_like(made, count)
        parts = operands(node)
        assert parts is not None  # noqa: S101  - for mypy: the tables send no other
        return self.replaced(node, nodes.binary(symbol, made, parts[2]))


_JOINED: Final[dict[tuple[str, str], str]] = {
    ("all", "and"): "and",
    ("all", "&&"): "&&",
    ("any", "or"): "or",
    ("any", "||"): "||",
    ("none", "and"): "or",
    ("none", "&&"): "||",
}


def _children(node: ast.AST) -> list[ast.expr]:
    found: list[ast.expr] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, ast.expr):
            found.append(value)
        elif isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.expr)]
    return found


def _may_fold(node: ast.AST, children: list[ast.expr]) -> bool:
    """Whether folding can begin at this node: enough of its children are literals."""
    literals = [type(child) is ast.Constant for child in children]
    if isinstance(node, ast.BoolOp):
        return any(literals)
    return isinstance(node, ast.UnaryOp | ast.BinOp | ast.Compare | ast.List) and all(literals)


def _constant(node: ast.expr) -> Any:
    """The value of a literal; None for all else, nil included: nothing is ever folded with it."""
    return node.value if type(node) is ast.Constant else None


def _builtin(node: ast.expr, name: str, arguments: int = 2) -> Builtin | None:
    if isinstance(node, Builtin) and node.name == name and len(node.arguments) == arguments:
        return node
    return None


def _body(loop: Builtin) -> ast.expr:
    predicate = loop.arguments[1]
    return predicate.body if isinstance(predicate, Predicate) else predicate


def _constant_range(node: ast.expr) -> tuple[int, int] | None:
    """Both ends of ``1..5``."""
    parts = operands(node)
    if parts is None or parts[0] != "..":
        return None
    low, high = _constant(parts[1]), _constant(parts[2])
    return (low, high) if type(low) is int and type(high) is int else None


def _compared_count(node: ast.expr) -> tuple[str, Builtin, int] | None:
    """The parts of ``count(xs, p) <symbol> <int>``."""
    parts = operands(node)
    if parts is None:
        return None
    symbol, left, right = parts
    count, limit = _builtin(left, "count"), _constant(right)
    return (symbol, count, limit) if count is not None and type(limit) is int else None


def _asks_index(node: ast.expr) -> bool:
    stack: list[ast.expr] = [node]
    while stack:
        one = stack.pop()
        if isinstance(one, Pointer) and one.name == "index":
            return True
        stack += _children(one)
    return False


def _alike(a: ast.expr, b: ast.expr) -> bool:
    """Whether two nodes are written alike; positions do not count."""
    stack = [(a, b)]
    while stack:
        one, other = stack.pop()
        if type(one) is not type(other):
            return False
        for name in ("id", "name", "symbol", "optional", "value"):
            first, second = getattr(one, name, None), getattr(other, name, None)
            if not isinstance(first, ast.AST) and (type(first) is not type(second) or first != second):
                return False
        ours, theirs = _children(one), _children(other)
        if len(ours) != len(theirs):
            return False
        stack += zip(ours, theirs, strict=True)
    return True


def _is_item(node: ast.expr, name: str = "") -> bool:
    return isinstance(node, Pointer) and node.name == name


def _adds_item_to_acc(node: ast.expr) -> bool:
    parts = operands(node)
    if parts is None or parts[0] != "+":
        return False
    _, left, right = parts
    return (_is_item(left) and _is_item(right, "acc")) or (_is_item(left, "acc") and _is_item(right))


def _sum_of(body: ast.expr, total: int, count: int) -> int | None:
    """The sum over a range of ``#``, ``# * k``, ``# + k``, ``# - k`` and their mirror images."""
    if _is_item(body):
        return total
    parts = operands(body)
    if parts is None:
        return None
    symbol, left, right = parts
    item_first = _is_item(left)
    factor = _constant(right) if item_first else _constant(left) if _is_item(right) else None
    if type(factor) is not int:
        return None
    if symbol == "*":
        return factor * total
    if symbol == "+":
        return total + count * factor
    if symbol == "-":
        return total - count * factor if item_first else count * factor - total
    return None


def _folded_value(node: ast.expr, symbol: str, a: Any, b: Any) -> Any:
    """What Go computes of two literals ahead of time; None where it does not."""
    kinds = {type(a), type(b)}
    if kinds <= {int, float}:
        return _folded_number(node, symbol, a, b, kinds == {int})
    if symbol == "+" and kinds == {str}:
        return a + b
    if symbol == "==" and kinds in ({str}, {bool}):
        return bool(a == b)
    return None


def _folded_number(node: ast.expr, symbol: str, a: Any, b: Any, ints: bool) -> Any:
    if symbol in _ARITHMETIC:
        return _ARITHMETIC[symbol](a, b)
    if symbol == "%" and ints:
        if b == 0:
            raise Located("integer divide by zero", offset_of(node))
        return operations.modulo(a, b)
    if symbol == "==" and ints:
        return bool(a == b)
    return None


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": operations.add,
    "-": operations.subtract,
    "*": operations.multiply,
    "/": operations.divide,
    "**": operations.power,
    "^": operations.power,
}
