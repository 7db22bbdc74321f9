"""An index over selectors: which of many can say anything but false to an event.

Most selectors begin with comparisons that must hold: ``discriminator == "github" and payload.action ==
"opened" and …``. The index takes these leading conjuncts, as long as they compare one path with literals, and
sorts the selectors into tries: one level per conjunct, one branch per literal. An event then reads each path
once and follows one branch, however many selectors there are.

Skipping must not change an outcome or hide an error. So only leading conjuncts count, since what stands
before decides whether they are asked; a path that fails makes every selector below it a candidate; and a
selector that does not compile against this event's types is always one. Tries are made per shape of the
environment, as programs are.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, NamedTuple, TypeVar

from chalicelib.core.expressions import Expression, ExpressionError
from chalicelib.core.expressions.closures import Frame, bind
from chalicelib.core.expressions.nodes import Chain, Coalesce, Member, operands
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.programs import Program
from chalicelib.core.expressions.texts import text_of
from chalicelib.core.expressions.values import NUMBERS

K = TypeVar("K")

MAX_CONJUNCTS: Final = 4  # levels of a trie
MAX_LITERALS: Final = 64  # of one `in`: each is a branch
_SHAPES: Final = 16  # of environments whose tries are kept
_EXACT: Final = 2**53  # below it an int is the same number as a float64


class Conjunct(NamedTuple):
    """A conjunct that an index can use: how it reads the event, and what it must find."""

    kind: str  # "==": the value is one of the literals; "in": so, and nil is ""; "has": the list has one
    path: str  # source, the same for the same reading
    node: ast.expr
    literals: tuple[Hashable, ...]


@dataclass
class _Trie:
    """One level: what is read, and what follows from what was found."""

    kind: str
    run: Any  # a bound path
    here: dict[Hashable, list[int]] = field(default_factory=dict)  # selectors whose last conjunct this is
    below: dict[Hashable, dict[tuple[str, str], _Trie]] = field(default_factory=dict)

    def all(self) -> Iterator[int]:
        """Every selector on this level and below it."""
        for positions in self.here.values():
            yield from positions
        for tries in self.below.values():
            for trie in tries.values():
                yield from trie.all()

    def candidates(self, frame: Frame, found: set[int]) -> None:
        try:
            keys = _keys(self.kind, self.run(frame))
        except FunctionError:
            keys = None
        if keys is None:
            found.update(self.all())
            return
        for key in keys:
            found.update(self.here.get(key, ()))
            for trie in self.below.get(key, {}).values():
                trie.candidates(frame, found)


@dataclass(frozen=True)
class _Table:
    """The tries for one shape, and who is in none of them."""

    tries: Mapping[tuple[str, str], _Trie]
    always: frozenset[int]


class Index(Generic[K]):
    """Selectors with their keys; `candidates` gives the keys of those that must be asked."""

    def __init__(self, items: Sequence[tuple[K, Expression]]) -> None:
        self._items = tuple(items)
        self._tables: dict[Any, _Table] = {}

    def candidates(self, env: Mapping[str, Any]) -> Sequence[K]:
        """The keys of all selectors that may match or fail, in their order; every other one is false."""
        environment = env if type(env) is dict else dict(env)
        shape = (*environment, *map(type, environment.values()))
        table = self._tables.get(shape)
        if table is None:
            table = self._table(environment)
            if len(self._tables) >= _SHAPES:
                self._tables.clear()
            self._tables[shape] = table
        found = set(table.always)
        frame = Frame(environment)
        for trie in table.tries.values():
            trie.candidates(frame, found)
        return [self._items[position][0] for position in sorted(found)]

    def _table(self, env: dict[str, Any]) -> _Table:
        tries: dict[tuple[str, str], _Trie] = {}
        always: set[int] = set()
        for position, (_, expression) in enumerate(self._items):
            try:
                program = expression.program(env)
            except ExpressionError:
                always.add(position)
                continue
            conjuncts = list(conjuncts_of(program.parsed))[:MAX_CONJUNCTS]
            if not conjuncts:
                always.add(position)
                continue
            _insert(tries, conjuncts, position, program)
        return _Table(tries, frozenset(always))


def _insert(
    tries: dict[tuple[str, str], _Trie], conjuncts: Sequence[Conjunct], position: int, program: Program
) -> None:
    first, *rest = conjuncts
    trie = tries.get((first.kind, first.path))
    if trie is None:
        run = bind(first.node, program.natures, program.constants).run
        trie = tries[first.kind, first.path] = _Trie(first.kind, run)
    for literal in first.literals:
        if rest:
            _insert(trie.below.setdefault(literal, {}), rest, position, program)
        else:
            trie.here.setdefault(literal, []).append(position)


def conjuncts_of(tree: ast.expr) -> Iterator[Conjunct]:
    """The leading conjuncts of an expression that an index can use."""
    for conjunct in _conjuncts(tree):
        usable = _conjunct(conjunct)
        if usable is None:
            return
        yield usable


def _conjuncts(tree: ast.expr) -> Iterator[ast.expr]:
    """The sides of all ``and`` on top, from left to right."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
            stack += [node.values[1], node.values[0]]
        else:
            yield node


def _conjunct(node: ast.expr) -> Conjunct | None:
    parts = operands(node)
    if parts is None:
        return None
    symbol, left, right = parts
    if symbol == "==":
        reading, literal = (right, left) if _literal(left) is not None else (left, right)
        key = _literal(literal)
        return (
            Conjunct("==", text_of(reading), reading, (key,))
            if key is not None and _is_path(reading)
            else None
        )
    if symbol != "in":
        return None
    if _is_path(left) and isinstance(right, ast.List):
        keys = [_literal(item) for item in right.elts]
        texts = tuple({key: None for key in keys if isinstance(key, str)})
        if len(texts) == len(keys) <= MAX_LITERALS and texts:
            return Conjunct("in", text_of(left), left, texts)
        return None
    key = _literal(left)
    if isinstance(key, str):
        reading = right
        if isinstance(right, Coalesce) and isinstance(right.right, ast.List) and not right.right.elts:
            reading = right.left
        if _is_path(reading):
            return Conjunct("has", text_of(reading), reading, (key,))
    return None


def _is_path(node: ast.expr) -> bool:
    """Whether a node only reaches into the environment: nothing that loops, calls or could differ."""
    while True:
        if isinstance(node, Chain):
            node = node.value
        elif isinstance(node, Member):
            if type(node.key) is not ast.Constant or type(node.key.value) not in (str, int):
                return False
            node = node.value
        else:
            return isinstance(node, ast.Name) and node.id != "$env"


class _Kind(NamedTuple):
    """A key that is no text, so that 1, true and "1" are three."""

    kind: str
    value: Hashable


def _literal(node: ast.expr) -> Hashable | None:
    """The key of a literal; None for what is none."""
    if isinstance(node, ast.List):
        keys = [_literal(item) for item in node.elts]
        return _Kind("list", tuple(keys)) if keys and all(isinstance(key, str) for key in keys) else None
    if type(node) is not ast.Constant or isinstance(node.value, bytes):
        return None
    value: Any = node.value
    if type(value) in (int, float):
        return _Kind("number", float(value)) if abs(value) < _EXACT else None
    return _key(value)


def _key(value: Any) -> Hashable:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return _Kind("constant", value)
    if type(value) in NUMBERS:
        return _Kind("number", float(value))
    if type(value) is list and all(type(item) is str for item in value):
        return _Kind("list", tuple(value))
    return _OTHER


_OTHER: Final = _Kind("other", None)  # equal to no literal


def _keys(kind: str, value: Any) -> Sequence[Hashable] | None:
    """The branches that a value leads to; None where the comparison itself would fail or is another."""
    if kind == "==":
        return (_key(value),)
    if kind == "in":
        if value is None:
            return ("",)
        return (value,) if type(value) is str else None
    if value is None:
        return ()
    return [item for item in value if type(item) is str] if type(value) is list else None
