"""AWS shapes in and out, errors to statuses; decides nothing.

A request of API Gateway becomes a Delivery, an Answer or an error becomes a response in Argo's form. Queue
and schedule events are handed on as they are: what they raise is what AWS shall see.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from chalice.app import Chalice, CloudWatchEvent, Request, Response, SQSEvent

from chalicelib import wiring
from chalicelib.core.errors import (
    BadRequest,
    LynceusError,
    NotImplementedHere,
    Unauthenticated,
    WebhookRefused,
)
from chalicelib.core.events import Delivery
from chalicelib.core.payloads import decode
from chalicelib.flow import look, replay
from chalicelib.flow.receive import Answer, receive
from chalicelib.flow.submit import work as work_message

RETRY_AFTER = 5  # seconds, where nothing better is known


class RawBodyChalice(Chalice):
    """Chalice that hands over the exact bytes of a body.

    With every type binary, Chalice refuses requests without an Accept header after the view has run, and webhook
    senders often send none; so one is filled in. https://github.com/aws/chalice/issues/1095
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.api.binary_types = ["*/*"]

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        """The Lambda entry of all routes."""
        headers = {str(name).lower(): value for name, value in (event.get("headers") or {}).items()}
        headers.setdefault("accept", "*/*")
        answer = super().__call__(
            {**event, "headers": headers, "multiValueHeaders": _pairs_of(event)}, context
        )
        if answer.get("isBase64Encoded"):
            # All our bodies are text. As text they reach every sender as they are, whatever it says it accepts.
            answer = {**answer, "body": base64.b64decode(answer["body"]).decode(), "isBase64Encoded": False}
        return answer


def _pairs_of(event: dict[str, Any]) -> dict[str, list[str]]:
    """Every header with all its values; API Gateway's test console and old events have single values only."""
    many = event.get("multiValueHeaders")
    if many:
        return {str(name): [str(value) for value in values] for name, values in many.items()}
    return {str(name): [str(value)] for name, value in (event.get("headers") or {}).items()}


def delivery_of(request: Request, namespace: str, discriminator: str, received_at: datetime) -> Delivery:
    """The Delivery in a request of API Gateway; path parameters arrive percent-encoded."""
    event = request.to_original_event()
    headers = [(name, value) for name, values in event["multiValueHeaders"].items() for value in values]
    seen = {name.lower(): value for name, value in headers}
    if "host" in seen and "x-forwarded-host" not in seen:
        # Argo's gateway adds it, so that bindings may look at it; API Gateway does not.
        headers.append(("X-Forwarded-Host", seen["host"]))
    query = event.get("multiValueQueryStringParameters") or {}
    body = request.raw_body
    return Delivery(
        namespace=unquote(namespace),
        discriminator=unquote(discriminator),
        method=request.method,
        headers=headers,
        query={str(name): [str(value) for value in values] for name, values in query.items()},
        body=body if isinstance(body, bytes) else body.encode("utf-8", "replace"),
        received_at=received_at,
    )


def _request(app: Chalice) -> Request:
    if app.current_request is None:
        raise AssertionError("a view runs inside a request")
    return app.current_request


def events(app: Chalice, namespace: str, discriminator: str) -> Response:
    """The answer of the events API."""
    request = _request(app)

    def answer(container: wiring.Container) -> Answer:
        delivery = delivery_of(request, namespace, discriminator, container.ports.clock.now())
        # Argo takes what follows a colon for a verb, and has none (argo-triggers 1.1).
        if ":" in delivery.discriminator:
            raise NotImplementedHere
        identity = request.context.get("requestId") or app.lambda_context.aws_request_id
        with container.refusals.counting(delivery):
            return receive(delivery, str(identity), container.ports, container.settings, container.known)

    return _respond("api", answer)


def _backfills() -> Any:
    # With them come calendars and all of cron, which a cold start for a webhook need not pay for.
    from chalicelib.flow import backfills

    return backfills


Question = Callable[[wiring.Container, str, dict[str, str], Mapping[str, str], Any], Any]

# What people ask of the record: (container, Authorization, names in the path, query, JSON body) → JSON.
QUESTIONS: Mapping[str, Question] = {
    # "" is all namespaces, as in Argo.
    "bindings": lambda c, who, path, query, _: c.ports.cluster.bindings_as(
        who, path["namespace"] and look.check(path["namespace"], c.settings), list_options(query)
    ),
    "list_events": lambda c, who, path, query, _: look.list_events(
        who, path["namespace"], query, c.ports, c.settings
    ),
    "by_delivery": lambda c, who, path, query, _: look.by_delivery(
        who, path["namespace"], path["delivery"], query, c.ports, c.settings
    ),
    "show": lambda c, who, path, query, _: look.show(
        who, path["namespace"], path["event"], query, c.ports, c.settings
    ),
    "erase": lambda c, who, path, _, __: look.erase(
        who, path["namespace"], path["event"], c.ports, c.settings
    ),
    "explain": lambda c, who, path, query, _: look.explain(
        who, path["namespace"], path["event"], query, c.ports, c.settings, c.known
    ),
    "list_failed": lambda c, who, path, query, _: look.list_failed(
        who, path["namespace"], query, c.ports, c.settings
    ),
    "list_refused": lambda c, who, path, query, _: look.list_refused(
        who, path["namespace"], query, c.ports, c.settings
    ),
    "binding_health": lambda c, who, path, query, _: look.binding_health(
        who, path["namespace"], path["name"], query, c.ports, c.settings, c.known
    ),
    "by_workflow": lambda c, who, path, _, __: look.by_workflow(
        who, path["namespace"], path["name"], c.ports, c.settings
    ),
    "cron_history": lambda c, who, path, query, _: _backfills().history(
        who, path["namespace"], path["name"], query, c.ports, c.settings
    ),
    "cron_runs": lambda c, who, path, _, body: _backfills().make_up(
        who, path["namespace"], path["name"], body, c.ports, c.settings
    ),
    "replay": lambda c, who, path, _, body: replay.replay(
        who, path["namespace"], body, c.ports, c.settings, c.known
    ),
    "redrive": lambda c, who, path, _, body: replay.redrive(
        who, path["namespace"], body, c.ports, c.settings
    ),
    "dead_letters": lambda c, who, path, _, body: replay.dead_letters(
        who, path["namespace"], body, c.ports, c.settings
    ),
}


def ask(app: Chalice, question: str, **names: str) -> Response:
    """The answer to a question about the record, to a caller with a token."""
    request = _request(app)
    path = {name: unquote(value) for name, value in names.items()}

    def answer(container: wiring.Container) -> Answer:
        delivery = delivery_of(request, names["namespace"], "", container.ports.clock.now())
        authorization = delivery.header("authorization")
        if not authorization:
            raise Unauthenticated("no-authorization")
        body = decode(delivery.body)
        if request.method == "POST" and not isinstance(body, dict):
            raise BadRequest("the body must be a JSON object")
        query = {name: values[-1] for name, values in delivery.query.items() if values}
        return Answer(200, QUESTIONS[question](container, authorization, path, query, body))

    return _respond("api", answer)


def heartbeat() -> Response:
    """How long ago the tick ran, and whether it saw the cluster; for monitors, without a token."""

    def answer(container: wiring.Container) -> Answer:
        return Answer(200, look.heartbeat(container.ports))

    return _respond("api", answer)


def list_options(query: Mapping[str, str]) -> dict[str, str]:
    """The query of a Kubernetes list in Argo's `listOptions.*`; unknown ones are ignored, as Argo does."""
    names = ("labelSelector", "fieldSelector", "limit", "continue", "resourceVersion")
    return {name: query[f"listOptions.{name}"] for name in names if f"listOptions.{name}" in query}


def tick(event: CloudWatchEvent) -> None:
    """One minute."""
    from chalicelib.flow.tick import tick as tick_once

    container = wiring.container("tick")
    with container.journal.within(function="tick", scheduled=event.to_dict().get("time", "")):
        tick_once(container.ports, container.settings)


def work(event: SQSEvent, function: str) -> None:
    """The message of one doorbell; what it raises leaves the message on the queue."""
    container = wiring.container(function)
    for record in event:
        with container.journal.within(function=function):
            work_message(record.body, container.ports, container.settings, container.known)


def _respond(function: str, answer: Callable[[wiring.Container], Answer]) -> Response:
    container = wiring.container(function)
    journal = container.journal
    started = container.ports.clock.monotonic()
    # No namespace here: it is a stranger's word until the sender is known, and would become a metric's dimension.
    with journal.within(function=function):
        try:
            answered = answer(container)
        except LynceusError as error:
            answered = _refusal(error)
            detail = getattr(error, "detail", "") or error.message
            journal.count("refused")
            journal.log(
                "request.refused", status=answered.status, reason=type(error).__name__, detail=detail[:300]
            )
        except Exception as error:  # noqa: BLE001  # nothing of ours may answer a stranger with a trace
            answered = Answer(500, {"code": 13, "message": "internal error"})
            journal.error("request.failed", error=type(error).__name__, text=str(error)[:300])
        journal.count("ack_seconds", container.ports.clock.monotonic() - started, "Seconds")
    return response_of(answered)


def _refusal(error: LynceusError) -> Answer:
    headers = {}
    if error.retry or error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after or RETRY_AFTER)))
    if isinstance(error, WebhookRefused):
        headers["Content-Type"] = "text/plain; charset=utf-8"
        return Answer(error.http_status, b'{"message": "failed to process webhook request"}\n', headers)
    return Answer(error.http_status, error.body(), headers)


def response_of(answer: Answer) -> Response:
    """The response in Argo's form: compact JSON, with the characters escaped that Go escapes."""
    headers: dict[str, str | list[str]] = {"Content-Type": "application/json", **answer.headers}
    body = answer.body
    if not isinstance(body, bytes):
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
        body = text.encode("utf-8", "replace")
    return Response(body, headers=headers, status_code=answer.status)
