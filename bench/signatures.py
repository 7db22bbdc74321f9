"""What proving a sender costs, against the bare HMAC over the same bytes; and reading a body, against json.loads.

    python -m bench.signatures

Times are the best of several runs; ratios are to the reference in the same row, measured in the same run.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from chalicelib.core.events import Delivery
from chalicelib.core.payloads import decode
from chalicelib.core.webhooks import authenticate, candidates, parse_clients

NOW = 1_767_605_400
SECRET = "the lamp is lit"
RUNS = 7


def best(call: Callable[[], Any]) -> float:
    """Seconds of the fastest of several runs, each of enough calls to be measured."""
    calls = 1
    while True:
        started = time.perf_counter()
        for _ in range(calls):
            call()
        if time.perf_counter() - started > 0.02:
            break
        calls *= 4
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - started) / calls)
    return min(times)


def body(size: int) -> bytes:
    """A push of about that many bytes."""
    commit = {"id": "1f0e8d3c2b4a59687f6e5d4c3b2a190887766554", "message": "Light the beacon", "n": 5}
    commits = [commit] * max(1, size // len(json.dumps(commit)))
    return json.dumps({"ref": "refs/heads/main", "commits": commits}).encode()


def delivery(headers: dict[str, str], content: bytes) -> Delivery:
    return Delivery("argo", "", "POST", list(headers.items()), {}, content, datetime.fromtimestamp(NOW, UTC))


def senders(content: bytes) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """Type → the client's entry and the headers of a genuine delivery."""
    key = SECRET.encode()
    plain = hmac.digest(key, content, "sha256").hex()
    timed = hmac.digest(key, f"v0:{NOW}:".encode() + content, "sha256").hex()
    standard = hmac.digest(b"twenty-six bytes of oil...", f"msg_1.{NOW}.".encode() + content, "sha256")
    return {
        "github": (
            {"secret": SECRET},
            {"X-GitHub-Event": "push", "X-GitHub-Delivery": "d", "X-Hub-Signature-256": f"sha256={plain}"},
        ),
        "slack": (
            {"secret": SECRET},
            {"X-Slack-Request-Timestamp": str(NOW), "X-Slack-Signature": f"v0={timed}"},
        ),
        "standardwebhooks": (
            {"secret": "whsec_" + base64.b64encode(b"twenty-six bytes of oil...").decode()},
            {
                "webhook-id": "msg_1",
                "webhook-timestamp": str(NOW),
                "webhook-signature": "v1," + base64.b64encode(standard).decode(),
            },
        ),
        "gitlab": ({"secret": SECRET}, {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET}),
    }


def main() -> None:
    print(f"{'case':34} {'bytes':>9} {'µs':>10}   ratio")
    for size in (200, 10_000, 1_000_000):
        content = body(size)
        reference = best(lambda content=content: hmac.digest(SECRET.encode(), content, hashlib.sha256))
        print(f"{'reference: one HMAC-SHA256':34} {len(content):9} {reference * 1e6:10.1f}")
        reading = best(lambda content=content: json.loads(content))
        print(f"{'reference: json.loads':34} {len(content):9} {reading * 1e6:10.1f}")
        ours = best(lambda content=content: decode(content))
        print(f"{'decode':34} {len(content):9} {ours * 1e6:10.1f}   {ours / reading:.2f} × json.loads")
        for kind, (entry, headers) in senders(content).items():
            known = parse_clients(json.dumps({"sender": {"type": kind, **entry}}))
            request = delivery(headers, content)
            whole = best(lambda request=request, known=known: authenticate(request, known))
            floor = reference + reading
            print(
                f"{'authenticate ' + kind:34} {len(content):9} {whole * 1e6:10.1f}   {whole / floor:.2f} × both"
            )
    content = body(10_000)
    _, headers = senders(content)["github"]
    reference = best(lambda: hmac.digest(SECRET.encode(), content, hashlib.sha256))
    for count in (1, 10, 50):
        entries = {f"sender-{n}": {"type": "github", "secret": SECRET + str(n)} for n in range(count - 1)}
        known = parse_clients(json.dumps({**entries, "sender": {"type": "github", "secret": SECRET}}))
        request = delivery(headers, content)
        whole = best(lambda request=request, known=known: authenticate(request, known))
        asked = len(candidates(request, known))
        print(
            f"{f'{count} clients, {asked} HMACs':34} {len(content):9} {whole * 1e6:10.1f}"
            f"   {whole / reference / asked:.2f} × one HMAC each"
        )


if __name__ == "__main__":
    main()
