"""Why a selector said what it said: the comparisons that decided, with what they compared, as data.

`and` is decided by its first false side, `or` by all of its sides, `not` by what it turns around, `any` and
`in` by everything they searched. An explanation walks the parsed tree along that line and stops at what can
be shown: a `Finding`. What is found once about a tree, its functions and which sides must stay hidden, is a
`Plan`, kept with the program; explaining one event then costs about as much as asking it again.

**What is never shown** (credentials must not leak through an explanation): a side that reads a header which
is not listed, or a key that is named like a credential, and the literal it is compared with; and members of
maps that are named so. When an event is looked at again and not all of its headers were kept, a part that
reads one of the others is undecidable, never false.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal

from chalicelib.core.expressions.checker import Natures
from chalicelib.core.expressions.closures import Frame, binder_for, loop_variables
from chalicelib.core.expressions.nodes import (
    Builtin,
    Let,
    Member,
    Pointer,
    offset_of,
    operands,
)
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.texts import HIDDEN, text_of
from chalicelib.core.expressions.values import items_of, json_string, marshal, printable

Outcome = Literal["true", "false", "error", "undecidable"]

# Headers whose values say what an event is, never who may send one. https://docs.github.com/webhooks,
# https://docs.gitlab.com/user/project/integrations/webhooks, https://support.atlassian.com/bitbucket-cloud
LISTED_HEADERS: Final = frozenset(
    {
        "x-github-event", "x-github-delivery", "x-github-hook-id", "x-github-hook-installation-target-type",
        "x-github-hook-installation-target-id", "x-gitlab-event", "x-gitlab-event-uuid",
        "x-gitlab-webhook-uuid", "x-gitlab-instance", "x-event-key", "x-event-time", "x-hook-uuid",
        "x-request-uuid", "x-attempt-number", "x-gitea-event", "x-gitea-delivery", "x-gogs-event",
        "x-shopify-topic", "x-shopify-shop-domain", "x-discourse-event", "x-request-id",
    }
)  # fmt: skip
CREDENTIAL: Final = re.compile(
    r"token|secret|passw|passphrase|signature|credential|authori[sz]ation|api[-_]?key|private[-_]?key|cookie"
    r"|(?:^|[-_.])(?:auth|sig|pwd|hmac|jwt)(?:$|[-_.])",
    re.IGNORECASE,
)
MAX_VALUE: Final = 100  # characters of a value that are shown
MAX_SOURCE: Final = 200  # characters of a part's source
MAX_SEARCHED: Final = 5  # items that are shown of what was searched
MAX_FINDINGS: Final = 20
MAX_LOOPS: Final = 8  # one inside of the other that are looked into


@dataclass(frozen=True)
class Finding:
    """One part of the expression that decided, and what it looked at; texts are cut short and safe to show."""

    source: str  # of the part
    line: int  # of its operator, from 1
    column: int  # from 1
    outcome: Outcome
    operator: str = ""  # "==", "any", …; "" for a plain value
    left: str = ""  # value, as JSON
    right: str = ""
    searched: tuple[str, ...] = ()  # first items of what `in`, `any`, `all`, `none` went through
    searched_count: int = 0
    note: str = ""  # an error, the item that decided, or why nothing can be said
    hidden: bool = False  # values were withheld

    def __str__(self) -> str:
        said = {"error": "failed", "undecidable": "cannot be decided"}.get(self.outcome, f"is {self.outcome}")
        details = []
        if self.hidden:
            details.append("values hidden")
        elif self.left:
            details.append(f"{self.left} {self.operator} {self.right}".strip() if self.right else self.left)
        if self.searched:
            more = ", …" if self.searched_count > len(self.searched) else ""
            details.append(f"searched {self.searched_count}: [{', '.join(self.searched)}{more}]")
        elif self.searched_count == 0 and self.operator in _SEARCHES:
            details.append("there was nothing to search")
        if self.note:
            details.append(self.note)
        return f"{self.source} {said}" + (f": {'; '.join(details)}" if details else "")


@dataclass(frozen=True)
class Explanation:
    """What an expression answered, and the parts that decided it."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or self.outcome


_LOOPS: Final = frozenset({"any", "all", "none"})
_SEARCHES: Final = _LOOPS | {"in", "not in"}
Run = Callable[[Frame], Any]


@dataclass(frozen=True)
class Side:
    """One side of a comparison, or a plain value."""

    run: Run
    hidden: bool  # it reads what must not be shown
    headers: frozenset[str]  # it reads; "*" when nobody can say which


@dataclass(frozen=True)
class Part:
    """A node of the plan."""

    kind: str  # "and", "or", "not", "if", "let", "compare", "in", "loop", "value"
    source: str
    offset: int
    run: Run
    headers: frozenset[str]
    operator: str = ""
    parts: tuple[Part, ...] = ()
    sides: tuple[Side, ...] = ()
    place: int = 0  # of a let's variable in the frame
    hidden: bool = False
    negated: bool = False


@dataclass(frozen=True)
class Plan:
    root: Part
    variables: int


def _told_by_parts(_: Frame) -> Any:
    raise AssertionError("what its parts decide is not asked itself")


def plan(tree: ast.expr, natures: Natures, listed: Collection[str] = LISTED_HEADERS) -> Plan:
    """How to explain a checked tree; `listed` are the headers whose values may be shown."""
    planner = _Planner(natures, listed)
    root = planner.part(tree)
    return Plan(root, planner.binder.variables)


class _Planner:
    def __init__(self, natures: Natures, listed: Collection[str]) -> None:
        self.binder = binder_for(natures)
        self.listed = listed
        self.hidden_names: set[str] = set()  # variables, and "#" inside of a loop
        self.read_by: dict[str, frozenset[str]] = {}
        self.loops = 0  # that are open

    def part(self, node: ast.expr) -> Part:
        parts = operands(node)
        if isinstance(node, ast.BoolOp) and parts is not None:
            kind = "and" if isinstance(node.op, ast.And) else "or"
            return self.joined(kind, node, f"{{}} {kind} {{}}", parts[1], parts[2])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = operands(node.operand)
            # `not (a in b)` and `a not in b` are one node to the parser; both read best as the latter.
            if inner is None or isinstance(node.operand, ast.BoolOp):
                return self.joined("not", node, "not ({})", node.operand)
            return self.compared(node.operand, *inner, negated=True)
        if isinstance(node, ast.IfExp):
            return self.joined("if", node, "{} ? {} : {}", node.test, node.body, node.orelse)
        if isinstance(node, Let):
            return self.let(node)
        if isinstance(node, Builtin) and node.name in _LOOPS and self.loops < MAX_LOOPS:
            return self.loop(node)
        if isinstance(node, ast.Compare) and parts is not None:
            return self.compared(node, *parts)
        return self.made("value", node, sides=(self.side(node),))

    def made(self, kind: str, node: ast.expr, **more: Any) -> Part:
        sides: tuple[Side, ...] = more.get("sides", ())
        hidden = any(side.hidden for side in sides)
        source = text_of(node, hide_literals=hidden)
        headers: frozenset[str] = frozenset().union(
            *(side.headers for side in sides), *(part.headers for part in more.get("parts", ()))
        )
        run = more.pop("run", None) or self.binder.cooked(node)
        return Part(kind, _cut(source, MAX_SOURCE), offset_of(node) or 0, run, headers, hidden=hidden, **more)

    def joined(self, kind: str, node: ast.expr, form: str, *nodes: ast.expr) -> Part:
        """A part that its own parts decide; its source is made of theirs, or a long chain would take long."""
        parts = tuple(map(self.part, nodes))
        source = _cut(form.format(*(part.source for part in parts)), MAX_SOURCE)
        headers: frozenset[str] = frozenset().union(*(part.headers for part in parts))
        return Part(kind, source, offset_of(node) or 0, _told_by_parts, headers, parts=parts)

    def compared(
        self, node: ast.expr, symbol: str, left: ast.expr, right: ast.expr, negated: bool = False
    ) -> Part:
        sides = (self.side(left), self.side(right))
        part = self.made("in" if symbol == "in" else "compare", node, operator=symbol, sides=sides)
        if not negated:
            return part
        run = part.run
        source = text_of(node, hide_literals=part.hidden)
        opposite = {"==": "!=", "!=": "=="}.get(symbol, f"not {symbol}")
        shown = (
            f"not ({source})"
            if symbol in ("==", "!=", "<", ">", "<=", ">=")
            else source.replace(f" {symbol} ", f" not {symbol} ", 1)
        )
        return Part(
            part.kind, _cut(shown, MAX_SOURCE), part.offset, lambda frame: not run(frame), part.headers,
            opposite if symbol not in ("<", ">", "<=", ">=") else symbol, sides=sides, hidden=part.hidden,
            negated=True,
        )  # fmt: skip

    def let(self, node: Let) -> Part:
        value = self.side(node.value)
        place = self.binder.open_variable(node.name, node.value)
        if value.hidden:
            self.hidden_names.add(node.name)
        self.read_by[node.name] = value.headers
        body = self.part(node.body)
        self.binder.close_variable()
        self.hidden_names.discard(node.name)
        return Part(
            "let", body.source, offset_of(node) or 0, body.run, body.headers | value.headers,
            parts=(body,), sides=(value,), place=place,
        )  # fmt: skip

    def loop(self, node: Builtin) -> Part:
        collection = self.side(node.arguments[0])
        outer_hidden, outer_read = "#" in self.hidden_names, self.read_by.get("#", frozenset())
        if collection.hidden:
            self.hidden_names.add("#")
        self.read_by["#"] = collection.headers
        whole = self.binder.cooked(node)
        self.binder.open_loop(node.arguments[0])
        self.loops += 1
        body = self.part(loop_variables(node))
        self.loops -= 1
        self.binder.close_loop()
        if not outer_hidden:
            self.hidden_names.discard("#")
        self.read_by["#"] = outer_read
        return self.made("loop", node, operator=node.name, sides=(collection,), parts=(body,), run=whole)

    def side(self, node: ast.expr) -> Side:
        hidden, headers = self.reads(node)
        return Side(self.binder.cooked(node), hidden, headers)

    def reads(self, node: ast.expr) -> tuple[bool, frozenset[str]]:
        """Whether a node reads what must stay hidden, and which headers it reads."""
        hidden, headers = False, set[str]()
        stack: list[ast.AST] = [node]
        while stack:
            one = stack.pop()
            if isinstance(one, Member) and isinstance(one.key, ast.Constant):
                key = one.key.value
                if isinstance(key, str) and CREDENTIAL.search(key):
                    hidden = True
                if isinstance(one.value, ast.Name) and one.value.id == "metadata" and isinstance(key, str):
                    headers.add(key)
                    hidden = hidden or key not in self.listed
                    continue
            if isinstance(one, ast.Name):
                if one.id in ("metadata", "$env"):
                    headers.add("*")
                    hidden = True
                hidden = hidden or one.id in self.hidden_names
                headers |= self.read_by.get(one.id, frozenset())
            elif isinstance(one, Pointer):
                hidden = hidden or "#" in self.hidden_names
                headers |= self.read_by.get("#", frozenset())
            stack += ast.iter_child_nodes(one)
        return hidden, frozenset(headers)


# --- explaining one event -----------------------------------------------------------------------------------


def explain(decided_by: Plan, source: str, frame: Frame, kept: Collection[str] | None) -> Explanation:
    """What decided; `kept` are the headers that the environment would have if they were sent."""
    outcome, findings = _Teller(source, frame, kept).tell(decided_by.root)
    return Explanation(outcome, tuple(findings[:MAX_FINDINGS]))


def failed(message: str, line: int, column: int) -> Explanation:
    """The explanation of an expression that cannot be asked at all."""
    return Explanation("error", (Finding("the expression", line, column, "error", note=printable(message)),))


Told = tuple[Outcome, list[Finding]]


class _Teller:
    def __init__(self, source: str, frame: Frame, kept: Collection[str] | None) -> None:
        self.source, self.frame, self.kept = source, frame, kept
        self.cost = 32 + (len(source) >> 8)  # steps to tell of one part
        self.tellers: dict[str, Callable[[Part], Told]] = {
            "and": lambda part: self.joined(part, decided="false"),
            "or": lambda part: self.joined(part, decided="true"),
            "not": self.negated,
            "if": self.conditional,
            "let": self.let,
            "compare": self.compared,
            "in": self.contained,
            "loop": self.loop,
            "value": self.plain,
        }

    def tell(self, part: Part) -> Told:
        if part.kind not in ("and", "or", "not", "if", "let"):
            dropped = self.dropped(part.headers)
            if dropped:
                return "undecidable", [self.finding(part, "undecidable", note=f"header not kept: {dropped}")]
        try:
            self.frame.spend(self.cost)
            return self.tellers[part.kind](part)
        except FunctionError as error:
            return "error", [self.finding(part, "error", note=printable(error.message))]

    def dropped(self, headers: frozenset[str]) -> str:
        """A header that is read and was not kept, "" when there is none."""
        if self.kept is None:
            return ""
        if "*" in headers:
            return "any"
        present = self.frame.env.get("metadata")
        have = set(self.kept) | (set(present) if isinstance(present, dict) else set())
        return next(iter(sorted(headers - have)), "")

    def finding(self, part: Part, outcome: Outcome, **more: Any) -> Finding:
        before = self.source[: part.offset]
        return Finding(
            source=part.source,
            line=before.count("\n") + 1,
            column=len(before) - before.rfind("\n"),
            outcome=outcome,
            operator=part.operator,
            hidden=part.hidden,
            **more,
        )

    def joined(self, part: Part, decided: Outcome) -> Told:
        """and stops at the first false, or at the first true; what stops is all that counts."""
        first, why = self.tell(part.parts[0])
        if first in (decided, "error"):
            return first, why
        second, also = self.tell(part.parts[1])
        if first == "undecidable":
            # An error could come of the other side only if it was asked, which nobody knows.
            return (decided, also) if second == decided else ("undecidable", why)
        if second in (decided, "error", "undecidable"):
            return second, also
        return second, why + also

    def negated(self, part: Part) -> Told:
        outcome, why = self.tell(part.parts[0])
        return _OPPOSITE[outcome], why

    def conditional(self, part: Part) -> Told:
        outcome, why = self.tell(part.parts[0])
        if outcome in ("error", "undecidable"):
            return outcome, why
        return self.tell(part.parts[1] if outcome == "true" else part.parts[2])

    def let(self, part: Part) -> Told:
        self.frame.variables[part.place] = part.sides[0].run(self.frame)
        return self.tell(part.parts[0])

    def plain(self, part: Part) -> Told:
        value = part.run(self.frame)
        if type(value) is not bool:
            shown = "" if part.hidden else _shown(value)
            return "error", [self.finding(part, "error", left=shown, note="is no bool")]
        outcome = _said(value)
        return outcome, [self.finding(part, outcome)]

    def compared(self, part: Part) -> Told:
        outcome = _said(part.run(self.frame))
        if part.hidden:
            return outcome, [self.finding(part, outcome)]
        left, right = (_shown(side.run(self.frame)) for side in part.sides)
        return outcome, [self.finding(part, outcome, left=left, right=right)]

    def contained(self, part: Part) -> Told:
        outcome = _said(part.run(self.frame))
        if part.hidden:
            return outcome, [self.finding(part, outcome)]
        needle, searched = (side.run(self.frame) for side in part.sides)
        items = searched if isinstance(searched, list | dict) else ()
        return outcome, [
            self.finding(
                part,
                outcome,
                left=_shown(needle),
                searched=tuple(map(_shown, islice(items, MAX_SEARCHED))),
                searched_count=len(items),
            )
        ]

    def loop(self, part: Part) -> Told:
        """any and none are decided by one true item, all by one false; else by all of them."""
        outcome = _said(part.run(self.frame))
        collection = part.sides[0].run(self.frame)
        items = (
            collection
            if isinstance(collection, list)
            else list(items_of(collection))
            if isinstance(collection, bytes)
            else []
        )
        deciding: Outcome = "false" if part.operator == "all" else "true"
        outer, notes, why = self.frame.item, list[str](), list[Finding]()
        for index, item in enumerate(items):
            self.frame.item = item
            said, findings = self.tell(part.parts[0])
            if said == deciding:
                notes, why = [f"decided by item {index}"], findings
                break
            if self.frame.left < 0:
                break
            if index < MAX_SEARCHED:
                notes += [self._compared_value(one) for one in findings[:1]]
        self.frame.item = outer
        decided = bool(why)
        finding = self.finding(
            part,
            outcome,
            searched=() if part.hidden or decided else tuple(note for note in notes if note),
            searched_count=len(items),
            note=notes[0] if decided else "",
        )
        return outcome, [finding, *why]

    def _compared_value(self, finding: Finding) -> str:
        if finding.hidden:
            return HIDDEN
        return finding.left or finding.source


_OPPOSITE: Final[Mapping[Outcome, Outcome]] = {
    "true": "false",
    "false": "true",
    "error": "error",
    "undecidable": "undecidable",
}


def _said(value: Any) -> Outcome:
    return "true" if value is True else "false"


def _cut(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _shown(value: Any) -> str:
    """A value as JSON, cut short, without members that are named like credentials."""
    if isinstance(value, str):
        return _cut(json_string(value[:MAX_VALUE], escape_html=False), MAX_VALUE)
    try:
        return _cut(marshal(_safe(value, 3), escape_html=False), MAX_VALUE)
    except FunctionError:
        return "?"


def _safe(value: Any, depth: int) -> Any:
    if depth == 0 and isinstance(value, list | dict):
        return "…"
    if type(value) is dict:
        return {
            key: HIDDEN if CREDENTIAL.search(key[:MAX_SOURCE]) else _safe(item, depth - 1)
            for key, item in islice(value.items(), MAX_SEARCHED)
        }
    if type(value) is list:
        return [_safe(item, depth - 1) for item in value[:MAX_SEARCHED]]
    if isinstance(value, str):
        return value[:MAX_VALUE]
    return value
