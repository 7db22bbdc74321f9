"""Every way into Lynceus: one decorator and one call each. `chalicelib.flow` tells the stories behind them.

The names of these functions are the keys of `.chalice/config.json` and of the policy files.
"""

from __future__ import annotations

from chalice.app import CloudWatchEvent, Rate, Response, SQSEvent

from chalicelib import handlers
from chalicelib.handlers import RawBodyChalice
from chalicelib.settings import from_environment

app = RawBodyChalice(app_name="lynceus", configure_logs=False)

SETTINGS = from_environment()

ANY_BODY = ["*/*"]  # a signature covers bytes, whatever they are called


@app.route("/api/v1/events/{namespace}", methods=["POST", "OPTIONS"], content_types=ANY_BODY)
def events(namespace: str) -> Response:
    """The events API without a discriminator (Argo's trailing slash is dropped before it gets here)."""
    return handlers.events(app, namespace, "")


@app.route("/api/v1/events/{namespace}/{discriminator}", methods=["POST", "OPTIONS"], content_types=ANY_BODY)
def discriminated_events(namespace: str, discriminator: str) -> Response:
    """The events API."""
    return handlers.events(app, namespace, discriminator)


@app.route("/api/v1/workflow-event-bindings", methods=["GET"])
def all_bindings() -> Response:
    """The WorkflowEventBindings of all namespaces, for a caller who may read them there."""
    return handlers.ask(app, "bindings", namespace="")


@app.route("/api/v1/workflow-event-bindings/{namespace}", methods=["GET"])
def bindings(namespace: str) -> Response:
    """The WorkflowEventBindings that the caller may read."""
    return handlers.ask(app, "bindings", namespace=namespace)


@app.route("/api/v1/lynceus/heartbeat", methods=["GET"])
def heartbeat() -> Response:
    """How long ago the tick ran."""
    return handlers.heartbeat()


@app.route("/api/v1/lynceus/{namespace}/events", methods=["GET"])
def list_events(namespace: str) -> Response:
    """A page of a day's events."""
    return handlers.ask(app, "list_events", namespace=namespace)


@app.route("/api/v1/lynceus/{namespace}/events/{event}", methods=["GET"])
def show_event(namespace: str, event: str) -> Response:
    """One event."""
    return handlers.ask(app, "show", namespace=namespace, event=event)


@app.route("/api/v1/lynceus/{namespace}/events/{event}/body", methods=["DELETE"])
def erase_body(namespace: str, event: str) -> Response:
    """Erase an event's body."""
    return handlers.ask(app, "erase", namespace=namespace, event=event)


@app.route("/api/v1/lynceus/{namespace}/events/{event}/explain", methods=["GET"])
def explain_event(namespace: str, event: str) -> Response:
    """Why each binding did what it did."""
    return handlers.ask(app, "explain", namespace=namespace, event=event)


@app.route("/api/v1/lynceus/{namespace}/deliveries/{delivery}", methods=["GET"])
def by_delivery(namespace: str, delivery: str) -> Response:
    """The events that a sender's delivery id came to."""
    return handlers.ask(app, "by_delivery", namespace=namespace, delivery=delivery)


@app.route("/api/v1/lynceus/{namespace}/bindings/{name}", methods=["GET"])
def binding_health(namespace: str, name: str) -> Response:
    """A binding's last matches and last error."""
    return handlers.ask(app, "binding_health", namespace=namespace, name=name)


@app.route("/api/v1/lynceus/{namespace}/workflows/{name}", methods=["GET"])
def by_workflow(namespace: str, name: str) -> Response:
    """What made a Workflow."""
    return handlers.ask(app, "by_workflow", namespace=namespace, name=name)


@app.route("/api/v1/lynceus/{namespace}/crons/{name}", methods=["GET"])
def cron_history(namespace: str, name: str) -> Response:
    """Runs and skips of a CronWorkflow."""
    return handlers.ask(app, "cron_history", namespace=namespace, name=name)


@app.route("/api/v1/lynceus/{namespace}/crons/{name}/runs", methods=["POST"], content_types=ANY_BODY)
def cron_runs(namespace: str, name: str) -> Response:
    """Make up for runs of the past."""
    return handlers.ask(app, "cron_runs", namespace=namespace, name=name)


@app.route("/api/v1/lynceus/{namespace}/failed", methods=["GET"])
def list_failed(namespace: str) -> Response:
    """Submissions that failed."""
    return handlers.ask(app, "list_failed", namespace=namespace)


@app.route("/api/v1/lynceus/{namespace}/refused", methods=["GET"])
def list_refused(namespace: str) -> Response:
    """Requests that were refused."""
    return handlers.ask(app, "list_refused", namespace=namespace)


@app.route("/api/v1/lynceus/{namespace}/replays", methods=["POST"], content_types=ANY_BODY)
def replay(namespace: str) -> Response:
    """Run events again."""
    return handlers.ask(app, "replay", namespace=namespace)


@app.route("/api/v1/lynceus/{namespace}/redrives", methods=["POST"], content_types=ANY_BODY)
def redrive(namespace: str) -> Response:
    """Open failed submissions again."""
    return handlers.ask(app, "redrive", namespace=namespace)


@app.route("/api/v1/lynceus/{namespace}/dead-letters", methods=["POST"], content_types=ANY_BODY)
def dead_letters(namespace: str) -> Response:
    """Look at dead letters, or send them to a worker again."""
    return handlers.ask(app, "dead_letters", namespace=namespace)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="tick")
def tick(event: CloudWatchEvent) -> None:
    """Every minute: plan cron runs, remember the bindings, sweep the outbox."""
    handlers.tick(event)


@app.on_sqs_message(queue=SETTINGS.submissions_queue, batch_size=1, maximum_concurrency=20, name="submit")
def submit(event: SQSEvent) -> None:
    """One submission of an event becomes a Workflow."""
    handlers.work(event, "submit")


@app.on_sqs_message(queue=SETTINGS.cron_queue, batch_size=1, maximum_concurrency=20, name="submit_cron")
def submit_cron(event: SQSEvent) -> None:
    """One run of a CronWorkflow is decided at its second."""
    handlers.work(event, "submit_cron")
