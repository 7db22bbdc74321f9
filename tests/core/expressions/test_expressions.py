"""What `compile` and an Expression promise to the rest of Lynceus."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.core import expressions
from chalicelib.core.errors import Misconfigured
from chalicelib.core.expressions import Duration, ExpressionError, Time, parameter_text
from chalicelib.core.expressions.programs import _KEPT, _programs

EVENT: dict[str, Any] = {
    "payload": {"ref": "refs/heads/main", "n": 5, "tags": ["a", "b"], "repository": {"full_name": "o/r"}},
    "metadata": {"x-github-event": ["push"]},
    "discriminator": "github",
    "namespace": "argo",
}


def evaluated(source: str, event: dict[str, Any] = EVENT, **options: Any) -> Any:
    return expressions.compile(source).evaluate(event, **options)


def failure(source: str, event: dict[str, Any] = EVENT, **options: Any) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        evaluated(source, event, **options)
    return caught.value


def test_a_selector_answers_with_a_bool() -> None:
    selector = expressions.compile(
        'payload.ref == "refs/heads/main" and metadata["x-github-event"] == ["push"]'
    )
    assert selector.evaluate_bool(EVENT) is True
    assert selector.evaluate_bool({**EVENT, "payload": {"ref": "refs/heads/dev"}}) is False


def test_a_selector_that_is_no_bool_is_a_type_error_in_gos_words() -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.compile("payload.n").evaluate_bool(EVENT)
    assert caught.value.kind == "type"
    assert str(caught.value) == "unable to cast expression result '%!s(float64=5)' to bool"


def test_an_error_shows_place_line_and_caret_as_go_does() -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.compile('payload.ref ==\n\t"a" "b"')
    error = caught.value
    assert isinstance(error, Misconfigured)
    assert (error.kind, error.line, error.column) == ("compile", 2, 6)
    assert str(error) == 'unexpected token String("b") (2:6)\n |  "a" "b"\n | .....^'


def test_an_empty_expression_has_no_place() -> None:
    with pytest.raises(ExpressionError, match=r"^unexpected token EOF$"):
        expressions.compile("")


def test_what_depends_on_the_event_is_found_when_it_is_asked() -> None:
    expression = expressions.compile("payload.x == 1")
    assert expression.evaluate(EVENT) is False
    assert failure("payload.x == 1", {**EVENT, "payload": None}).message == "type nil has no field x (1:9)"
    assert failure("payload.x == 1", {**EVENT, "payload": "text"}).kind == "compile"
    assert expression.evaluate({**EVENT, "payload": {"x": 1}}) is True


def test_integers_of_the_event_are_floats_and_literals_are_ints() -> None:
    assert evaluated("type(payload.n)") == "float"
    assert type(evaluated("payload.n")) is float
    assert type(evaluated("5")) is int
    assert failure("payload.n % 2").message == "invalid operation: float64 % int (1:11)"
    assert evaluated("payload == {n: 5.0}", {**EVENT, "payload": {"n": 5}}) is True
    assert evaluated("payload == {n: 5}", {**EVENT, "payload": {"n": 5}}) is False
    assert evaluated("9007199254740993 == payload.n", {**EVENT, "payload": {"n": 9007199254740992}}) is True


def test_a_mix_of_event_and_literal_keeps_both_kinds_of_number() -> None:
    assert evaluated("type(payload.missing ?? 1)") == "int"
    assert evaluated("type(payload.n ?? 1)") == "float"
    assert evaluated("map([1, payload.n], type(#))") == ["int", "float"]


def test_unpaired_surrogates_of_the_event_are_replacement_characters() -> None:
    event = {**EVENT, "payload": {"s": "a\ud800", "k\udfff": 1}}
    assert evaluated("payload.s", event) == "a\ufffd"
    assert evaluated('payload.s == "a\\ufffd"', event) is True
    assert evaluated('payload["k\\ufffd"]', event) == 1.0
    assert evaluated("len(payload.s)", event) == 2


def test_values_that_are_no_json_are_refused() -> None:
    assert failure("payload", {**EVENT, "payload": {"x": object()}}).kind == "run"


def test_dates_and_durations_come_back_as_our_own() -> None:
    assert evaluated('duration("90m")') == Duration(5_400_000_000_000)
    assert isinstance(evaluated('date("2024-01-02")'), Time)


def test_the_clock_is_an_argument() -> None:
    assert evaluated("now().Year()", now=lambda: 0) == 1970


def test_steps_bound_the_work() -> None:
    source = "let a = 1..900; all(a, all(a, all(a, true)))"
    assert failure(source, steps=10_000).message.startswith("evaluation takes too many steps")


def doubled(start: str, pair: str, times: int = 60, name: str = "a") -> str:
    """Lets that make a value twice as large each time: `pair` says how, of ``{0}``."""
    lets = [f"let {name}0 = {start};"]
    lets += [f"let {name}{step} = {pair.format(f'{name}{step - 1}')};" for step in range(1, times)]
    return " ".join(lets)


SHARED = doubled("[1]", "[{0}, {0}]")


@pytest.mark.parametrize(
    "source",
    [
        doubled('"x"', "{0} + {0}") + " a59",
        'repeat(repeat("x", 1000), 1000)',
        SHARED + doubled("[1]", "[{0}, {0}]", name="b") + " a59 == b59",
        SHARED + " toJSON(a59)",
        SHARED + " string(a59)",
        SHARED + " flatten(a59)",
        SHARED + " max(a59)",
        "let a = 1..900; let b = map(a, 0); uniq(map(a, [b, #]))",
        "let a = 1..900000; all(a, all(a, all(a, true)))",
    ],
    ids=["text", "repeat", "compared", "as JSON", "as text", "flattened", "largest", "unique", "loops"],
)
def test_what_grows_without_end_is_stopped(source: str) -> None:
    assert failure(source).kind == "run"


def test_a_shared_value_too_large_to_print_is_no_parameter() -> None:
    with pytest.raises(ExpressionError) as caught:
        parameter_text(evaluated(SHARED + " a59"))
    assert caught.value.kind == "type"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ('say "hi"\n', 'say \\"hi\\"\\n'),
        ("<b>&", "<b>&"),
        ("\\u003c", "\\<"),
        (5.0, "5"),
        (1e21, "1e+21"),
        (1e-7, "1e-7"),
        (-0.0, "-0"),
        (None, "null"),
        ({"b": "<x>", "a": [1.0, None]}, '{"a":[1,null],"b":"<x>"}'),
    ],
)
def test_a_parameter_is_argos_text(value: Any, text: str) -> None:
    assert parameter_text(value) == text


def test_metadata_expressions_have_functions_that_selectors_have_not() -> None:
    assert evaluated('sprig.trunc(3, "abcdef")', functions="metadata") == "abc"
    assert evaluated("string(asInt(payload.n))", functions="metadata") == "5"
    error = failure('sprig.trunc(3, "abcdef")')
    assert error.message == "unknown name sprig (1:1)"
    assert "submit.metadata" in error.hint


def test_a_function_of_sprig_is_called_with_exact_types() -> None:
    error = failure("sprig.lower(payload.n)", functions="metadata")
    assert error.message == "reflect: Call using float64 as type string (1:7)"


def test_an_event_with_the_name_of_a_builtin_replaces_it() -> None:
    expression = expressions.compile("len + 1")
    assert expression.evaluate({"len": 2}) == 3.0
    assert expressions.compile("::len(len)").evaluate({"len": "abc"}) == 3


def test_words_are_read_as_the_event_has_them() -> None:
    # A loop's word takes a predicate, unless the event has the name: then it is a plain call.
    expression = expressions.compile("filter(1)")
    with pytest.raises(ExpressionError, match="float64 is not callable"):
        expression.evaluate({"filter": 1})
    with pytest.raises(ExpressionError, match="expected at least 2 arguments"):
        expression.evaluate({"payload": 1})


def test_programs_of_all_expressions_share_one_bounded_cache() -> None:
    for number in range(50):
        expressions.compile(f"payload.n == {number}").evaluate(EVENT)
    assert 0 < len(_programs) <= _KEPT


def test_an_error_that_is_kept_is_raised_anew() -> None:
    expression = expressions.compile("nowhere")
    errors = []
    for _ in range(2):
        with pytest.raises(ExpressionError) as caught:
            expression.evaluate(EVENT)
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert str(errors[0]) == str(errors[1])


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("paylod.x == 1", 'did you mean "payload"?'),
        ("event.payload.x == 1", "write payload…"),
        ("event.discriminator == 'x'", "write discriminator…"),
        ("payload.x == null", 'did you mean "nil"?'),
        ("payload.x == True", 'did you mean "true"?'),
        ("lenght(payload.tags) > 1", 'did you mean "len'),
        ("headers['x'] == 1", 'did you mean "metadata"?'),
        ("my - name", "a text needs quotes"),
    ],
)
def test_an_unknown_name_gets_a_hint(source: str, hint: str) -> None:
    error = failure(source)
    assert error.kind == "compile"
    assert hint in error.hint
    assert str(error).endswith(error.hint)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('date("2026-01-02").Format(payload.nothing)', "interface {} is nil, not string (1:20)"),
        ('date("2026-01-02").Add(payload.n)', "interface {} is float64, not time.Duration (1:20)"),
        ('let f = hasPrefix; f("a", "b")', "interface {} is nil, not func(string, string) bool (1:20)"),
        ('let f = join; f(["a"], "b")', "interface {} is []interface {}, not []string (1:15)"),
    ],
)
def test_a_call_that_go_makes_without_reflection_asserts_its_arguments(source: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluated(source)
    assert caught.value.message == f"interface conversion: {message}"


def test_a_call_by_reflection_takes_nil_for_the_zero_value() -> None:
    assert evaluated('date("2026-01-02").AddDate(payload.nothing, 1, 0).Month().String()') == "February"
    assert evaluated('first([date("2026-01-02")]).Format(payload.nothing)') == ""
