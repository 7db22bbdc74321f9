"""Webhook clients: which sender may act as which ServiceAccount.

A client is a name and a secret. The name is a ServiceAccount of the namespace, as in Argo; what the client
sends may do what that account may do. The clients of a namespace are one document in Secrets Manager, which
loads whole or not at all: a client with an empty secret, an unknown type or a misspelt option would
otherwise be a door that nobody watches. Messages name client and field, and never hold a secret; that is
also why nothing of a YAML parser's own messages is passed on.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from chalicelib.core.errors import ClientError
from chalicelib.core.events import RFC1123_SUBDOMAIN
from chalicelib.core.providers import PROVIDERS, Provider, Way, nothing
from chalicelib.core.signatures import Either, Hmac, Scheme, Sns, StandardWebhooks, Token, check_secret

CREDENTIAL_HEADERS: frozenset[str] = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token", "x-amz-security-token"}
).union(*(provider.credentials for provider in PROVIDERS.values()))
"""Lower-case names that reach no expression, ledger, queue or log; a client's own are added to these."""


@dataclass(frozen=True)
class WebhookClient:
    """A sender that may act as one ServiceAccount of the namespace."""

    name: str  # the ServiceAccount's
    type: str  # a key of PROVIDERS
    scheme: Scheme
    secrets: tuple[str, ...] = field(repr=False)  # all of them count; () only where the scheme needs none
    events: frozenset[str] | None = None  # None: all
    discriminators: frozenset[str] | None = None  # None: any
    verdicts: bool = False  # may ask what its deliveries matched
    replay: str = "delivery-id"  # or body-hash
    rate_limit: int | None = None  # deliveries a minute
    expose_credentials: bool = False  # shows x-gitlab-token and its like to expressions
    event_header: str = ""
    id_header: str = ""
    hook_uuid: str = ""
    allowed_origins: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # what loads, and should be looked at all the same

    @property
    def provider(self) -> Provider:
        """The sender's row."""
        return PROVIDERS[self.type]

    @property
    def credential_headers(self) -> frozenset[str]:
        """Lower-case names of the headers that are credentials in this client's deliveries: never to be kept."""
        if isinstance(self.scheme, Sns) or (isinstance(self.scheme, Token) and self.scheme.in_query):
            return CREDENTIAL_HEADERS
        return CREDENTIAL_HEADERS | {self.scheme.header}


def parse_clients(document: str) -> tuple[WebhookClient, ...]:
    """The webhook clients in the YAML or JSON document kept for a namespace, in its order.

    Shape: client name → `{type, secret or secrets, …options}`; Argo's entries, whose values are texts that
    hold YAML, load as they are. Raises ClientError naming client and field, never a secret.
    """
    entries = _mapping(_loaded(document, "the webhook clients document"), "the webhook clients document")
    clients = tuple(_client(name, value) for name, value in entries.items())
    warned = _check_equal_secrets(clients)
    return tuple(
        dataclasses.replace(client, warnings=client.warnings + warned[client.name])
        if client.name in warned
        else client
        for client in clients
    )


def entries_of(document: str) -> dict[str, Any]:
    """The entries of a document as they are written, for whoever changes one of them; raises ClientError."""
    entries = _mapping(_loaded(document, "the webhook clients document"), "the webhook clients document")
    # Argo's form: each value is a text that holds YAML.
    return {
        name: _loaded(value, f'webhook client "{name[:80]}"') if isinstance(value, str) else value
        for name, value in entries.items()
    }


def with_previous(
    current: Sequence[WebhookClient], previous: Sequence[WebhookClient]
) -> tuple[WebhookClient, ...]:
    """The current clients, each with the secrets that the same client had before the rotation.

    The previous document lends nothing else: no client that is gone, none that changed its type or its way
    of proving itself, and no secret that belongs to another client now.
    """
    before = {client.name: client for client in previous}
    return tuple(_with_lent(client, before.get(client.name), current) for client in current)


def _with_lent(
    client: WebhookClient, before: WebhookClient | None, current: Sequence[WebhookClient]
) -> WebhookClient:
    # Another kind of scheme would read the old secret as something else: a hook UUID as an HMAC key.
    if before is None or before.type != client.type or type(before.scheme) is not type(client.scheme):
        return client
    taken = {secret for other in current for secret in other.secrets}
    lent = tuple(secret for secret in before.secrets if secret not in taken)
    return dataclasses.replace(client, secrets=client.secrets + lent)


class _Texts(yaml.SafeLoader):
    """YAML whose scalars stay the text that was written, but for null, true and false; no key twice.

    `secret: 0123` is four characters, not 83.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own attribute, never written to
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:bool")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        _refuse_repeats(keys)
        return super().construct_mapping(node, deep=deep)


def _refuse_repeats(keys: Sequence[Any]) -> None:
    seen = set()
    for key in keys:
        if not isinstance(key, str):
            raise ClientError("the webhook clients document: every key must be a text")
        if key in seen:
            raise ClientError(f'the webhook clients document: "{key[:80]}" is there twice')
        seen.add(key)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _refuse_repeats([key for key, _ in pairs])
    return dict(pairs)


def _loaded(document: str, where: str) -> Any:
    # Parsers' own messages quote the text around a mistake, which here may be a secret.
    if document.lstrip()[:1] == "{":
        try:
            return json.loads(document, object_pairs_hook=_object)
        except (ValueError, RecursionError):
            pass  # YAML's own braces
    try:
        return yaml.load(document, _Texts)  # noqa: S506  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ClientError(f"{where}: neither YAML nor JSON{place}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ClientError(f"{where}: neither YAML nor JSON") from None


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ClientError(f"{where}: expected a mapping, found {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else "something else")


def _client(name: str, value: Any) -> WebhookClient:
    where = f'webhook client "{name[:80]}"'
    if not RFC1123_SUBDOMAIN.fullmatch(name):
        raise ClientError(f"{where}: the name must be a ServiceAccount's: a DNS subdomain (RFC 1123)")
    if isinstance(value, str):
        value = _loaded(value, where)
    given = _mapping(value, where)
    try:
        provider = PROVIDERS[_one_of(given.get("type"), PROVIDERS, "type")]
        secrets = _secrets(given)
        way_name = _way_name(provider, given, secrets)
        way = provider.ways[way_name]
        read = _read_options(given, provider, way_name)
        scheme = _scheme(way, read)
        secrets = _checked_secrets(scheme, secrets)
    except ValueError as error:
        raise ClientError(f"{where}: {error}") from None
    fields = {field.name for field in dataclasses.fields(WebhookClient)}
    chosen = {option: value for option, value in read.items() if option in fields}
    if isinstance(scheme, StandardWebhooks) and provider.delivery_id is nothing:
        chosen["id_header"] = scheme.header_prefix + "id"  # the one that is signed
    client = WebhookClient(
        name, provider.type, scheme, secrets, warnings=_warnings(way_name, secrets), **chosen
    )
    for option in ("event_header", "id_header"):
        if getattr(client, option) in client.credential_headers:
            raise ClientError(
                f"{where}: {option}: this header holds a credential, which would be kept as a name"
            )
    return client


def _secrets(given: Mapping[str, Any]) -> tuple[str, ...]:
    listed = given.get("secrets") or []
    if not isinstance(listed, list):
        raise ValueError(f"secrets: expected a list, found {_kind(listed)}")
    single = [given["secret"]] if "secret" in given else []
    return tuple(dict.fromkeys(_secret(value) for value in (*single, *listed)))


def _secret(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # from JSON; YAML's numbers stay as written
    if value is not None and not isinstance(value, str):
        raise ValueError(f"secret: expected a text, found {_kind(value)}; put it in quotes")
    return value or ""


def _checked_secrets(scheme: Scheme, secrets: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(scheme, Sns):
        if any(secrets):
            raise ValueError("secret: SNS shares none, its certificates prove its messages; remove the field")
        return ()
    if not secrets:
        raise ValueError("secret: is missing")
    for secret in secrets:
        if not secret.strip():
            raise ValueError("secret: is empty, which would let anybody in")
        if any("\ud800" <= character <= "\udfff" for character in secret):
            raise ValueError("secret: holds half of a surrogate pair, which is no text")
        try:
            check_secret(scheme, secret)
        except ValueError as error:
            raise ValueError(f"secret: {error}") from None
    if isinstance(scheme, Either) and len({secret.startswith("whsec_") for secret in secrets}) < 2:
        raise ValueError("secrets: mode both needs a signing token (whsec_…) and a secret token")
    return secrets


_UUID = re.compile(r"\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?", re.IGNORECASE)


def _way_name(provider: Provider, given: Mapping[str, Any], secrets: Sequence[str]) -> str:
    if provider.choice and given.get(provider.choice) is not None:
        return _one_of(given[provider.choice], provider.ways, provider.choice)
    # What Argo's entries mean, which have no mode: the kind of the secret tells.
    if "signing-token" in provider.ways and secrets:
        signing = {secret.startswith("whsec_") for secret in secrets}
        return "both" if len(signing) == 2 else "signing-token" if True in signing else "token"
    if "uuid" in provider.ways and secrets and all(_UUID.fullmatch(secret) for secret in secrets):
        return "uuid"
    return next(iter(provider.ways))


_COMMON = (
    "type",
    "secret",
    "secrets",
    "events",
    "discriminators",
    "verdicts",
    "replay",
    "rate_limit",
    "expose_credentials",
)


def _read_options(given: Mapping[str, Any], provider: Provider, way_name: str) -> dict[str, Any]:
    way = provider.ways[way_name]
    known = [*_COMMON, *provider.options, *way.options, *([provider.choice] if provider.choice else [])]
    read: dict[str, Any] = {}
    for option, value in given.items():
        if option not in known:
            raise ValueError(_unknown(option, known, provider, way_name))
        if option in _READERS and value is not None:
            try:
                read[option] = _READERS[option](value)
            except ValueError as error:
                raise ValueError(f"{option}: {error}") from None
    for option in way.required:
        if option not in read:
            raise ValueError(f"{option}: is missing, type {provider.type} needs it")
    return read


def _unknown(option: str, known: Sequence[str], provider: Provider, way_name: str) -> str:
    place = f"type {provider.type}" + (f" with {provider.choice} {way_name}" if provider.choice else "")
    if option in _READERS:
        return f"{option[:80]}: does not apply to {place}"
    close = difflib.get_close_matches(option, known, 1)
    hint = f'did you mean "{close[0]}"?' if close else f"{place} knows {', '.join(sorted(known))}"
    return f"{option[:80]}: unknown field, {hint}"


def _one_of(value: Any, names: Iterable[str], field_name: str) -> str:
    if value is None:
        raise ValueError(f"{field_name}: is missing, expected one of {', '.join(names)}")
    if isinstance(value, str) and value in names:
        return value
    shown = value[:80] if isinstance(value, str) else _kind(value)
    close = difflib.get_close_matches(shown, list(names), 1)
    hint = f'did you mean "{close[0]}"?' if close else f"expected one of {', '.join(names)}"
    raise ValueError(f'{field_name}: "{shown}" is unknown, {hint}')


_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,200}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, found {_kind(value)}")
    return value


def _filled_text(value: Any) -> str:
    if not _text(value).strip():
        raise ValueError("is empty")
    return str(value)


def _username(value: Any) -> str:
    if ":" in _filled_text(value):
        raise ValueError("must not hold a colon, which ends it in Basic credentials")
    return str(value)


def _header(value: Any) -> str:
    if not _HEADER_NAME.fullmatch(_text(value)):
        raise ValueError("expected the name of a header")
    return str(value).lower()


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list, found {_kind(value)}")
    return [_text(item) for item in value]


def _filled_texts(value: Any) -> list[str]:
    if not _texts(value):
        raise ValueError("is an empty list, which nothing matches; remove the field or fill it")
    return _texts(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, found {_kind(value)}")
    return value


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch("[0-9]{1,9}", str(value)):
            raise ValueError(f"expected a whole number from {least} to {most}")
        if not least <= int(value) <= most:
            raise ValueError(f"{value} is not from {least} to {most}")
        return int(value)

    return read


def _choice(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return str(value)

    return read


def _algorithm(value: Any) -> str:
    name = _text(value)
    if name not in ("sha256", "sha384", "sha512", "sha1"):
        raise ValueError(f'"{name[:40]}" is not accepted, expected sha256, sha384 or sha512')
    return name


def _template(value: Any) -> str:
    template = _text(value)
    literals = re.split(r"\{body\}|\{timestamp\}|\{id\}", template)
    if template.count("{body}") != 1 or any("{" in literal or "}" in literal for literal in literals):
        raise ValueError("expected {body} once, and beside it only {timestamp}, {id} and separators")
    if template.count("{timestamp}") > 1 or template.count("{id}") > 1:
        raise ValueError("names {timestamp} or {id} twice")
    if not all(literals[1:-1]) or any(literal.isalnum() for literal in literals[1:-1]):
        raise ValueError("two parts without a separator between them can be cut in more than one way")
    return template


def _arns(value: Any) -> tuple[str, ...]:
    arns = _filled_texts(value)
    for arn in arns:
        if not re.fullmatch(r"arn:aws(-[a-z-]+)?:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}", arn):
            raise ValueError(f'"{arn[:120]}" is not the ARN of a topic')
    return tuple(arns)


def _certs(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise ValueError(f"expected URL: certificate, found {_kind(value)}")
    return tuple((url, _text(pem)) for url, pem in value.items())


def _uuid(value: Any) -> str:
    if not _UUID.fullmatch(_text(value)):
        raise ValueError("expected the UUID of a hook")
    return str(value).strip("{}")


def _allowed(value: Any) -> frozenset[str]:
    return frozenset(_filled_texts(value))


def _origins(value: Any) -> tuple[str, ...]:
    return tuple(_filled_texts(value))


_READERS: dict[str, Callable[[Any], Any]] = {
    "events": _allowed,
    "discriminators": _allowed,
    "verdicts": _boolean,
    "replay": _choice("delivery-id", "body-hash"),
    "rate_limit": _whole(1, 1_000_000),
    "expose_credentials": _boolean,
    "event_header": _header,
    "id_header": _header,
    "hook_uuid": _uuid,
    "allowed_origins": _origins,
    "allow_weak": _boolean,
    "header": _header,
    "prefix": _text,
    "algorithm": _algorithm,
    "encoding": _choice("hex", "base64", "base64url"),
    "template": _template,
    "timestamp_header": _header,
    "tolerance": _whole(1, 86400),
    "list_separator": _text,
    "header_prefix": _header,
    "username": _username,
    "param": _filled_text,
    "topic_arns": _arns,
    "certs": _certs,
}
"""Option → what reads its value or raises ValueError; names are those of the schemes' and the client's fields."""


def _scheme(way: Way, read: Mapping[str, Any]) -> Scheme:
    changes = {option: read[option] for option in way.options if option in read}
    if "param" in changes:
        changes["header"] = changes.pop("param")
    chosen: Any = way.scheme  # a dataclass, which the Protocol cannot say
    scheme: Scheme = dataclasses.replace(chosen, **changes)
    return _checked_hmac(scheme, read) if isinstance(scheme, Hmac) else scheme


def _checked_hmac(scheme: Hmac, read: Mapping[str, Any]) -> Hmac:
    if scheme.algorithm == "sha1" and not read.get("allow_weak"):
        raise ValueError("algorithm: sha1 is weak; say allow_weak: true if the sender has nothing better")
    if ("{timestamp}" in scheme.template) != bool(scheme.timestamp_header):
        raise ValueError("timestamp_header: needs {timestamp} in the template, and the other way round")
    if "{id}" in scheme.template and not scheme.id_header:
        raise ValueError("id_header: is missing, the template names {id}")
    if "{timestamp}" in scheme.template and not scheme.tolerance:
        return dataclasses.replace(scheme, tolerance=300)
    if scheme.tolerance and not scheme.timestamp_header:
        raise ValueError(
            "tolerance: no time is signed; name a timestamp_header and {timestamp} in the template"
        )
    return scheme


def _warnings(way_name: str, secrets: Sequence[str]) -> tuple[str, ...]:
    warnings = []
    if any(secret != secret.strip() for secret in secrets):
        warnings.append("secret: begins or ends with a blank or a line break, and counts with it")
    if way_name == "uuid":
        warnings.append("mode: uuid proves nothing, every request discloses it; set a secret at Bitbucket")
    return tuple(warnings)


def _check_equal_secrets(clients: Sequence[WebhookClient]) -> dict[str, tuple[str, ...]]:
    """ClientError where one request could be two clients'; warnings where one's could be re-sent as another's."""
    warned: dict[str, tuple[str, ...]] = {}
    for index, client in enumerate(clients):
        for other in clients[:index]:
            both = f'webhook clients "{other.name}" and "{client.name}"'
            if not _overlap(client, other):
                continue
            if isinstance(client.scheme, Sns) and isinstance(other.scheme, Sns):
                if {*client.scheme.topic_arns} & {*other.scheme.topic_arns}:
                    raise ClientError(f"{both}: topic_arns: one topic must be one client's")
            elif _compared(client) & _compared(other):
                if _compatible(client, other):
                    raise ClientError(f"{both}: secret: equal, so that one request would be both clients'")
                note = (
                    f'secret: equal to that of "{other.name}"; what one sent can be re-sent as the other\'s'
                )
                warned[client.name] = (*warned.get(client.name, ()), note)
    return warned


def _compared(client: WebhookClient) -> set[str]:
    """The client's secrets without what the comparison leaves out: braces of a UUID, the prefix of a key."""
    scheme = client.scheme
    if isinstance(scheme, StandardWebhooks | Either):
        return {secret.removeprefix("whsec_") for secret in client.secrets}
    return {secret.strip(scheme.strip) if isinstance(scheme, Token) else secret for secret in client.secrets}


def _overlap(client: WebhookClient, other: WebhookClient) -> bool:
    if client.discriminators is None or other.discriminators is None:
        return True
    return bool(client.discriminators & other.discriminators)


def _compatible(client: WebhookClient, other: WebhookClient) -> bool:
    """Whether one genuine request may carry what both look for."""
    family = client.provider.family
    return (
        client.type == other.type
        or (family != "" and family == other.provider.family)
        or client.scheme.header == other.scheme.header
    )
