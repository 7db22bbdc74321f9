"""One tree of errors; each class knows its HTTP status, Argo's code and whether a retry helps.

How to read it: the first branch is the caller's doing and final, the second is wrong configuration that
its author must mend, the third is the world's weather and worth another try.

    LynceusError                 500  13
    ├── BadRequest               400   3
    ├── Unauthenticated          401  16   says nothing about the reason
    ├── Forbidden                403   7
    │   └── WebhookRefused       403   -   Argo's interceptor body, without a code
    ├── NotFound                 404   5
    ├── AlreadyExists            409   6
    ├── Conflict                 409  10   somebody wrote in between: read again and recompute
    ├── BodyTooLarge             413   8
    ├── UnsupportedMedia         415   3
    ├── NotImplementedHere       501  12
    ├── Misconfigured            500  13   wrong configuration: final until its author mends it
    │   ├── ClientError                    the webhook clients document
    │   ├── ExpressionError                an expression (chalicelib.core.expressions)
    │   └── ScheduleError                  a cron schedule
    ├── ClusterError             varies    what the Kubernetes API answered
    └── Unavailable              503  14   retry
        └── Throttled            429   8   retry

Codes are gRPC's, as Argo Server puts them beside the message.
Source: argo-workflows server/apiserver, grpc-gateway runtime.HTTPStatusFromCode.
"""

from __future__ import annotations

from typing import Any, ClassVar

TOKEN_NOT_VALID = "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/"  # noqa: S105


class LynceusError(Exception):
    """Base of everything we raise on purpose; raise a subclass that says more."""

    http_status: ClassVar[int] = 500
    code: ClassVar[int | None] = 13
    retry: ClassVar[bool] = False

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after  # seconds, where the other side said so

    def body(self) -> dict[str, Any]:
        """Argo's error body: ``{"code": …, "message": …}``, zero values left out."""
        answer: dict[str, Any] = {}
        if self.code:
            answer["code"] = self.code
        if self.message:
            answer["message"] = self.message
        return answer


class BadRequest(LynceusError):
    """The request can never be understood as sent."""

    http_status = 400
    code = 3


class Unauthenticated(LynceusError):
    """No proof, or a wrong one. The sender learns nothing else; `detail` is for our own log."""

    http_status = 401
    code = 16

    def __init__(self, detail: str = "", *, message: str = TOKEN_NOT_VALID) -> None:
        super().__init__(message)
        self.detail = detail


class Forbidden(LynceusError):
    """Known, and not allowed."""

    http_status = 403
    code: ClassVar[int | None] = 7


class WebhookRefused(Forbidden):
    """The namespace takes no webhooks, or its webhook clients cannot be used."""

    code: ClassVar[int | None] = None

    def __init__(self, detail: str = "") -> None:
        super().__init__("failed to process webhook request")
        self.detail = detail


class NotFound(LynceusError):
    """The thing named in the request does not exist."""

    http_status = 404
    code = 5


class AlreadyExists(LynceusError):
    """A thing with this name is there already."""

    http_status = 409
    code = 6


class Conflict(LynceusError):
    """Somebody else wrote between our read and our write: read again and recompute."""

    http_status = 409
    code = 10


class BodyTooLarge(LynceusError):
    """The body is over the limit that the message names."""

    http_status = 413
    code = 8


class UnsupportedMedia(LynceusError):
    """The body has a form that nobody here reads."""

    http_status = 415
    code = 3


class NotImplementedHere(LynceusError):
    """A route of Argo's that Lynceus does not serve; Argo answers unrouted paths alike."""

    http_status = 501
    code = 12

    def __init__(self, message: str = "Not Implemented") -> None:
        super().__init__(message)


class Misconfigured(LynceusError):
    """Configuration that cannot work; trying again changes nothing until its author mends it."""


class ClientError(Misconfigured):
    """The webhook clients document must not load; the message names client and field."""


class ScheduleError(Misconfigured):
    """A cron schedule that Argo's parser refuses, in its words."""


class ClusterError(LynceusError):
    """What the Kubernetes API answered, kept whole; `chalicelib.core.failures` says what follows from it."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status  # the API server's HTTP status
        self.reason = reason  # Status.reason, "" where it sent none


class Unavailable(LynceusError):
    """Something we stand on does not answer; the same call may succeed later."""

    http_status = 503
    code = 14
    retry = True


class Throttled(Unavailable):
    """We were told to slow down."""

    http_status = 429
    code = 8
