"""The Lambda functions of a Chalice app, invoked in this process as Lambda invokes them.

Everything is found from the app itself (its routes and event sources), so nothing is declared twice. A
container of Lambda handles one request at a time; here threads share the app, so each gets its own view of
the request at hand.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

from chalice.app import Chalice, ScheduledEventConfig, SQSEventConfig

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"
API = "api_handler"  # Chalice's name for the function behind all routes


class Context:
    """What Lambda passes beside the event.

    https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
    """

    memory_limit_in_mb = "512"
    function_version = "$LATEST"

    def __init__(self, app_name: str, function: str, timeout: float) -> None:
        self.function_name = f"{app_name}-local-{function}"
        self.invoked_function_arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"
        self.aws_request_id = str(uuid.uuid4())
        self.log_group_name = f"/aws/lambda/{self.function_name}"
        self.log_stream_name = "local"
        self._until = time.monotonic() + timeout

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda would end the invocation; nothing ends it here."""
        return max(0, int((self._until - time.monotonic()) * 1000))


class Functions:
    """The functions of one app."""

    def __init__(self, app: Chalice, *, timeout: float = 60) -> None:
        self.app = share_between_threads(app)
        self._timeout = timeout  # seconds; `.chalice/config.json` has the same for the workers

    @property
    def queues(self) -> list[SQSEventConfig]:
        """The queues that invoke a function."""
        return [source for source in self.app.event_sources if isinstance(source, SQSEventConfig)]

    @property
    def schedules(self) -> list[ScheduledEventConfig]:
        """The schedules that invoke a function."""
        return [source for source in self.app.event_sources if isinstance(source, ScheduledEventConfig)]

    def invoke(self, name: str, event: dict[str, Any]) -> Any:
        """What the function returns for the event; raises whatever it raises."""
        function = self.app if name == API else self.app.handler_map[name]
        return function(event, Context(self.app.app_name, name, self._timeout))


class _PerThread:
    """Keeps what Chalice sets on the app during a request apart by thread."""

    _own = threading.local()

    @property
    def current_request(self) -> Any:
        """The request that this thread handles."""
        return getattr(self._own, "request", None)

    @current_request.setter
    def current_request(self, request: Any) -> None:
        self._own.request = request

    @property
    def lambda_context(self) -> Any:
        """The context of this thread's invocation."""
        return getattr(self._own, "context", None)

    @lambda_context.setter
    def lambda_context(self, context: Any) -> None:
        self._own.context = context


def share_between_threads(app: Chalice) -> Chalice:
    """The same app, fit for many threads.

    Its class is exchanged as Chalice's own local server does it (chalice.local.create_local_server); the subclass
    of the app's author keeps its place, so `__call__` is the very one that Lambda calls.
    """
    if not isinstance(app, _PerThread):
        app.__class__ = type("LocalChalice", (_PerThread, type(app)), {})
    return app
