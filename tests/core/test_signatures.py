"""Schemes: published vectors, one spelling per proof, clocks, and that no changed byte passes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.errors import ClientError, LynceusError, Unauthenticated
from chalicelib.core.signatures import (
    REASONS,
    Basic,
    Either,
    Hmac,
    Scheme,
    Sns,
    StandardWebhooks,
    Stripe,
    Token,
    check_secret,
    fold,
    form_fields,
    is_form,
)
from chalicelib.core.webhooks import authenticate, parse_clients
from tests.deliveries import SAMPLES, Recorded, clients_of, delivery_of, document_of, recorded

NOW = 1_700_000_000
SECRET = "the lamp is lit"
KEY = b"twenty-six bytes of oil..."
WHSEC = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"lit": true}'


def mac(message: bytes, key: bytes = SECRET.encode(), algorithm: str = "sha256") -> bytes:
    return hmac.new(key, message, getattr(hashlib, algorithm)).digest()


def refusal(scheme: Scheme, headers: dict[str, Any], body: bytes = BODY, secret: str = SECRET) -> str:
    """The reason of the refusal, "" when the proof holds."""
    folded = {name: value if isinstance(value, list) else [value] for name, value in headers.items()}
    try:
        scheme.verify(folded, body, [secret], NOW)
    except Unauthenticated as refused:
        reason = refused.detail
    else:
        return ""
    assert reason in REASONS
    return reason


PUBLISHED: list[tuple[str, Scheme, dict[str, str], bytes, str, int]] = [
    (
        "GitHub's documentation",
        Hmac("x-hub-signature-256", prefix="sha256="),
        {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
        "It's a Secret to Everybody",
        NOW,
    ),
    (
        "Atlassian's documentation",
        Hmac("x-hub-signature", prefix="sha256="),
        {"x-hub-signature": "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"},
        b"Hello World!",
        "It's a Secret to Everybody",
        NOW,
    ),
    (
        "the Standard Webhooks libraries",
        StandardWebhooks(),
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        1614265330,
    ),
    (
        "Slack's documentation",
        Hmac(
            "x-slack-signature",
            prefix="v0=",
            template="v0:{timestamp}:{body}",
            timestamp_header="x-slack-request-timestamp",
            tolerance=300,
        ),
        {
            "x-slack-request-timestamp": "1531420618",
            "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        (
            b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
            b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
            b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F"
            b"96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
        ),
        "8f742231b10e8888abcd99yyyzzz85a5",
        1531420618,
    ),
]


@pytest.mark.parametrize("vector", PUBLISHED, ids=[vector[0] for vector in PUBLISHED])
def test_a_published_vector_holds(vector: tuple[str, Scheme, dict[str, str], bytes, str, int]) -> None:
    _, scheme, headers, body, secret, now = vector
    scheme.verify(fold(headers.items()), body, [secret], now)
    with pytest.raises(Unauthenticated):
        scheme.verify(fold(headers.items()), body + b" ", [secret], now)


HUB = Hmac("x-hub-signature-256", prefix="sha256=")
HEX = mac(BODY).hex()


@pytest.mark.parametrize(
    "value, reason",
    [
        (f"sha256={HEX}", ""),
        (HEX, "signature-mismatch"),
        (f"sha256={HEX.upper()}", "signature-mismatch"),
        (f"SHA256={HEX}", "signature-mismatch"),
        (f"sha256= {HEX}", "signature-mismatch"),
        (f"sha256={HEX} ", "signature-mismatch"),
        (f"sha256={HEX[:-2]}", "signature-mismatch"),
        (f"sha256={HEX},sha256={HEX}", "signature-mismatch"),
        (f"0000000{HEX}", "signature-mismatch"),
        ("sha256=", "signature-mismatch"),
        ("sha1=" + mac(BODY, algorithm="sha1").hex(), "signature-mismatch"),
        ("sha256=ü\ud800", "signature-mismatch"),
        ("", "header-missing"),
        ([f"sha256={HEX}", f"sha256={HEX}"], "header-repeated"),
    ],
)
def test_a_mac_has_one_spelling(value: Any, reason: str) -> None:
    assert refusal(HUB, {"x-hub-signature-256": value}) == reason


def test_all_secrets_count_and_any_of_them_may_match() -> None:
    headers = {"x-hub-signature-256": [f"sha256={HEX}"]}
    HUB.verify(headers, BODY, ["another", SECRET, "a third"], NOW)
    with pytest.raises(Unauthenticated):
        HUB.verify(headers, BODY, ["another", "a third"], NOW)


def test_without_secrets_nobody_gets_in() -> None:
    empty_key = {"x-hub-signature-256": ["sha256=" + mac(BODY, b"").hex()]}
    with pytest.raises(Unauthenticated):
        HUB.verify(empty_key, BODY, [], NOW)


@pytest.mark.parametrize(
    "offset, reason",
    [(0, ""), (300, ""), (-300, ""), (301, "future-timestamp"), (-301, "stale-timestamp")],
)
@pytest.mark.parametrize("name", ["slack", "stripe", "standardwebhooks", "generic"])
def test_the_clock_is_checked_both_ways_to_the_second(name: str, offset: int, reason: str) -> None:
    timestamp = str(NOW + offset)
    scheme, headers, secret = _timed(name, timestamp)
    assert refusal(scheme, headers, secret=secret) == reason


def _timed(name: str, timestamp: str) -> tuple[Scheme, dict[str, Any], str]:
    """A genuine request of the scheme, signed at that time, whatever is written there."""
    stamp = timestamp.encode()
    if name == "stripe":
        signature = mac(stamp + b"." + BODY).hex()
        return Stripe(), {"stripe-signature": f"t={timestamp},v1={signature}"}, SECRET
    if name == "standardwebhooks":
        signature = base64.b64encode(mac(b"msg_1." + stamp + b"." + BODY, KEY)).decode()
        return (
            StandardWebhooks(),
            {"webhook-id": "msg_1", "webhook-timestamp": timestamp, "webhook-signature": f"v1,{signature}"},
            WHSEC,
        )
    prefix = "v0:" if name == "slack" else ""
    scheme = Hmac("x-sig", template=prefix + "{timestamp}:{body}", timestamp_header="x-ts", tolerance=300)
    return scheme, {"x-ts": timestamp, "x-sig": mac(prefix.encode() + stamp + b":" + BODY).hex()}, SECRET


@pytest.mark.parametrize(
    "timestamp",
    ["+1700000000", "1_700_000_000", "1700000000.0", "٠١٢٣", "1700000000 ", "9" * 20, "nan", "1e9", "-1"],
)
@pytest.mark.parametrize("name", ["slack", "stripe", "standardwebhooks", "generic"])
def test_a_timestamp_is_plain_digits(name: str, timestamp: str) -> None:
    scheme, headers, secret = _timed(name, timestamp)
    assert refusal(scheme, headers, secret=secret) == "timestamp-malformed"


@pytest.mark.parametrize("name", ["slack", "generic", "standardwebhooks"])
def test_a_missing_timestamp_is_no_timestamp(name: str) -> None:
    scheme, headers, secret = _timed(name, str(NOW))
    without = {key: value for key, value in headers.items() if not key.endswith(("-ts", "-timestamp"))}
    assert refusal(scheme, without, secret=secret) == "header-missing"


@pytest.mark.parametrize(
    "header, reason",
    [
        (f"t={NOW},t={NOW}", "timestamp-malformed"),
        ("v1=00", "timestamp-malformed"),
        (f"t={NOW}", "signature-mismatch"),
        (f"t={NOW},v0={mac(f'{NOW}.'.encode() + BODY).hex()}", "signature-mismatch"),
        (f"t={NOW},v1={'0' * 64},v1={mac(f'{NOW}.'.encode() + BODY).hex()}", ""),
        (f"t={NOW}" + ",v1=0" * 10, "too-many-signatures"),
        (",,=,", "timestamp-malformed"),
    ],
)
def test_stripes_header_is_read_strictly(header: str, reason: str) -> None:
    assert refusal(Stripe(), {"stripe-signature": header}) == reason


@pytest.mark.parametrize(
    "signature, reason",
    [
        ("v1,GOOD", ""),
        ("v2,x v1,GOOD", ""),
        ("v1,bm9wZQ== v1,GOOD", ""),
        ("v1GOOD", "signature-mismatch"),
        ("v1,GOOD,x", "signature-mismatch"),
        ("v1,", "signature-mismatch"),
        ("v1,!!!", "signature-mismatch"),
        ("v1a,GOOD", "signature-mismatch"),
        ("v1,x,v1,GOOD", "signature-mismatch"),
        (" ".join(["v1,x"] * 10 + ["v1,GOOD"]), "too-many-signatures"),
    ],
)
def test_standard_webhooks_entries_are_compared_as_written(signature: str, reason: str) -> None:
    scheme, headers, secret = _timed("standardwebhooks", str(NOW))
    good = headers["webhook-signature"].removeprefix("v1,")
    assert (
        refusal(scheme, {**headers, "webhook-signature": signature.replace("GOOD", good)}, secret=secret)
        == reason
    )


def test_an_id_with_a_dot_is_refused_since_the_signed_text_could_be_cut_elsewhere() -> None:
    captured_body = b"1700000000.{}"
    signature = base64.b64encode(mac(b"msg_1.1600000000." + captured_body, KEY)).decode()
    shifted = {
        "webhook-id": "msg_1.1600000000",
        "webhook-timestamp": "1700000000",
        "webhook-signature": f"v1,{signature}",
    }
    assert refusal(StandardWebhooks(), shifted, b"{}", WHSEC) == "id-malformed"


@pytest.mark.parametrize("delivery_id", ["a:b", "a b", "a\x00", "ü", "x" * 257])
def test_an_id_with_the_templates_separator_is_refused(delivery_id: str) -> None:
    scheme = Hmac(
        "x-sig", template="{id}:{timestamp}.{body}", timestamp_header="x-ts", id_header="x-id", tolerance=300
    )
    signature = mac(f"{delivery_id}:{NOW}.".encode() + BODY).hex()
    headers = {"x-id": delivery_id, "x-ts": str(NOW), "x-sig": signature}
    assert refusal(scheme, headers) == "id-malformed"


def test_an_hmac_keyed_with_a_public_key_is_not_a_proof() -> None:
    public = "whpk_" + base64.b64encode(bytes(32)).decode()
    for key in (public.encode(), bytes(32)):
        signature = base64.b64encode(mac(f"msg_1.{NOW}.".encode() + BODY, key)).decode()
        for version in ("v1", "v1a"):
            headers = {
                "webhook-id": "msg_1",
                "webhook-timestamp": str(NOW),
                "webhook-signature": f"{version},{signature}",
            }
            assert refusal(StandardWebhooks(), headers, secret=public) == "signature-mismatch"


GITLAB = Either(StandardWebhooks(), Token("x-gitlab-token"))


def test_a_present_signature_decides_even_beside_a_right_token() -> None:
    _, genuine, _ = _timed("standardwebhooks", str(NOW))
    secrets = [WHSEC, SECRET]
    both = fold({**genuine, "x-gitlab-token": SECRET}.items())
    GITLAB.verify(both, BODY, secrets, NOW)
    with pytest.raises(Unauthenticated):
        GITLAB.verify(both, BODY + b" ", secrets, NOW)
    GITLAB.verify({"x-gitlab-token": [SECRET]}, BODY, secrets, NOW)


def test_the_signing_key_is_no_token() -> None:
    with pytest.raises(Unauthenticated):
        GITLAB.verify({"x-gitlab-token": [WHSEC]}, BODY, [WHSEC, SECRET], NOW)


@pytest.mark.parametrize(
    "sent, reason",
    [
        (SECRET, ""),
        (SECRET + "x", "token-mismatch"),
        (SECRET[:-1], "token-mismatch"),
        (SECRET.upper(), "token-mismatch"),
        (" " + SECRET, "token-mismatch"),
        ("", "header-missing"),
        ([SECRET, "x"], "header-repeated"),
    ],
)
def test_a_token_is_the_secret_itself(sent: Any, reason: str) -> None:
    assert refusal(Token("x-token"), {"x-token": sent}) == reason


def test_a_token_beyond_ascii_passes_as_utf8_and_as_the_latin1_that_servers_make_of_it() -> None:
    for sent in ("flambée", "flambée".encode().decode("latin-1")):
        assert refusal(Token("x-token"), {"x-token": sent}, secret="flambée") == ""


def test_a_uuid_counts_with_and_without_braces() -> None:
    scheme = Token("x-hook-uuid", strip="{}")
    for sent in ("5a3c", "{5a3c}"):
        for secret in ("5a3c", "{5a3c}"):
            assert refusal(scheme, {"x-hook-uuid": sent}, secret=secret) == ""
    assert refusal(scheme, {"x-hook-uuid": "5a3d"}, secret="5a3c") == "token-mismatch"


@pytest.mark.parametrize(
    "value, reason",
    [
        ("Basic " + base64.b64encode(b"argo:" + SECRET.encode()).decode(), ""),
        ("basic " + base64.b64encode(b"argo:" + SECRET.encode()).decode(), "token-mismatch"),
        ("Basic " + base64.b64encode(b"other:" + SECRET.encode()).decode(), "token-mismatch"),
        ("Basic !!!", "token-mismatch"),
        ("Bearer " + SECRET, "token-mismatch"),
    ],
)
def test_basic_credentials_are_compared_as_sent(value: str, reason: str) -> None:
    assert refusal(Basic("argo"), {"authorization": value}) == reason


FORM = {"content-type": ["application/x-www-form-urlencoded"]}
GITEA = Hmac("x-gitea-signature", form_payload=True)


@pytest.mark.parametrize(
    "form, reason",
    [
        (b"payload=%7B%22lit%22%3A+true%7D", ""),
        (b"payload=%7b%22lit%22%3A+true%7D", "form-malformed"),
        (b"payload=%7B%22lit%22%3A%20true%7D", "form-malformed"),
        (b"payload=%7B%22lit%22%3A+true%7D&payload=%7B%7D", "signature-mismatch"),
        (b"payload=%7B%7D&payload=%7B%22lit%22%3A+true%7D", "signature-mismatch"),
        (b"x=1&payload=%7B%22lit%22%3A+true%7D", "form-malformed"),
        (b"", "form-malformed"),
    ],
)
def test_giteas_form_is_verified_over_its_json_in_one_spelling(form: bytes, reason: str) -> None:
    assert refusal(GITEA, {**FORM, "x-gitea-signature": HEX}, form) == reason


def test_json_under_curls_form_content_type_is_json() -> None:
    assert not is_form(FORM, b' {"a":1}')
    assert not is_form({"content-type": ["application/json"]}, b"payload=1")
    assert is_form({"content-type": ["Application/X-WWW-Form-Urlencoded; charset=UTF-8"]}, b"payload=%7B%7D")


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_form_fields_never_fail(body: bytes) -> None:
    assert all(isinstance(value, bytes) for pair in form_fields(body) for value in pair)


@pytest.mark.parametrize(
    "secret, problem",
    [
        (WHSEC, ""),
        (base64.b64encode(KEY).decode(), ""),
        ("whsec_", "nothing follows"),
        ("whsec_***", "base64"),
        ("whpk_AAAA", "32 bytes"),
    ],
)
def test_a_standard_webhooks_secret_is_checked_when_it_is_loaded(secret: str, problem: str) -> None:
    try:
        check_secret(StandardWebhooks(), secret)
        found = ""
    except ValueError as error:
        found = str(error)
    assert problem in found
    assert bool(problem) == bool(found)


SNS: Recorded = recorded(SAMPLES / "sns" / "notification.json")
CERTIFICATE_URL = json.loads(SNS["body"])["SigningCertURL"]


def _sns(fetched: list[str], headers: dict[str, list[str]] | None = None, **changed: Any) -> str:
    message = {**json.loads(SNS["body"]), **changed}
    body = json.dumps({key: value for key, value in message.items() if value is not None}).encode()

    def certificates(url: str) -> bytes:
        fetched.append(url)
        return str(SNS["config"]["certs"][CERTIFICATE_URL]).encode()

    scheme = Sns(tuple(SNS["config"]["topic_arns"]))
    sent = {"x-amz-sns-message-type": ["Notification"], **(headers or {})}
    try:
        scheme.verify(sent, body, (), SNS["now"], certificates)
    except Unauthenticated as refused:
        return refused.detail
    return ""


def test_an_sns_message_is_verified_by_the_certificate_it_names() -> None:
    fetched: list[str] = []
    assert _sns(fetched) == ""
    assert fetched == [CERTIFICATE_URL]


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"TopicArn": "arn:aws:sns:eu-central-1:123456789012:other"}, "topic-not-allowed"),
        ({"Timestamp": "2026-01-05T08:29:00.000Z"}, "stale-timestamp"),
        ({"Timestamp": "2026-01-05T09:36:00.000Z"}, "future-timestamp"),
        ({"Timestamp": "2026-01-05 09:30:00"}, "timestamp-malformed"),
        ({"Timestamp": "2026-13-05T09:30:00Z"}, "timestamp-malformed"),
        ({"Timestamp": 5}, "timestamp-malformed"),
        ({"SigningCertURL": CERTIFICATE_URL.replace("https", "http")}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL.replace(".com", ".com.evil.example")}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL.replace(".com", ".com.cn")}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL.replace(".com", ".com:8443")}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL.replace("//", "//sns@evil.example/")}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL.replace("eu-central-1", "us-east-1")}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL + "?x"}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL + "\n"}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL.replace("sns.", "snѕ.")}, "certificate-url"),
        ({"SigningCertURL": CERTIFICATE_URL.replace("/Simple", "/../Simple")}, "certificate-url"),
        ({"Type": "SubscriptionConfirmation"}, "message-mismatch"),
        ({"MessageId": None}, "message-malformed"),
    ],
)
def test_an_sns_message_is_refused_before_anything_is_fetched(changed: dict[str, Any], reason: str) -> None:
    fetched: list[str] = []
    found = _sns(fetched, **changed)
    assert found == reason
    assert fetched == []


@pytest.mark.parametrize(
    "changed",
    [
        {"Message": '{"lit": false}'},
        {"Subject": "Lamp "},
        {"Subject": None},
        {"MessageId": "m-9"},
        {"Timestamp": "2026-01-05T09:30:01.000Z"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"SignatureVersion": 2},
        {"Signature": "AAAA"},
        {"Signature": "ü"},
        {"Signature": json.loads(SNS["body"])["Signature"] + "\n"},
        {"Signature": json.loads(SNS["body"])["Signature"][:-3] + "B=="},
    ],
)
def test_no_signed_value_of_an_sns_message_can_be_changed(changed: dict[str, Any]) -> None:
    assert _sns([], **changed) == "signature-mismatch"


@pytest.mark.parametrize(
    "name, key", [("x-amz-sns-message-id", "MessageId"), ("x-amz-sns-topic-arn", "TopicArn")]
)
def test_what_sns_repeats_in_headers_is_what_it_signed(name: str, key: str) -> None:
    signed = json.loads(SNS["body"])[key]
    assert _sns([], headers={name: [signed]}) == ""
    for others in ([signed + "x"], [signed, signed], [""]):
        assert _sns([], headers={name: others}) == "message-mismatch"


def test_a_certificate_that_is_none_is_a_refusal() -> None:
    scheme = Sns(tuple(SNS["config"]["topic_arns"]))
    for certificates in (None, lambda url: b"no certificate", lambda url: b""):
        with pytest.raises(Unauthenticated) as refused:
            scheme.verify(
                {"x-amz-sns-message-type": ["Notification"]},
                SNS["body"].encode(),
                (),
                SNS["now"],
                certificates,
            )
        assert refused.value.detail == "certificate-unusable"


# Where the body is signed, and the headers and parameters that belong to the proof.
_PROOF = {
    "github": ("x-hub-signature-256",),
    "bitbucket": ("x-hub-signature",),
    "bitbucketserver": ("x-hub-signature",),
    "gitea": ("x-gitea-signature",),
    "forgejo": ("x-forgejo-signature",),
    "gogs": ("x-gogs-signature",),
    "standardwebhooks": ("webhook-id", "webhook-timestamp", "webhook-signature"),
    "slack": ("x-slack-request-timestamp", "x-slack-signature"),
    "stripe": ("stripe-signature",),
    "pagerduty": ("x-pagerduty-signature",),
    "generic-hmac": ("x-id", "x-ts", "x-sig"),
}
_SIGNED = {
    provider: next(
        recorded(path)
        for path in sorted((SAMPLES / provider).glob("*.json"))
        if recorded(path)["expect"] == "accept" and "svix" not in path.name and "ed25519" not in path.name
    )
    for provider in _PROOF
}
_SIGNED["standardwebhooks-ed25519"] = recorded(SAMPLES / "standardwebhooks" / "invoice.paid-ed25519.json")
_SIGNED["gitlab-signing-token"] = recorded(SAMPLES / "gitlab" / "push-signing-token.json")
_SIGNED["gitlab-both"] = recorded(SAMPLES / "gitlab" / "push-both.json")
_SIGNED["gitea-form"] = recorded(SAMPLES / "gitea" / "push-form.json")
_SWH = _PROOF["standardwebhooks"]
_HEADERS = {
    **_PROOF,
    "standardwebhooks-ed25519": _SWH,
    "gitlab-signing-token": _SWH,
    "gitlab-both": _SWH,
    "gitea-form": _PROOF["gitea"],
}
_STRIPE_UNSIGNED = "v0="


def _accepted(attempt: Callable[[], Any]) -> bool:
    try:
        attempt()
    except LynceusError as error:
        refused = error
    else:
        return True
    # A secret that became unusable is a configuration that does not load.
    assert refused.http_status < 500 or isinstance(refused, ClientError)
    return False


def _with_byte(data: bytes, at: int, byte: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([byte]) + data[at + 1 :]


@pytest.mark.parametrize("name", sorted(_SIGNED))
def test_the_unchanged_request_is_accepted(name: str) -> None:
    request = _SIGNED[name]
    assert _accepted(lambda: authenticate(delivery_of(request), clients_of(request)))


@pytest.mark.parametrize("name", sorted(_SIGNED))
@given(at=st.integers(0, 1 << 20), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_no_single_byte_change_of_a_body_is_accepted(name: str, at: int, byte: int) -> None:
    request = _SIGNED[name]
    delivery = delivery_of(request)
    body = _with_byte(delivery.body, at, byte)
    accepted = _accepted(lambda: authenticate(replace(delivery, body=body), clients_of(request)))
    assert accepted == (body == delivery.body)


@pytest.mark.parametrize("name", sorted(_SIGNED))
@given(which=st.integers(0, 9), at=st.integers(0, 1 << 20), byte=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_no_single_byte_change_of_a_proving_header_is_accepted(
    name: str, which: int, at: int, byte: int
) -> None:
    request = _SIGNED[name]
    delivery = delivery_of(request)
    header = _HEADERS[name][which % len(_HEADERS[name])]
    (value,) = delivery.header_values(header)
    # What Stripe signs with its test scheme proves nothing and is ignored.
    covered = value.partition("," + _STRIPE_UNSIGNED)[0]
    changed = _with_byte(covered.encode(), at, byte).decode("latin-1") + value[len(covered) :]
    headers = [(key, changed if key.lower() == header else old) for key, old in delivery.headers]
    accepted = _accepted(lambda: authenticate(replace(delivery, headers=headers), clients_of(request)))
    assert accepted == (changed == value)


@pytest.mark.parametrize("name", sorted(_SIGNED))
@given(at=st.integers(0, 1 << 20), byte=st.integers(0x21, 0x7E))
@settings(max_examples=60, deadline=None)
def test_no_single_byte_change_of_a_secret_is_accepted(name: str, at: int, byte: int) -> None:
    request = _SIGNED[name]
    entry = document_of(request)
    secret = entry.get("secret") or entry["secrets"][0]
    changed = _with_byte(secret.encode(), at, byte).decode()
    if "secrets" in entry:
        entry["secrets"] = [changed, *entry["secrets"][1:]]
    else:
        entry["secret"] = changed
    accepted = _accepted(
        lambda: authenticate(delivery_of(request), parse_clients(json.dumps({"sender": entry})))
    )
    # The prefix whsec_ is optional, and base64's last digit may hold bits that are no part of the key.
    same = changed == secret or _same_key(changed, secret)
    assert accepted == same


def _same_key(changed: str, secret: str) -> bool:
    if not secret.startswith(("whsec_", "whpk_")) or not changed.startswith(secret[: secret.index("_") + 1]):
        return False
    try:
        return base64.b64decode(changed.partition("_")[2], validate=True) == base64.b64decode(
            secret.partition("_")[2]
        )
    except ValueError:
        return False


@given(at=st.integers(0, 1 << 20), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_no_single_byte_change_of_what_sns_signed_is_accepted(at: int, byte: int) -> None:
    """Blanks between the fields, and the fields that SNS does not sign, may differ; nothing else may."""
    delivery, known = delivery_of(SNS), clients_of(SNS)
    pem = str(SNS["config"]["certs"][CERTIFICATE_URL]).encode()
    body = _with_byte(delivery.body, at, byte)
    try:
        found = authenticate(replace(delivery, body=body), known, lambda url: pem)
    except Unauthenticated:
        return
    signed = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type", "Signature")
    sent = json.loads(delivery.body)
    assert [found.payload.get(key) for key in signed] == [sent.get(key) for key in signed]


_TOKENS = {
    "gitlab/push": "x-gitlab-token",
    "bitbucket/repo-push-uuid": "x-hook-uuid",
    "azuredevops/git.push": "authorization",
    "eventbridge/ecr-image-push": "x-api-key",
    "harbor/PUSH_ARTIFACT": "authorization",
    "cloudevents/structured": "authorization",
    "generic-token/done": "x-lamp-token",
    "dockerhub/push": "",  # in the URL
    "quay/repo_push": "",
}


@pytest.mark.parametrize("name", _TOKENS)
@given(at=st.integers(0, 1 << 20), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_no_single_byte_change_of_a_token_is_accepted(name: str, at: int, byte: int) -> None:
    request = recorded(SAMPLES / f"{name}.json")
    delivery, header = delivery_of(request), _TOKENS[name]
    (value,) = delivery.header_values(header) if header else delivery.query["token"]
    changed = _with_byte(value.encode(), at, byte).decode("latin-1")
    if header:
        headers = [(key, changed if key.lower() == header else old) for key, old in delivery.headers]
        delivery = replace(delivery, headers=headers)
    else:
        delivery = replace(delivery, query={"token": [changed]})
    assert _accepted(lambda: authenticate(delivery, clients_of(request))) == (changed == value)
