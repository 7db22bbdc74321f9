"""The token that EKS takes from an AWS identity: a signed request to STS, never sent by us.

The API server's authenticator sends it and learns from STS whose signature it is. So making one is a local
computation, and nothing is asked of AWS; it takes far less time than making an STS client would.

The server accepts a token for 15 minutes from its date, and no longer than the credentials that signed it.
Source: kubernetes-sigs/aws-iam-authenticator pkg/token/token.go.
"""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING

from chalicelib.core.errors import Unavailable
from chalicelib.ports import Clock

if TYPE_CHECKING:
    from botocore.credentials import Credentials, ReadOnlyCredentials

LIFETIME = 600.0  # seconds until a new one is signed


class EksToken:
    """The bearer token of the function's own role for one cluster, signed again when it is due."""

    def __init__(
        self, cluster: str, region: str, clock: Clock, credentials: Credentials | None = None
    ) -> None:
        self._cluster, self._region, self._clock = cluster, region, clock
        self._credentials = credentials
        self._token = ""
        self._signed_at = 0.0
        self._signed_by: ReadOnlyCredentials | None = None
        self._lock = threading.Lock()

    def token(self) -> str:
        """A token that serves for some minutes yet; raises Unavailable where there are no credentials."""
        with self._lock:
            # botocore replaces credentials well before they end: those that signed are then no longer these.
            signer = self._signer()
            too_old = self._clock.monotonic() - self._signed_at > LIFETIME
            if not self._token or too_old or signer != self._signed_by:
                self._token = signed(self._cluster, self._region, signer)
                self._signed_at, self._signed_by = self._clock.monotonic(), signer
            return self._token

    def forget(self) -> None:
        """Sign anew for the next call: the server refused this one."""
        with self._lock:
            self._token = ""

    def _signer(self) -> ReadOnlyCredentials:
        from botocore.exceptions import BotoCoreError
        from botocore.session import get_session

        try:
            if self._credentials is None:
                self._credentials = get_session().get_credentials()
            if self._credentials is None:
                raise Unavailable("no AWS credentials to sign in to EKS with: give the function a role")
            return self._credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise Unavailable(f"no AWS credentials to sign in to EKS with: {type(error).__name__}") from error


def signed(cluster: str, region: str, credentials: ReadOnlyCredentials) -> str:
    """The token of the credentials' owner for the cluster: ``k8s-aws-v1.`` and the signed URL."""
    from botocore.auth import SigV4QueryAuth
    from botocore.awsrequest import AWSRequest

    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    # The signature must cover the cluster's name: it is what keeps a token from serving another cluster.
    request = AWSRequest(
        "GET",
        f"https://sts.{region}.{domain}/?Action=GetCallerIdentity&Version=2011-06-15",
        headers={"x-k8s-aws-id": cluster},
    )
    SigV4QueryAuth(credentials, "sts", region, expires=60).add_auth(request)
    return "k8s-aws-v1." + base64.urlsafe_b64encode(str(request.url).encode()).decode().rstrip("=")
