"""docs/openapi.yaml and the code say the same: routes, statuses, shapes, whatever strangers send.

The app runs as Lambda runs it, over ports in memory. Requests are made from the document by hypothesis; every answer
must be one that the document allows, and none of ours may be a 500.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from chalicelib import wiring
from chalicelib.settings import Settings
from tests.chaos import cron
from tests.world import World, binding

DOCUMENT = yaml.safe_load((Path(__file__).resolve().parents[1] / "docs" / "openapi.yaml").read_text())
METHODS = ("get", "post", "delete", "options")
TOKEN = "a reader's token"


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (
            method,
            path,
            {
                **item[method],
                "parameters": [*item.get("parameters", ()), *item[method].get("parameters", ())],
            },
        )
        for path, item in DOCUMENT["paths"].items()
        for method in METHODS
        if method in item
    ]


def resolved(value: dict[str, Any]) -> Any:
    """The value, or what its $ref points to."""
    if "$ref" not in value:
        return value
    found: Any = DOCUMENT
    for key in value["$ref"].removeprefix("#/").split("/"):
        found = found[key]
    return found


REGISTRY: Registry[Any] = Registry().with_resource(
    "", Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Any, World]]:
    """The app over a world in memory, with an event in it, one failure and a reader."""
    os.environ.setdefault("LYNCEUS_STAGE", "dev")
    import app

    world = World(
        binding("on-push"), binding("lost", template="not-there"), settings=Settings(namespaces=("argo",))
    )
    world.cluster.tokens[TOKEN] = "ada"
    world.cluster.apply(cron("nightly", "0 3 * * *"))
    world.receive()
    world.work()
    world.pass_time(4)
    before = wiring.use("api", wiring.container_of(world.ports, world.settings, world.journal))
    yield app.app, world
    wiring.use("api", before)


def ask(
    app: Any,
    method: str,
    template: str,
    path: dict[str, str],
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
) -> tuple[int, dict[str, str], str]:
    """The app's answer to an event of API Gateway."""
    names = {name: quote(value, safe="") for name, value in path.items()}
    event = {
        "resource": template,
        "path": template.format(**names),
        "httpMethod": method.upper(),
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "pathParameters": names or None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": template,
            "httpMethod": method.upper(),
            "requestId": "r",
            "identity": {},
        },
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }
    answer = app(event, SimpleNamespace(aws_request_id="r"))
    found = {name: values[-1] for name, values in (answer.get("multiValueHeaders") or {}).items()}
    return answer["statusCode"], {**answer.get("headers", {}), **found}, answer["body"]


def check(operation: dict[str, Any], status: int, headers: dict[str, str], body: str) -> None:
    """The answer is one that the document allows."""
    responses = operation["responses"]
    assert str(status) in responses or "default" in responses, (
        f"{status} is not in the document: {body[:200]}"
    )
    response = resolved(responses.get(str(status)) or responses["default"])
    kind = headers["Content-Type"].partition(";")[0]
    assert kind in response["content"], f"{kind} is not in the document for {status}"
    schema = response["content"][kind]["schema"]
    value = json.loads(body) if kind == "application/json" else body
    OAS31Validator(schema, registry=REGISTRY, _resolver=REGISTRY.resolver()).validate(value)


def test_every_route_is_in_the_document_and_the_document_has_no_other() -> None:
    import app

    routes = {(method.lower(), path) for path, methods in app.app.routes.items() for method in methods}

    assert routes == {(method, path) for method, path, _ in operations()}


def test_the_document_is_valid_openapi() -> None:
    from openapi_spec_validator import validate

    validate(DOCUMENT)


def test_every_operation_has_an_id_of_its_own() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]

    assert len(ids) == len(set(ids))


def good_requests(world: World) -> dict[str, Any]:
    event = next(iter(world.ledger.events))
    failed = next(s for s in world.ledger.stored.values() if s.progress.state == "failed")
    return {
        "path": {"namespace": "argo", "event": event, "delivery": "guid-1", "discriminator": "d"},
        "names": {
            "bindingHealth": "on-push",
            "byWorkflow": world.names()[0],
            "cronHistory": "nightly",
            "cronRuns": "nightly",
        },
        "query": {"byDelivery": {"client": "github.com", "hook": "77"}, "showEvent": {"body": "true"}},
        "wish": {
            "replay": {"events": [event], "dryRun": True, "force": True},
            "redrive": {
                "submissions": [{"workflow": failed.workflow, "submission": failed.id}],
                "dryRun": True,
            },
            "deadLetters": {},
            "cronRuns": {"dryRun": True},
        },
    }


@pytest.mark.parametrize(
    "method, template, operation",
    [o for o in operations() if o[0] != "delete"],
    ids=lambda o: o if isinstance(o, str) else "",
)
def test_a_good_request_is_answered_as_the_document_says(
    served: tuple[Any, World], method: str, template: str, operation: dict[str, Any]
) -> None:
    app, world = served
    good, name = good_requests(world), operation["operationId"]
    path = {**good["path"], "name": good["names"].get(name, "")}
    path = {key: value for key, value in path.items() if f"{{{key}}}" in template}
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body = json.dumps(good["wish"].get(name, {})).encode() if method == "post" else b""
    if "events" in name.lower() and template.startswith("/api/v1/events"):
        sent = world.delivery(guid=f"openapi {name}")
        headers, body = dict(sent.headers), sent.body

    status, told, text = ask(app, method, template, path, good["query"].get(name, {}), headers, body)

    check(operation, status, told, text)
    assert status == 200 or method == "options", text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 60) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
WORDS = st.one_of(
    st.sampled_from(["argo", "other", "", "a/b", "..", "%2f", "on-push", "guid-1", "then", "true", "0", "50",
                     "2026-03-02",
                     "0001-01-01", "9999-12-31", "e30=", "x" * 300, "ä", "\ud7ff"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
)  # fmt: skip
KEYS = (
    "events",
    "filter",
    "dryRun",
    "force",
    "replay",
    "submissions",
    "redrive",
    "since",
    "cursor",
    "workflow",
    "submission",
)


@st.composite
def wishes(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return draw(st.binary(max_size=40))
    keys = draw(st.lists(st.sampled_from(KEYS), max_size=4, unique=True))
    entry = st.dictionaries(st.sampled_from(KEYS), st.text(max_size=20), max_size=3)
    return json.dumps({key: draw(JSON | entry | st.lists(entry, max_size=3)) for key in keys}).encode()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_asked_the_answer_is_one_of_the_documents_and_no_500(
    served: tuple[Any, World], data: st.DataObject
) -> None:
    app, world = served
    method, template, operation = data.draw(st.sampled_from(operations()), label="operation")
    parameters = [resolved(each) for each in operation["parameters"]]
    event = next(iter(world.ledger.events))
    path = {
        p["name"]: data.draw(WORDS | st.just("argo") | st.just(event))
        for p in parameters
        if p["in"] == "path"
    }
    query = {
        p["name"]: data.draw(WORDS) for p in parameters if p["in"] == "query" and data.draw(st.booleans())
    }
    headers = {p["name"]: data.draw(st.sampled_from(["true", "return=representation", "x"])) for p in parameters
               if p["in"] == "header" and data.draw(st.booleans())}  # fmt: skip
    if data.draw(st.booleans()):
        headers["Authorization"] = data.draw(
            st.sampled_from([f"Bearer {TOKEN}", "Bearer other", "Basic x", ""])
        )
    body = data.draw(wishes()) if method == "post" else b""

    status, told, text = ask(app, method, template, path, query, headers, body)

    assert status < 500 or (status == 501 and ":" in path.get("discriminator", "")), text
    check(operation, status, told, text)


def test_rule_43_a_question_reads_and_writes_no_more_than_it_must(served: tuple[Any, World]) -> None:
    app, world = served
    world.plan.calls.clear()

    ask(
        app,
        "get",
        "/api/v1/lynceus/{namespace}/events",
        {"namespace": "argo"},
        {},
        {"Authorization": f"Bearer {TOKEN}"},
        b"",
    )

    assert world.plan.calls == {("cluster", "allowed"): 1, ("archive", "events"): 1}


def test_a_refused_delivery_is_counted_through_the_app(served: tuple[Any, World]) -> None:
    app, world = served
    sent = world.delivery(secret="wrong", guid="refused")
    world.plan.calls.clear()

    status, _, _ = ask(
        app, "post", "/api/v1/events/{namespace}", {"namespace": "argo"}, {}, dict(sent.headers), sent.body
    )

    assert status == 401
    assert any(
        refusal.reason == "signature-mismatch"
        for refusal in world.archive.refused("argo", world.clock.now().replace(second=0, microsecond=0), 50)
    )


def test_a_world_with_other_settings_needs_no_patching(served: tuple[Any, World]) -> None:
    app, world = served
    kept = wiring.container("api")
    wiring.use(
        "api", wiring.container_of(world.ports, replace(world.settings, namespaces=("other",)), world.journal)
    )

    status, _, text = ask(
        app,
        "get",
        "/api/v1/lynceus/{namespace}/events",
        {"namespace": "argo"},
        {},
        {"Authorization": f"Bearer {TOKEN}"},
        b"",
    )
    wiring.use("api", kept)

    assert (status, "is not served here" in text) == (404, True)
