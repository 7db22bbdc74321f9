"""The tree bound ahead of time: one Python function per node, made once, so that evaluating only calls.

`bind` gives for a checked tree a function of a `Frame`. It must give what the walk in `evaluator` gives, in
value and in error; a property test holds one against the other. What makes it fast is what is decided here,
once: names and variables are looked up now, a path such as ``payload.a?.b`` is one loop, comparisons with
literals compare directly, and a string constant is its own closure.

**Raw values.** The walk gets an environment that `clean` went through. Here the environment is taken as it
came, since cleaning a large payload costs more than most expressions. So a function is *raw* when what it
gives may still be decoded JSON: ints that must count as float64, surrogates that must be U+FFFD. Reaching
deeper into a raw value is right as it is; a function that does more asks for its operands by `cooked`.

Nothing here recurses through C: since Python 3.11 a deep tree then needs only a high recursion limit.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from chalicelib.core.expressions import operations, patterns, values
from chalicelib.core.expressions.builtins import BUILTINS
from chalicelib.core.expressions.checker import Natures
from chalicelib.core.expressions.evaluator import (
    OPERATORS,
    asserted_by,
    first_item,
    loop_items,
    need_item,
    sort_order,
    sorted_by,
    typed_call,
)
from chalicelib.core.expressions.limits import MEMORY_BUDGET, STEPS
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
    Sequence,
    StartsWith,
    offset_of,
)
from chalicelib.core.expressions.operations import Budget, KeySet, Random, need_bool, need_string
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import GroupMap, Meter, clean, equal, is_nil, key_of

_SHORT: Final = 1024  # characters of a text that may be looked at for nothing
# What some nodes cost, in plain nodes: types of nodes, and names of builtins
_WORK: Final[Mapping[type | str, int]] = {ast.Call: 40, "date": 80, "duration": 8, "now": 8, "timezone": 8}


class Frame(Budget):
    """One evaluation: the environment, what the loops are at, the variables, and the budget."""

    __slots__ = ("acc", "env", "index", "item", "variables")

    def __init__(
        self,
        env: dict[str, Any],
        variables: int = 0,
        steps: int = STEPS,
        now: Callable[[], int] | None = None,
        chance: Random | None = None,
    ) -> None:
        self.left = steps
        self.memory = MEMORY_BUDGET
        self.now = now
        self.chance = chance
        self.env = env
        self.variables: list[Any] = [None] * variables
        self.item: Any = None
        self.index = 0
        self.acc: Any = None


Run = Callable[[Frame], Any]


class Bound(NamedTuple):
    run: Run
    raw: bool = False
    neutral: bool = False  # alike raw or not, as a text or an empty list is


def _same(value: Any, _: Meter) -> Any:
    return value


class Binding(NamedTuple):
    """What `bind` makes: the function, and how many variables its frame needs."""

    run: Run
    variables: int


class _Skip:
    """What a chain gives inside of itself once ``?.`` has found nil."""


_SKIP: Final = _Skip()


def bind(tree: ast.expr, natures: Natures, constants: Mapping[str, Any] | None = None) -> Binding:
    """The function for a tree. `constants` are names that stand beside the environment's.

    Raises FunctionError, without a place as Go does, for a literal pattern that folding has made or that
    the checker did not look at.
    """
    binder = Binder(natures, constants or {})
    run = binder.cooked(tree)
    return Binding(run, binder.variables)


def cook(value: Any, meter: Meter) -> Any:
    """A raw value as Go has it; see `values.clean`."""
    kind = type(value)
    if (kind is str and value.isascii()) or kind is float or kind is bool or value is None:
        return value
    return clean(value, meter)


Fix = Callable[[Any, Meter], Any]


def _fix(raw: bool) -> Fix:
    """What makes a Go value of what a function gave."""
    return cook if raw else _same


def _placed(offset: int, run: Run) -> Run:
    """The function, whose failures get this place unless they have one."""

    def placed(frame: Frame) -> Any:
        try:
            return run(frame)
        except FunctionError as error:
            raise at(error, offset) from None

    return placed


def at(error: FunctionError, offset: int) -> FunctionError:
    """The failure, at this place unless it has one."""
    if not hasattr(error, "offset"):
        error.offset = offset  # type: ignore[attr-defined]  # the place, for the façade
    return error


class Loop(NamedTuple):
    """A loop to be bound: how to list the items, what to do with each, and whether they are raw."""

    node: Builtin
    listed: Run
    body: Run
    mapped: Run | None  # what to give instead of an item
    weight: int  # steps for each item
    offset: int
    raw: bool


def binder_for(natures: Natures, constants: Mapping[str, Any] | None = None) -> Binder:
    """A binder of single nodes, for `explanations`, which opens and closes scopes itself."""
    return Binder(natures, constants or {})


def loop_variables(node: Builtin) -> ast.expr:
    """What a loop does with each item."""
    body = node.arguments[1]
    return body.body if isinstance(body, Predicate) else body


class Binder:
    def __init__(self, natures: Natures, constants: Mapping[str, Any]) -> None:
        self.natures = natures
        self.constants = constants
        self.variables = 0
        self.work = 0  # of the nodes bound so far, to weigh the bodies of loops
        self.scope: list[tuple[str, int, bool]] = []  # name, place in the frame, raw
        self.items: list[bool] = []  # of the open loops: whether the item is raw
        self.binders: dict[type, Callable[[Any], Bound]] = {
            ast.Constant: self.constant,
            Folded: self.constant,
            ast.Name: self.name,
            ast.UnaryOp: self.unary,
            ast.BinOp: self.binary,
            ast.Compare: self.compare,
            ast.BoolOp: self.logic,
            ast.IfExp: self.conditional,
            ast.Call: self.call,
            ast.Subscript: self.subscript,
            ast.List: self.list_literal,
            ast.Dict: self.map_literal,
            Member: self.member,
            Chain: self.chain,
            Builtin: self.builtin,
            Pointer: self.pointer,
            Predicate: lambda node: self.bound(node.body),
            Let: self.let,
            Sequence: self.sequence,
            Coalesce: self.coalesce,
        }

    def bound(self, node: ast.expr) -> Bound:
        self.work += _WORK.get(node.name, 1) if isinstance(node, Builtin) else _WORK.get(type(node), 1)
        return self.binders[type(node)](node)

    def cooked(self, node: ast.expr) -> Run:
        run, raw, _ = self.bound(node)
        return _cooked(run) if raw else run

    def joined(self, *sides: ast.expr) -> tuple[list[Run], bool]:
        """Functions of which one or another gives the result, and whether that is raw."""
        bound = [self.bound(side) for side in sides]
        raw = any(side.raw for side in bound)
        if raw and all(side.raw or side.neutral for side in bound):
            return [side.run for side in bound], True
        return [_cooked(side.run) if side.raw else side.run for side in bound], False

    # --- literals and names ---

    def constant(self, node: ast.Constant) -> Bound:
        value = node.value
        neutral = value is None or type(value) in (bool, float, str) or _is_list_of_text(node)
        return Bound(lambda _: value, neutral=neutral)

    def name(self, node: ast.Name) -> Bound:
        name, constants = node.id, self.constants
        for visible, place, raw in reversed(self.scope):
            if visible == name:
                return Bound(_variable(place), raw)
        if name == "$env":
            return Bound(lambda frame: {**clean(frame.env, frame), **constants})
        if name in constants:
            value = constants[name]
            return Bound(lambda _: value)
        return Bound(lambda frame: frame.env.get(name), raw=True)

    def open_variable(self, name: str, value: ast.expr) -> int:
        """From here on the name is a variable; its place in the frame."""
        return self._opened(name, raw=self.bound(value).raw)

    def _opened(self, name: str, raw: bool) -> int:
        self.variables += 1
        self.scope.append((name, self.variables - 1, raw))
        return self.variables - 1

    def close_variable(self) -> None:
        self.scope.pop()

    def open_loop(self, collection: ast.expr) -> None:
        """From here on ``#`` is an item of the collection."""
        self.items.append(self.bound(collection).raw)

    def close_loop(self) -> None:
        self.items.pop()

    def let(self, node: Let) -> Bound:
        value, raw, _ = self.bound(node.value)
        place = self._opened(node.name, raw)
        body, body_raw, _ = self.bound(node.body)
        self.close_variable()

        def let(frame: Frame) -> Any:
            frame.variables[place] = value(frame)
            return body(frame)

        return Bound(let, body_raw)

    def sequence(self, node: Sequence) -> Bound:
        *firsts, (last, raw, _) = [self.bound(value) for value in node.values]
        runs = [first.run for first in firsts]

        def sequence(frame: Frame) -> Any:
            for run in runs:
                run(frame)
            return last(frame)

        return Bound(sequence, raw)

    def pointer(self, node: Pointer) -> Bound:
        if node.name == "index":
            return Bound(lambda frame: frame.index)
        if node.name == "acc":
            return Bound(lambda frame: frame.acc)
        offset = offset_of(node) or 0

        def item(frame: Frame) -> Any:
            return need_item(frame.item)

        return Bound(_placed(offset, item), self.items[-1])

    def list_literal(self, node: ast.List) -> Bound:
        runs = [self.cooked(item) for item in node.elts]

        def made(frame: Frame) -> Any:
            items = [run(frame) for run in runs]
            frame.grow(len(items))
            return items

        return Bound(_placed(offset_of(node) or 0, made), neutral=not runs)

    def map_literal(self, node: ast.Dict) -> Bound:
        pairs = [
            (self.cooked(key), self.cooked(value))
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        ]

        def made(frame: Frame) -> Any:
            found = [(key(frame), value(frame)) for key, value in pairs]
            frame.grow(len(found))
            return {need_string(key): value for key, value in reversed(found)}

        return Bound(_placed(offset_of(node) or 0, made), neutral=not pairs)

    # --- access ---

    def path(self, node: ast.expr) -> tuple[ast.expr, list[tuple[str | int, bool, int]]]:
        """The root of dots and constant indexes, and the steps from there: key, optional, place."""
        steps: list[tuple[str | int, bool, int]] = []
        while isinstance(node, Member) and type(node.key) is ast.Constant:
            key = node.key.value
            if not (isinstance(key, str) and "\ufffd" not in key) and type(key) is not int:
                break
            steps.append((key, node.optional, offset_of(node) or 0))
            node = node.value
        return node, steps[::-1]

    def member(self, node: Member) -> Bound:
        root, steps = self.path(node)
        if steps and not any(optional for _, optional, _ in steps):
            return self.walked(root, steps)
        run = self.fetched(node)
        return Bound(run)

    def chain(self, node: Chain) -> Bound:
        root, steps = self.path(node.value)
        if steps and not isinstance(root, Member | ast.Call):
            walked = self.walked(root, steps)
            if walked.raw:  # decoded JSON, which has no typed nil
                return walked
            run = walked.run
        else:
            run = self.spine(node.value)

        def chain(frame: Frame) -> Any:
            value = run(frame)
            return None if value is _SKIP or is_nil(value) else value

        return Bound(chain)

    def walked(self, root: ast.expr, steps: list[tuple[str | int, bool, int]]) -> Bound:
        """A path from its root, deeper and deeper into a value."""
        start, raw, _ = self.bound(root)
        if type(root) is ast.Name and raw and root.id not in [name for name, _, _ in self.scope]:
            return Bound(_path_from_name(root.id, steps), raw)
        fix = _fix(raw)
        if len(steps) == 1 and type(steps[0][0]) is str:
            key, optional, offset = steps[0]

            def one(frame: Frame) -> Any:
                value = start(frame)
                if type(value) is dict:
                    return value.get(key)
                return None if optional and is_nil(value) else step(value, key, offset, frame, fix)

            return Bound(one, raw)

        def many(frame: Frame) -> Any:
            return _walk(start(frame), steps, frame, fix)

        return Bound(many, raw)

    def spine(self, node: ast.expr) -> Run:
        """A member or call inside of a chain, which may give the mark of a chain that was left."""
        if isinstance(node, Member):
            return self.fetched(node)
        if isinstance(node, ast.Call):
            return self.called(node)
        return self.cooked(node)

    def fetched(self, node: Member) -> Run:
        container, key, optional = self.spine(node.value), self.cooked(node.key), node.optional

        def fetched(frame: Frame) -> Any:
            value = container(frame)
            if value is _SKIP or (optional and is_nil(value)):
                return _SKIP
            return operations.fetch(value, key(frame), frame)

        return _placed(offset_of(node) or 0, fetched)

    def subscript(self, node: ast.Subscript) -> Bound:
        bounds = node.slice
        assert isinstance(bounds, ast.Slice)  # noqa: S101  - for mypy: the tables send no other
        container = self.cooked(node.value)
        upper = self.cooked(bounds.upper) if bounds.upper else None
        lower = self.cooked(bounds.lower) if bounds.lower else None

        def sliced(frame: Frame) -> Any:
            value = container(frame)
            high = operations.size_for_slice(value, frame) if upper is None else upper(frame)
            low = 0 if lower is None else lower(frame)
            return operations.slice_of(value, low, high, frame)

        return Bound(_placed(offset_of(node) or 0, sliced))

    # --- calls ---

    def call(self, node: ast.Call) -> Bound:
        return Bound(self.called(node))

    def called(self, node: ast.Call) -> Run:
        arguments = [self.cooked(argument) for argument in node.args]
        function, typed = self.spine(node.func), typed_call(self.natures, node)

        def called(frame: Frame) -> Any:
            given = [argument(frame) for argument in arguments]
            target = function(frame)
            return _SKIP if target is _SKIP else operations.call(target, given, frame, typed)

        return _placed(offset_of(node) or 0, called)

    def builtin(self, node: Builtin) -> Bound:
        loop = getattr(self, f"loop_{node.name}", None)
        if loop is not None:
            return self.loop(node, loop)
        run = BUILTINS[node.name]
        arguments = [self.cooked(argument) for argument in node.arguments]
        offset = offset_of(node) or 0
        if len(arguments) == 1:
            (only,) = arguments

            def one(frame: Frame) -> Any:
                try:
                    return run(frame, only(frame))
                except FunctionError as error:
                    raise at(error, offset) from None

            return Bound(one)

        def many(frame: Frame) -> Any:
            return run(frame, *[argument(frame) for argument in arguments])

        return Bound(_placed(offset, many))

    # --- operators ---

    def unary(self, node: ast.UnaryOp) -> Bound:
        offset = offset_of(node) or 0
        if isinstance(node.op, ast.Not):
            run, raw, _ = self.bound(node.operand)
            fix = _fix(raw)

            def negated(frame: Frame) -> Any:
                value = run(frame)
                if value is True:
                    return False
                if value is False:
                    return True
                return need_bool(fix(value, frame))

            return Bound(_placed(offset, negated))
        if isinstance(node.op, ast.UAdd):
            return self.bound(node.operand)
        operand = self.cooked(node.operand)
        return Bound(_placed(offset, lambda frame: operations.negate(operand(frame))))

    def binary(self, node: ast.BinOp) -> Bound:
        left, right = self.cooked(node.left), self.cooked(node.right)
        run, offset = OPERATORS[type(node.op)], offset_of(node) or 0

        def binary(frame: Frame) -> Any:
            try:
                return run(left(frame), right(frame), frame)
            except FunctionError as error:
                raise at(error, offset) from None

        return Bound(binary)

    def logic(self, node: ast.BoolOp) -> Bound:
        left, left_raw, _ = self.bound(node.values[0])
        right, raw, _ = self.bound(node.values[1])
        decided, offset, fix = isinstance(node.op, ast.Or), offset_of(node) or 0, _fix(left_raw)
        undecided = not decided

        def logic(frame: Frame) -> Any:
            value = left(frame)
            if value is undecided:
                return right(frame)
            if value is decided:
                return decided
            return _no_bool(fix(value, frame), offset)

        return Bound(logic, raw)

    def coalesce(self, node: Coalesce) -> Bound:
        (left, right), raw = self.joined(node.left, node.right)

        def coalesce(frame: Frame) -> Any:
            value = left(frame)
            return right(frame) if value is None or is_nil(value) else value

        return Bound(coalesce, raw)

    def conditional(self, node: ast.IfExp) -> Bound:
        test, test_raw, _ = self.bound(node.test)
        (body, orelse), raw = self.joined(node.body, node.orelse)
        offset, fix = offset_of(node) or 0, _fix(test_raw)

        def conditional(frame: Frame) -> Any:
            value = test(frame)
            if value is True:
                return body(frame)
            if value is False:
                return orelse(frame)
            return _no_bool(fix(value, frame), offset)

        return Bound(conditional, raw)

    def compare(self, node: ast.Compare) -> Bound:
        kind, offset = type(node.ops[0]), offset_of(node) or 0
        left, right = node.left, node.comparators[0]
        if kind is ast.Eq or kind is ast.NotEq:
            return self.equality(node, left, right, offset)
        quick = None
        if isinstance(right, Folded):
            if kind is ast.In and isinstance(right.value, KeySet):
                quick = self.in_keys(left, right.value, offset)
        elif isinstance(right, ast.Constant):
            if kind is Matches and type(right.value) is str:
                return self.matched(left, right.value, offset)
            quick = self.compared_with(kind, left, right.value, offset)
        if quick is not None:
            return Bound(quick)
        one, other, run = self.cooked(left), self.cooked(right), OPERATORS[kind]

        def compared(frame: Frame) -> Any:
            try:
                return run(one(frame), other(frame), frame)
            except FunctionError as error:
                raise at(error, offset) from None

        return Bound(compared)

    def equality(self, node: ast.Compare, left: ast.expr, right: ast.expr, offset: int) -> Bound:
        wanted = type(node.ops[0]) is ast.Eq
        assertion = asserted_by(self.natures, left, right)
        operand, literal = (right, left) if isinstance(left, ast.Constant) else (left, right)
        with_literal = _equality_with(literal, wanted, assertion)
        if with_literal is not None:
            run, raw, _ = self.bound(operand)
            test = with_literal(run, _fix(raw))
            return Bound(_placed(offset, test) if assertion else test)
        one, other = self.cooked(left), self.cooked(right)

        def equals(frame: Frame) -> Any:
            a, b = one(frame), other(frame)
            if assertion is not None:
                return (assertion(a) == assertion(b)) is wanted
            return equal(a, b, frame) is wanted

        return Bound(_placed(offset, equals))

    def compared_with(self, kind: type, operand: ast.expr, value: Any, offset: int) -> Run | None:
        """A comparison with a literal that has a short way; None where there is none."""
        if kind in _ORDER and type(value) in (int, float) and abs(value) < 2**53:
            run, raw, _ = self.bound(operand)
            fix = _fix(raw)
            test, symbol = _ORDER[kind]

            def ordered(frame: Frame) -> Any:
                found = run(frame)
                if type(found) is float:
                    return test(found, value)
                try:
                    return values.compare(symbol, fix(found, frame), value, frame)
                except FunctionError as error:
                    raise at(error, offset) from None

            return ordered
        if kind in _TEXT and type(value) is str and "\ufffd" not in value and len(value) < _SHORT:
            run, raw, _ = self.bound(operand)
            fix = _fix(raw)
            plain, full = _TEXT[kind]

            def searched(frame: Frame) -> Any:
                found = run(frame)
                if type(found) is str and len(found) < _SHORT:
                    return plain(found, value)
                try:
                    return full(fix(found, frame), value, frame)
                except FunctionError as error:
                    raise at(error, offset) from None

            return searched
        return None

    def in_keys(self, operand: ast.expr, keys: KeySet, offset: int) -> Run | None:
        if keys.type_name != "string" or any("\ufffd" in key for key in keys.keys):
            return None
        (run, raw, _), words = self.bound(operand), keys.keys
        fix = _fix(raw)

        def in_keys(frame: Frame) -> Any:
            found = run(frame)
            if type(found) is str:
                return found in words
            try:
                return keys.has(fix(found, frame))
            except FunctionError as error:
                raise at(error, offset) from None

        return in_keys

    def matched(self, operand: ast.expr, pattern: str, offset: int) -> Bound:
        compiled, run = patterns.compile_pattern(pattern), self.cooked(operand)
        size = compiled.programsize

        def matched(frame: Frame) -> Any:
            try:
                return operations.matches_constant(run(frame), compiled, size, frame)
            except FunctionError as error:
                raise at(error, offset) from None

        return Bound(matched)

    # --- loops ---

    def loop(self, node: Builtin, make: Callable[[Loop], Bound]) -> Bound:
        """A loop over the items of its first argument, by the method made for it."""
        collection, raw, _ = self.bound(node.arguments[0])
        offset = offset_of(node) or 0
        self.items.append(raw)
        before = self.work
        body = self.cooked(node.arguments[1] if len(node.arguments) > 1 else _placed_pointer(node))
        mapped = None if node.mapped is None else self.cooked(node.mapped)
        weight = 1 + (self.work - before >> 3)
        listed = _listed(collection, weight, offset, _fix(raw))
        bound = make(Loop(node, listed, body, mapped, weight, offset, raw))
        self.items.pop()
        return Bound(bound.run, bound.raw)

    def loop_any(self, loop: Loop) -> Bound:
        return Bound(_search(loop, wanted=True, found=True))

    def loop_all(self, loop: Loop) -> Bound:
        return Bound(_search(loop, wanted=False, found=False))

    def loop_none(self, loop: Loop) -> Bound:
        return Bound(_search(loop, wanted=True, found=False))

    def loop_one(self, loop: Loop) -> Bound:
        counted = _count(loop, None)
        return Bound(lambda frame: counted(frame) == 1)

    def loop_count(self, loop: Loop) -> Bound:
        return Bound(_count(loop, loop.node.threshold))

    def loop_filter(self, loop: Loop) -> Bound:
        _, listed, body, mapped, _, offset, item_raw = loop

        def filtered(frame: Frame) -> Any:
            items = listed(frame)
            outer, made = frame.item, []
            for item in items:
                frame.item = item
                value = body(frame)
                if value is True:
                    made.append(need_item(item) if mapped is None else mapped(frame))
                elif value is not False:
                    need_bool(value)
            frame.item = outer
            frame.grow(len(made))
            return made

        return Bound(_placed(offset, filtered), item_raw and mapped is None)

    def loop_map(self, loop: Loop) -> Bound:
        _, listed, body, _, _, offset, _ = loop

        def mapped(frame: Frame) -> Any:
            items = listed(frame)
            outer, outer_index, made = frame.item, frame.index, []
            for index, item in enumerate(items):
                frame.item, frame.index = item, index
                made.append(body(frame))
            frame.item, frame.index = outer, outer_index
            frame.grow(len(made))
            return made

        return Bound(_placed(offset, mapped))

    def loop_sum(self, loop: Loop) -> Bound:
        _, listed, body, _, _, offset, _ = loop

        def summed(frame: Frame) -> Any:
            items = listed(frame)
            outer, outer_index, total = frame.item, frame.index, 0
            for index, item in enumerate(items):
                frame.item, frame.index = item, index
                total = operations.add(body(frame), total)
            frame.item, frame.index = outer, outer_index
            return total

        return Bound(_placed(offset, summed))

    def found(self, loop: Loop, backwards: bool) -> Bound:
        node, listed, body, mapped, weight, offset, item_raw = loop
        throws = node.throws

        def find(frame: Frame) -> Any:
            items = listed(frame)
            outer, result, steps = frame.item, _SKIP, 0
            for item in reversed(items) if backwards else items:
                frame.item = item
                steps += 1
                value = body(frame)
                if value is True:
                    result = need_item(item) if mapped is None else mapped(frame)
                    break
                if value is not False:
                    need_bool(value)
            frame.item = outer
            frame.left += weight * (len(items) - steps)
            if result is not _SKIP:
                return result
            if throws:
                raise FunctionError("reflect: slice index out of range")
            return None

        return Bound(_placed(offset, find), item_raw and mapped is None)

    def loop_find(self, loop: Loop) -> Bound:
        return self.found(loop, backwards=False)

    def loop_findLast(self, loop: Loop) -> Bound:  # noqa: N802  - Go's name
        return self.found(loop, backwards=True)

    def loop_findIndex(self, loop: Loop) -> Bound:  # noqa: N802  - Go's name
        return Bound(_find_index(loop, backwards=False))

    def loop_findLastIndex(self, loop: Loop) -> Bound:  # noqa: N802  - Go's name
        return Bound(_find_index(loop, backwards=True))

    def loop_groupBy(self, loop: Loop) -> Bound:  # noqa: N802  - Go's name
        _, listed, body, _, _, offset, item_raw = loop
        fix = _fix(item_raw)

        def grouped(frame: Frame) -> Any:
            items = listed(frame)
            outer, groups = frame.item, GroupMap()
            for item in items:
                frame.item = item
                groups.setdefault(key_of(body(frame), groups), []).append(fix(need_item(item), frame))
            frame.item = outer
            frame.spend(4 * len(groups))
            return groups

        return Bound(_placed(offset, grouped))

    def loop_sortBy(self, loop: Loop) -> Bound:  # noqa: N802  - Go's name
        node, listed, body, _, _, offset, raw = loop
        order = self.cooked(node.arguments[2]) if len(node.arguments) == 3 else None

        def sorted_(frame: Frame) -> Any:
            items = listed(frame)
            descending = False if order is None else sort_order(_third(frame, items, order))
            outer, keys = frame.item, []
            for item in items:
                frame.item = item
                keys.append(body(frame))
            frame.item = outer
            return sorted_by(items, keys, descending, frame)

        return Bound(_placed(offset, sorted_), raw)

    def loop_reduce(self, loop: Loop) -> Bound:
        node, listed, body, _, _, offset, item_raw = loop
        start = self.cooked(node.arguments[2]) if len(node.arguments) == 3 else None
        fix = _fix(item_raw)

        def reduced(frame: Frame) -> Any:
            items = listed(frame)
            first = 0
            if start is not None:
                total = _third(frame, items, start)
            elif not items:
                raise FunctionError("reduce of empty array with no initial value")
            else:
                total, first = fix(need_item(items[0]), frame), 1
            outer, outer_index, outer_acc = frame.item, frame.index, frame.acc
            for index in range(first, len(items)):
                frame.item, frame.index, frame.acc = items[index], index, total
                total = body(frame)
            frame.item, frame.index, frame.acc = outer, outer_index, outer_acc
            return total

        return Bound(_placed(offset, reduced))


def _third(frame: Frame, items: list[Any], run: Run) -> Any:
    """The value of a loop's third argument."""
    outer = frame.item, frame.index, frame.acc
    frame.item, frame.index, frame.acc = first_item(items), 0, None
    value = run(frame)
    frame.item, frame.index, frame.acc = outer
    return value


def _variable(place: int) -> Run:
    return lambda frame: frame.variables[place]


def _placed_pointer(node: Builtin) -> Pointer:
    """The item itself, for count and sum without a predicate."""
    pointer = Pointer()
    pointer.name = ""
    pointer.offset = offset_of(node)  # type: ignore[attr-defined]  # ours, beside Python's two
    return pointer


def _no_bool(value: Any, offset: int) -> Any:
    try:
        return need_bool(value)
    except FunctionError as error:
        raise at(error, offset) from None


def _equality_with(
    literal: ast.expr, wanted: bool, assertion: Callable[[Any], Any] | None
) -> Callable[[Run, Fix], Run] | None:
    """How to test equality with a literal, straight on a raw value; None where that could differ from Go."""
    if not isinstance(literal, ast.Constant):
        return None
    value: Any = literal.value
    if type(value) is str and len(value) >= _SHORT:
        return None
    if assertion is not None:
        if type(value) is not str or "\ufffd" in value:
            return None
        return lambda run, fix: (
            lambda frame: (
                (found == value if type(found := run(frame)) is str else assertion(fix(found, frame)))
                is wanted
            )
        )
    if value is None:
        return lambda run, _: lambda frame: is_nil(run(frame)) is wanted
    if type(value) is bool:
        return lambda run, _: lambda frame: (run(frame) is value) is wanted
    if type(value) is str and "\ufffd" not in value:
        # A string equals nothing but a string, and a surrogate only what has U+FFFD.
        compare = operator.eq if wanted else operator.ne
        return lambda run, _: lambda frame: compare(run(frame), value)
    if type(value) in (int, float) and abs(value) < 2**53:
        # Below 2**53 an int that is to be a float64 has not changed by then.
        return lambda run, _: (
            lambda frame: (type(found := run(frame)) in values.NUMBERS and found == value) is wanted
        )
    if _is_list_of_text(literal):
        return lambda run, fix: (
            lambda frame: (
                (
                    found == value
                    if type(found := run(frame)) is list
                    else equal(fix(found, frame), value, frame)
                )
                is wanted
            )
        )
    return None


def _is_list_of_text(node: ast.expr) -> bool:
    return (
        isinstance(node, Folded)
        and isinstance(node.value, list)
        and all(type(item) is str and "\ufffd" not in item for item in node.value)
    )


def _cooked(run: Run) -> Run:
    """The function, whose raw results become Go values."""

    def cooked(frame: Frame) -> Any:
        value = run(frame)
        kind = type(value)
        if (kind is str and value.isascii()) or kind is float or kind is bool or value is None:
            return value
        return clean(value, frame)

    return cooked


def step(value: Any, key: str | int, offset: int, meter: Meter, fix: Fix = cook) -> Any:
    """One step into a value that is no map, or by an index; what it gives is as raw as the value."""
    if type(value) is list and type(key) is int and -len(value) <= key < len(value):
        return value[key]
    try:
        return operations.fetch(value if isinstance(value, dict | list) else fix(value, meter), key, meter)
    except FunctionError as error:
        raise at(error, offset) from None


def _walk(value: Any, steps: list[tuple[str | int, bool, int]], meter: Meter, fix: Fix = cook) -> Any:
    for key, optional, offset in steps:
        if type(value) is dict and type(key) is str:
            value = value.get(key)
        elif optional and is_nil(value):
            return None
        else:
            value = step(value, key, offset, meter, fix)
    return value


def _path_from_name(name: str, steps: list[tuple[str | int, bool, int]]) -> Run:
    """A path that starts in the environment: by far the most frequent thing in a selector."""
    if len(steps) == 1 and type(steps[0][0]) is str:
        key, optional, offset = steps[0]

        def one(frame: Frame) -> Any:
            value = frame.env.get(name)
            if type(value) is dict:
                return value.get(key)
            return None if optional and value is None else step(value, key, offset, frame)

        return one
    if len(steps) == 2 and type(steps[0][0]) is type(steps[1][0]) is str:
        (first, first_optional, first_offset), (key, optional, offset) = steps

        def two(frame: Frame) -> Any:
            value = frame.env.get(name)
            if type(value) is dict:
                value = value.get(first)
            elif first_optional and value is None:
                return None
            else:
                value = step(value, first, first_offset, frame)
            if type(value) is dict:
                return value.get(key)
            return None if optional and value is None else step(value, key, offset, frame)

        return two

    def many(frame: Frame) -> Any:
        return _walk(frame.env.get(name), steps, frame)

    return many


_ORDER: Final[Mapping[type, tuple[Callable[[Any, Any], bool], str]]] = {
    ast.Lt: (operator.lt, "<"),
    ast.LtE: (operator.le, "<="),
    ast.Gt: (operator.gt, ">"),
    ast.GtE: (operator.ge, ">="),
}
_TEXT: Final[Mapping[type, tuple[Callable[[Any, Any], bool], Callable[[Any, Any, Meter], bool]]]] = {
    Contains: (operator.contains, operations.contains),
    StartsWith: (str.startswith, operations.starts_with),
    EndsWith: (str.endswith, operations.ends_with),
}


def _listed(collection: Run, weight: int, offset: int, fix: Fix) -> Run:
    """How to get the items of a loop, all of them paid for; who stops early gives back."""

    def listed(frame: Frame) -> Any:
        found = collection(frame)
        try:
            items = found if type(found) is list else loop_items(fix(found, frame), frame)
            frame.spend(weight * len(items))
        except FunctionError as error:
            raise at(error, offset) from None
        return items

    return listed


def _search(loop: Loop, *, wanted: bool, found: bool) -> Run:
    """any, all and none: stop with `found` at the first item whose test is `wanted`."""
    _, listed, body, _, weight, offset, _ = loop
    unwanted, otherwise = not wanted, not found

    def search(frame: Frame) -> Any:
        items = listed(frame)
        outer, steps = frame.item, 0
        result = otherwise
        for item in items:
            frame.item = item
            steps += 1
            value = body(frame)
            if value is wanted:
                result = found
                break
            if value is not unwanted:
                return _no_bool(value, offset)
        frame.item = outer
        frame.left += weight * (len(items) - steps)  # what was not asked for costs nothing
        return result

    return search


def _count(loop: Loop, threshold: int | None) -> Run:
    _, listed, body, _, weight, offset, _ = loop

    def count(frame: Frame) -> Any:
        items = listed(frame)
        outer, steps, found = frame.item, 0, 0
        for item in items:
            frame.item = item
            steps += 1
            value = body(frame)
            if value is True:
                found += 1
                if found == threshold:
                    break
            elif value is not False:
                need_bool(value)
        frame.item = outer
        frame.left += weight * (len(items) - steps)
        return found

    return _placed(offset, count)


def _find_index(loop: Loop, *, backwards: bool) -> Run:
    _, listed, body, _, weight, offset, _ = loop

    def find_index(frame: Frame) -> Any:
        items = listed(frame)
        outer, result = frame.item, None
        indexes = range(len(items) - 1, -1, -1) if backwards else range(len(items))
        steps = 0
        for index in indexes:
            frame.item = items[index]
            steps += 1
            value = body(frame)
            if value is True:
                result = index
                break
            if value is not False:
                need_bool(value)
        frame.item = outer
        frame.left += weight * (len(items) - steps)
        return result

    return _placed(offset, find_index)
