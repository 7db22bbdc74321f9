"""The gateway hands the function what API Gateway hands it, and the sender what API Gateway answers."""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest
from chalice import Chalice, Response
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import BadRequest, BodyTooLarge
from lynceus.local.bodies import read_body
from lynceus.local.functions import Functions
from lynceus.local.gateways import BODY_LIMIT, Gateway


class EchoApp(Chalice):
    """Answers with the event it was called with, through Chalice's own handler."""

    def __call__(self, event: Any, context: Any) -> Any:
        self.seen = event
        return super().__call__(event, context)


def echo_app() -> Chalice:
    app = EchoApp("echo", configure_logs=False)
    app.api.binary_types = ["*/*"]

    def echo(**parameters: str) -> Response:
        request = app.current_request
        return Response(
            json.dumps(
                {
                    "event": request.to_original_event(),
                    "body": base64.b64encode(request.raw_body).decode(),
                    "parameters": parameters,
                }
            ).encode(),
            headers={"Content-Type": "application/json", "Lynceus-Event-Id": "e1"},
        )

    def failing() -> None:
        raise SystemError("broken")

    for path in ("/api/v1/events/{namespace}", "/api/v1/events/{namespace}/{discriminator}"):
        app.route(path, methods=["POST"], content_types=["*/*"])(
            type(echo)(echo.__code__, echo.__globals__, None, None, echo.__closure__)
        )
    app.route("/things/{name}", methods=["POST"], content_types=["*/*"])(lambda name: {"by": name})
    app.route("/things/all", methods=["GET"], content_types=["*/*"])(lambda: {"by": "all"})
    app.route("/failing", methods=["POST"], content_types=["*/*"])(failing)
    app.lambda_function(name="other")(lambda event, context: event)
    return app


@pytest.fixture(scope="module")
def refusals() -> list[tuple[str, str, int]]:
    return []


@pytest.fixture(scope="module")
def gateway(refusals: list[tuple[str, str, int]]) -> Iterator[Gateway]:
    gateway = Gateway(
        Functions(echo_app()),
        on_refusal=lambda *refusal: refusals.append(refusal),
        on_failure=lambda name, error: None,
    )
    gateway.start()
    yield gateway
    gateway.stop()


def port_of(gateway: Gateway) -> int:
    return int(gateway.url.rpartition(":")[2])


def send(
    gateway: Gateway,
    path: str,
    body: bytes = b"",
    headers: list[tuple[str, str]] | None = None,
    method: str = "POST",
) -> tuple[int, Any, Message]:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(gateway), timeout=10)
    connection.putrequest(method, path)
    for name, value in [
        ("Accept", "*/*"),
        ("Content-Type", "text/plain"),
        *(headers or []),
        ("Content-Length", str(len(body))),
    ]:
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None, answer.headers


def test_bytes_that_are_no_text_arrive_as_sent(gateway: Gateway) -> None:
    status, answer, _ = send(gateway, "/api/v1/events/argo/push", b"\xff\x00\xfe")
    assert status == 200
    assert answer["event"]["isBase64Encoded"] is True
    assert base64.b64decode(answer["body"]) == b"\xff\x00\xfe"


def test_an_empty_body_is_null_as_in_api_gateway(gateway: Gateway) -> None:
    _, answer, _ = send(gateway, "/api/v1/events/argo/push")
    assert answer["event"]["body"] is None
    assert answer["event"]["isBase64Encoded"] is False


def test_a_chunked_body_arrives_whole(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(gateway), timeout=10)
    connection.request(
        "POST",
        "/api/v1/events/argo/push",
        iter([b"one,", b"", b"two"]),
        {"Transfer-Encoding": "chunked", "Accept": "*/*", "Content-Type": "x/y"},
        encode_chunked=True,
    )
    answer = json.loads(connection.getresponse().read())
    assert base64.b64decode(answer["body"]) == b"one,two"


def test_a_repeated_header_keeps_every_value_and_the_last_one_in_headers(gateway: Gateway) -> None:
    _, answer, _ = send(gateway, "/api/v1/events/argo/push", b"x", [("X-A", "1"), ("x-a", "2"), ("X-A", "3")])
    assert answer["event"]["multiValueHeaders"]["X-A"] == ["1", "2", "3"]
    assert answer["event"]["headers"]["X-A"] == "3"


def test_the_way_of_the_request_is_added_to_what_proxies_before_said(gateway: Gateway) -> None:
    _, answer, _ = send(gateway, "/api/v1/events/argo/push", b"x", [("x-forwarded-for", "10.0.0.1")])
    assert answer["event"]["headers"]["X-Forwarded-For"] == "10.0.0.1, 127.0.0.1"
    assert answer["event"]["headers"]["X-Amzn-Trace-Id"].startswith("Root=1-")


def test_path_parameters_stay_percent_encoded(gateway: Gateway) -> None:
    _, answer, _ = send(gateway, "/api/v1/events/argo/a%2Fb%20c")
    assert answer["parameters"] == {"namespace": "argo", "discriminator": "a%2Fb%20c"}
    assert answer["event"]["resource"] == "/api/v1/events/{namespace}/{discriminator}"


def test_a_slash_at_the_end_reaches_the_shorter_route_and_can_be_seen(gateway: Gateway) -> None:
    _, answer, _ = send(gateway, "/api/v1/events/argo/")
    assert answer["parameters"] == {"namespace": "argo"}
    assert answer["event"]["path"] == "/api/v1/events/argo/"


def test_queries_come_with_every_value(gateway: Gateway) -> None:
    _, answer, _ = send(gateway, "/api/v1/events/argo/push?a=1&a=%20&b=")
    assert answer["event"]["multiValueQueryStringParameters"] == {"a": ["1", " "], "b": [""]}
    assert answer["event"]["queryStringParameters"] == {"a": " ", "b": ""}


def test_a_literal_part_goes_before_a_parameter(gateway: Gateway) -> None:
    assert send(gateway, "/things/all", method="GET")[1] == {"by": "all"}
    assert send(gateway, "/things/one")[1] == {"by": "one"}


@pytest.mark.parametrize(
    "method,path",
    [
        ("POST", "/things/all"),
        ("POST", "/nowhere"),
        ("GET", "/api/v1/events/argo/push"),
        ("POST", "/api/v1/events//push"),
        ("POST", "/api/v1/events/argo/a/b"),
        ("POST", "/"),
    ],
)
def test_unknown_routes_get_argos_own_answer(gateway: Gateway, method: str, path: str) -> None:
    status, answer, headers = send(gateway, path, method=method)
    assert (status, answer) == (501, {"code": 12, "message": "Not Implemented"})
    assert headers["Content-Type"] == "application/json"


def test_a_body_over_ten_megabytes_is_refused_in_our_form_and_the_answer_arrives(gateway: Gateway) -> None:
    status, answer, _ = send(gateway, "/api/v1/events/argo/push", b"x" * (11 * 1024 * 1024))
    assert status == 413
    assert answer["code"] == 8
    assert str(BODY_LIMIT) in answer["message"]


def test_a_body_of_exactly_ten_megabytes_passes(gateway: Gateway) -> None:
    status, _, _ = send(gateway, "/failing", b"x" * BODY_LIMIT)
    assert status == 500


def test_a_wrong_content_length_is_a_bad_request(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", port_of(gateway)), timeout=10) as connection:
        connection.sendall(
            b"POST /api/v1/events/argo/push HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_one_connection_carries_many_requests(gateway: Gateway) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port_of(gateway), timeout=10)
    for number in range(3):
        connection.request("POST", f"/api/v1/events/argo/{number}", b"x", {"Accept": "*/*"})
        answer = json.loads(connection.getresponse().read())
        assert answer["parameters"]["discriminator"] == str(number)


def test_requests_at_the_same_time_do_not_see_each_other(gateway: Gateway) -> None:
    answers: dict[int, Any] = {}

    def one(number: int) -> None:
        body = b"%d" % number * 1000
        answers[number] = base64.b64decode(send(gateway, f"/api/v1/events/argo/{number}", body)[1]["body"])

    threads = [threading.Thread(target=one, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: b"%d" % number * 1000 for number in range(20)}


def test_a_function_that_raises_is_reported_and_answered_as_api_gateway_does() -> None:
    class Broken(Chalice):
        def __call__(self, event: Any, context: Any) -> Any:
            raise ValueError("no")

    app = Broken("broken", configure_logs=False)
    app.route("/x", methods=["POST"])(dict)
    failures: list[tuple[str, Exception]] = []
    gateway = Gateway(
        Functions(app),
        on_refusal=lambda *refusal: None,
        on_failure=lambda name, error: failures.append((name, error)),
    )
    gateway.start()
    try:
        assert send(gateway, "/x")[:2] == (502, {"message": "Internal server error"})
    finally:
        gateway.stop()
    assert failures[0][0] == "api_handler"


def test_who_watches_hears_what_the_gateway_refuses_itself(
    gateway: Gateway, refusals: list[tuple[str, str, int]]
) -> None:
    refusals.clear()
    send(gateway, "/api/v1/events/argo/passed")
    send(gateway, "/nowhere?token=secret", method="GET")
    assert refusals == [("GET", "/nowhere", 501)]


def test_a_port_in_use_is_said_before_anything_starts(gateway: Gateway) -> None:
    with pytest.raises(OSError, match="in use"):
        Gateway(
            Functions(echo_app()), port_of(gateway), on_refusal=lambda *_: None, on_failure=lambda *_: None
        )


@given(st.binary(max_size=200))
def test_any_chunked_framing_is_read_or_refused(wire: bytes) -> None:
    headers = Message()
    headers["Transfer-Encoding"] = "chunked"
    with contextlib.suppress(BadRequest, BodyTooLarge):
        assert isinstance(read_body(headers, io.BytesIO(wire), BODY_LIMIT), bytes)


@given(st.text(max_size=30), st.binary(max_size=50))
def test_any_content_length_is_read_or_refused(length: str, wire: bytes) -> None:
    headers = Message()
    headers["Content-Length"] = length
    with contextlib.suppress(BadRequest, BodyTooLarge):
        assert len(read_body(headers, io.BytesIO(wire), BODY_LIMIT)) <= len(wire)


@given(st.lists(st.binary(min_size=1, max_size=100), max_size=8))
def test_chunks_join_to_the_body(chunks: list[bytes]) -> None:
    headers = Message()
    headers["Transfer-Encoding"] = "chunked"
    wire = (
        b"".join(b"%x;name=value\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nA: b\r\n\r\n"
    )
    assert read_body(headers, io.BytesIO(wire), BODY_LIMIT) == b"".join(chunks)
