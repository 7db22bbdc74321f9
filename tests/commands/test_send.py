"""`lynceus send`: what it sends is genuine, and what it says is what was answered."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from chalicelib.core.events import Delivery
from chalicelib.core.webhooks import authenticate, parse_clients
from lynceus.__main__ import main

SECRET = "the lamp is lit"


@dataclass
class Receiver:
    """A webhook's URL: keeps what comes in, answers with what it was told."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Lynceus-Event-Id": "0123"})
    received: list[Delivery] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    here = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            query = parse_qs(urlsplit(self.path).query)
            now = datetime.now(UTC)
            here.received.append(Delivery("argo", "", "POST", self.headers.items(), query, body, now))
            self.send_response(here.status)
            for name, value in here.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *arguments: object) -> None:
            """Silent: the test reads what the command prints."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}/api/v1/events/argo/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield here
    server.shutdown()
    server.server_close()


def test_a_sample_arrives_as_its_sender_would_send_it(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["send", "github", "push", "--to", receiver.url, "--secret", SECRET, "--event-id", "d-1"]
    assert main(command) == 0
    (delivery,) = receiver.received
    clients = parse_clients(json.dumps({"sender": {"type": "github", "secret": SECRET}}))
    found = authenticate(delivery, clients)
    assert (found.event_type, found.delivery_id) == ("push", "d-1")
    assert capsys.readouterr().out == "200 OK\nLynceus-Event-Id: 0123\n{}\n"


def test_a_token_goes_into_the_url(receiver: Receiver) -> None:
    assert main(["send", "quay", "repo_push", "--to", receiver.url, "--secret", SECRET]) == 0
    assert receiver.received[0].query == {"token": [SECRET]}


def test_a_form_is_sent_as_a_form(receiver: Receiver) -> None:
    assert main(["send", "slack", "slash_command", "--to", receiver.url, "--secret", SECRET]) == 0
    (delivery,) = receiver.received
    clients = parse_clients(json.dumps({"sender": {"type": "slack", "secret": SECRET}}))
    assert authenticate(delivery, clients).event_type == "slash_command"


def test_a_body_of_ones_own_is_signed_too(receiver: Receiver, tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_bytes(b'{"own":  true}')
    assert (
        main(["send", "github", "push", "--to", receiver.url, "--secret", SECRET, "--body", str(body)]) == 0
    )
    (delivery,) = receiver.received
    clients = parse_clients(json.dumps({"sender": {"type": "github", "secret": SECRET}}))
    assert delivery.body == b'{"own":  true}'
    assert authenticate(delivery, clients).dispatch


def test_a_refusal_is_shown_and_is_a_no(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.status, receiver.headers = 401, {}
    assert main(["-o", "json", "send", "github", "push", "--to", receiver.url, "--secret", "x"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"status": 401, "eventId": "", "duplicate": False, "body": "{}"}


def test_a_repeat_is_called_one(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    receiver.headers["Lynceus-Duplicate"] = "true"
    main(["send", "github", "push", "--to", receiver.url, "--secret", SECRET])
    assert "0123 (had this delivery already)" in capsys.readouterr().out


def test_nobody_there_is_unreachable_and_the_urls_token_is_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["send", "quay", "repo_push", "--to", "http://127.0.0.1:9/", "--secret", "not-printed"]) == 3
    printed = capsys.readouterr()
    assert "does not answer" in printed.err
    assert "not-printed" not in printed.out + printed.err


def test_without_a_samples_name_the_names_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "slack"]) == 0
    assert capsys.readouterr().out.split() == [
        "app_mention",
        "block_actions",
        "slash_command",
        "url_verification",
    ]


def test_the_request_can_be_shown_instead_of_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "stripe", "charge.succeeded", "--secret", SECRET, "--show"]) == 0
    assert "stripe-signature: t=" in capsys.readouterr().out


def test_a_secret_can_come_from_stdin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(SECRET + "\n"))
    assert main(["send", "gitlab", "push", "--secret-file", "-", "--show"]) == 0
    assert f"x-gitlab-token: {SECRET}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, code, message",
    [
        (["send", "github", "pull"], 1, 'no sample "pull" of github'),
        (["send", "github", "push"], 1, "secret: is empty"),
        (["send", "generic-hmac", "done", "--secret", "x"], 1, "header: is missing"),
        (["send", "generic-hmac", "done", "--secret", "x", "--option", "header"], 2, "NAME=VALUE"),
        (
            ["send", "standardwebhooks", "invoice.paid", "--secret", "whpk_" + "A" * 43 + "="],
            1,
            "private key",
        ),
        (["send", "github", "push", "--secret", "x", "--body", "/nowhere"], 2, "No such file"),
        (["send", "sns"], 2, "invalid choice"),
    ],
)
def test_what_cannot_be_sent_says_why(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    assert message in capsys.readouterr().err
