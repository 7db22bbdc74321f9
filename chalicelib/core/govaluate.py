"""govaluate, the language of the second stage of `when`: an expression without variables, to a value.

Argo first puts text in the place of every ``{{…}}`` (`substitutions`) and hands what results to this small language.
It has numbers (all float64), strings, bools, lists and nil; a string that reads as a date is a number, its Unix
time. Words are variables, and none is defined here: hence the quotes in ``'{{cronworkflow.name}}' == 'x'``.

Two things need saying, since they surprise. Which token may follow which is checked first, by a table, and the
parser trusts it: what the table lets through and the parser does not expect, such as the second half of
``(true) false``, is dropped. And all operators of a level bind from the left, ``**`` and ``? :`` included.

    list    = choice { "," choice }
    choice  = either { ( "?" | ":" | "??" ) either }      no value on the left of ":" and "??": the right one
    either  = both { "||" both }            both  = compared { "&&" compared }
    compared = bits { ( "==" | "!=" | "<" | ">" | "<=" | ">=" | "=~" | "!~" | "in" ) bits }
    bits    = shifted { ( "&" | "|" | "^" ) shifted }     shifted = sum { ( "<<" | ">>" ) sum }
    sum     = product { ( "+" | "-" ) product }           product = power { ( "*" | "/" | "%" ) power }
    power   = value { "**" value }
    value   = [ "-" | "!" | "~" ] ( number | string | bool | variable | "(" [ list ] ")" )

Source: github.com/Knetic/govaluate v3.0.1-0.20250325060307-7625b7f8c03d, parsing.go, lexerState.go,
stagePlanner.go, evaluationStage.go.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.core.expressions.failures import ExpressionError
from chalicelib.core.expressions.limits import deep
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.patterns import compile_pattern, search
from chalicelib.core.expressions.powers import power
from chalicelib.core.expressions.times import Time, parse_time
from chalicelib.core.expressions.values import format_value

MAX_SOURCE = 1 << 16  # characters
MAX_NESTING = 200  # of parentheses; Go has no bound, Python's stack has

# The layouts in which a string is a time. Source: parsing.go, tryParseTime.
_LAYOUTS = (
    "Mon Jan _2 15:04:05 2006",
    "Mon Jan _2 15:04:05 MST 2006",
    "Mon Jan 02 15:04:05 -0700 2006",
    "3:04PM",
    "2006-01-02T15:04:05Z07:00",
    "2006-01-02T15:04:05.999999999Z07:00",
    "2006-01-02",
    "2006-01-02 15:04",
    "2006-01-02 15:04:05",
    "2006-01-02 15:04:05-07:00",
    "2006-01-02T15Z0700",
    "2006-01-02T15:04Z0700",
    "2006-01-02T15:04:05Z0700",
    "2006-01-02T15:04:05.999999999Z0700",
)

_PREFIXES = frozenset("-!~")
_MODIFIERS = frozenset({"+", "-", "*", "/", "%", "**", "&", "|", "^", ">>", "<<"})
_LOGICAL = frozenset({"&&", "||"})
_COMPARATORS = frozenset({"==", "!=", ">", ">=", "<", "<=", "=~", "!~", "in"})
_TERNARY = frozenset({"?", ":", "??"})

_VALUES = "NUMERIC BOOLEAN VARIABLE ACCESSOR STRING TIME CLAUSE"
_AFTER_VALUE = "MODIFIER COMPARATOR LOGICALOP CLAUSE_CLOSE SEPARATOR"

# Which kind of token may follow which. Source: lexerState.go, validLexerStates.
_FOLLOWERS: Mapping[str, frozenset[str]] = {
    kind: frozenset(followers.split())
    for kind, followers in {
        "UNKNOWN": f"PREFIX {_VALUES}",
        "CLAUSE": f"PREFIX {_VALUES} CLAUSE_CLOSE",
        "CLAUSE_CLOSE": f"{_AFTER_VALUE} TERNARY NUMERIC BOOLEAN VARIABLE STRING TIME CLAUSE",
        "NUMERIC": f"{_AFTER_VALUE} TERNARY",
        "BOOLEAN": f"{_AFTER_VALUE} TERNARY",
        "STRING": f"{_AFTER_VALUE} TERNARY",
        "TIME": _AFTER_VALUE,
        "VARIABLE": f"{_AFTER_VALUE} TERNARY",
        "ACCESSOR": f"{_AFTER_VALUE} TERNARY CLAUSE",
        "MODIFIER": "PREFIX NUMERIC VARIABLE ACCESSOR STRING BOOLEAN CLAUSE CLAUSE_CLOSE",
        "COMPARATOR": f"PREFIX {_VALUES} CLAUSE_CLOSE",
        "LOGICALOP": f"PREFIX {_VALUES} CLAUSE_CLOSE",
        "PREFIX": "NUMERIC BOOLEAN VARIABLE ACCESSOR CLAUSE CLAUSE_CLOSE",
        "TERNARY": f"PREFIX {_VALUES} SEPARATOR",
        "SEPARATOR": f"PREFIX {_VALUES}",
    }.items()
}
_LAST = frozenset({"CLAUSE_CLOSE", "NUMERIC", "BOOLEAN", "STRING", "TIME", "VARIABLE", "ACCESSOR"})

# From the loosest level to the tightest: the kind of its tokens, its operators, what its type errors say.
_LEVELS: tuple[tuple[str, frozenset[str], str], ...] = (
    ("SEPARATOR", frozenset(","), ""),
    ("TERNARY", _TERNARY, "Value '{}' cannot be used with the ternary operator '{}', it is not a bool"),
    ("LOGICALOP", frozenset({"||"}), "Value '{}' cannot be used with the logical operator '{}', it is not a bool"),
    ("LOGICALOP", frozenset({"&&"}), "Value '{}' cannot be used with the logical operator '{}', it is not a bool"),
    ("COMPARATOR", _COMPARATORS, "Value '{}' cannot be used with the comparator '{}', it is not a number"),
    ("MODIFIER", frozenset("&|^"), "Value '{}' cannot be used with the modifier '{}', it is not a number"),
    ("MODIFIER", frozenset({"<<", ">>"}), "Value '{}' cannot be used with the modifier '{}', it is not a number"),
    ("MODIFIER", frozenset("+-"), "Value '{}' cannot be used with the modifier '{}', it is not a number"),
    ("MODIFIER", frozenset("*/%"), "Value '{}' cannot be used with the modifier '{}', it is not a number"),
    ("MODIFIER", frozenset({"**"}), "Value '{}' cannot be used with the modifier '{}', it is not a number"),
)  # fmt: skip
_PREFIX_ERROR = "Value '{}' cannot be used with the prefix '{}'"


def evaluate(source: str) -> Any:
    """What the expression says: float, str, bool, list or None. Raises ExpressionError in govaluate's words.

    Where govaluate panics (a backslash at the very end, comparing lists with `in`) it is an ExpressionError too.
    """
    if len(source) > MAX_SOURCE:
        raise _wrong(f"expression of {len(source)} characters is longer than {MAX_SOURCE}")
    tokens = _Lexer(source).tokens()
    _check(tokens)
    with deep(3 * MAX_NESTING):
        tree = _Parser(tokens).level(0)
        return None if tree is None else tree.value()


def evaluate_bool(source: str) -> bool:
    """The bool that the expression says; anything else raises ExpressionError of kind "type", in Argo's words.

    Source: argo-workflows workflow/cron/operator.go, shouldExecute.
    """
    value = evaluate(source)
    if not isinstance(value, bool):
        raise ExpressionError("type", f"Expected boolean evaluation for '{source}'. Got {_shown(value)}")
    return value


def _wrong(message: str) -> ExpressionError:
    return ExpressionError("compile", message)


def _shown(value: Any) -> str:
    if isinstance(value, Pattern):
        return value.source
    if isinstance(value, list):
        return f"[{' '.join(map(_shown, value))}]"
    return format_value(value)


# --- tokens ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """A kind by govaluate's name, and the value: float, bool, str, Time, or the operator's text."""

    kind: str
    value: Any

    def __str__(self) -> str:
        return f"{self.kind} [{_shown(self.value)}]"


@dataclass(frozen=True)
class Pattern:
    """A regular expression that was a literal, and therefore compiled before anything runs."""

    source: str
    compiled: Any  # Any: what `compile_pattern` gives


class _Lexer:
    """Source text to tokens. A backslash makes any character, also in a number or name, an ordinary one."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.at = 0

    def tokens(self) -> list[Token]:
        found: list[Token] = []
        kind, balance = "UNKNOWN", 0
        while (token := self.token(kind)) is not None:
            found.append(token)
            kind = token.kind
            balance += (kind == "CLAUSE") - (kind == "CLAUSE_CLOSE")
            if balance > MAX_NESTING:
                raise _wrong(f"parentheses are nested deeper than {MAX_NESTING}")
        if balance:
            raise _wrong("Unbalanced parenthesis")
        return found

    def token(self, before: str) -> Token | None:
        """The next token, None at the end. What may come first decides whether ``-`` is a sign or a minus."""
        while self.at < len(self.source) and _is_space(self.source[self.at]):
            self.at += 1
        if self.at == len(self.source):
            return None
        letter = self.source[self.at]
        if _is_numeric(letter):
            return self.number()
        if letter.isalpha():
            return self.word()
        if letter in "'\"":
            self.at += 1
            return self.string()
        if letter in ",()[":
            self.at += 1
            if letter == "[":
                return Token("VARIABLE", self.closed(lambda each: each != "]", "Unclosed parameter bracket"))
            if letter == ",":
                return Token("SEPARATOR", ",")
            return Token(
                "CLAUSE" if letter == "(" else "CLAUSE_CLOSE", float(ord(letter))
            )  # a rune, and printed so
        symbol, _ = self.run(_is_symbol)
        if symbol in _PREFIXES and "PREFIX" in _FOLLOWERS[before]:
            return Token("PREFIX", symbol)
        for kind, symbols in (("MODIFIER", _MODIFIERS), ("LOGICALOP", _LOGICAL),
                              ("COMPARATOR", _COMPARATORS), ("TERNARY", _TERNARY)):  # fmt: skip
            if symbol in symbols:
                return Token(kind, symbol)
        raise _wrong(f"Invalid token: '{symbol}'")

    def number(self) -> Token:
        """number = "0x" hexdigits | digits and points"""
        if self.source.startswith("0x", self.at) and self.at + 2 < len(self.source):
            self.at += 2
            text, _ = self.run(lambda each: each.isdecimal() or each.lower() in "abcdef")
            if not re.fullmatch("[0-9a-fA-F]+", text) or int(text, 16) >= 1 << 64:
                raise _wrong(f"Unable to parse hex value '{text}' to uint64\n")
            return Token("NUMERIC", float(int(text, 16)))
        text, _ = self.run(_is_numeric)
        number = float(text) if re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", text) else math.inf
        if math.isinf(number):
            raise _wrong(f"Unable to parse numeric value '{text}' to float64\n")
        return Token("NUMERIC", number)

    def word(self) -> Token:
        """word = "true" | "false" | "in" | variable | accessor, which has points in it"""
        text, _ = self.run(lambda each: each.isalpha() or each.isdecimal() or each in "_.")
        if text.find(".") > 0:
            if text.endswith("."):
                raise _wrong(f"Hanging accessor on token '{text}'")
            names = text.split(".")
            for name in names[1:]:
                upper = name[:1].upper()
                if len(upper) == 1 and upper != name[0]:
                    raise _wrong(f"Unable to access unexported field '{name}' in token '{text}'")
            return Token("ACCESSOR", names)
        if text in ("true", "false"):
            return Token("BOOLEAN", text == "true")
        if text in ("in", "IN"):
            return Token("COMPARATOR", "in")
        return Token("VARIABLE", text)

    def string(self) -> Token:
        """string = quote characters quote; either quote closes, whichever opened"""
        text = self.closed(lambda each: each not in "'\"", "Unclosed string literal")
        for layout in _LAYOUTS if text and (text[0].isdecimal() or text[0] in "MTWFS") else ():
            try:
                return Token("TIME", parse_time(text, layout))
            except FunctionError:
                continue
        return Token("STRING", text)

    def closed(self, inside: Callable[[str], bool], complaint: str) -> str:
        """The text up to the character that is not inside, which is passed over."""
        text, ended = self.run(inside, spaces=True)
        if not ended:
            raise _wrong(complaint)
        self.at += 1
        return text

    def run(self, inside: Callable[[str], bool], *, spaces: bool = False) -> tuple[str, bool]:
        """The characters that are inside, and whether something ended them before the source did."""
        kept: list[str] = []
        while self.at < len(self.source):
            letter = self.source[self.at]
            self.at += 1
            if letter == "\\":
                if self.at == len(self.source):
                    raise _wrong("nothing follows the last backslash")
                kept.append(self.source[self.at])
                self.at += 1
                continue
            if not spaces and _is_space(letter):
                if kept:
                    return "".join(kept), True
                continue
            if not inside(letter):
                self.at -= 1
                return "".join(kept), True
            kept.append(letter)
        return "".join(kept), False


def _is_space(letter: str) -> bool:
    return letter.isspace() and letter not in "\x1c\x1d\x1e\x1f"  # Go's unicode.IsSpace knows no separators


def _is_numeric(letter: str) -> bool:
    return letter.isdecimal() or letter == "."


def _is_symbol(letter: str) -> bool:
    return not (letter.isdecimal() or letter.isalpha() or letter in "()[]'\"")


def _check(tokens: list[Token]) -> None:
    """Raise ExpressionError unless every token may follow the one before it."""
    last = Token("UNKNOWN", None)
    for token in tokens:
        if token.kind not in _FOLLOWERS[last.kind]:
            if last.kind == "VARIABLE" and token.kind == "CLAUSE":
                raise _wrong(f"Undefined function {last.value}")
            raise _wrong(f"Cannot transition token types from {last} to {token}")
        last = token
    if last.kind not in _LAST:
        raise _wrong("Unexpected end of expression")


# --- the tree -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Literal:
    """A number, string, bool or Pattern."""

    constant: Any

    def value(self) -> Any:
        return self.constant


@dataclass(frozen=True)
class Variable:
    """A name, which nothing defines; before it says so it runs what looks like its arguments."""

    name: str
    arguments: Node | None = None

    def value(self) -> Any:
        if self.arguments is not None:
            self.arguments.value()
        raise ExpressionError("run", f"No parameter '{self.name}' found.")


@dataclass(frozen=True)
class Clause:
    """Parentheses; empty ones are nil. The list in them stays a list when another comma follows."""

    inner: Node | None

    def value(self) -> Any:
        return None if self.inner is None else self.inner.value()


@dataclass(frozen=True)
class Prefixed:
    """A sign before an operand."""

    symbol: str
    operand: Node | None

    def value(self) -> Any:
        value = None if self.operand is None else self.operand.value()
        if type(value) is not (bool if self.symbol == "!" else float):
            raise ExpressionError("run", _PREFIX_ERROR.format(_shown(value), self.symbol))
        if self.symbol == "!":
            return not value
        return -value if self.symbol == "-" else float(~_int64(value))


@dataclass(frozen=True)
class Chain:
    """Operators of one level and their operands, from left to right."""

    first: Node | None
    rest: tuple[tuple[str, Node | None], ...]
    complaint: str

    def value(self) -> Any:
        left = None if self.first is None else self.first.value()
        for symbol, operand in self.rest:
            decided, answer = _short_circuit(symbol, left)
            if decided:
                left = answer
                continue
            right = None if operand is None else operand.value()
            refused = _refused(symbol, left, right)
            if refused is not None:
                shown = "=" if symbol == "==" else symbol
                raise ExpressionError("run", self.complaint.format(_shown(refused[0]), shown))
            left = _OPERATIONS[symbol](left, right)
        return left


Node = Literal | Variable | Clause | Prefixed | Chain


class _Parser:
    """Tokens to a tree; what it does not expect ends it, see the module's docstring."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("END", None)

    def level(self, depth: int) -> Node | None:
        """level = tighter { operator tighter }"""
        if depth == len(_LEVELS):
            return self.operand()
        kind, symbols, complaint = _LEVELS[depth]
        first = self.level(depth + 1)
        rest: list[tuple[str, Node | None]] = []
        while self.token.kind == kind and self.token.value in symbols:
            symbol = self.token.value
            self.at += 1
            operand = self.level(depth + 1)
            rest.append((symbol, operand))
        return Chain(first, tuple(rest), complaint) if rest else first

    def operand(self) -> Node | None:
        """operand = literal | variable | "(" [ list ] ")" | prefix operand"""
        token = self.token
        if token.kind in ("CLAUSE_CLOSE", "END"):
            return None
        self.at += 1
        if token.kind == "CLAUSE":
            inner = self.level(0)
            self.at += 1  # its closing one: they are balanced
            return Clause(inner)
        if token.kind == "PREFIX":
            return Prefixed(token.value, self.operand())
        if token.kind == "VARIABLE":
            return Variable(token.value)
        if token.kind == "ACCESSOR":  # arguments are whatever follows, operators and all
            return Variable(token.value[0], self.level(0) if self.token.kind == "CLAUSE" else None)
        if token.kind == "TIME":
            time: Time = token.value
            return Literal(float(time.unix_seconds))
        if token.kind == "STRING" and self.at > 1 and self.tokens[self.at - 2].value in ("=~", "!~"):
            try:
                return Literal(Pattern(token.value, compile_pattern(token.value)))
            except FunctionError as error:
                raise _wrong(error.message) from error
        if token.kind in ("NUMERIC", "STRING", "BOOLEAN"):
            return Literal(token.value)
        raise _wrong(f"Unable to plan token kind: '{token.kind}', value: '{_shown(token.value)}'")


# --- operators ------------------------------------------------------------------------------------------------


def _short_circuit(symbol: str, left: Any) -> tuple[bool, Any]:
    """Whether the left side decides alone, and what."""
    if symbol == "&&" and left is False:
        return True, False
    if symbol == "||" and left is True:
        return True, True
    if symbol == "?" and left is False:
        return True, None
    return symbol in (":", "??") and left is not None, left


def _refused(symbol: str, left: Any, right: Any) -> tuple[Any] | None:
    """The operand that the operator does not take; in a comparison or sum it is always the left one."""
    if symbol in ("==", "!=", ":", "??", ","):
        return None
    if symbol in ("<", ">", "<=", ">=", "+"):
        if type(left) is type(right) is float:
            return None
        strings = (isinstance(left, str), isinstance(right, str))
        return None if (any(strings) if symbol == "+" else all(strings)) else (left,)
    if symbol == "in":
        return None if isinstance(right, list) else (right,)
    if symbol in ("=~", "!~"):
        if not isinstance(left, str):
            return (left,)
        return None if isinstance(right, str | Pattern) else (right,)
    wanted = bool if symbol in ("&&", "||", "?") else float
    if type(left) is not wanted:
        return (left,)
    return None if symbol == "?" or type(right) is wanted else (right,)


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str) or isinstance(right, str):
        return _shown(left) + _shown(right)
    return left + right


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    if not left or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _modulus(left: float, right: float) -> float:
    return math.nan if not right or math.isinf(left) else math.fmod(left, right)


def _int64(number: float) -> int:
    """float64 to int64 as amd64 does it: what does not fit is the least one."""
    if math.isnan(number) or not -(2.0**63) <= number < 2.0**63:
        return -(1 << 63)
    return int(number)


def _uint64(number: float) -> int:
    """float64 to uint64 as amd64 does it: a negative number wraps around."""
    if number >= 2.0**63:
        return int(number) if number < 2.0**64 else 1 << 63
    return _int64(number) % (1 << 64)


def _shift_left(left: float, right: float) -> float:
    by = _uint64(right)
    return float((_uint64(left) << by) % (1 << 64)) if by < 64 else 0.0


def _shift_right(left: float, right: float) -> float:
    by = _uint64(right)
    return float(_uint64(left) >> by) if by < 64 else 0.0


def _same(left: Any, right: Any) -> bool:
    """Go's reflect.DeepEqual over these values: a bool is no number, NaN is not itself."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return type(left) is type(right) and bool(left == right)


def _within(left: Any, right: list[Any]) -> bool:
    for item in right:
        if isinstance(left, list) and isinstance(item, list):
            raise ExpressionError("run", "lists cannot be compared with in")
        if _same(left, item):
            return True
    return False


def _otherwise(_: None, right: Any) -> Any:
    return right  # nil is on the left: anything else decided already


def _listed(left: Any, right: Any) -> list[Any]:
    return [*left, right] if isinstance(left, list) else [left, right]


def _matches(left: str, right: str | Pattern) -> bool:
    if isinstance(right, str):
        try:
            right = Pattern(right, compile_pattern(right))
        except FunctionError as error:
            message = f"Unable to compile regexp pattern '{right}': {error.message}"
            raise ExpressionError("run", message) from error
    return search(right.compiled, left)


_OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    ",": _listed,
    "?": lambda left, right: right if left else None,
    ":": _otherwise,
    "??": _otherwise,
    "||": lambda left, right: left or right,
    "&&": lambda left, right: left and right,
    "==": _same,
    "!=": lambda left, right: not _same(left, right),
    "<": lambda left, right: left < right,
    ">": lambda left, right: left > right,
    "<=": lambda left, right: left <= right,
    ">=": lambda left, right: left >= right,
    "=~": _matches,
    "!~": lambda left, right: not _matches(left, right),
    "in": _within,
    "&": lambda left, right: float(_int64(left) & _int64(right)),
    "|": lambda left, right: float(_int64(left) | _int64(right)),
    "^": lambda left, right: float(_int64(left) ^ _int64(right)),
    "<<": _shift_left,
    ">>": _shift_right,
    "+": _add,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": _divide,
    "%": _modulus,
    "**": power,
}
