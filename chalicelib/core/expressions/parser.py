"""Text in, tree out: one table of precedences, and a loop that climbs it (Pratt).

How to read it: `expression(precedence)` parses a primary and then every operator that binds at least as
tightly as `precedence`; a left-associative operator asks for its right side with one more. Each other
method parses one production and quotes it. Parentheses leave no trace in the tree.

Which names are functions of the language depends on the event: a name that the environment has is the
environment's. So parsing takes the names of the environment.

Source: expr v1.17.8 parser/parser.go, parser/operator/operator.go.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from typing import Final, NamedTuple

from chalicelib.core.expressions import nodes
from chalicelib.core.expressions.failures import Located
from chalicelib.core.expressions.limits import MAX_NESTING, MAX_NODES
from chalicelib.core.expressions.nodes import (
    Chain,
    Let,
    Member,
    Pointer,
    Positions,
    Predicate,
    Sequence,
)
from chalicelib.core.expressions.signatures import NAMES
from chalicelib.core.expressions.tokens import (
    BYTES,
    EOF,
    ERROR,
    IDENTIFIER,
    NUMBER,
    OPERATOR,
    STRING,
    Token,
    is_name,
)


class Binding(NamedTuple):
    precedence: int
    right: bool = False  # associates to the right


# https://expr-lang.org/docs/language-definition#operators
BINARY: Final[dict[str, Binding]] = {
    "|": Binding(0),
    "or": Binding(10),
    "||": Binding(10),
    "and": Binding(15),
    "&&": Binding(15),
    "==": Binding(20),
    "!=": Binding(20),
    "<": Binding(20),
    ">": Binding(20),
    ">=": Binding(20),
    "<=": Binding(20),
    "in": Binding(20),
    "matches": Binding(20),
    "contains": Binding(20),
    "startsWith": Binding(20),
    "endsWith": Binding(20),
    "..": Binding(25),
    "+": Binding(30),
    "-": Binding(30),
    "*": Binding(60),
    "/": Binding(60),
    "%": Binding(60),
    "**": Binding(100, right=True),
    "^": Binding(100, right=True),
    "??": Binding(500),
}
UNARY: Final[dict[str, int]] = {"not": 50, "!": 50, "-": 90, "+": 90}
NEGATABLE: Final = frozenset({"contains", "matches", "startsWith", "endsWith", "in"})  # not in, not matches
CHAINED: Final = frozenset({"<", ">", "<=", ">="})  # 1 < x < 10

# What the loops take: "expr", "predicate", and with "?" what may be missing.
LOOPS: Final[dict[str, tuple[str, ...]]] = {
    "all": ("expr", "predicate"),
    "none": ("expr", "predicate"),
    "any": ("expr", "predicate"),
    "one": ("expr", "predicate"),
    "filter": ("expr", "predicate"),
    "map": ("expr", "predicate"),
    "count": ("expr", "predicate?"),
    "sum": ("expr", "predicate?"),
    "find": ("expr", "predicate"),
    "findIndex": ("expr", "predicate"),
    "findLast": ("expr", "predicate"),
    "findLastIndex": ("expr", "predicate"),
    "groupBy": ("expr", "predicate"),
    "sortBy": ("expr", "predicate", "expr?"),
    "reduce": ("expr", "predicate", "expr?"),
}
_PREFIXED = {"0x": (16, "hex"), "0b": (2, "binary"), "0o": (8, "octal")}
# ParseFloat after the lexer and after the underscores are gone
_FLOAT = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def parse(tokens: list[Token], positions: Positions, overridden: Collection[str] = ()) -> ast.expr:
    """The tree of an expression; raises Located at the first mistake. `overridden` are the event's names."""
    return _Parser(tokens, positions, overridden).program()


class _Parser:
    def __init__(self, tokens: list[Token], positions: Positions, overridden: Collection[str]) -> None:
        self.tokens = tokens
        self.at = -1
        self.current = tokens[0]
        self.place = positions.place
        self.overridden = overridden
        self.predicates = 0  # how many are open
        self.nesting = 0
        self.count = 0  # nodes so far
        self.next()

    # --- reading tokens ---

    def next(self) -> None:
        self.at += 1
        self.current = self.tokens[self.at]
        if self.current.kind == ERROR:
            raise Located(str(self.current.value), self.current.offset)

    def failure(self, message: str, token: Token | None = None) -> Located:
        return Located(message, (token or self.current).offset)

    def unexpected(self) -> Located:
        return self.failure(f"unexpected token {self.current}")

    def is_operator(self, value: str) -> bool:
        return self.current.kind == OPERATOR and self.current.value == value

    def expect(self, value: str) -> None:
        """Go on over an operator or bracket."""
        if self.current.value != value or self.current.kind in (STRING, BYTES, IDENTIFIER):
            raise self.unexpected()
        self.next()

    def expect_name(self) -> Token:
        token = self.current
        if token.kind != IDENTIFIER:
            raise self.unexpected()
        self.next()
        return token

    # --- making nodes ---

    def made(self, node: ast.expr, offset: int) -> ast.expr:
        self.counted()
        self.place(node, offset)
        return node

    def counted(self) -> None:
        self.count += 1
        if self.count > MAX_NODES:
            raise self.failure("compilation failed: expression exceeds maximum allowed nodes")

    # --- productions ---

    def program(self) -> ast.expr:
        """program = sequence EOF"""
        node = self.sequence()
        if self.current.kind != EOF:
            raise self.unexpected()
        return node

    def sequence(self) -> ast.expr:
        """sequence = expression { ";" expression } [ ";" ]   the last ";" only at the end of the source"""
        values = [self.expression(0)]
        while self.is_operator(";"):
            self.next()
            if self.current.kind == EOF:
                break
            values.append(self.expression(0))
        if len(values) == 1:
            return values[0]
        return self.made(Sequence(values=values), nodes.offset_of(values[0]) or 0)

    def expression(self, precedence: int) -> ast.expr:
        """expression = let | if | primary { operator expression } [ "?" expression ":" expression ]"""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self.failure("compilation failed: expression nests too deep")
        if precedence == 0 and self.current.kind == OPERATOR:
            if self.current.value == "let":
                node = self.let()
                self.nesting -= 1
                return node
            if self.current.value == "if":
                node = self.if_else()
                self.nesting -= 1
                return node
        left = self.primary()
        if self.current.kind == OPERATOR:
            left = self.operators(left, precedence)
            if precedence == 0 and self.is_operator("?"):
                left = self.conditional(left)
        self.nesting -= 1
        return left

    def operators(self, left: ast.expr, precedence: int) -> ast.expr:
        """{ ["not"] operator expression }"""
        previous = ""
        while self.current.kind == OPERATOR:
            token = self.current
            negated = token.value == "not"
            if negated:
                # A look ahead of two: the operator decides, "not" only turns its result around.
                token = self.tokens[self.at + 1]
                if token.kind == ERROR:
                    self.next()
                if str(token.value) not in NEGATABLE:
                    self.next()
                    raise self.unexpected()
            binding = BINARY.get(str(token.value))
            if binding is None or binding.precedence < precedence:
                break
            if negated:
                self.next()
            self.next()
            left = self.operator(left, token, binding, previous)
            if negated:
                left = self.made(nodes.unary("not", left), token.offset)
            previous = str(token.value)
        return left

    def operator(self, left: ast.expr, token: Token, binding: Binding, previous: str) -> ast.expr:
        symbol = str(token.value)
        if symbol == "|":
            name = self.expect_name()
            return self.call(name, [left], may_be_overridden=True)
        if previous == "??" and symbol != "??":
            raise self.failure(
                f"Operator ({symbol}) and coalesce expressions (??) cannot be mixed."
                " Wrap either by parentheses.",
                token,
            )
        if symbol in CHAINED:
            return self.comparison(left, token, binding.precedence)
        right = self.expression(binding.precedence + (not binding.right))
        return self.made(nodes.binary(symbol, left, right), token.offset)

    def comparison(self, left: ast.expr, token: Token, precedence: int) -> ast.expr:
        """comparison = expression { ("<" | ">" | "<=" | ">=") expression }   1 < x < 9 is 1 < x && x < 9"""
        root: ast.expr | None = None
        while True:
            right = self.expression(precedence + 1)
            link = self.made(nodes.binary(str(token.value), left, right), token.offset)
            root = link if root is None else self.made(nodes.binary("&&", root, link), token.offset)
            left, token = right, self.current
            if token.kind != OPERATOR or token.value not in CHAINED:
                return root
            self.next()

    def let(self) -> ast.expr:
        """let = "let" name "=" expression ";" sequence"""
        self.next()
        name = self.expect_name()
        self.expect("=")
        value = self.expression(0)
        self.expect(";")
        node = Let(value=value, body=self.sequence())
        node.name = str(name.value)
        return self.made(node, name.offset)

    def if_else(self) -> ast.expr:
        """if = "if" expression "{" sequence "}" "else" ( if | "{" sequence "}" )"""
        self.next()
        test = self.expression(0)
        body = self.block()
        self.expect("else")
        orelse = self.if_else() if self.is_operator("if") else self.block()
        node = ast.IfExp(test=test, body=body, orelse=orelse)
        self.place(node, 0)  # Go gives it no place, and does not count it
        return node

    def block(self) -> ast.expr:
        self.expect("{")
        node = self.sequence()
        self.expect("}")
        return node

    def conditional(self, test: ast.expr) -> ast.expr:
        """conditional = expression { "?" [ expression ] ":" expression }"""
        while self.is_operator("?"):
            self.next()
            if self.is_operator(":"):
                self.next()
                body = test
            else:
                body = self.expression(0)
                self.expect(":")
            orelse = self.expression(0)
            test = self.made(ast.IfExp(test=test, body=body, orelse=orelse), self.current.offset)
        return test

    def primary(self) -> ast.expr:
        """primary = unary | "(" sequence ")" | pointer | "::" call | secondary"""
        token = self.current
        if token.kind == OPERATOR:
            precedence = UNARY.get(str(token.value))
            if precedence is not None:
                self.next()
                operand = self.expression(precedence)
                return self.postfix(self.made(nodes.unary(str(token.value), operand), token.offset))
            if self.predicates and token.value in ("#", "."):
                return self.postfix(self.pointer(token))
            if token.value == "::":
                self.next()
                name = self.expect_name()
                return self.postfix(self.call(name, [], may_be_overridden=False))
        elif token.value == "(" and token.kind not in (STRING, BYTES):
            self.next()
            node = self.sequence()
            self.expect(")")
            return self.postfix(node)
        return self.secondary(token)

    def pointer(self, token: Token) -> ast.expr:
        """pointer = "#" [ name ] | "."   the latter stands before a name: .name is #.name"""
        node = Pointer()
        node.name = ""
        if token.value == "#":
            self.next()
            if self.current.kind == IDENTIFIER:
                node.name = str(self.current.value)
                self.next()
        return self.made(node, token.offset)

    def secondary(self, token: Token) -> ast.expr:
        """secondary = constant | name | call | array | map"""
        kind, value = token.kind, token.value
        if kind == IDENTIFIER:
            self.next()
            if value in _WORD_CONSTANTS:
                return self.made(nodes.constant(_WORD_CONSTANTS[str(value)]), token.offset)
            if self.current.value == "(" and self.current.kind not in (STRING, BYTES):
                return self.postfix(self.call(token, [], may_be_overridden=True))
            return self.postfix(self.made(ast.Name(id=str(value), ctx=_LOAD), token.offset))
        if kind == NUMBER:
            self.next()
            return self.made(nodes.constant(self.number(str(value).replace("_", ""))), token.offset)
        if kind in (STRING, BYTES):
            self.next()
            return self.postfix(self.made(nodes.constant(value), token.offset))
        if value == "[":
            return self.postfix(self.array(token))
        if value == "{":
            return self.postfix(self.map(token))
        raise self.unexpected()

    def number(self, text: str) -> int | float:
        """The value of a number; a mistake is reported at the token after it, as Go does."""
        lowered = text.lower()
        base, name = _PREFIXED.get(lowered[:2], (10, "integer"))
        if name != "hex" and ("." in lowered or "e" in lowered):
            if not _FLOAT.fullmatch(text):
                raise self.failure(
                    f'invalid float literal: strconv.ParseFloat: parsing "{text}": invalid syntax'
                )
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise self.failure(
                    f'invalid float literal: strconv.ParseFloat: parsing "{text}": value out of range'
                )
            return number
        digits = text if base == 10 else text[2:]
        valid = digits != "" and all(char in "0123456789abcdef"[:base] for char in digits.lower())
        if not valid:
            raise self.failure(f'invalid {name} literal: strconv.ParseInt: parsing "{text}": invalid syntax')
        significant = digits.lstrip("0") or "0"
        # Python refuses to read thousands of decimal digits; no 64-bit number has more than 64.
        if len(significant) > 64 or int(significant, base) >= 2**63:
            raise self.failure(
                f'invalid {name} literal: strconv.ParseInt: parsing "{text}": value out of range'
            )
        return int(significant, base)

    def call(self, name: Token, arguments: list[ast.expr], *, may_be_overridden: bool) -> ast.expr:
        """call = name "(" arguments ")"   with what stands before a pipe as first argument"""
        function = str(name.value)
        overridden = may_be_overridden and function in self.overridden
        if function in LOOPS and not overridden:
            return self.made(nodes.builtin(function, self.loop_arguments(function, arguments)), name.offset)
        if function in NAMES and not overridden:
            node: ast.expr = nodes.builtin(function, self.arguments(arguments))
            return self.made(node, name.offset)
        callee = self.made(ast.Name(id=function, ctx=_LOAD), name.offset)
        return self.made(ast.Call(func=callee, args=self.arguments(arguments), keywords=[]), name.offset)

    def loop_arguments(self, function: str, arguments: list[ast.expr]) -> list[ast.expr]:
        self.expect("(")
        wanted = LOOPS[function][len(arguments) :]
        for index, kind in enumerate(wanted):
            if self.current.value == ")" and self.current.kind not in (STRING, BYTES):
                if kind.endswith("?"):
                    break
                raise self.failure(f"expected at least {len(wanted)} arguments")
            if index > 0:
                self.expect(",")
            arguments.append(self.predicate() if kind.startswith("predicate") else self.expression(0))
        if self.is_operator(","):
            self.next()
        self.expect(")")
        return arguments

    def arguments(self, arguments: list[ast.expr]) -> list[ast.expr]:
        """arguments = [ expression { "," expression } [ "," ] ]"""
        self.expect("(")
        first = len(arguments)
        while not self.closes(")"):
            if len(arguments) > first:
                self.expect(",")
                if self.closes(")"):
                    break
            arguments.append(self.expression(0))
        self.next()
        return arguments

    def closes(self, bracket: str) -> bool:
        return self.current.value == bracket and self.current.kind not in (STRING, BYTES)

    def predicate(self) -> ast.expr:
        """predicate = expression | "{" sequence "}" """
        start = self.current
        braces = start.value == "{" and start.kind not in (STRING, BYTES)
        self.predicates += 1
        if braces:
            node = self.block()
        else:
            node = self.expression(0)
            if self.is_operator(";"):
                raise self.failure("wrap predicate with brackets { and }")
        self.predicates -= 1
        return self.made(Predicate(body=node), start.offset)

    def array(self, token: Token) -> ast.expr:
        """array = "[" [ expression { "," expression } [ "," ] ] "]" """
        self.next()
        items: list[ast.expr] = []
        while not self.closes("]"):
            if items:
                self.expect(",")
                if self.closes("]"):
                    break
            items.append(self.expression(0))
        self.next()
        return self.made(ast.List(elts=items, ctx=_LOAD), token.offset)

    def map(self, token: Token) -> ast.expr:
        """map = "{" [ key ":" expression { "," key ":" expression } [ "," ] ] "}" """
        self.next()
        keys: list[ast.expr | None] = []
        values: list[ast.expr] = []
        while not self.closes("}"):
            if keys:
                self.expect(",")
                if self.closes("}"):
                    break
                if self.is_operator(","):
                    raise self.unexpected()
            keys.append(self.map_key())
            self.expect(":")
            values.append(self.expression(0))
            self.counted()  # the pair
        self.next()
        return self.made(ast.Dict(keys=keys, values=values), token.offset)

    def map_key(self) -> ast.expr:
        """key = name | string | number | "(" expression ")" """
        token = self.current
        if token.kind in (NUMBER, STRING, IDENTIFIER):
            key = self.made(nodes.constant(token.value), token.offset)
            self.next()
            return key
        if token.value == "(" and token.kind != BYTES:
            return self.expression(0)
        raise self.failure(
            "a map key must be a quoted string, a number, a identifier, or an expression enclosed in"
            f" parentheses (unexpected token {token})"
        )

    def postfix(self, node: ast.expr) -> ast.expr:
        """postfix = { ("." | "?.") name [ "(" arguments ")" ] | ["?."] "[" expression "]" | slice }"""
        while True:
            token = self.current
            if token.kind in (STRING, BYTES):
                return node
            if token.value in (".", "?."):
                self.next()
                if token.value == "?." and self.closes("["):
                    node = self.index(node, self.current, optional=True)
                else:
                    node = self.member(node, optional=token.value == "?.")
            elif token.value == "[":
                node = self.index(node, token, optional=False)
            else:
                return node

    def member(self, node: ast.expr, *, optional: bool) -> ast.expr:
        name = self.current
        if name.kind == EOF:
            raise self.failure("unexpected end of expression")
        self.next()
        if name.kind != IDENTIFIER and (name.kind != OPERATOR or not is_name(str(name.value))):
            raise self.failure("expected name")
        key = self.made(nodes.constant(name.value), name.offset)
        chained = isinstance(node, Chain)
        if isinstance(node, Chain):
            node = node.value  # one chain reaches to the end of all dots
        made = self.made(_member(node, key, optional), name.offset)
        if self.closes("("):
            if isinstance(made, Member):
                made.called = True
            made = self.made(ast.Call(func=made, args=self.arguments([]), keywords=[]), name.offset)
        if chained or optional:
            made = self.made(Chain(value=made), name.offset)
        return made

    def index(self, node: ast.expr, token: Token, *, optional: bool) -> ast.expr:
        """index = "[" expression "]" | "[" [ expression ] ":" [ expression ] "]" """
        self.next()
        low = None if self.is_operator(":") else self.expression(0)
        if low is None or self.is_operator(":"):
            self.next()
            high = None if self.closes("]") else self.expression(0)
            bounds = ast.Slice(lower=low, upper=high)
            made = self.made(ast.Subscript(value=node, slice=bounds, ctx=_LOAD), token.offset)
        else:
            made = self.made(_member(node, low, optional), token.offset)
            if optional:
                made = self.made(Chain(value=made), token.offset)
        self.expect("]")
        return made


def _member(node: ast.expr, key: ast.expr, optional: bool) -> Member:
    made = Member(value=node, key=key)
    made.optional, made.called = optional, False
    return made


_LOAD = ast.Load()
_WORD_CONSTANTS: Final = {"true": True, "false": False, "nil": None}
