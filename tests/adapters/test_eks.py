"""The token for EKS: what it holds, and when it is signed anew."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import Credentials

from chalicelib.adapters.eks import EksToken
from chalicelib.core.errors import Unavailable
from lynceus.local.memory import FakeClock


def url_of(token: str) -> str:
    prefix, _, encoded = token.partition(".")
    assert prefix == "k8s-aws-v1"
    assert "=" not in encoded
    return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()


def test_a_token_is_a_signed_request_to_sts_that_names_the_cluster() -> None:
    token = EksToken("prod", "eu-central-1", FakeClock(), Credentials("AKID", "secret", "session")).token()
    url = urlsplit(url_of(token))
    query = parse_qs(url.query)
    assert (url.scheme, url.netloc, url.path) == ("https", "sts.eu-central-1.amazonaws.com", "/")
    assert query["Action"] == ["GetCallerIdentity"]
    assert query["X-Amz-SignedHeaders"] == ["host;x-k8s-aws-id"]
    assert query["X-Amz-Expires"] == ["60"]
    assert query["X-Amz-Security-Token"] == ["session"]
    # The authenticator refuses any other parameter and any token over 4 KiB.
    assert set(query) <= {"Action", "Version", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires",
                          "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-SignedHeaders"}  # fmt: skip
    assert len(token) < 4096


def test_the_signature_covers_the_name_of_the_cluster() -> None:
    credentials = Credentials("AKID", "secret")
    first, second = (
        parse_qs(urlsplit(url_of(EksToken(name, "eu-west-1", FakeClock(), credentials).token())).query)
        for name in ("prod", "test")
    )
    assert first["X-Amz-Signature"] != second["X-Amz-Signature"]


def test_the_chinese_partition_has_its_own_domain() -> None:
    token = EksToken("prod", "cn-north-1", FakeClock(), Credentials("AKID", "secret")).token()
    assert urlsplit(url_of(token)).netloc == "sts.cn-north-1.amazonaws.com.cn"


class Rotating(Credentials):  # type: ignore[misc]  # botocore has no types here
    """Credentials that are other ones after each `turn`."""

    def turn(self) -> None:
        self.access_key += "x"


def test_a_token_serves_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    signings: list[Any] = []
    monkeypatch.setattr(
        "botocore.auth.SigV4QueryAuth.add_auth", lambda self, request: signings.append(self.credentials)
    )
    clock = FakeClock()
    token = EksToken("prod", "eu-west-1", clock, Credentials("AKID", "secret"))
    token.token()
    clock.sleep(599)
    token.token()
    assert len(signings) == 1
    clock.sleep(2)
    token.token()
    assert len(signings) == 2


def test_new_credentials_sign_a_new_token_at_once() -> None:
    credentials = Rotating("AKID", "secret")
    token = EksToken("prod", "eu-west-1", FakeClock(), credentials)
    first = token.token()
    credentials.turn()
    assert "AKIDx" in url_of(token.token())
    assert "AKIDx" not in url_of(first)


def test_a_token_that_was_refused_is_signed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    signings: list[Any] = []
    monkeypatch.setattr("botocore.auth.SigV4QueryAuth.add_auth", lambda self, request: signings.append(1))
    token = EksToken("prod", "eu-west-1", FakeClock(), Credentials("AKID", "secret"))
    token.token()
    token.forget()
    token.token()
    assert len(signings) == 2


def test_credentials_come_from_the_environment_of_the_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "FROMENV" in url_of(EksToken("prod", "eu-west-1", FakeClock()).token())


def test_without_credentials_the_cluster_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(Unavailable, match="no AWS credentials"):
        EksToken("prod", "eu-west-1", FakeClock()).token()
