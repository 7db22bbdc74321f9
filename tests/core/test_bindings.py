"""What bindings say to an event."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.bindings import (
    Binding,
    BindingList,
    Budget,
    Submit,
    binding_from_object,
    duration_of,
    exhausted,
    headers_mentioned,
    instance_selector,
    managed,
    match,
)
from chalicelib.core.errors import Misconfigured
from chalicelib.core.events import Account, Event
from chalicelib.core.submissions import TemplateRef
from tests.world import binding

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def event(payload: Any = None, discriminator: str = "d", **metadata: str) -> Event:
    headers = {name.replace("_", "-"): [value] for name, value in metadata.items()}
    return Event("e" * 32, "argo", discriminator, headers, payload, NOW, Account("argo", "bot"))


def parsed(name: str = "b", selector: str = "true", **submit: Any) -> Binding:
    return binding_from_object(binding(name, selector, **submit))


def verdict(made: Binding, payload: Any = None) -> tuple[str, str, str]:
    [found] = match(event(payload), [made]).verdicts
    return found.outcome, found.reason, found.message


def test_a_binding_without_submit_matches_and_does_nothing() -> None:
    assert verdict(parsed(submit=False))[:2] == ("nothing", "nothing-to-submit")


def test_an_empty_selector_is_an_error_and_no_match_for_all() -> None:
    outcome, reason, message = verdict(parsed(selector=""))

    assert (outcome, reason) == ("error", "selector-error")
    assert message.startswith("failed to evaluate workflow template expression: unexpected token EOF")


def test_a_selector_that_gives_no_bool_is_an_error_in_argos_words() -> None:
    assert "unable to cast expression result 'x' to bool" in verdict(parsed(selector='"x"'))[2]


def test_time_and_chance_are_those_of_the_event_however_often_it_is_asked() -> None:
    made = parsed(
        selector='now() == date("2026-03-02T12:00:00Z")',
        metadata={"name": '"a-" + sprig.lower(sprig.randAlphaNum(8))', "labels": {"id": "sprig.uuidv4()"}},
        arguments={"parameters": [{"name": "at", "valueFrom": {"event": "now()"}}]},
    )
    once, again = (match(event(), [made]).submissions for _ in range(2))
    [other] = match(replace(event(), id="f" * 32), [made]).submissions

    assert once == again
    assert dict(once[0].parameters) == {"at": "2026-03-02T12:00:00Z"}
    assert other.workflow != once[0].workflow


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"name": "payload.n"}, "workflow name expression must evaluate to a string, not a float64"),
        ({"name": "my-name"}, "failed to evaluate workflow name expression: unknown name my"),
        (
            {"labels": {"k": "payload"}},
            'workflow label "k" expression must evaluate to a string, not a map[string]',
        ),
        (
            {"annotations": {"k": "nil"}},
            'workflow annotation "k" expression must evaluate to a string, not a <nil>',
        ),
        ({"generateName": "1"}, "workflow generateName expression must evaluate to a string, not a int"),
    ],
)
def test_metadata_must_be_strings_and_says_so_in_argos_words(metadata: dict[str, Any], message: str) -> None:
    outcome, reason, said = verdict(parsed(metadata=metadata), {"n": 5})

    assert (outcome, reason) == ("error", "render-error")
    assert said.startswith(message)


def test_a_parameter_without_value_from_is_malformed() -> None:
    raw = binding("b", "true")
    raw["spec"]["submit"]["arguments"]["parameters"] = [{"name": "p", "value": "x"}]

    assert (
        verdict(binding_from_object(raw))[2] == 'malformed workflow template parameter "p": valueFrom is nil'
    )


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("foo", "failed to compile workflow template parameter p expression: unknown name foo"),
        (
            "payload.a.b",
            'failed to evaluate workflow template parameter "p" expression: cannot fetch b from <nil>',
        ),
        ("1/0", 'failed to convert result to JSON "p" expression: json: unsupported value: +Inf'),
    ],
)
def test_a_parameter_that_fails_says_at_which_stage(expression: str, message: str) -> None:
    assert verdict(parsed(parameters={"p": expression}), {"x": 1})[2].startswith(message)


def test_parameters_are_encoded_as_argo_encodes_them() -> None:
    payload = {"text": 'say "hi"\n<&>', "number": 1735689600, "list": [1, "a", None], "missing": None}
    made = parsed(parameters={name: f"payload.{name}" for name in payload})

    [submission] = match(event(payload), [made]).submissions

    assert dict(submission.parameters) == {
        "text": 'say \\"hi\\"\\n<&>',
        "number": "1735689600",
        "list": '[1,"a",null]',
        "missing": "null",
    }


@pytest.mark.parametrize("name", ['"Upper"', '"a b"', '"x" | repeat(64)', '"-a"', '"ü"'])
def test_rule_4_a_name_that_kubernetes_refuses_is_an_error_at_the_door_with_the_value(name: str) -> None:
    outcome, _, message = verdict(parsed(metadata={"name": name}))

    assert outcome == "error"
    assert message.startswith('workflow name "')


def test_the_name_follows_from_the_cause_and_is_the_same_each_time() -> None:
    first, second = (match(event({}), [parsed()]).submissions[0].workflow for _ in range(2))

    assert first == second
    assert first.startswith("build-")


def test_a_recreated_binding_makes_the_same_submission() -> None:
    made = parsed()

    first = match(event({}), [made]).submissions[0]
    second = match(event({}), [replace(made, uid="another")]).submissions[0]

    assert first.id == second.id


def test_bindings_are_asked_in_the_order_of_their_names_behind_the_last_one_asked() -> None:
    made = [parsed(name) for name in ("c", "a", "b")]

    matching = match(event(), made, after="a")

    assert [found.binding for found in matching.verdicts] == ["b", "c"]


def test_where_the_time_ends_it_says_how_far_it_came() -> None:
    asked = iter([False, False, True])
    matching = match(event(), [parsed(name) for name in "abc"], Budget(lambda: next(asked)))

    assert matching.deferred_after == "b"
    assert [found.binding for found in exhausted([parsed(name) for name in "abc"], "b")] == ["c"]


def test_rule_10_what_takes_too_many_steps_at_the_door_is_left_to_the_worker_and_there_an_error() -> None:
    made = [parsed("a"), parsed("b", "all(1..900000, # > 0)"), parsed("c")]

    door = match(event({}), made, Budget(steps=1000, final=False))
    worker = match(event({}), made, Budget(steps=1000), after="a")

    assert (len(door.verdicts), door.deferred_after) == (1, "a")
    assert [(found.binding, found.outcome) for found in worker.verdicts] == [("b", "error"), ("c", "matched")]


def test_promise_3_a_binding_that_changes_the_payload_changes_it_for_itself_alone() -> None:
    changing = parsed(
        "a", metadata={"labels": {"l": "sprig.set(payload, 'n', 'changed').n"}}, parameters={"n": "payload.n"}
    )
    other = parsed("b", parameters={"n": "payload.n"})

    matching = match(event({"n": "as sent"}), [changing, other])

    assert [dict(s.parameters)["n"] for s in matching.submissions] == ["changed", "as sent"]


@pytest.mark.parametrize(
    "raw",
    [
        {"metadata": {"name": "b", "namespace": "argo"}},
        {"metadata": {"name": "b", "namespace": "argo"}, "spec": {"event": {"selector": True}}},
        {"metadata": {"name": "b", "namespace": "argo"}, "spec": {"event": {"selector": "true"}, "submit": []}},
        {"metadata": {"name": "b", "namespace": "argo"}, "spec": {"event": {"selector": "true"}, "submit": {}}},
        {"metadata": {"name": "b", "namespace": "argo", "annotations": {"lynceus.dev/on-doubt": "maybe"}},
         "spec": {"event": {"selector": "true"}}},
        {"metadata": {"name": "b", "namespace": "argo", "annotations": {"lynceus.dev/expire-after": "soon"}},
         "spec": {"event": {"selector": "true"}}},
    ],
)  # fmt: skip
def test_an_object_that_cannot_be_read_answers_every_event_with_its_problem(raw: dict[str, Any]) -> None:
    made = binding_from_object(raw)

    [found] = match(event(), [made]).verdicts

    assert (found.outcome, found.reason) == ("error", "binding-malformed")
    assert found.message


WHOLE = binding(
    "b", annotations={"lynceus.dev/dedupe": "5m"}, parameters={"p": "1"},
    metadata={"name": '"x"', "generateName": '"y-"', "labels": {"l": '"a"'}, "annotations": {"a": '"b"'}},
)  # fmt: skip


def places(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where each part of a JSON value lies."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*above, key)
        yield from places(part, (*above, key))


@pytest.mark.parametrize(
    "place", [place for place in places(WHOLE) if place[0] == "spec" or len(place) > 2], ids=str
)
@pytest.mark.parametrize(
    "misfit", [5, 1.5, True, "x", [], ["a"], {}, {"a": 1}, [{"name": 5}], [None]], ids=str
)
def test_a_part_of_another_kind_is_one_bindings_error_and_names_its_place(
    place: tuple[str | int, ...], misfit: Any
) -> None:
    raw = deepcopy(WHOLE)
    part: Any = raw
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = misfit

    made = binding_from_object(raw)
    headers_mentioned([made])
    matching = match(event({}, x_github_event="push"), [made, parsed("c")])

    assert matching.verdicts[1].outcome == "matched"
    if made.problem:
        assert any(text in made.problem for text in ("spec", "metadata.annotations", "lynceus.dev/"))


def test_a_number_where_a_string_belongs_is_named_with_what_to_write() -> None:
    made = parsed(metadata={"labels": {"build": 5}})

    assert made.problem == "spec.submit.metadata.labels.build is not a string: 5: write it in quotes"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["metadata", "spec", "event", "selector", "submit", "name", "arguments",
                                         "parameters", "workflowTemplateRef", "annotations", "valueFrom"]),
                        inner, max_size=4), max_leaves=12))  # fmt: skip
def test_any_object_is_a_binding_or_a_binding_with_a_problem(raw: Any) -> None:
    if not isinstance(raw, dict):
        raw = {"metadata": {}, "spec": raw}
    made = binding_from_object(raw)

    assert made.problem or made.submit is None or isinstance(made.submit, Submit)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("6h", 21600), ("2d", 172800), (" 1m ", 60)]
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert duration_of(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "m", "1.5h", "-1m", "1w", "1h30m"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(Misconfigured, match="is no duration"):
        duration_of(text)


def test_rule_18_headers_are_found_where_the_text_names_them() -> None:
    selector = """metadata["x-one"] == [] && metadata['webhook-id'] != nil"""
    labels = {"l": 'metadata["x-three"][0]'}
    made = parsed(selector=selector, parameters={"p": "metadata[`x-two`]"}, metadata={"labels": labels})

    assert headers_mentioned([made]) == {"x-one", "x-two", "x-three", "webhook-id"}


@pytest.mark.parametrize(
    ("labels", "instance", "ours"),
    [
        ({}, "", True),
        ({"workflows.argoproj.io/controller-instanceid": "blue"}, "", False),
        ({"workflows.argoproj.io/controller-instanceid": "blue"}, "blue", True),
        ({}, "blue", False),
    ],
)
def test_an_object_is_managed_by_its_instance_id(labels: dict[str, str], instance: str, ours: bool) -> None:
    assert managed({"metadata": {"labels": labels}}, instance) is ours


def test_the_label_selector_lists_what_is_managed() -> None:
    assert instance_selector("") == "!workflows.argoproj.io/controller-instanceid"
    assert instance_selector("blue") == "workflows.argoproj.io/controller-instanceid=blue"


SELECTORS = (
    'discriminator == "a"',
    'discriminator == "b" && payload.n == 1',
    'payload.n in [1, 2] and discriminator != ""',
    "payload.missing.deep == 1",
    'metadata["x-kind"] == ["push"]',
    '"push" in (metadata["x-kind"] ?? [])',
    "payload.n > 1",
    "(((",
    '"text"',
    "true",
)


@given(st.lists(st.sampled_from(SELECTORS), min_size=32, max_size=60), st.sampled_from(["", "a", "b"]),
       st.sampled_from([None, {"n": 1}, {"n": "1"}, [], "x", {"n": 2, "missing": {"deep": 1}}]),
       st.sampled_from(["push", "ping"]))  # fmt: skip
def test_an_index_never_changes_a_verdict(
    selectors: list[str], discriminator: str, payload: Any, kind: str
) -> None:
    made = tuple(
        parsed(f"b{number:02}", selector, parameters={}) for number, selector in enumerate(selectors)
    )
    sent = event(payload, discriminator, x_kind=kind)

    assert match(sent, BindingList("argo", made, 1, NOW)) == match(sent, made)


def test_a_template_of_the_cluster_is_told_from_one_of_the_namespace() -> None:
    made = parsed(ref={"clusterScope": True})

    assert made.submit is not None
    assert made.submit.template == TemplateRef("build", True)
