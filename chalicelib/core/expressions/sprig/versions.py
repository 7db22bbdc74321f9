"""sprig's semver and semverCompare: versions, and constraints such as ``>=1.2 <3 || ~0.4``.

Versions may lack minor and patch and begin with v. A constraint is a list of alternatives, each a list of
comparisons that must all hold; a comparison whose version lacks parts, or has x for them, is loose there.
One without prerelease holds for no prerelease.

Source: Masterminds/semver v3.3.0 version.go, constraints.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Final

import re2

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.functions import NIL_DEREFERENCE, STRING, Function, table
from chalicelib.core.expressions.times import Method

_MAX_UINT64: Final = 2**64 - 1
_MAX_TEXT: Final = 4096  # characters of a version or constraint

_SUFFIXES = (
    r"(?:-(?P<prerelease>[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?"
    r"(?:\+(?P<metadata>[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*))?"
)
_VERSION = re2.compile(r"v?(?P<major>[0-9]+)(?:\.(?P<minor>[0-9]+))?(?:\.(?P<patch>[0-9]+))?" + _SUFFIXES)


@dataclass(frozen=True)
class Version:
    """A semantic version; Go's *semver.Version."""

    go_type: ClassVar[str] = "*semver.Version"

    major: int
    minor: int
    patch: int
    prerelease: str
    metadata: str
    original: str

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        text += f"-{self.prerelease}" if self.prerelease else ""
        return text + (f"+{self.metadata}" if self.metadata else "")

    def marshal(self) -> str:
        """The text of the JSON string."""
        return str(self)

    @property
    def methods(self) -> Mapping[str, Method]:
        """What an expression may call on it."""
        return METHODS

    def compare(self, other: Version) -> int:
        """-1, 0 or 1; metadata do not count, a prerelease comes before its release."""
        left = (self.major, self.minor, self.patch)
        right = (other.major, other.minor, other.patch)
        if left != right:
            return 1 if left > right else -1
        if not self.prerelease or not other.prerelease:
            return bool(other.prerelease) - bool(self.prerelease)
        return _compare_prereleases(self.prerelease, other.prerelease)


def _compare_prereleases(left: str, right: str) -> int:
    lefts, rights = left.split("."), right.split(".")
    for index in range(max(len(lefts), len(rights))):
        a = lefts[index] if index < len(lefts) else ""
        b = rights[index] if index < len(rights) else ""
        if a != b:
            return 1 if _prerelease_rank(a) > _prerelease_rank(b) else -1
    return 0


def _prerelease_rank(part: str) -> tuple[int, int, str]:
    """Nothing, then numbers by value, then texts."""
    if not part:
        return 0, 0, ""
    if part.isascii() and part.isdigit() and int(part) <= _MAX_UINT64:
        return 1, int(part), ""
    return 2, 0, part


@lru_cache(maxsize=256)
def parse_version(text: str) -> Version:
    """The version a text means; raises FunctionError in the library's words."""
    match = _VERSION.fullmatch(text) if len(text) <= _MAX_TEXT and text.isascii() else None
    if match is None:
        raise FunctionError("Invalid Semantic Version")
    major, minor, patch = (_segment(match[name]) for name in ("major", "minor", "patch"))
    prerelease, metadata = match["prerelease"] or "", match["metadata"] or ""
    for part in prerelease.split("."):
        if part.isdigit() and len(part) > 1 and part[0] == "0":
            raise FunctionError("Version segment starts with 0")
    return Version(major, minor, patch, prerelease, metadata, text)


def _segment(digits: str | None) -> int:
    number = int(digits or 0)
    if number > _MAX_UINT64:
        raise FunctionError(
            f'Error parsing version segment: strconv.ParseUint: parsing "{digits}": value out of range'
        )
    return number


# --- constraints ----------------------------------------------------------------------------------------

_X = r"[0-9|x|X|\*]+"
_PARTIAL = (
    rf"v?(?P<major>{_X})(?:\.(?P<minor>{_X}))?(?:\.(?P<patch>{_X}))?"
    r"(?P<prerelease>-[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*)?"
    r"(?P<metadata>\+[0-9A-Za-z\-]+(?:\.[0-9A-Za-z\-]+)*)?"
)
_PARTIAL_UNNAMED = re.sub(r"\(\?P<\w+>", "(?:", _PARTIAL)
# The order is the library's and decides: the first that lets the rest match is taken.
_OPERATORS = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^"
_COMPARISON_TEXT = rf"(?:{_OPERATORS})\s*{_PARTIAL_UNNAMED}"
_COMPARISON = re2.compile(rf"\s*(?P<operator>{_OPERATORS})\s*{_PARTIAL}\s*")
_ANY_COMPARISON = re2.compile(_COMPARISON_TEXT)
_ALL_COMPARISONS = re2.compile(rf"\s*{_COMPARISON_TEXT}\s*(?:(?:\s+|,\s*){_COMPARISON_TEXT}\s*)*")
_HYPHEN_RANGE = re2.compile(rf"\s*(?P<low>{_PARTIAL_UNNAMED})\s+-\s+(?P<high>{_PARTIAL_UNNAMED})\s*")


@dataclass(frozen=True)
class Comparison:
    """One operator and its version; `loose` names the first part that was left open, "" for none."""

    operator: str
    version: Version
    loose: str

    def holds(self, version: Version) -> bool:
        """Whether a version meets it."""
        # A constraint that names no prerelease is looking for releases; != alone may look at both.
        if version.prerelease and not self.version.prerelease and (self.operator != "!=" or self.loose):
            return False
        return _HOLDS[self.operator](version, self)


@lru_cache(maxsize=256)
def parse_constraint(text: str) -> tuple[tuple[Comparison, ...], ...]:
    """Alternatives of comparisons; raises FunctionError in the library's words."""
    if len(text) > _MAX_TEXT:
        raise FunctionError(f"improper constraint: longer than {_MAX_TEXT} characters")
    if not text.isascii():
        raise FunctionError(f"improper constraint: {text}")
    return tuple(_alternative(part) for part in _without_hyphens(text).split("||"))


def _without_hyphens(text: str) -> str:
    """``1.2 - 2`` as ``>= 1.2, <= 2``."""
    for match in list(_HYPHEN_RANGE.finditer(text)):
        text = text.replace(match[0], f">= {match['low']}, <= {match['high']} ", 1)
    return text


def _alternative(text: str) -> tuple[Comparison, ...]:
    if not _ALL_COMPARISONS.fullmatch(text):
        raise FunctionError(f"improper constraint: {text}")
    return tuple(_comparison(match[0]) for match in _ANY_COMPARISON.finditer(text))


def _comparison(text: str) -> Comparison:
    match = _COMPARISON.fullmatch(text)
    if match is None:
        raise FunctionError(f"improper constraint: {text}")
    major, minor, patch = match["major"], match["minor"], match["patch"]
    prerelease = match["prerelease"] or ""
    if _is_open(major):
        loose, number = "major", "0.0.0"
    elif _is_open(minor):
        loose, number = "minor", f"{major}.0.0"
    elif _is_open(patch):
        loose, number = "patch", f"{major}.{minor}.0"
    else:
        loose, number = "", f"{major}.{minor}.{patch}"
        prerelease += match["metadata"] or ""
    try:
        version = parse_version(number + prerelease)
    except FunctionError:
        raise FunctionError("constraint Parser Error") from None
    return Comparison(match["operator"], replace(version, original=match[0]), loose)


def _is_open(part: str | None) -> bool:
    return part in (None, "", "x", "X", "*")


def _equals(version: Version, comparison: Comparison) -> bool:
    if comparison.loose:
        return _has_same_minor(version, comparison)
    return version.compare(comparison.version) == 0


def _differs(version: Version, comparison: Comparison) -> bool:
    wanted = comparison.version
    if not comparison.loose:
        return version.compare(wanted) != 0
    if version.major != wanted.major:
        return True
    if comparison.loose == "minor":
        return False
    if version.minor != wanted.minor:
        return True
    if comparison.loose == "patch":
        if version.prerelease or wanted.prerelease:
            return _compare_prereleases(version.prerelease, wanted.prerelease) != 0
        return False
    return version.patch != wanted.patch or version.compare(wanted) != 0


def _is_greater(version: Version, comparison: Comparison) -> bool:
    wanted = comparison.version
    if comparison.loose and version.major != wanted.major:
        return version.major > wanted.major
    if comparison.loose == "minor":
        return False
    if comparison.loose == "patch":
        return version.minor > wanted.minor
    return version.compare(wanted) > 0


def _is_at_most(version: Version, comparison: Comparison) -> bool:
    wanted = comparison.version
    if not comparison.loose:
        return version.compare(wanted) <= 0
    if version.major != wanted.major:
        return version.major < wanted.major
    return version.minor <= wanted.minor or comparison.loose == "minor"


def _has_same_minor(version: Version, comparison: Comparison) -> bool:
    """Tilde: no older, and the same up to the minor version, or to the major where the minor is open."""
    wanted = comparison.version
    if version.compare(wanted) < 0:
        return False
    # Everything matches 0.0.0 and an open major version.
    if comparison.loose not in ("minor", "patch") and (wanted.major, wanted.minor, wanted.patch) == (0, 0, 0):
        return True
    if version.major != wanted.major:
        return False
    return version.minor == wanted.minor or comparison.loose == "minor"


def _is_compatible(version: Version, comparison: Comparison) -> bool:
    """Caret: no older, and the same up to the first part that is not 0."""
    wanted = comparison.version
    if version.compare(wanted) < 0:
        return False
    if wanted.major > 0 or comparison.loose == "minor":
        return version.major == wanted.major
    if version.major > 0:
        return False
    if wanted.minor > 0 or comparison.loose == "patch":
        return version.minor == wanted.minor
    return version.minor == 0 and version.patch == wanted.patch


_HOLDS: Mapping[str, Callable[[Version, Comparison], bool]] = {
    "": _equals,
    "=": _equals,
    "!=": _differs,
    ">": _is_greater,
    "<": lambda version, comparison: version.compare(comparison.version) < 0,
    ">=": lambda version, comparison: version.compare(comparison.version) >= 0,
    "=>": lambda version, comparison: version.compare(comparison.version) >= 0,
    "<=": _is_at_most,
    "=<": _is_at_most,
    "~": _has_same_minor,
    "~>": _has_same_minor,
    "^": _is_compatible,
}


def semver_compare(constraint: str, version: str) -> bool:
    """Whether a version meets a constraint."""
    alternatives = parse_constraint(constraint)
    wanted = parse_version(version)
    return any(all(comparison.holds(wanted) for comparison in each) for each in alternatives)


def _comparison_with(holds: Callable[[int], Any], result: str) -> Method:
    def compare(version: Version, other: Version | None) -> Any:
        if other is None:
            raise FunctionError(NIL_DEREFERENCE)
        return holds(version.compare(other))

    return Method(compare, (Version.go_type,), result)


#: What an expression may call on a version, like `times.METHODS`. Go's numbers are uint64; here int64.
METHODS: Mapping[str, Method] = {
    "Compare": _comparison_with(lambda order: order, "int"),
    "Equal": _comparison_with(lambda order: order == 0, "bool"),
    "GreaterThan": _comparison_with(lambda order: order > 0, "bool"),
    "GreaterThanEqual": _comparison_with(lambda order: order >= 0, "bool"),
    "LessThan": _comparison_with(lambda order: order < 0, "bool"),
    "LessThanEqual": _comparison_with(lambda order: order <= 0, "bool"),
    "Major": Method(lambda version: version.major, (), "int64"),
    "Metadata": Method(lambda version: version.metadata, (), "string"),
    "Minor": Method(lambda version: version.minor, (), "int64"),
    "Original": Method(lambda version: version.original, (), "string"),
    "Patch": Method(lambda version: version.patch, (), "int64"),
    "Prerelease": Method(lambda version: version.prerelease, (), "string"),
    "String": Method(str, (), "string"),
}

FUNCTIONS = table(
    Function("semver", (STRING,), parse_version),
    Function("semverCompare", (STRING, STRING), semver_compare),
)
