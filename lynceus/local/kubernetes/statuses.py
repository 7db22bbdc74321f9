"""Answers other than success: the Status object, in the words of a real API server.

A `Refusal` is raised anywhere below the HTTP front and becomes the response. A `Cause` is one line of a 422:
the reason, the text and the field. Texts are recorded from kube-apiserver 1.36; clients and people match on them.
Source: k8s.io/apimachinery/pkg/api/errors and pkg/util/validation/field.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.core.errors import LynceusError

_UNCHECKED: Final = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)


def go_quoted(text: str) -> str:
    """Text in double quotes as Go's `%q` prints it."""
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted.replace("\x7f", "\\x7f")


def go_value(value: Any) -> str:
    """A value as Go's field errors print it: strings quoted, null for nothing, JSON for the rest."""
    if isinstance(value, str):
        return go_quoted(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Cause:
    """One finding about one field."""

    reason: str
    message: str
    field: str

    @property
    def blocks(self) -> bool:
        """Whether rules across fields are not even tried while this finding stands."""
        return self.reason in _BLOCKING

    def as_json(self) -> dict[str, str]:
        """As an entry of `details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


_BLOCKING: Final = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)


def required(path: str, detail: str = "") -> Cause:
    """A field is missing."""
    return Cause("FieldValueRequired", "Required value" + (f": {detail}" if detail else ""), path)


def invalid_value(path: str, value: Any, detail: str) -> Cause:
    """A value is wrong, and is repeated."""
    return Cause("FieldValueInvalid", f"Invalid value: {go_value(value)}: {detail}", path)


def invalid_unshown(path: str, detail: str) -> Cause:
    """Invalid, for objects and arrays that are too long to be repeated."""
    return Cause("FieldValueInvalid", f"Invalid value: {detail}", path)


def wrong_type(path: str, found: str, expected: str) -> Cause:
    """A value has another type than its schema's."""
    detail = f"{path} in body must be of type {expected}: {go_quoted(found)}"
    return Cause("FieldValueTypeInvalid", f"Invalid value: {go_quoted(found)}: {detail}", path)


def unsupported(path: str, value: Any, supported: Iterable[str]) -> Cause:
    """A value is none of those there are."""
    listed = ", ".join(go_quoted(choice) for choice in supported)
    return Cause(
        "FieldValueNotSupported", f"Unsupported value: {go_value(value)}: supported values: {listed}", path
    )


def too_long(path: str, limit: int) -> Cause:
    """A text has more than so many bytes."""
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", path)


def too_many(path: str, count: int, limit: int) -> Cause:
    """A list or map has more than so many items."""
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} items", path)


def forbidden_field(path: str, detail: str) -> Cause:
    """A field may not be said here, or not changed."""
    return Cause("FieldValueForbidden", f"Forbidden: {detail}", path)


def unchecked() -> Cause:
    """The last cause of an object whose cross-field rules were skipped."""
    return Cause("FieldValueInvalid", f"Invalid value: null: {_UNCHECKED}", "<nil>")


@dataclass(frozen=True)
class Named:
    """What an answer is about: group and plural (or Kind) and, where one is meant, the name."""

    group: str
    kind: str
    name: str = ""

    @property
    def qualified(self) -> str:
        """plural.group, the group left out where it is the core's."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def details(self, causes: Iterable[Cause] = ()) -> dict[str, Any]:
        """As `details` of a Status, empty parts left out."""
        found = {"name": self.name, "group": self.group, "kind": self.kind}
        kept: dict[str, Any] = {key: value for key, value in found.items() if value}
        listed = [cause.as_json() for cause in causes]
        return kept | ({"causes": listed} if listed else {})


@dataclass
class Refusal(LynceusError):
    """A failure as the API says it; `headers` go out beside it (Retry-After, Warning)."""

    status: int
    reason: str  # "" where the real server leaves it out
    text: str
    details: Mapping[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.text)

    def as_json(self) -> dict[str, Any]:
        """The Status object."""
        answer: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": dict(self.metadata),
            "status": "Failure",
            "message": self.text,
        }
        if self.reason:
            answer["reason"] = self.reason
        if self.details is not None:
            answer["details"] = dict(self.details)
        return answer | {"code": self.status}


def not_found(about: Named) -> Refusal:
    """404: no such object."""
    return Refusal(404, "NotFound", f"{about.qualified} {go_quoted(about.name)} not found", about.details())


def no_such_resource() -> Refusal:
    """404: no such kind."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(about: Named, *, terminating: bool = False) -> Refusal:
    """409: the name is taken."""
    prefix = "object is being deleted: " if terminating else ""
    text = f"{prefix}{about.qualified} {go_quoted(about.name)} already exists"
    return Refusal(409, "AlreadyExists", text, about.details())


def conflict(about: Named, detail: str) -> Refusal:
    """409: the object is not what the caller takes it for."""
    text = f"Operation cannot be fulfilled on {about.qualified} {go_quoted(about.name)}: {detail}"
    return Refusal(409, "Conflict", text, about.details())


def modified(about: Named) -> Refusal:
    """409: somebody wrote in between."""
    return conflict(
        about, "the object has been modified; please apply your changes to the latest version and try again"
    )


def invalid(about: Named, causes: list[Cause]) -> Refusal:
    """422; a cause found twice is said once, and listed twice, as the server does."""
    lines = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    joined = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    text = f"{about.qualified} {go_quoted(about.name)} is invalid: {joined}"
    return Refusal(422, "Invalid", text, about.details(causes))


def invalid_options(kind: str, *causes: Cause) -> Refusal:
    """422 about query parameters or DeleteOptions."""
    return invalid(Named("meta.k8s.io", kind), list(causes))


def bad_request(text: str) -> Refusal:
    """400."""
    return Refusal(400, "BadRequest", text)


def unexplained(text: str) -> Refusal:
    """500 without a reason: an error the real server did not classify either."""
    return Refusal(500, "", text)


def unauthorized() -> Refusal:
    """401, which says nothing about the reason."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def forbidden(about: Named, detail: str, causes: Iterable[Cause] = ()) -> Refusal:
    """403."""
    name = f" {go_quoted(about.name)}" if about.name else ""
    return Refusal(403, "Forbidden", f"{about.qualified}{name} is forbidden: {detail}", about.details(causes))


def method_not_allowed() -> Refusal:
    """405."""
    text = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", text, {})


def not_supported_on(about: Named, verb: str) -> Refusal:
    """405 for a verb that a custom resource does not know; a method that is no verb leaves a gap, as on the server."""
    text = f"{verb} is not supported on resources of kind {go_quoted(about.qualified)}"
    return Refusal(405, "MethodNotAllowed", text, about.details())


def not_acceptable(*, stream: bool = False) -> Refusal:
    """406: no form that the caller reads is one of ours; a watch has no form in YAML."""
    accepted = [f"{media};stream=watch" for media in _MEDIA if "yaml" not in media] if stream else _MEDIA
    text = "only the following media types are accepted: " + ", ".join(accepted)
    return Refusal(406, "NotAcceptable", text)


def unsupported_media(accepted: Iterable[str] = ()) -> Refusal:
    """415: the body's form is none that is read here."""
    text = "the body of the request was in an unknown format - accepted media types include: "
    return Refusal(415, "UnsupportedMediaType", text + ", ".join(accepted or _MEDIA))


_MEDIA: Final = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")


def expired(text: str, *, resume: str = "") -> Refusal:
    """410: the log has forgotten it; `resume` is a continue token that goes on regardless."""
    return Refusal(410, "Expired", text, metadata={"continue": resume} if resume else {})


def revision_too_large(asked: int, current: int, *, waited: bool) -> Refusal:
    """504: the caller has seen a revision that this server has not."""
    details: dict[str, Any] = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    }
    text = f"Timeout: Too large resource version: {asked}, current: {current}"
    if not waited:
        return Refusal(504, "Timeout", text, details)
    return Refusal(504, "Timeout", text, details | {"retryAfterSeconds": 1}, (("Retry-After", "1"),))


def throttled(
    seconds: int, text: str = "the server has received too many requests, please try again later"
) -> Refusal:
    """429 that says when to come back."""
    return Refusal(
        429, "TooManyRequests", text, {"retryAfterSeconds": seconds}, (("Retry-After", str(seconds)),)
    )


def body_too_large(limit: int) -> Refusal:
    """413."""
    return Refusal(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")
