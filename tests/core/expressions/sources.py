"""Expressions and environments for property tests: from the grammar, so that most of them mean something."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

KEYS = ("a", "b", "ref", "items", "name", "n", "é", "a-b")
TEXTS = st.one_of(
    st.sampled_from(
        ["", "a", "b", "push", "refs/heads/main", "é", "𝒳y", "10", "-3", "1.5", "2024-01-02", "1h"]
    ),
    st.text(max_size=4),
)
NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([0.5, -1.5, 2.0, 1e6, 1e21, 2**53 + 1, -(2**60)]),
    st.floats(allow_nan=False, allow_infinity=False),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)


def json_values() -> st.SearchStrategy[Any]:
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
        ),
        max_leaves=12,
    )


def environments() -> st.SearchStrategy[dict[str, Any]]:
    """What an event looks like: the four names, with a payload of any kind but mostly a map."""
    payload = st.one_of(
        st.fixed_dictionaries({}, optional={key: json_values() for key in KEYS}), json_values()
    )
    return st.fixed_dictionaries(
        {
            "payload": payload,
            "metadata": st.dictionaries(
                st.sampled_from(["x-a", "x-b"]), st.lists(TEXTS, max_size=2), max_size=2
            ),
            "discriminator": TEXTS,
            "namespace": st.just("argo"),
        }
    )


def quoted(value: str) -> str:
    return "`" + value.replace("`", "``") + "`"


def literals() -> st.SearchStrategy[str]:
    return st.one_of(
        st.sampled_from(
            ["nil", "true", "false", "0", "1", "-1", "2.5", "1e3", '"a"', '"push"', '"é"', '""', "[]", "{}"]
        ),
        st.text(max_size=3).filter(lambda text: "\r" not in text).map(quoted),
        st.sampled_from(['["a", "b"]', '["push"]', "[1, 2]", '[1, "a", nil]', "{a: 1}", "1..3", 'b"ab"']),
    )


ROOTS = ("payload", "payload", "payload", "metadata", "discriminator", "$env", 'metadata["x-a"]')
STEPS = (
    ".a", ".b", ".ref", ".items", ".name", ".n", "?.a", "?.b", "?.items", '["a-b"]', "[0]", "[-1]", "?.[0]", "[1:]",
    "[:2]",
)  # fmt: skip
BINARY = (
    "+", "-", "*", "/", "%", "**", "..", "==", "!=", "<", "<=", ">", ">=", "in", "matches", "contains", "startsWith",
    "endsWith", "and", "or", "??", "not in", "not contains", "&&", "||", "==", "==", "and", "or", "??",
)  # fmt: skip
ONE = (
    "len", "type", "string", "int", "float", "abs", "ceil", "round", "upper", "lower", "trim", "toJSON", "fromJSON",
    "toBase64", "fromBase64", "first", "last", "keys", "values", "reverse", "uniq", "flatten", "sort", "max", "min",
    "mean", "median", "duration", "date", "fromPairs", "toPairs", "bitnot", "concat",
)  # fmt: skip
TWO = (
    "split", "join", "hasPrefix", "indexOf", "get", "take", "repeat", "replace", "concat", "bitand", "max",
    "trimPrefix", "splitAfter", "sort",
)  # fmt: skip
LOOPS = (
    "all", "any", "none", "one", "filter", "map", "count", "sum", "find", "findIndex", "findLast", "findLastIndex",
    "groupBy", "sortBy", "reduce",
)  # fmt: skip


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3, in_loop: bool = False, variables: int = 0) -> str:
    """A source from the grammar: names and ``#`` mostly where they exist, so that many compile."""

    def inner(**scope: Any) -> str:
        return draw(expressions(depth - 1, **{"in_loop": in_loop, "variables": variables, **scope}))

    form = draw(st.sampled_from(FORMS)) if depth > 0 else "path"
    if form == "path":
        roots = ROOTS + ("#",) * (3 * in_loop) + tuple(f"x{index}" for index in range(variables)) * 2
        steps = draw(st.lists(st.sampled_from(STEPS), max_size=2))
        return draw(st.sampled_from(roots)) + "".join(steps)
    if form == "literal":
        return draw(literals())
    if form == "binary":
        return f"({inner()}) {draw(st.sampled_from(BINARY))} ({inner()})"
    if form == "compared":
        return f"{inner()} {draw(st.sampled_from(COMPARISONS))} {draw(literals())}"
    if form == "unary":
        return f"{draw(st.sampled_from(['not ', '-', '!']))}({inner()})"
    if form == "conditional":
        return f"({inner()}) ? ({inner()}) : ({inner()})"
    if form == "one":
        return f"{draw(st.sampled_from(ONE))}({inner()})"
    if form == "two":
        return f"{draw(st.sampled_from(TWO))}({inner()}, {inner()})"
    if form == "loop":
        collection = draw(st.sampled_from(["payload.items ?? []", "payload.a", "1..4", "", ""])) or inner()
        return f"{draw(st.sampled_from(LOOPS))}({collection}, {inner(in_loop=True)})"
    if form == "let":
        return f"(let x{variables} = {inner()}; {inner(variables=variables + 1)})"
    if form == "list":
        return f"[{inner()}, {inner()}]"
    if form == "map":
        return f'{{k: {inner()}, ("l"): {inner()}}}'
    after = draw(
        st.sampled_from([".a", "?.b", "[0]", "[1:]", ".Year()", ".Hours()", " | string()", " | len()"])
    )
    return f"({inner()}){after}"


FORMS = (
    ["path"] * 6 + ["literal"] * 3 + ["binary"] * 4 + ["compared"] * 4 + ["loop"] * 4 + ["one", "two", "one", "two"]
    + ["unary", "conditional", "let", "let", "list", "map", "after"]
)  # fmt: skip
COMPARISONS = ("==", "!=", "in", "<", ">=", "contains", "startsWith", "matches", "not in", "??")
