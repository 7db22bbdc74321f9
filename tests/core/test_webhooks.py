"""Webhook clients: what loads, which client a delivery is, and what is said about it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import (
    BadRequest,
    BodyTooLarge,
    ClientError,
    LynceusError,
    Unauthenticated,
    WebhookRefused,
)
from chalicelib.core.events import Delivery
from chalicelib.core.providers import PROVIDERS
from chalicelib.core.signatures import REASONS, StandardWebhooks, Token
from chalicelib.core.webhooks import (
    BODY_LIMIT,
    CREDENTIAL_HEADERS,
    Authenticated,
    WebhookClient,
    authenticate,
    candidates,
    parse_clients,
    reads_authorization,
    with_previous,
)
from tests.deliveries import SAMPLES, clients_of, delivery_of, recorded

NOW = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
SECRET = "the lamp is lit"
UUID = "5a3c8d1e-7b2f-4c60-9e41-d0a1b2c3d4e5"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:beacon"


def clients(**entries: Any) -> tuple[WebhookClient, ...]:
    return parse_clients(json.dumps(entries))


def client(**entry: Any) -> WebhookClient:
    (only,) = clients(sender=entry)
    return only


def delivery(
    headers: Sequence[tuple[str, str]], body: bytes = b"{}", discriminator: str = "", **more: Any
) -> Delivery:
    fields: dict[str, Any] = {"method": "POST", "query": {}, "received_at": NOW, **more}
    return Delivery("argo", discriminator, headers=headers, body=body, **fields)


def github(secret: str = SECRET, body: bytes = b"{}", event: str = "push", **more: Any) -> Delivery:
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = [
        ("X-GitHub-Event", event),
        ("X-GitHub-Delivery", "d-1"),
        ("X-GitHub-Hook-ID", "7"),
        ("X-Hub-Signature-256", signature),
    ]
    return delivery(headers, body, **more)


def refused(attempt: Delivery, known: Sequence[WebhookClient]) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        authenticate(attempt, known)
    assert refusal.value.detail in REASONS
    assert refusal.value.message.startswith("token not valid")
    return refusal.value.detail


# What loads


def test_argos_entries_load_as_they_are() -> None:
    document = """
github.com: |
  type: github
  secret: "shh!"
gitlab.com: |
  type: gitlab
  secret: shh!
bitbucket.org: |
  type: bitbucket
  secret: 5a3c8d1e-7b2f-4c60-9e41-d0a1b2c3d4e5
bitbucketserver:
  type: bitbucketserver
  secret: 12345
"""
    loaded = parse_clients(document)
    assert [(one.name, one.type, one.secrets) for one in loaded] == [
        ("github.com", "github", ("shh!",)),
        ("gitlab.com", "gitlab", ("shh!",)),
        ("bitbucket.org", "bitbucket", (UUID,)),
        ("bitbucketserver", "bitbucketserver", ("12345",)),
    ]


def test_an_empty_document_has_no_clients() -> None:
    assert parse_clients("") == parse_clients("{}") == parse_clients("# nothing yet\n") == ()


@pytest.mark.parametrize("written", ["0123", "1.10", "1e3", "12:30:45", "2026-01-05", "0x10", "1_000"])
def test_a_secret_is_the_text_that_was_written(written: str) -> None:
    (one,) = parse_clients(f"sender: {{type: github, secret: {written}}}")
    assert one.secrets == (written,)


def test_secrets_are_listed_for_a_rotation_and_repeats_count_once() -> None:
    assert client(type="github", secret="new", secrets=["old", "new"]).secrets == ("new", "old")


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"type": "github", "secret": ""}, "secret: is empty"),
        ({"type": "github", "secret": "  \n"}, "secret: is empty"),
        ({"type": "github", "secret": None}, "secret: is empty"),
        ({"type": "github"}, "secret: is missing"),
        ({"type": "github", "secrets": []}, "secret: is missing"),
        ({"type": "github", "secret": "good", "secrets": [""]}, "secret: is empty"),
        ({"type": "github", "secrets": "text"}, "secrets: expected a list, found a text"),
        ({"type": "github", "secret": 1.5}, "secret: expected a text, found a number; put it in quotes"),
        ({"type": "github", "secret": True}, "secret: expected a text, found true or false"),
        ({"type": "github", "secret": "\ud800"}, "surrogate"),
        ({"secret": SECRET}, "type: is missing"),
        ({"type": "GitHub", "secret": SECRET}, 'type: "GitHub" is unknown, did you mean "github"?'),
        ({"type": "mercurial", "secret": SECRET}, "expected one of github, gitlab"),
        ({"type": ["github"], "secret": SECRET}, "type"),
        (
            {"type": "github", "secrt": SECRET, "secret": SECRET},
            'secrt: unknown field, did you mean "secret"?',
        ),
        ({"type": "github", "secret": SECRET, "tolerance": 5}, "tolerance: does not apply to type github"),
        (
            {"type": "gitlab", "secret": SECRET, "mode": "tokn"},
            'mode: "tokn" is unknown, did you mean "token"?',
        ),
        ({"type": "gitlab", "secret": SECRET, "mode": "both"}, "mode both needs a signing token"),
        ({"type": "gitlab", "secret": "whsec_", "mode": "signing-token"}, "nothing follows whsec_"),
        ({"type": "standardwebhooks", "secret": "whsec_***"}, "must be base64"),
        ({"type": "standardwebhooks", "secret": "whpk_AAAA"}, "32 bytes"),
        ({"type": "azuredevops", "secret": SECRET}, "username: is missing"),
        ({"type": "azuredevops", "secret": SECRET, "username": ""}, "username: is empty"),
        ({"type": "azuredevops", "secret": SECRET, "username": "a:b"}, "username: must not hold a colon"),
        ({"type": "bitbucket", "secret": "{}", "mode": "uuid"}, "secret: holds nothing but {}"),
        ({"type": "generic-token", "secret": SECRET, "id_header": "Authorization"}, "id_header: this header"),
        ({"type": "generic-token", "secret": SECRET, "event_header": "X-Gitlab-Token"}, "event_header: this"),
        ({"type": "sns"}, "topic_arns: is missing"),
        ({"type": "sns", "topic_arns": []}, "topic_arns: is an empty list"),
        ({"type": "sns", "topic_arns": ["beacon"]}, '"beacon" is not the ARN of a topic'),
        ({"type": "sns", "topic_arns": [TOPIC], "secret": SECRET}, "SNS shares none"),
        ({"type": "sns", "topic_arns": [TOPIC], "certs": []}, "certs: expected URL: certificate"),
        ({"type": "slack", "secret": SECRET, "tolerance": 0}, "tolerance: 0 is not from 1"),
        ({"type": "slack", "secret": SECRET, "tolerance": "soon"}, "tolerance: expected a whole number"),
        ({"type": "slack", "secret": SECRET, "tolerance": True}, "tolerance: expected a whole number"),
        ({"type": "github", "secret": SECRET, "events": "push"}, "events: expected a list"),
        ({"type": "github", "secret": SECRET, "events": []}, "events: is an empty list"),
        ({"type": "github", "secret": SECRET, "discriminators": [5]}, "discriminators: expected a text"),
        ({"type": "github", "secret": SECRET, "verdicts": "yes"}, "verdicts: expected true or false"),
        (
            {"type": "github", "secret": SECRET, "replay": "never"},
            "replay: expected one of delivery-id, body-hash",
        ),
        ({"type": "github", "secret": SECRET, "rate_limit": 0}, "rate_limit: 0 is not from 1"),
        ({"type": "bitbucket", "secret": SECRET, "hook_uuid": "x"}, "hook_uuid: expected the UUID"),
        ({"type": "generic-hmac", "secret": SECRET}, "header: is missing"),
        (
            {"type": "generic-hmac", "secret": SECRET, "header": "X Sig"},
            "header: expected the name of a header",
        ),
        (
            {"type": "generic-token", "secret": SECRET, "scheme": "url-token", "header": "X"},
            "header: does not apply",
        ),
        ("type: github\n  secret: x", "neither YAML nor JSON"),
        (5, "expected a mapping, found a number"),
        ([], "expected a mapping, found a list"),
        (None, "type: is missing"),
    ],
)
def test_a_client_that_cannot_work_does_not_load(entry: Any, message: str) -> None:
    with pytest.raises(ClientError) as error:
        clients(**{"sender.example.com": entry})
    assert message in error.value.message
    assert error.value.message.startswith('webhook client "sender.example.com": ')
    assert SECRET not in error.value.message


HMAC = {"type": "generic-hmac", "secret": SECRET, "header": "X-Sig"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"algorithm": "md5"}, "algorithm: "),
        ({"algorithm": "none"}, "algorithm: "),
        ({"algorithm": "sha1"}, "allow_weak: true"),
        ({"encoding": "rot13"}, "encoding: expected one of hex, base64, base64url"),
        ({"template": "{timestamp}"}, "template: expected {body} once"),
        ({"template": "{body}{body}"}, "template: expected {body} once"),
        ({"template": "{timestamp}.{nonce}.{body}"}, "template: expected {body} once"),
        ({"template": "{timestamp}{body}", "timestamp_header": "X-Ts"}, "template: two parts"),
        ({"template": "{timestamp}0{body}", "timestamp_header": "X-Ts"}, "template: two parts"),
        ({"template": "{timestamp}.{body}"}, "timestamp_header: needs"),
        ({"timestamp_header": "X-Ts"}, "timestamp_header: needs"),
        ({"template": "{id}.{body}"}, "id_header: is missing"),
        ({"tolerance": 60}, "tolerance: no time is signed"),
    ],
)
def test_a_signing_scheme_that_proves_too_little_does_not_load(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ClientError) as error:
        client(**HMAC, **options)
    assert message in error.value.message


def test_sha1_has_to_be_asked_for_twice() -> None:
    body = b"{}"
    known = [client(**HMAC, algorithm="sha1", allow_weak=True)]
    signature = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    assert authenticate(delivery([("x-sig", signature)], body), known).dispatch


@pytest.mark.parametrize(
    "document, message",
    [
        ("[]", "the webhook clients document: expected a mapping, found a list"),
        ("a: {type: github, secret: *hidden}", "neither YAML nor JSON at line 1, column 27"),
        ("a: {type: github, secret: @hidden}", "neither YAML nor JSON at line 1, column 27"),
        ("a: !!python/object:os.system {}", "neither YAML nor JSON"),
        ("{1: {}}", "the name must be a ServiceAccount"),
        ("Not A Name: {type: github, secret: x}", "the name must be a ServiceAccount's"),
        ("a: {type: github, secret: x}\na: {type: github, secret: y}", '"a" is there twice'),
        ('{"a": {"type": "github", "secret": "x", "secret": "y"}}', '"secret" is there twice'),
        ("{[a]: b}", "every key must be a text"),
        ("a: b: c: hidden", "neither YAML nor JSON"),
        ("\x00", "neither YAML nor JSON"),
        ("---\na: 1\n---\nb: 2", "neither YAML nor JSON"),
        ("[" * 2000, "neither YAML nor JSON"),
    ],
)
def test_a_document_that_cannot_be_read_says_where_and_shows_nothing_of_it(
    document: str, message: str
) -> None:
    with pytest.raises(ClientError) as error:
        parse_clients(document)
    if not document.startswith("{1"):
        assert message in error.value.message
    assert "hidden" not in error.value.message


def test_a_secret_is_in_no_representation() -> None:
    one = client(type="github", secret="do not print")
    assert "do not print" not in repr(one) + str(one) + repr(authenticate(github("do not print"), [one]))


def test_gitlabs_mode_follows_from_its_secrets_where_none_is_said() -> None:
    assert isinstance(client(type="gitlab", secret="plain").scheme, Token)
    assert isinstance(client(type="gitlab", secret="whsec_bGFtcA==").scheme, StandardWebhooks)
    both = client(type="gitlab", secrets=["whsec_bGFtcA==", "plain"])
    assert both.scheme == PROVIDERS["gitlab"].ways["both"].scheme


def test_bitbuckets_uuid_is_taken_as_argo_takes_it_with_a_warning() -> None:
    legacy = client(type="bitbucket", secret="{" + UUID + "}")
    assert legacy.scheme == PROVIDERS["bitbucket"].ways["uuid"].scheme
    assert any("uuid" in warning for warning in legacy.warnings)
    assert (
        client(type="bitbucket", secret=UUID, mode="hmac").scheme
        == PROVIDERS["bitbucket"].ways["hmac"].scheme
    )


def test_a_line_break_at_the_end_of_a_secret_is_warned_of_and_counts() -> None:
    one = client(type="github", secret="lamp\n")
    assert one.secrets == ("lamp\n",)
    assert any("line break" in warning for warning in one.warnings)


@pytest.mark.parametrize(
    "one, other",
    [
        ({"type": "github"}, {"type": "github"}),
        ({"type": "github"}, {"type": "gitea"}),
        ({"type": "forgejo"}, {"type": "gogs"}),
        ({"type": "bitbucket"}, {"type": "bitbucketserver"}),
        ({"type": "gitlab"}, {"type": "generic-token", "header": "X-Gitlab-Token"}),
        ({"type": "github", "discriminators": ["a", "b"]}, {"type": "github", "discriminators": ["b"]}),
        ({"type": "github", "discriminators": ["a"]}, {"type": "github"}),
    ],
)
def test_two_clients_that_one_request_could_match_do_not_load(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    with pytest.raises(ClientError, match='webhook clients "a" and "b": secret: equal'):
        clients(a={**one, "secret": SECRET}, b={**other, "secrets": ["x", SECRET]})


@pytest.mark.parametrize(
    "type, one, other",
    [
        ("standardwebhooks", "whsec_bGFtcA==", "bGFtcA=="),
        ("bitbucket", UUID, "{" + UUID + "}"),
    ],
)
def test_two_spellings_of_one_secret_are_equal(type: str, one: str, other: str) -> None:
    with pytest.raises(ClientError, match="secret: equal"):
        clients(a={"type": type, "secret": one}, b={"type": type, "secret": other})


def test_one_topic_belongs_to_one_client() -> None:
    with pytest.raises(ClientError, match="topic_arns"):
        clients(
            a={"type": "sns", "topic_arns": [TOPIC]}, b={"type": "sns", "topic_arns": [TOPIC, TOPIC + "2"]}
        )


def test_one_secret_at_two_senders_is_warned_of() -> None:
    _, second = clients(a={"type": "github", "secret": SECRET}, b={"type": "pagerduty", "secret": SECRET})
    assert any('equal to that of "a"' in warning for warning in second.warnings)


def test_equal_secrets_at_separate_discriminators_load() -> None:
    entry = {"type": "github", "secret": SECRET}
    assert len(clients(a={**entry, "discriminators": ["a"]}, b={**entry, "discriminators": ["b"]})) == 2


DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([*PROVIDERS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "secret", "secrets", "mode", "scheme", "events"]) | st.text(), inner
        )
    ),
    max_leaves=12,
)
_OPTION_NAMES = [
    *("secret", "secrets", "mode", "scheme", "header", "template", "tolerance", "topic_arns", "certs"),
    *("events", "username", "param", "algorithm", "encoding", "hook_uuid", "rate_limit", "replay"),
]
ENTRIES = st.builds(
    lambda kind, options: {"a": {"type": kind, **options}},
    st.sampled_from([*PROVIDERS]),
    st.dictionaries(
        st.sampled_from(_OPTION_NAMES),
        st.text(max_size=6)
        | st.lists(st.text(max_size=6), max_size=2)
        | st.integers()
        | st.booleans()
        | st.none(),
        max_size=5,
    ),
)


@given(DOCUMENTS | st.text(max_size=60) | ENTRIES)
@settings(max_examples=300, deadline=None)
def test_any_document_loads_or_is_a_client_error(document: Any) -> None:
    texts = [document] if isinstance(document, str) else [json.dumps(document), yaml.safe_dump(document)]
    for text in texts:
        try:
            loaded = parse_clients(text)
        except ClientError:
            continue
        assert all(one.secrets or one.type == "sns" for one in loaded)


# Which client


def test_the_client_whose_secret_signed_is_the_sender() -> None:
    known = clients(a={"type": "github", "secret": "one"}, b={"type": "github", "secret": "two"})
    assert authenticate(github("two"), known).client.name == "b"
    assert refused(github("three"), known) == "no-match"


def test_a_namespace_without_a_document_refuses_as_argo_without_its_secret() -> None:
    with pytest.raises(WebhookRefused) as refusal:
        authenticate(github(), None)
    assert (refusal.value.http_status, refusal.value.body()) == (
        403,
        {"message": "failed to process webhook request"},
    )


def test_a_delivery_that_no_client_expects_is_refused() -> None:
    assert refused(github(), ()) == "no-client"
    assert refused(delivery([]), [client(type="github", secret=SECRET)]) == "no-client"
    assert refused(github(event=""), [client(type="github", secret=SECRET)]) == "no-client"


def test_a_client_listens_at_its_discriminators_only() -> None:
    known = [client(type="github", secret=SECRET, discriminators=["deploy", ""])]
    assert authenticate(github(discriminator="deploy"), known).dispatch
    assert authenticate(github(discriminator=""), known).dispatch
    assert refused(github(discriminator="build"), known) == "no-client"
    assert candidates(github(discriminator="build"), known) == []


def test_a_delivery_that_matches_two_clients_is_refused() -> None:
    one, other = (client(type="github", secret=SECRET) for _ in range(2))
    assert refused(github(), [one, other]) == "ambiguous"


def test_gitea_may_be_a_github_client_as_it_is_in_argo() -> None:
    body = b'{"ref":"refs/heads/main"}'
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = [
        ("X-Gitea-Event", "push"),
        ("X-Gitea-Delivery", "d-1"),
        ("X-Gitea-Signature", signature),
        ("X-GitHub-Event", "push"),
        ("X-Hub-Signature-256", "sha256=" + signature),
    ]
    known = clients(a={"type": "github", "secret": SECRET}, b={"type": "gitea", "secret": "another"})
    assert authenticate(delivery(headers, body), known).client.name == "a"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "post"])
def test_only_post_delivers(method: str) -> None:
    assert refused(github(method=method), [client(type="github", secret=SECRET)]) == "method-not-post"


def test_a_body_over_the_limit_is_refused_with_the_number() -> None:
    known = [client(type="github", secret=SECRET)]
    at_limit = b'"' + b"x" * (BODY_LIMIT - 2) + b'"'
    assert authenticate(github(body=at_limit), known).dispatch
    with pytest.raises(BodyTooLarge, match="4194304"):
        authenticate(github(body=at_limit + b" "), known)


def test_a_hook_uuid_narrows_a_bitbucket_client() -> None:
    request = recorded(SAMPLES / "bitbucket" / "repo-push.json")
    entry = {"type": "bitbucket", "secret": request["secret"]}
    assert authenticate(delivery_of(request), [client(**entry, hook_uuid="{" + UUID + "}")]).dispatch
    other = client(**entry, hook_uuid=UUID.replace("5", "6"))
    assert refused(delivery_of(request), [other]) == "other-hook"


# What is said about it


def test_what_github_says_is_read_from_its_headers_and_body() -> None:
    found = authenticate(github(body=b'{"action":"opened","n":1}'), [client(type="github", secret=SECRET)])
    assert (found.event_type, found.action, found.delivery_id, found.hook_id) == (
        "push",
        "opened",
        "d-1",
        "7",
    )
    assert (found.dispatch, found.response, found.payload) == (True, None, {"action": "opened", "n": 1.0})
    assert found.claim == ("7", "d-1")
    assert found.window == 600


@pytest.mark.parametrize("event", ["ping", "quantum_entanglement"])
def test_any_event_name_is_dispatched_once_the_signature_is_right(event: str) -> None:
    assert authenticate(github(event=event), [client(type="github", secret=SECRET)]).dispatch


def test_an_event_off_the_list_is_answered_and_not_dispatched() -> None:
    known = [client(type="github", secret=SECRET, events=["push"])]
    assert authenticate(github(event="push"), known).dispatch
    found = authenticate(github(event="star"), known)
    assert (found.dispatch, found.skipped) == (False, "event-not-listed")
    assert found.response is not None
    assert (found.response.status, found.response.body) == (200, {})


def test_giteas_precise_event_may_be_listed() -> None:
    request = recorded(SAMPLES / "gitea" / "issue_assign.json")
    for event in ("issues", "issue_assign"):
        known = [client(type="gitea", secret=request["secret"], events=[event])]
        assert authenticate(delivery_of(request), known).dispatch


@pytest.mark.parametrize("body", [b"", b" \n", b"{", b"payload=%7B%7D", b"[1e400]", b"\xef\xbb\xbf{}"])
def test_an_authentic_body_that_is_no_json_is_the_senders_fault(body: bytes) -> None:
    with pytest.raises(BadRequest):
        authenticate(github(body=body), [client(type="github", secret=SECRET)])


def test_body_hash_makes_the_body_alone_the_identity() -> None:
    known = [client(type="github", secret=SECRET, replay="body-hash")]
    first, second = authenticate(github(), known), authenticate(github(event="release"), known)
    assert first.claim == second.claim == ("", "sha256:" + hashlib.sha256(b"{}").hexdigest())
    assert first.window > 86400


def test_without_a_delivery_id_nothing_is_a_repeat() -> None:
    found = authenticate(*_sample("dockerhub/push"))
    assert (found.delivery_id, found.claim) == ("", ())


def _sample(name: str) -> tuple[Delivery, tuple[WebhookClient, ...]]:
    request = recorded(SAMPLES / f"{name}.json")
    return delivery_of(request), clients_of(request)


def test_credentials_are_not_shown_to_expressions() -> None:
    sent, known = _sample("gitlab/push-both")
    found = authenticate(sent, known)
    assert "x-gitlab-token" not in found.metadata
    assert "webhook-signature" not in found.metadata
    assert found.metadata["x-gitlab-event"] == ["Push Hook"]
    assert found.metadata["webhook-id"] == [found.delivery_id]


def test_a_client_may_opt_into_showing_them() -> None:
    sent, _ = _sample("gitlab/push")
    (one,) = clients(a={"type": "gitlab", "secret": SECRET, "expose_credentials": True})
    assert authenticate(sent, [one]).metadata["x-gitlab-token"] == [SECRET]
    assert "x-gitlab-token" in one.credential_headers


def test_a_clients_own_header_is_a_credential() -> None:
    sent, known = _sample("generic-token/done")
    assert "x-lamp-token" in known[0].credential_headers
    assert "x-lamp-token" not in authenticate(sent, known).metadata


def test_every_header_that_proves_something_is_a_credential() -> None:
    for row in PROVIDERS.values():
        for way in row.ways.values():
            in_query = isinstance(way.scheme, Token) and way.scheme.in_query
            if row.type not in ("sns", "generic-hmac") and not in_query and way.scheme.header:
                assert way.scheme.header in CREDENTIAL_HEADERS, row.type


@pytest.mark.parametrize(
    "name, kept, gone",
    [
        ("slack/app_mention", b'"token":"",', b"not-a-proof"),
        ("slack/slash_command", b"token=&", b"not-a-proof"),
        ("slack/slash_command", b"trigger_id=1.1.x", b"not-a-proof"),
        ("slack/block_actions", b"%22token%22%3A%22%22", b"not-a-proof"),
        ("github/push", b"", b"\x00"),
    ],
)
def test_a_senders_own_credentials_are_taken_out_of_the_stored_body(
    name: str, kept: bytes, gone: bytes
) -> None:
    found = authenticate(*_sample(name))
    assert kept in found.stored_body
    assert gone not in found.stored_body


def test_an_sns_token_is_not_stored_and_the_rest_is_as_sent() -> None:
    request = recorded(SAMPLES / "sns" / "subscription-confirmation.json")
    certificate = next(iter(request["config"]["certs"].values())).encode()
    found = authenticate(delivery_of(request), clients_of(request), lambda url: certificate)
    token = json.loads(request["body"])["Token"]
    assert token not in found.stored_body.decode()
    assert json.loads(found.stored_body)["Message"] == json.loads(request["body"])["Message"]
    assert found.confirm is not None
    assert (found.dispatch, found.confirm.topic_arn, found.confirm.token) == (False, TOPIC, token)
    assert token not in repr(found.confirm)


def test_a_farewell_of_sns_confirms_nothing() -> None:
    request = recorded(SAMPLES / "sns" / "unsubscribe-confirmation.json")
    certificate = next(iter(request["config"]["certs"].values())).encode()
    found = authenticate(delivery_of(request), clients_of(request), lambda url: certificate)
    assert (found.dispatch, found.confirm) == (False, None)


def test_certificates_in_the_client_are_not_fetched() -> None:
    request = recorded(SAMPLES / "sns" / "notification.json")
    known = [client(type="sns", **request["config"])]
    assert authenticate(delivery_of(request), known).event_type == "Notification"


def test_an_unsigned_ping_of_data_center_is_answered_and_its_body_not_even_read() -> None:
    known = [client(type="bitbucketserver", secret=SECRET)]
    found = authenticate(delivery([("X-Event-Key", "diagnostics:ping")], b'{"ref":"evil"'), known)
    assert (found.dispatch, found.payload, found.skipped, found.proven) == (False, None, "handshake", False)


def test_a_ping_with_a_wrong_signature_is_no_ping() -> None:
    known = [client(type="bitbucketserver", secret=SECRET)]
    headers = [("X-Event-Key", "diagnostics:ping"), ("X-Hub-Signature", "sha256=00")]
    assert refused(delivery(headers), known) == "signature-mismatch"


def test_a_batch_gives_its_events() -> None:
    found = authenticate(*_sample("cloudevents/batch"))
    assert found.event_type == "batch"
    assert [item.event_type for item in found.items] == ["com.example.beacon.lit", "com.example.beacon.out"]


def test_of_a_batch_only_listed_events_are_dispatched() -> None:
    sent, _ = _sample("cloudevents/batch")
    entry = {"type": "cloudevents", "secret": SECRET}
    found = authenticate(sent, [client(**entry, events=["com.example.beacon.out"])])
    assert [item.event_type for item in found.items] == ["com.example.beacon.out"]
    assert len(authenticate(sent, [client(**entry, events=["batch"])]).items) == 2
    assert not authenticate(sent, [client(**entry, events=["com.example.other"])]).dispatch


def test_an_empty_batch_is_answered() -> None:
    sent, known = _sample("cloudevents/batch")
    found = authenticate(replace(sent, body=b"[]"), known)
    assert (found.dispatch, found.items) == (False, ())


def test_attributes_of_a_binary_cloudevent_are_visible() -> None:
    found = authenticate(*_sample("cloudevents/binary"))
    assert found.metadata["ce-type"] == ["com.example.beacon.lit"]
    assert found.payload == {"brightness": 3.0}


def _asked(origin: str, rate: str = "", **options: Any) -> dict[str, str]:
    headers = [("WebHook-Request-Origin", origin), *([("WebHook-Request-Rate", rate)] if rate else [])]
    known = [client(type="cloudevents", secret=SECRET, **options)]
    found = authenticate(delivery(headers, b"", method="OPTIONS"), known)
    assert found.response is not None
    assert (found.dispatch, found.response.status, found.proven) == (False, 200, False)
    return dict(found.response.headers)


def test_only_a_listed_origin_learns_that_it_may_send() -> None:
    allowed = {"Allow": "POST", "WebHook-Allowed-Origin": "a.example"}
    assert _asked("a.example", allowed_origins=["a.example"]) == allowed
    assert _asked("a.example", allowed_origins=["*"]) == allowed
    assert _asked("b.example", allowed_origins=["a.example"]) == {"Allow": "POST"}
    assert _asked("a.example") == {"Allow": "POST"}


@pytest.mark.parametrize(
    "asked, limit, answered",
    [("60", None, "60"), ("60", 30, "30"), ("", 30, "30"), ("x", None, None), ("0", None, None)],
)
def test_the_rate_is_what_was_asked_for_within_the_clients_limit(
    asked: str, limit: Any, answered: Any
) -> None:
    options = {"rate_limit": limit} if limit else {}
    answer = _asked("a.example", asked, allowed_origins=["a.example"], **options)
    assert answer.get("WebHook-Allowed-Rate") == answered


def test_options_without_a_cloudevents_client_is_refused() -> None:
    assert refused(github(method="OPTIONS"), [client(type="github", secret=SECRET)]) == "no-client"


# The Authorization header


def test_authorization_is_a_clients_only_where_it_proves_one() -> None:
    known = clients(
        a={"type": "cloudevents", "secret": SECRET},
        b={"type": "azuredevops", "secret": SECRET + "!", "username": "argo"},
        c={"type": "github", "secret": "x"},
    )
    assert reads_authorization(delivery([("Authorization", f"Bearer {SECRET}")]), known)
    assert not reads_authorization(delivery([("Authorization", "Bearer of.a.cluster")]), known)
    assert not reads_authorization(github("x"), known)
    assert not reads_authorization(delivery([]), known)


# Rotation


def test_the_previous_document_lends_its_secrets_to_the_same_client() -> None:
    current = clients(a={"type": "github", "secret": "new"})
    previous = clients(a={"type": "github", "secret": "old"})
    rotated = with_previous(current, previous)
    assert authenticate(github("old"), rotated).client.name == "a"
    assert authenticate(github("new"), rotated).client.name == "a"
    assert refused(github("old"), current) == "signature-mismatch"


@pytest.mark.parametrize(
    "before",
    [
        {"b": {"type": "github", "secret": "old"}},
        {"a": {"type": "gitea", "secret": "old"}},
        {},
    ],
)
def test_the_previous_document_lends_nothing_else(before: dict[str, Any]) -> None:
    current = clients(a={"type": "github", "secret": "new"})
    assert with_previous(current, clients(**before)) == current


def test_a_uuid_is_never_lent_as_a_key() -> None:
    current = clients(a={"type": "bitbucket", "secret": "new", "mode": "hmac"})
    previous = clients(a={"type": "bitbucket", "secret": UUID, "mode": "uuid"})
    assert with_previous(current, previous) == current


def test_a_secret_that_moved_to_another_client_is_not_lent() -> None:
    current = clients(a={"type": "github", "secret": "new"}, b={"type": "github", "secret": "old"})
    previous = clients(a={"type": "github", "secret": "old"}, b={"type": "github", "secret": "older"})
    assert authenticate(github("old"), with_previous(current, previous)).client.name == "b"


# Anything a stranger sends

_KNOWN = parse_clients(
    json.dumps(
        {
            kind: {
                "type": kind,
                **({"topic_arns": [TOPIC]} if kind == "sns" else {"secret": f"{SECRET} {kind}"}),
                **({"username": "argo"} if kind == "azuredevops" else {}),
                **({"header": "X-Sig"} if kind == "generic-hmac" else {}),
                **({"secret": "whsec_bGFtcA=="} if kind == "standardwebhooks" else {}),
            }
            for kind in PROVIDERS
        }
    )
)
_NAMES = sorted(
    {name for row in PROVIDERS.values() for name in (*row.marks, *row.credentials)}
    | {one.scheme.header for one in _KNOWN}
    | {"content-type", "webhook-id", "webhook-timestamp", "x-slack-request-timestamp", "ce-id", "ce-source"}
)
_LIKELY = [
    *("v1,x", "t=1,v1=", "sha256=", "Basic ", "Bearer ", "1767605400", "Notification", "diagnostics:ping"),
    *("application/x-www-form-urlencoded", "application/cloudevents+json", "application/json"),
]
_VALUES = (
    st.text(max_size=30)
    | st.sampled_from(_LIKELY)
    | st.sampled_from(_KNOWN).map(lambda one: one.secrets[0] if one.secrets else "")
    | st.sampled_from(_KNOWN).map(lambda one: "Bearer " + (one.secrets[0] if one.secrets else ""))
)


@given(
    headers=st.lists(st.tuples(st.sampled_from(_NAMES) | st.text(max_size=10), _VALUES), max_size=6),
    body=st.binary(max_size=60)
    | st.sampled_from([b"{}", b"payload=%7B%7D", b'{"Type":"Notification"}', b"[{}]"]),
    method=st.sampled_from(["POST", "OPTIONS", "GET"]),
    query=st.dictionaries(st.just("token") | st.text(max_size=5), st.lists(_VALUES, max_size=2), max_size=2),
)
@settings(max_examples=400, deadline=None)
def test_whatever_is_sent_gives_an_answer_or_one_of_our_errors_below_500(
    headers: list[tuple[str, str]], body: bytes, method: str, query: dict[str, list[str]]
) -> None:
    try:
        result: Authenticated | LynceusError = authenticate(
            delivery(headers, body, method=method, query=query), _KNOWN, lambda url: b""
        )
    except LynceusError as error:
        result = error
    assert isinstance(result, Authenticated) or result.http_status < 500


@given(
    body=st.binary(max_size=80) | st.text(max_size=80).map(str.encode), event=st.text(min_size=1, max_size=20)
)
@settings(max_examples=200, deadline=None)
def test_a_signed_body_of_any_bytes_is_dispatched_or_the_senders_fault(body: bytes, event: str) -> None:
    try:
        result: Authenticated | LynceusError = authenticate(
            github(body=body, event=event), [client(type="github", secret=SECRET)]
        )
    except LynceusError as error:
        result = error
    assert isinstance(result, Authenticated) or result.http_status == 400
