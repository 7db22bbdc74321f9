"""The ways a sender proves who it is: a handful of schemes, each a frozen value with one step, `verify`.

Every scheme takes the headers (see `fold`), the raw body, the secrets that count at this moment and the
receiver's clock in Unix seconds; it returns nothing, or raises Unauthenticated whose `detail` is a key of
REASONS. What holds for all of them:

- The bytes on the wire are signed, so nothing is parsed first; the two exceptions say why.
- The *encoded* text is compared, in constant time, on bytes: a MAC has one spelling, and no decoder's
  leniency (upper-case hex, blanks in base64) can widen it.
- Every secret is compared with every signature offered, however early one of them matches.
- A header that decides must be there exactly once; gateways join repeats with commas, which then fits nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote_plus, unquote_to_bytes

from chalicelib.core.errors import Unauthenticated

Headers = Mapping[str, Sequence[str]]  # lower-case name → values in order
Certificates = Callable[[str], bytes]  # URL → PEM, fetched by an adapter

MAX_SIGNATURES = 10  # in one header; a rotation needs two
MAX_ID = 256  # characters of an id that is signed

# What `Unauthenticated.detail` may say; for our own log, never for the sender.
REASONS: dict[str, str] = {
    "no-client": "no webhook client of the namespace expects such headers at this discriminator",
    "no-match": "several webhook clients were compared and none matched",
    "ambiguous": "more than one webhook client matched",
    "method-not-post": "webhooks are POST",
    "header-missing": "a header that the proof needs is absent or empty",
    "header-repeated": "a header that the proof needs came more than once",
    "signature-mismatch": "the signature does not belong to this body and any of our secrets",
    "too-many-signatures": f"more than {MAX_SIGNATURES} signatures in one header",
    "token-mismatch": "the token is none of ours",
    "timestamp-malformed": "the timestamp is not plain seconds, or not there exactly once",
    "stale-timestamp": "the timestamp is too far in the past",
    "future-timestamp": "the timestamp is too far in the future",
    "id-malformed": "the delivery id is too long, or holds what separates it from the rest of the signed text",
    "form-malformed": "the form is not exactly one payload field in its one spelling",
    "other-hook": "X-Hook-UUID is not the hook_uuid of the webhook client",
    "message-malformed": "the body is not an SNS message",
    "message-mismatch": "headers and signed body disagree",
    "topic-not-allowed": "the topic is not one of the client's topic_arns",
    "certificate-url": "the certificate's URL is not one of SNS's in the topic's region",
    "certificate-unusable": "the certificate cannot be had, or holds no RSA key",
}

_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
_VISIBLE = re.compile(r"[!-~]+")


class Scheme(Protocol):
    """One way to prove who sent a request."""

    @property
    def header(self) -> str:
        """The lower-case name of the header that carries the proof."""

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str], now: int) -> None:
        """Returns when the proof holds and raises Unauthenticated when not; `now` is Unix seconds."""


@dataclass(frozen=True)
class Hmac:
    """`<prefix><encoded MAC>` over the body, or over a template that also names time and id."""

    header: str
    prefix: str = ""
    algorithm: str = "sha256"  # from the configuration, never from the request
    encoding: str = "hex"
    template: str = "{body}"
    timestamp_header: str = ""
    tolerance: int = 0  # seconds, both ways
    id_header: str = ""
    list_separator: str = ""  # "" where the header holds one signature
    form_payload: bool = False  # Gitea and its forks sign the JSON inside the form, not the form they send

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str], now: int) -> None:
        offered = _listed(_single(headers, self.header), self.list_separator)
        fields = {"body": body}
        if "{timestamp}" in self.template:
            timestamp = _single(headers, self.timestamp_header)
            _check_time(_seconds(timestamp), now, self.tolerance, self.tolerance)
            fields["timestamp"] = timestamp.encode()
        if "{id}" in self.template:
            delivery_id = _single(headers, self.id_header)
            before, _, after = self.template.partition("{id}")
            _check_id(delivery_id, before.rpartition("}")[2], after.partition("{")[0])
            fields["id"] = delivery_id.encode()
        in_form = self.form_payload and is_form(headers, body)
        if in_form:
            fields["body"] = _form_payload(body)
        signed = filled(self.template, fields)
        expected = [
            self.prefix + encoded(hmac.digest(secret.encode(), signed, self.algorithm), self.encoding)
            for secret in secrets
        ]
        if not _any_equal(expected, offered):
            raise Unauthenticated("signature-mismatch")
        # After the comparison, since it is slow: nobody signed the form, so only one spelling of it may pass;
        # a second field, or another encoding of the same JSON, would be a change that no MAC covers.
        if in_form and body != b"payload=" + quote_plus(fields["body"]).encode():
            raise Unauthenticated("form-malformed")


@dataclass(frozen=True)
class StandardWebhooks:
    """`v1,<base64>` (HMAC-SHA256) or `v1a,<base64>` (Ed25519) over `{id}.{timestamp}.{body}`.

    A `whsec_…` secret looks at v1 only, a `whpk_…` public key at v1a only: otherwise anybody could key an
    HMAC with the public key. Ids with a dot are refused, because with one the signed text can be cut in two
    ways. Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """

    header_prefix: str = "webhook-"
    tolerance: int = 300  # seconds, both ways

    @property
    def header(self) -> str:
        return self.header_prefix + "signature"

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str], now: int) -> None:
        entries = _listed(_single(headers, self.header), " ")
        delivery_id = _single(headers, self.header_prefix + "id")
        timestamp = _single(headers, self.header_prefix + "timestamp")
        _check_time(_seconds(timestamp), now, self.tolerance, self.tolerance)
        _check_id(delivery_id, ".")
        signed = f"{delivery_id}.{timestamp}.".encode() + body
        shared = [secret for secret in secrets if not secret.startswith("whpk_")]
        expected = [
            "v1," + encoded(hmac.digest(key_of(secret), signed, "sha256"), "base64") for secret in shared
        ]
        matched = _any_equal(expected, entries)
        for secret in secrets:
            if secret.startswith("whpk_"):
                for entry in entries:
                    version, _, signature = entry.partition(",")
                    matched |= version == "v1a" and _ed25519_holds(key_of(secret), signature, signed)
        if not matched:
            raise Unauthenticated("signature-mismatch")


@dataclass(frozen=True)
class Stripe:
    """`t=<seconds>,v1=<hex>[,v1=<hex>]` over `{t}.{body}`; the key is the whole `whsec_…` text.

    Only `v1` counts (`v0` is Stripe's test scheme, signed with nothing of ours); exactly one `t`.
    Source: https://docs.stripe.com/webhooks#verify-manually
    """

    tolerance: int = 300  # seconds, both ways; Stripe's own library looks only into the past
    header: str = "stripe-signature"

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str], now: int) -> None:
        items = [item.partition("=") for item in _listed(_single(headers, self.header), ",")]
        timestamps = [value for name, _, value in items if name == "t"]
        if len(timestamps) != 1:
            raise Unauthenticated("timestamp-malformed")
        _check_time(_seconds(timestamps[0]), now, self.tolerance, self.tolerance)
        signed = timestamps[0].encode() + b"." + body
        expected = [hmac.digest(secret.encode(), signed, "sha256").hex() for secret in secrets]
        if not _any_equal(expected, [value for name, _, value in items if name == "v1"]):
            raise Unauthenticated("signature-mismatch")


@dataclass(frozen=True)
class Token:
    """The secret itself, in a header or (`in_query`) in a URL parameter; covers nothing of the body.

    `strip` holds characters that both sides may carry around it: Bitbucket shows a UUID with braces and
    sends it without.
    """

    header: str  # the parameter's name where `in_query`
    prefix: str = ""
    strip: str = ""
    in_query: bool = False

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str], now: int) -> None:  # noqa: ARG002
        sent = _single(headers, self.header).strip(self.strip)
        offered = [sent]
        if not sent.isascii():
            # HTTP servers hand over header bytes as Latin-1, API Gateway as UTF-8.
            offered.append(sent.encode("latin-1", "replace").decode("utf-8", "replace"))
        if not _any_equal([self.prefix + secret.strip(self.strip) for secret in secrets], offered):
            raise Unauthenticated("token-mismatch")


@dataclass(frozen=True)
class Basic:
    """`Authorization: Basic base64(<username>:<secret>)`."""

    username: str
    header: str = "authorization"

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str], now: int) -> None:  # noqa: ARG002
        expected = ["Basic " + encoded(f"{self.username}:{secret}".encode(), "base64") for secret in secrets]
        if not _any_equal(expected, [_single(headers, self.header)]):
            raise Unauthenticated("token-mismatch")


@dataclass(frozen=True)
class Either:
    """`signed` decides wherever its header is there, right or wrong; `token` only where it is not.

    GitLab's way from the secret token to the signing token. Secrets beginning with `whsec_` belong to the
    first, all others to the second.
    """

    signed: StandardWebhooks
    token: Token

    @property
    def header(self) -> str:
        return self.signed.header

    def verify(self, headers: Headers, body: bytes, secrets: Sequence[str], now: int) -> None:
        scheme: Scheme = self.signed if self.signed.header in headers else self.token
        signing = scheme is self.signed
        mine = [secret for secret in secrets if secret.startswith("whsec_") is signing]
        scheme.verify(headers, body, mine, now)


@dataclass(frozen=True)
class Sns:
    """An RSA signature inside the JSON, by a certificate that the message itself names.

    The one scheme that must parse before it can verify. A valid signature proves only "some AWS account",
    so the topic is looked at first, then the time, then the certificate's URL, which must be one of SNS's
    own in the topic's region; only then is anything fetched.
    Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
    """

    topic_arns: tuple[str, ...]
    tolerance: int = 3600  # seconds into the past: SNS retries that long
    certs: tuple[tuple[str, str], ...] = ()  # (URL, PEM) known beforehand, never fetched
    header: str = "x-amz-sns-message-type"

    def verify(
        self,
        headers: Headers,
        body: bytes,
        secrets: Sequence[str],  # noqa: ARG002  # SNS shares none
        now: int,
        certificates: Certificates | None = None,
    ) -> None:
        message = sns_message(body)
        keys = _SNS_KEYS.get(_single(headers, self.header))
        # Nobody signed the headers, and bindings may look at them.
        same = all([*headers[name]] == [message.get(key)] for name, key in _SNS_HEADERS if name in headers)
        if keys is None or not same:
            raise Unauthenticated("message-mismatch")
        topic = message.get("TopicArn", "")
        if topic not in self.topic_arns:
            raise Unauthenticated("topic-not-allowed")
        _check_time(_iso_seconds(message.get("Timestamp", "")), now, self.tolerance, min(self.tolerance, 300))
        lines = [(key, message[key]) for key in keys if key in message]
        if {key for key, _ in lines} | {"Subject"} != set(keys) | {"Subject"}:
            raise Unauthenticated("message-malformed")
        try:
            signed = "".join(f"{key}\n{value}\n" for key, value in lines).encode()
        except UnicodeEncodeError as error:  # half a surrogate pair, escaped
            raise Unauthenticated("message-malformed") from error
        pem = self._certificate(message.get("SigningCertURL", ""), topic, certificates)
        if not _rsa_holds(pem, message.get("SignatureVersion", ""), message.get("Signature", ""), signed):
            raise Unauthenticated("signature-mismatch")

    def _certificate(self, url: str, topic: str, certificates: Certificates | None) -> bytes:
        _, partition, _, region, *_ = topic.split(":")
        suffix = ".cn" if partition == "aws-cn" else ""
        if not re.fullmatch(
            rf"https://sns\.{re.escape(region)}\.amazonaws\.com{re.escape(suffix)}"
            r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem",
            url,
        ):
            raise Unauthenticated("certificate-url")
        known = dict(self.certs).get(url)
        if known is not None:
            return known.encode()
        if certificates is None:
            raise Unauthenticated("certificate-unusable")
        return certificates(url)


_SNS_CONFIRMATION_KEYS = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SNS_KEYS = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": _SNS_CONFIRMATION_KEYS,
    "UnsubscribeConfirmation": _SNS_CONFIRMATION_KEYS,
}
_SNS_HEADERS = (
    ("x-amz-sns-message-type", "Type"),
    ("x-amz-sns-message-id", "MessageId"),
    ("x-amz-sns-topic-arn", "TopicArn"),
)


def sns_message(body: bytes) -> dict[str, str]:
    """The texts of an SNS envelope; raises Unauthenticated for what is none, since nothing is proven yet.

    Read by Python's parser alone: what Go would still forgive, SNS never sends.
    """
    try:
        message: Any = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        raise Unauthenticated("message-malformed") from error
    if not isinstance(message, dict):
        raise Unauthenticated("message-malformed")
    return {key: value for key, value in message.items() if isinstance(value, str)}


def check_secret(scheme: Scheme, secret: str) -> None:
    """Raises ValueError saying what is wrong, without the secret in it, for one the scheme cannot use."""
    if isinstance(scheme, Token) and not secret.strip(scheme.strip):
        raise ValueError(f"holds nothing but {scheme.strip}")
    if isinstance(scheme, StandardWebhooks) or (isinstance(scheme, Either) and secret.startswith("whsec_")):
        key = key_of(secret)
        if secret.startswith("whpk_") and len(key) != 32:
            raise ValueError(f"the key behind whpk_ must have 32 bytes, it has {len(key)}")


def fold(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Lower-case name → values in order."""
    folded: dict[str, list[str]] = {}
    for name, value in headers:
        folded.setdefault(name.lower(), []).append(value)
    return folded


def is_form(headers: Headers, body: bytes) -> bool:
    """Whether the body is a form: by its content type, unless it plainly is JSON (curl's default type lies)."""
    media_type = ",".join(headers.get("content-type", ())).partition(";")[0].strip().lower()
    return media_type == "application/x-www-form-urlencoded" and body.lstrip()[:1] not in (b"{", b"[")


def form_fields(body: bytes) -> list[tuple[bytes, bytes]]:
    """The form's fields in order, decoded once; never fails."""
    fields = []
    for part in body.split(b"&"):
        if part:
            name, _, value = part.replace(b"+", b" ").partition(b"=")
            fields.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return fields


def encoded(digest: bytes, encoding: str) -> str:
    """The digest as text in its one spelling: `hex` in lower case, `base64` padded, `base64url` not padded."""
    if encoding == "hex":
        return digest.hex()
    if encoding == "base64":
        return base64.b64encode(digest).decode()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _single(headers: Headers, name: str) -> str:
    values = headers.get(name, ())
    if len(values) > 1:
        raise Unauthenticated("header-repeated")
    if not values or not values[0]:
        raise Unauthenticated("header-missing")
    return values[0]


def _listed(value: str, separator: str) -> list[str]:
    if not separator:
        return [value]
    if value.count(separator) >= MAX_SIGNATURES:
        raise Unauthenticated("too-many-signatures")
    return value.split(separator)


def _any_equal(expected: Iterable[str], offered: Iterable[str]) -> bool:
    wanted = [text.encode() for text in expected]
    matched = False
    for text in offered:
        sent = text.encode("utf-8", "surrogatepass")
        for candidate in wanted:
            matched |= hmac.compare_digest(candidate, sent)
    return matched


def _seconds(text: str) -> int:
    # int() alone takes `1_0`, `+1`, blanks and Arabic digits.
    if not _SECONDS.fullmatch(text):
        raise Unauthenticated("timestamp-malformed")
    return int(text)


def _iso_seconds(text: str) -> int:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z", text):
        raise Unauthenticated("timestamp-malformed")
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError) as error:
        raise Unauthenticated("timestamp-malformed") from error


def _check_time(timestamp: int, now: int, past: int, future: int) -> None:
    if now - timestamp > past:
        raise Unauthenticated("stale-timestamp")
    if timestamp - now > future:
        raise Unauthenticated("future-timestamp")


def _check_id(delivery_id: str, *separators: str) -> None:
    if len(delivery_id) > MAX_ID or not _VISIBLE.fullmatch(delivery_id):
        raise Unauthenticated("id-malformed")
    # With a separator inside it, the same signed text could be cut into another id and another body.
    if any(separator and separator in delivery_id for separator in separators):
        raise Unauthenticated("id-malformed")


def filled(template: str, fields: Mapping[str, bytes]) -> bytes:
    """The signed bytes: the template with `{body}`, `{timestamp}` and `{id}` replaced."""
    parts = re.split(r"\{(body|timestamp|id)\}", template)
    # re.split puts the groups at the odd places.
    return b"".join(
        fields[part] if odd else part.encode() for index, part in enumerate(parts) for odd in [index % 2]
    )


def _form_payload(body: bytes) -> bytes:
    if not body.startswith(b"payload="):
        raise Unauthenticated("form-malformed")
    return unquote_to_bytes(body[len(b"payload=") :].replace(b"+", b" "))


def key_of(secret: str) -> bytes:
    """The key's bytes behind `whsec_` or `whpk_`; raises ValueError for what is not base64 or is empty."""
    text = secret.removeprefix("whsec_").removeprefix("whpk_")
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ must be base64") from None
    if not key:
        raise ValueError("nothing follows whsec_")
    return key


def _decoded(signature: str) -> bytes:
    """The bytes of a signature in base64; b"", which nothing verifies, for any but their one spelling."""
    try:
        decoded = base64.b64decode(signature, validate=True)
    except ValueError:
        return b""
    return decoded if encoded(decoded, "base64") == signature else b""


def _ed25519_holds(key: bytes, signature: str, signed: bytes) -> bool:
    # Imported here: most containers never meet this scheme, and the import costs tens of milliseconds.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(_decoded(signature), signed)
    except InvalidSignature:
        return False
    return True


def _rsa_holds(pem: bytes, version: str, signature: str, signed: bytes) -> bool:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    # 1 is still the default of a topic; sha1 is sound here as far as nobody can choose AWS's message.
    algorithms: dict[str, hashes.HashAlgorithm] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303
    if version not in algorithms:
        return False
    try:
        key = x509.load_pem_x509_certificate(pem).public_key()
    except ValueError as error:
        raise Unauthenticated("certificate-unusable") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise Unauthenticated("certificate-unusable")
    try:
        key.verify(_decoded(signature), signed, padding.PKCS1v15(), algorithms[version])
    except InvalidSignature:
        return False
    return True
