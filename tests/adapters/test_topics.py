"""SNS over the network: what a certificate may cost, and what a confirmation says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from chalicelib.adapters.topics import LIMIT, SnsTopics
from chalicelib.core.errors import Unavailable

TOPIC = "arn:aws:sns:eu-central-1:123456789012:beacon"
CONFIRMED = (
    b'<ConfirmSubscriptionResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><ConfirmSubscriptionResult>'
    b"<SubscriptionArn>arn:x</SubscriptionArn></ConfirmSubscriptionResult></ConfirmSubscriptionResponse>"
)
REFUSED = (
    b'<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type>'
    b"<Code>InvalidParameter</Code><Message>Invalid token</Message></Error></ErrorResponse>"
)


class Sns:
    """Something that speaks HTTP where SNS would."""

    def __init__(self) -> None:
        self.pages = {
            "/a.pem": (200, b"PEM"),
            "/large.pem": (200, b"x" * (LIMIT + 1)),
            "/failing.pem": (500, b"no"),
        }
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer = (200, CONFIRMED)
        sns = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sns.asked.append((self.command, self.path, dict(self.headers.items()), body))
                status, page = (
                    sns.answer if self.command == "POST" else sns.pages.get(self.path, (404, b"no"))
                )
                if self.path == "/moved.pem":
                    status, page = 302, b""
                self.send_response(status)
                self.send_header("Location", f"{sns.url}/a.pem")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            do_GET = do_POST = _serve  # noqa: N815  # http.server

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def sns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sns]:
    made = Sns()
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", made.url)
    monkeypatch.delenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", raising=False)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_certificate_is_fetched_once(sns: Sns) -> None:
    topics = SnsTopics()

    pems = {topics.certificate(f"{sns.url}/a.pem") for _ in range(3)}

    assert pems == {b"PEM"}
    assert len(sns.asked) == 1


@pytest.mark.parametrize("path", ["/moved.pem", "/large.pem", "/failing.pem"])
def test_a_redirect_much_text_and_no_certificate_are_none(sns: Sns, path: str) -> None:
    with pytest.raises(Unavailable, match="cannot be fetched"):
        SnsTopics().certificate(f"{sns.url}{path}")

    assert [asked[1] for asked in sns.asked] == [path]


def test_a_failure_is_not_remembered(sns: Sns) -> None:
    topics = SnsTopics()
    sns.pages["/late.pem"] = (503, b"no")
    with pytest.raises(Unavailable):
        topics.certificate(f"{sns.url}/late.pem")

    sns.pages["/late.pem"] = (200, b"PEM")

    assert topics.certificate(f"{sns.url}/late.pem") == b"PEM"


@pytest.mark.parametrize("status", [403, 404])
def test_a_certificate_that_is_not_there_proves_nothing_and_is_looked_for_again(
    sns: Sns, status: int
) -> None:
    topics = SnsTopics()
    sns.pages["/made-up.pem"] = (status, b"<Error/>")
    assert topics.certificate(f"{sns.url}/made-up.pem") == b""

    sns.pages["/made-up.pem"] = (200, b"PEM")

    assert topics.certificate(f"{sns.url}/made-up.pem") == b"PEM"


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be fetched"):
        SnsTopics().certificate("http://127.0.0.1:9/a.pem")


def test_a_subscription_is_confirmed_by_its_token_and_needs_no_right_of_ours(sns: Sns) -> None:
    SnsTopics().confirm(TOPIC, "the-token")

    [(method, _, headers, body)] = sns.asked
    said = parse_qs(body.decode())
    assert method == "POST"
    assert (said["Action"], said["TopicArn"], said["Token"]) == (
        ["ConfirmSubscription"],
        [TOPIC],
        ["the-token"],
    )
    assert "authorization" not in {name.lower() for name in headers}


@pytest.mark.parametrize("answer", [(400, REFUSED), (500, b"")])
def test_a_confirmation_that_fails_is_worth_another_try(sns: Sns, answer: tuple[int, bytes]) -> None:
    sns.answer = answer

    with pytest.raises(Unavailable, match=TOPIC):
        SnsTopics().confirm(TOPIC, "the-token")
