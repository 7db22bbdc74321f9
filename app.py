"""Every way into Lynceus: one decorator and one call each. `chalicelib.flow` tells the stories behind them.

The names of these functions are the keys of `.chalice/config.json` and of the policy files.
"""

from __future__ import annotations

import os

from chalice.app import CloudWatchEvent, Rate, Response, SQSEvent

from chalicelib import handlers
from chalicelib.handlers import RawBodyChalice

app = RawBodyChalice(app_name="lynceus", configure_logs=False)

STAGE = os.environ.get("LYNCEUS_STAGE", "dev")

ANY_BODY = ["*/*"]  # a signature covers bytes, whatever they are called


@app.route("/api/v1/events/{namespace}", methods=["POST", "OPTIONS"], content_types=ANY_BODY)
def events(namespace: str) -> Response:
    """The events API without a discriminator (Argo's trailing slash is dropped before it gets here)."""
    return handlers.events(app, namespace, "")


@app.route("/api/v1/events/{namespace}/{discriminator}", methods=["POST", "OPTIONS"], content_types=ANY_BODY)
def discriminated_events(namespace: str, discriminator: str) -> Response:
    """The events API."""
    return handlers.events(app, namespace, discriminator)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="tick")
def tick(event: CloudWatchEvent) -> None:
    """Every minute: plan cron runs, remember the bindings, sweep the outbox."""
    handlers.tick(event)


@app.on_sqs_message(queue=f"lynceus-{STAGE}-submissions", batch_size=1, maximum_concurrency=20, name="submit")
def submit(event: SQSEvent) -> None:
    """One submission of an event becomes a Workflow."""
    handlers.work(event, "submit")


@app.on_sqs_message(queue=f"lynceus-{STAGE}-cron", batch_size=1, maximum_concurrency=20, name="submit_cron")
def submit_cron(event: SQSEvent) -> None:
    """One run of a CronWorkflow is decided at its second."""
    handlers.work(event, "submit_cron")
