"""Label and field selectors: the server's grammar, its answers and its words of refusal.

    selector    = [ requirement { "," requirement } ]
    requirement = "!" key | key [ ("in" | "notin") set | ("=" | "==" | "!=" | ">" | "<") value ]
    set         = "(" [ value { "," value } ] ")"

Source: k8s.io/apimachinery/pkg/labels/selector.go and pkg/fields/selector.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lynceus.local.kubernetes.statuses import bad_request, go_quoted

_TOKEN: Final = re.compile(r"\s*(?:(==|!=|[=!<>(),])|([^\s=!<>(),]+))")
_NAME: Final = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")
_PREFIX: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?\Z")
_NAME_RULE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def key_faults(key: str) -> list[str]:
    """What is wrong with a label key, in the words of IsQualifiedName."""
    prefix, slash, name = key.rpartition("/")
    if slash and "/" in prefix:
        rule = "a valid label key " + _NAME_RULE + _OPTIONAL_PREFIX
        return [rule]
    faults = []
    if slash and not prefix:
        faults.append("prefix part must be non-empty")
    elif slash and not _PREFIX.match(prefix):
        faults.append(f"prefix part {_SUBDOMAIN_RULE}")
    elif len(prefix) > 253:
        faults.append("prefix part must be no more than 253 characters")
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 characters")
    if not _NAME.match(name):
        faults.append(f"name part {_NAME_RULE}")
    return faults


_OPTIONAL_PREFIX: Final = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"


def value_faults(value: str) -> list[str]:
    """What is wrong with a label value, in the words of IsValidLabelValue."""
    faults = [] if len(value) <= 63 else ["must be no more than 63 characters"]
    return faults if _VALUE.match(value) else [*faults, _VALUE_RULE]


@dataclass(frozen=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: str  # "in", "notin", "exists", "!", ">" or "<"
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels satisfy the term; != and notin hold where the key is missing."""
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "!":
            return self.key not in labels
        if self.operator == "in":
            return labels.get(self.key) in self.values
        if self.operator == "notin":
            return labels.get(self.key) not in self.values
        mine, bound = _integer(labels.get(self.key, "")), _integer(next(iter(self.values)))
        if mine is None or bound is None:
            return False
        return mine > bound if self.operator == ">" else mine < bound


def _integer(text: str) -> int | None:
    """The text as Go's ParseInt reads it, None for what is none."""
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else None


_SET_OPERATORS: Final = ("in", "notin")
_OPERATORS: Final = {"=": "in", "==": "in", "!=": "notin", ">": ">", "<": "<"}


class _Parser:
    """Reads tokens from left to right; blanks separate and mean nothing else."""

    def __init__(self, text: str) -> None:
        self._tokens = [(mark or "", word or "") for mark, word in _TOKEN.findall(text.rstrip())]
        self._at = 0

    def peek(self) -> tuple[str, str]:
        """(mark, word) ahead; one of the two is empty, both at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def next(self) -> tuple[str, str]:
        """Take what is ahead."""
        found = self.peek()
        self._at += 1
        return found

    def requirements(self) -> list[Requirement]:
        """selector = [ requirement { "," requirement } ]"""
        found: list[Requirement] = []
        while True:
            mark, word = self.peek()
            if word or mark == "!":
                found.append(self.requirement())
                mark, word = self.next()
                if not mark and not word:
                    return found
                if mark != ",":
                    raise bad_request(f"found '{mark or word}', expected: ',' or 'end of string'")
                mark, word = self.peek()
                if not word and mark != "!":
                    raise bad_request(f"found '{mark}', expected: identifier after ','")
            elif not mark:
                return found
            else:
                raise bad_request(f"found '{mark}', expected: !, identifier, or 'end of string'")

    def requirement(self) -> Requirement:
        """requirement = "!" key | key [ operator operand ]"""
        mark, word = self.next()
        if mark == "!":
            mark, key = self.next()
            if not key:
                raise _unparsable(f"found '{mark}', expected: identifier")
            return Requirement(_checked_key(key), "!")
        key = _checked_key(word)
        mark, word = self.peek()
        if mark == "," or not (mark or word):
            return Requirement(key, "exists")
        mark, word = self.next()
        if word in _SET_OPERATORS:
            return Requirement(key, word, _checked_values(key, self.values()))
        operator = _OPERATORS.get(mark)
        if operator is None:
            shown = mark or word
            raise _unparsable(f"found '{shown}', expected: in, notin, =, ==, !=, gt, lt")
        return Requirement(key, operator, _checked_values(key, {self.exact_value(operator)}))

    def exact_value(self, operator: str) -> str:
        """The one value after = and its like; nothing there is the empty value."""
        mark, word = self.peek()
        if mark == "," or not (mark or word):
            value = ""
        elif word:
            self.next()
            value = word
        else:
            raise _unparsable(f"found '{mark}', expected: identifier")
        if operator in "><" and _integer(value) is None:
            detail = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise _unparsable(f"values[0]: Invalid value: {go_quoted(value)}: {detail}")
        return value

    def values(self) -> set[str]:
        """set = "(" [ value ] { "," [ value ] } ")" """
        mark, word = self.next()
        if mark != "(":
            raise _unparsable(f"found '{mark or word}' expected: '('")
        mark, word = self.peek()
        if mark == ")":
            self.next()
            return {""}
        if mark != "," and not word:
            raise _unparsable(f"found '{mark}', expected: ',', ')' or identifier")
        found: set[str] = set()
        after_comma = True
        while True:
            mark, word = self.next()
            if mark == ")":
                return found | {""} if after_comma else found
            if word and after_comma:
                found.add(word)
                after_comma = False
            elif mark == ",":
                if after_comma:
                    found.add("")
                after_comma = True
            elif after_comma:
                raise _unparsable(f"found '{mark}', expected: ',', or identifier")
            else:
                raise _unparsable(f"found '{mark or word}', expected: ',' or ')'")


def _unparsable(text: str) -> Exception:
    return bad_request(f"unable to parse requirement: {text}")


def _checked_key(key: str) -> str:
    faults = key_faults(key)
    if faults:
        raise _unparsable(f"<nil>: Invalid value: {go_quoted(key)}: {'; '.join(faults)}")
    return key


def _checked_values(key: str, values: set[str]) -> frozenset[str]:
    faults = [
        f"values[{at}][{key}]: Invalid value: {go_quoted(value)}: {'; '.join(found)}"
        for at, value in enumerate(sorted(values))
        if (found := value_faults(value))
    ]
    if faults:
        raise _unparsable(faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]")
    return frozenset(values)


def label_selector(text: str) -> Callable[[Mapping[str, str]], bool] | None:
    """A test of labels, None for the selector that takes everything; raises Refusal 400 in the parser's words."""
    requirements = _Parser(text).requirements()
    if not requirements:
        return None
    return lambda labels: all(requirement.matches(labels) for requirement in requirements)


@dataclass(frozen=True)
class FieldTerm:
    """One term of a field selector."""

    path: str
    value: str
    equal: bool


# The fields besides name and namespace that a kind can be selected by.
# Source: kubernetes pkg/registry/core/{event,secret,namespace}/strategy.go
SELECTABLE: Final[dict[str, tuple[str, ...]]] = {
    "events": (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    "secrets": ("type",),
    "namespaces": ("status.phase",),
}


def field_terms(
    text: str,
    store: str,
    *,
    custom: bool = False,
    namespaced: bool = True,
    names: Mapping[str, str] | None = None,
) -> list[FieldTerm]:
    """The terms of a field selector for objects kept under `store`; raises Refusal 400.

    `names` are the fields by other names, the only ones known then.
    """
    known = ("metadata.name", *SELECTABLE.get(store, ()))
    if namespaced or not custom:
        known = (*known, "metadata.namespace")
    terms: list[FieldTerm] = []
    for part in _split(text):
        path, equal, value = _term(part, text)
        if names is not None:
            if path not in names:
                raise bad_request(f"field label not supported: {path}")
            path = names[path]
        if path not in known:
            raise bad_request(
                f"field label not supported: {path}"
                if custom or store in SELECTABLE
                else f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
            )
        terms.append(FieldTerm(path, value, equal))
    return terms


def _split(text: str) -> list[str]:
    parts = re.split(r"(?<!\\),", text)
    return [part for part in parts if part]


def _term(part: str, whole: str) -> tuple[str, bool, str]:
    found = re.match(r"((?:[^=!\\]|\\.)*?)(!=|==|=)(.*)\Z", part, re.DOTALL)
    if found is None:
        raise bad_request(f"invalid selector: '{whole}'; can't understand '{part}'")
    path, operator, value = found.groups()
    return path, operator != "!=", re.sub(r"\\([,=\\])", r"\1", value)


def field_value(instance: Mapping[str, Any], path: str) -> str:
    """The value of a selectable field as text, "" where there is none."""
    if path == "source":
        return str(
            (instance.get("source") or {}).get("component") or instance.get("reportingComponent") or ""
        )
    found: Any = instance
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return "" if found is None else str(found)


def matches_fields(instance: Mapping[str, Any], terms: list[FieldTerm]) -> bool:
    """Whether every term holds for the object."""
    return all((field_value(instance, term.path) == term.value) == term.equal for term in terms)
