"""PROVIDERS: one row per sender, saying where its requests carry what.

A row holds facts about the sender, not decisions: what marks its requests, the ways it can prove itself,
where event, action and ids stand, and how long a repeated id still means "the same delivery". `webhooks`
reads rows and asks for no sender by name. A new sender is a new row, a sample in tests/samples/webhooks and
a page in docs/providers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

from chalicelib.core import payloads
from chalicelib.core.errors import BadRequest, BodyTooLarge, UnsupportedMedia
from chalicelib.core.signatures import (
    Basic,
    Either,
    Headers,
    Hmac,
    Scheme,
    Sns,
    StandardWebhooks,
    Stripe,
    Token,
    form_fields,
    is_form,
)

BATCH_LIMIT = 100  # events: each is stored by itself before the one answer to all

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Response:
    """What to answer instead of `{}`."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=dict)  # a JSON value


@dataclass(frozen=True)
class Subscription:
    """An SNS subscription that waits for ConfirmSubscription(TopicArn, Token)."""

    topic_arn: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class Handshake:
    """A request that is answered and not dispatched."""

    response: Response = field(default_factory=Response)
    confirm: Subscription | None = None


@dataclass(frozen=True)
class Item:
    """One event of a batch."""

    event_type: str
    delivery_id: str
    hook_id: str
    payload: Any
    body: bytes  # the payload as JSON: what is kept of it


Source = Callable[[Headers, Any], str]  # (headers, payload) → the text there, "" where there is none


_EVENT_NAME = re.compile(r"[A-Za-z0-9_.: -]{1,100}")


def header(*names: str) -> Source:
    """Reads the first of these headers that has a value; BadRequest where it came twice."""

    def read(headers: Headers, payload: Any) -> str:  # noqa: ARG001
        for name in names:
            values = headers.get(name, ())
            if len(values) > 1:
                raise BadRequest(f"header {name} came {len(values)} times, expected once")
            if values and values[0]:
                return values[0]
        return ""

    return read


def event_header(*names: str) -> Source:
    """Like `header`, for event names: they are not signed and end up in logs, so BadRequest for odd ones."""
    read_header = header(*names)

    def read(headers: Headers, payload: Any) -> str:
        name = read_header(headers, payload)
        if name and not _EVENT_NAME.fullmatch(name):
            raise BadRequest(f"header {names[0]} does not hold an event name")
        return name

    return read


def entry(*path: str) -> Source:
    """Reads the text at this path of keys in the payload."""

    def read(headers: Headers, payload: Any) -> str:  # noqa: ARG001
        for key in path:
            payload = payload.get(key) if isinstance(payload, dict) else None
        return payload if isinstance(payload, str) else ""

    return read


def by_key(**names: str) -> Source:
    """Tells events apart that do not name themselves: the first of these keys in the payload gives the name."""

    def read(headers: Headers, payload: Any) -> str:  # noqa: ARG001
        if not isinstance(payload, dict):
            return ""
        return next((name for key, name in names.items() if key in payload), "")

    return read


def nothing(headers: Headers, payload: Any) -> str:  # noqa: ARG001
    """For what a sender does not tell."""
    return ""


def json_payload(headers: Headers, body: bytes) -> Any:  # noqa: ARG001
    """The body's JSON value; BadRequest for an empty body, too, since no sender means one."""
    if not body.strip(b" \t\r\n"):
        raise BadRequest("the body is empty")
    return payloads.decode(body)


def json_or_form_payload(headers: Headers, body: bytes) -> Any:
    """The body's JSON value, or that of a form's one field `payload`."""
    if not is_form(headers, body):
        return json_payload(headers, body)
    found = [value for name, value in form_fields(body) if name == b"payload"]
    if len(found) != 1:
        raise BadRequest(f"the form has {len(found)} fields named payload, expected 1")
    return json_payload(headers, found[0])


def gitlab_delivery_id(headers: Headers, payload: Any) -> str:
    """The id that the signature covers where there is one, otherwise Idempotency-Key (17.4 and later)."""
    if "webhook-signature" in headers:
        return header("webhook-id")(headers, payload)
    return header("idempotency-key", "webhook-id")(headers, payload)


def slack_payload(headers: Headers, body: bytes) -> Any:
    """An event's or an interaction's JSON; a slash command's form as an object of texts."""
    if is_form(headers, body):
        fields = form_fields(body)
        if not any(name == b"payload" for name, _ in fields):
            return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields}
    return json_or_form_payload(headers, body)


_SLACK_FORMS = {"command": "slash_command", "ssl_check": "ssl_check"}


def slack_event(headers: Headers, payload: Any) -> str:
    """The inner event's type, that of an interaction or a question, or what a form without JSON is."""
    if isinstance(payload, dict) and "type" not in payload:
        return next((name for key, name in _SLACK_FORMS.items() if key in payload), "")
    return entry("event", "type")(headers, payload) or entry("type")(headers, payload)


def slack_handshake(headers: Headers, payload: Any) -> Handshake | None:  # noqa: ARG001
    """https://api.slack.com/events/url_verification and the yearly `ssl_check=1` form."""
    if isinstance(payload, dict) and payload.get("type") == "url_verification":
        return Handshake(Response(body={"challenge": payload.get("challenge")}))
    if isinstance(payload, dict) and payload.get("ssl_check") == "1":
        return Handshake()
    return None


def diagnostics_ping(headers: Headers, payload: Any) -> Handshake | None:  # noqa: ARG001
    """Bitbucket Data Center's "Test connection"."""
    return Handshake() if "diagnostics:ping" in headers.get("x-event-key", ()) else None


def unsigned_diagnostics_ping(headers: Headers) -> bool:
    """The same, which Data Center sends without a signature even where a secret is set.

    Answered without proof, therefore never more than answered: the body is not even read.
    """
    return headers.get("x-event-key") == ["diagnostics:ping"] and "x-hub-signature" not in headers


def sns_handshake(headers: Headers, payload: Any) -> Handshake | None:  # noqa: ARG001
    """A confirmation wants ConfirmSubscription by API; its URL is never fetched, and a farewell stays one."""
    kind = payload.get("Type")
    if kind == "SubscriptionConfirmation":
        return Handshake(confirm=Subscription(payload["TopicArn"], payload["Token"]))
    return Handshake() if kind == "UnsubscribeConfirmation" else None


def _media_type(headers: Headers) -> str:
    return next(iter(headers.get("content-type", ())), "").partition(";")[0].strip().lower()


def cloudevent_payload(headers: Headers, body: bytes) -> Any:
    """Structured: the event; batch: the list of events; binary: the data, whose attributes are `ce-` headers.

    Raises UnsupportedMedia for a format that is neither JSON nor, in binary mode, text.
    Source: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md
    """
    media_type = _media_type(headers)
    if media_type.startswith("text/"):
        return body.decode(errors="replace")
    if media_type and media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMedia(f'"{media_type[:100]}" is not read here, only JSON and text are')
    if not body and not media_type.startswith("application/cloudevents"):
        return None  # an event without data
    return json_payload(headers, body)


def check_cloudevent(headers: Headers, payload: Any) -> None:
    """BadRequest unless every event has the attributes that make it one."""
    media_type = _media_type(headers)
    if not media_type.startswith("application/cloudevents"):
        _check_attributes(ce_attributes(headers))
    elif not media_type.startswith("application/cloudevents-batch"):
        _check_attributes(payload)
    elif isinstance(payload, list):
        for event in payload:
            _check_attributes(event)
    else:
        raise BadRequest("not a batch of CloudEvents: expected a JSON list")


def _check_attributes(attributes: Any) -> None:
    if not isinstance(attributes, dict):
        raise BadRequest("not a CloudEvent: expected a JSON object")
    for name in ("specversion", "id", "source", "type"):
        if not isinstance(attributes.get(name), str) or not attributes[name]:
            raise BadRequest(f"not a CloudEvent: attribute {name} is missing")
    if attributes["specversion"] != "1.0":
        raise BadRequest('CloudEvents specversion must be "1.0"')


_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


def _unquoted(value: str) -> str:
    quoted = _QUOTED.fullmatch(value)
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value


def ce_attributes(headers: Headers) -> dict[str, str]:
    """The `ce-` headers as attributes: a quoted string unquoted, then percent-decoded once.

    Raises BadRequest for repeats and for invalid UTF-8.
    Source: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values
    """
    attributes = {}
    for name, values in headers.items():
        if name.startswith("ce-"):
            try:
                (value,) = values
                attributes[name[3:]] = unquote_to_bytes(_unquoted(value)).decode()
            except ValueError as error:
                raise BadRequest(
                    f"header {name[:100]} must be there once, in percent-encoded UTF-8"
                ) from error
    return attributes


def cloudevent(attribute: str) -> Source:
    """Reads an attribute from the event or, in binary mode, from its `ce-` header; nothing from a batch."""

    def read(headers: Headers, payload: Any) -> str:
        if _media_type(headers).startswith("application/cloudevents"):
            return entry(attribute)(headers, payload)
        return ce_attributes(headers).get(attribute, "")

    return read


def cloudevent_event(headers: Headers, payload: Any) -> str:
    """The event's type; `batch` for a batch."""
    if _media_type(headers).startswith("application/cloudevents-batch"):
        return "batch"
    return cloudevent("type")(headers, payload)


def empty_batch(headers: Headers, payload: Any) -> Handshake | None:
    """The specification lets a batch be empty; then there is nothing to dispatch."""
    return (
        Handshake()
        if _media_type(headers).startswith("application/cloudevents-batch") and not payload
        else None
    )


def cloudevent_items(headers: Headers, payload: Any) -> tuple[Item, ...]:
    """The events of a batch, () for a single event.

    Raises BodyTooLarge over BATCH_LIMIT and BadRequest for an event that is nested too deeply to be kept.
    """
    if not _media_type(headers).startswith("application/cloudevents-batch"):
        return ()
    if len(payload) > BATCH_LIMIT:
        raise BodyTooLarge(
            f"the batch has {len(payload)} events, the limit is {BATCH_LIMIT}: send smaller ones"
        )
    try:
        return tuple(
            Item(
                event["type"],
                event["id"],
                event["source"],
                event,
                json.dumps(event, ensure_ascii=False).encode(),
            )
            for event in payload
        )
    except RecursionError as error:
        raise BadRequest("an event of the batch is nested too deeply") from error


@dataclass(frozen=True)
class Way:
    """A scheme as one sender uses it, and what a client may set about it."""

    scheme: Scheme
    options: tuple[str, ...] = ()  # fields of the scheme, under the same names
    required: tuple[str, ...] = ()  # options that have no sensible default


@dataclass(frozen=True)
class Provider:
    """One sender."""

    type: str  # as in the clients document
    documentation: str
    ways: Mapping[str, Way]  # the name that `choice` takes → the way; the first is the default
    window: timedelta  # for so long a repeated delivery id is the same delivery
    choice: str = ""  # the option that chooses among the ways
    marks: tuple[str, ...] = ()  # lower-case headers on every request; (): whatever header the scheme reads
    payload: Callable[[Headers, bytes], Any] = json_payload
    check: Callable[[Headers, Any], None] = lambda headers, payload: None  # noqa: ARG005
    event: Source = nothing
    detail: Source = nothing  # a more precise event name beside `event`
    action: Source = nothing
    delivery_id: Source = nothing  # where the scheme signs an id, that one counts instead
    hook_id: Source = nothing  # tells apart hooks that share delivery ids; part of the claim
    family: str = ""  # senders whose requests carry each other's headers
    handshake: Callable[[Headers, Any], Handshake | None] = lambda headers, payload: None  # noqa: ARG005
    unsigned_handshake: Callable[[Headers], bool] = lambda headers: False  # noqa: ARG005
    items: Callable[[Headers, Any], tuple[Item, ...]] = lambda headers, payload: ()  # noqa: ARG005
    options: tuple[str, ...] = ()  # options of the client beside those of its way
    shown: tuple[str, ...] = ()  # beginnings of headers without x- that expressions may see
    credentials: tuple[str, ...] = ()  # lower-case headers never shown to anybody
    confidential: tuple[str, ...] = ()  # keys of the body that are taken out before it is stored


_HUB_256 = Hmac("x-hub-signature-256", prefix="sha256=")
_HUB = Hmac("x-hub-signature", prefix="sha256=")
_SIGNING_TOKEN = StandardWebhooks()
_GITLAB_TOKEN = Token("x-gitlab-token")
_TOKENS = {
    "header-token": Way(Token("authorization"), options=("header", "prefix")),
    "basic": Way(Basic(""), options=("username",), required=("username",)),
    "url-token": Way(Token("token", in_query=True), options=("param",)),
}
_HMAC_OPTIONS = (
    "header",
    "prefix",
    "algorithm",
    "encoding",
    "template",
    "timestamp_header",
    "tolerance",
    "id_header",
    "list_separator",
)
_GENERIC_HMAC = Way(Hmac(""), options=_HMAC_OPTIONS, required=("header",))
_HUB_SIGNATURES = ("x-hub-signature", "x-hub-signature-256")


def _tokens(default: str, **changed: Way) -> Mapping[str, Way]:
    ways = {**_TOKENS, **{name.replace("_", "-"): way for name, way in changed.items()}}
    return {default: ways.pop(default), **ways}


_ROWS = (
    Provider(
        "github",
        "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
        {"hmac": Way(_HUB_256)},
        # GitHub never retries by itself: a repeat within minutes is the network's, a later one a person's.
        family="hub",
        window=10 * MINUTE,
        marks=("x-github-event",),
        payload=json_or_form_payload,
        event=event_header("x-github-event"),
        action=entry("action"),
        delivery_id=header("x-github-delivery"),
        hook_id=header("x-github-hook-id"),
        credentials=_HUB_SIGNATURES,
    ),
    Provider(
        "gitlab",
        "https://docs.gitlab.com/user/project/integrations/webhooks/",
        {
            "token": Way(_GITLAB_TOKEN),
            "signing-token": Way(_SIGNING_TOKEN, options=("tolerance",)),
            "both": Way(Either(_SIGNING_TOKEN, _GITLAB_TOKEN)),
        },
        window=10 * MINUTE,  # resent by hand or by API only
        choice="mode",
        marks=("x-gitlab-event",),
        event=event_header("x-gitlab-event"),
        action=entry("object_attributes", "action"),
        # X-Gitlab-Event-UUID is shared by all hooks that one action sets off: no delivery id.
        delivery_id=gitlab_delivery_id,
        hook_id=header("x-gitlab-webhook-uuid"),
        credentials=("x-gitlab-token", "webhook-signature"),
        shown=("webhook-id", "webhook-timestamp"),
    ),
    Provider(
        "bitbucket",
        "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Secure-webhooks",
        {"hmac": Way(_HUB), "uuid": Way(Token("x-hook-uuid", strip="{}"))},
        window=10 * MINUTE,  # up to two more attempts, at once
        choice="mode",
        marks=("x-event-key", "x-hook-uuid"),
        event=event_header("x-event-key"),
        delivery_id=header("x-request-uuid"),
        hook_id=header("x-hook-uuid"),
        options=("hook_uuid",),
        # In mode uuid it is the whole proof.
        credentials=(*_HUB_SIGNATURES, "x-hook-uuid"),
    ),
    Provider(
        "bitbucketserver",
        "https://confluence.atlassian.com/bitbucketserver/manage-webhooks-938025878.html",
        {"hmac": Way(_HUB), "basic": _TOKENS["basic"]},
        window=10 * MINUTE,  # never sent again
        choice="scheme",
        marks=("x-event-key",),
        event=event_header("x-event-key"),
        delivery_id=header("x-request-id"),
        handshake=diagnostics_ping,
        unsigned_handshake=unsigned_diagnostics_ping,
        credentials=_HUB_SIGNATURES,
    ),
    Provider(
        "gitea",
        "https://docs.gitea.com/usage/webhooks",
        {"hmac": Way(Hmac("x-gitea-signature", form_payload=True))},
        family="hub",
        window=10 * MINUTE,  # resent by hand only, under a new id
        marks=("x-gitea-delivery",),
        payload=json_or_form_payload,
        # The plain event is empty for some types of older versions.
        event=event_header("x-gitea-event", "x-gitea-event-type"),
        detail=event_header("x-gitea-event-type"),
        action=entry("action"),
        delivery_id=header("x-gitea-delivery"),
        credentials=("x-gitea-signature", "x-gogs-signature", *_HUB_SIGNATURES),
    ),
    Provider(
        "forgejo",
        "https://forgejo.org/docs/latest/user/webhooks/",
        {"hmac": Way(Hmac("x-forgejo-signature", form_payload=True))},
        family="hub",
        window=10 * MINUTE,
        marks=("x-forgejo-delivery",),
        payload=json_or_form_payload,
        event=event_header("x-forgejo-event", "x-forgejo-event-type"),
        detail=event_header("x-forgejo-event-type"),
        action=entry("action"),
        delivery_id=header("x-forgejo-delivery"),
        credentials=("x-forgejo-signature", "x-gitea-signature", "x-gogs-signature", *_HUB_SIGNATURES),
    ),
    Provider(
        "gogs",
        "https://gogs.io/docs/features/webhook",
        {"hmac": Way(Hmac("x-gogs-signature", form_payload=True))},
        family="hub",
        window=10 * MINUTE,
        marks=("x-gogs-event",),
        payload=json_or_form_payload,
        event=event_header("x-gogs-event"),
        action=entry("action"),
        delivery_id=header("x-gogs-delivery"),
        credentials=("x-gogs-signature",),
    ),
    Provider(
        "standardwebhooks",
        "https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md",
        {"hmac": Way(_SIGNING_TOKEN, options=("header_prefix", "tolerance"))},
        window=5 * DAY,  # retried for days; the id stays
        event=entry("type"),
        credentials=("webhook-signature", "svix-signature"),
        shown=("webhook-id", "webhook-timestamp", "svix-id", "svix-timestamp"),
    ),
    Provider(
        "slack",
        "https://api.slack.com/authentication/verifying-requests-from-slack",
        {
            "hmac": Way(
                Hmac(
                    "x-slack-signature",
                    prefix="v0=",
                    template="v0:{timestamp}:{body}",
                    timestamp_header="x-slack-request-timestamp",
                    tolerance=300,
                ),
                options=("tolerance",),
            )
        },
        window=HOUR,  # three more attempts: at once, after a minute, after five
        payload=slack_payload,
        event=slack_event,
        delivery_id=entry("event_id"),
        hook_id=entry("api_app_id"),
        handshake=slack_handshake,
        credentials=("x-slack-signature",),
        confidential=("token",),
    ),
    Provider(
        "stripe",
        "https://docs.stripe.com/webhooks#verify-manually",
        {"hmac": Way(Stripe(), options=("tolerance",))},
        window=3 * DAY,  # live mode retries that long
        event=entry("type"),
        delivery_id=entry("id"),
        credentials=("stripe-signature",),
    ),
    Provider(
        "pagerduty",
        "https://developer.pagerduty.com/docs/verifying-webhook-signatures",
        {"hmac": Way(Hmac("x-pagerduty-signature", prefix="v1=", list_separator=","))},
        window=2 * DAY,  # retried up to 48 hours
        event=entry("event", "event_type"),
        delivery_id=header("x-webhook-id"),
        hook_id=header("x-webhook-subscription"),
        credentials=("x-pagerduty-signature",),
    ),
    Provider(
        "sns",
        "https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html",
        {"rsa": Way(Sns(()), options=("topic_arns", "tolerance", "certs"), required=("topic_arns",))},
        window=HOUR,  # all attempts end within 3600 seconds
        marks=("x-amz-sns-message-type",),
        event=entry("Type"),
        delivery_id=entry("MessageId"),
        hook_id=entry("TopicArn"),
        handshake=sns_handshake,
        confidential=("Token", "SubscribeURL", "UnsubscribeURL"),
    ),
    Provider(
        "azuredevops",
        "https://learn.microsoft.com/en-us/azure/devops/service-hooks/services/webhooks",
        _tokens("basic"),
        window=HOUR,  # up to eight retries, doubling from a second
        choice="scheme",
        event=entry("eventType"),
        delivery_id=entry("id"),
        hook_id=entry("subscriptionId"),
    ),
    Provider(
        "eventbridge",
        "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-api-destinations.html",
        _tokens("header-token", header_token=Way(Token("x-api-key"), options=("header", "prefix"))),
        window=DAY,  # retried up to 24 hours
        choice="scheme",
        event=entry("detail-type"),
        delivery_id=entry("id"),
    ),
    Provider(
        "dockerhub",
        "https://docs.docker.com/docker-hub/repos/manage/webhooks/",
        _tokens("url-token"),
        window=10 * MINUTE,
        choice="scheme",
        event=by_key(push_data="push"),
    ),
    Provider(
        "quay",
        "https://docs.quay.io/guides/notifications.html",
        _tokens("url-token"),
        window=10 * MINUTE,
        choice="scheme",
        # Quay names none of its events. A cancelled build looks like one that has begun or has succeeded.
        event=by_key(
            updated_tags="repo_push",
            vulnerability="vulnerability_found",
            error_message="build_failure",
            image_id="build_success",
            is_manual="build_queued",
            build_id="build_start",
            message="repo_mirror_sync",
        ),
    ),
    Provider(
        "harbor",
        "https://goharbor.io/docs/latest/working-with-projects/project-configuration/configure-webhooks/",
        _tokens("header-token"),
        window=10 * MINUTE,  # three attempts
        choice="scheme",
        event=entry("type"),
        delivery_id=entry("id"),  # only in its CloudEvents format
        hook_id=entry("source"),
    ),
    Provider(
        "cloudevents",
        "https://github.com/cloudevents/spec/blob/main/cloudevents/http-webhook.md",
        {
            **_tokens(
                "header-token",
                header_token=Way(Token("authorization", "Bearer "), options=("header", "prefix")),
            ),
            "hmac": _GENERIC_HMAC,
        },
        window=DAY,
        choice="scheme",
        payload=cloudevent_payload,
        check=check_cloudevent,
        event=cloudevent_event,
        delivery_id=cloudevent("id"),
        hook_id=cloudevent("source"),
        handshake=empty_batch,
        items=cloudevent_items,
        options=("allowed_origins",),
        shown=("ce-",),
    ),
    Provider(
        "generic-hmac",
        "https://en.wikipedia.org/wiki/HMAC",
        {"hmac": _GENERIC_HMAC},
        window=DAY,
        payload=json_or_form_payload,
        options=("event_header", "id_header", "allow_weak"),
    ),
    Provider(
        "generic-token",
        "https://developer.mozilla.org/en-US/docs/Web/HTTP/Authentication",
        _tokens("header-token"),
        window=DAY,
        choice="scheme",
        payload=json_or_form_payload,
        options=("event_header", "id_header"),
    ),
)

PROVIDERS: Mapping[str, Provider] = {row.type: row for row in _ROWS}
