"""Amazon SNS for webhooks: signing certificates over HTTPS, confirmations over the API (rule 13).

The URL was checked before it gets here (host from the region list, file name pattern). What is checked here is
what only the fetch can show: no redirect, little text, little time. Certificates live for years and are kept.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from chalicelib.core.errors import Unavailable

LIMIT = 64 * 1024  # bytes of a certificate
SECONDS = 2.0
KEPT = 32  # certificates


class SnsTopics:
    """The Topics port over the network."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._pool: Any = None

    def certificate(self, url: str) -> bytes:
        """See `chalicelib.ports.Topics.certificate`."""
        with self._lock:
            if url in self._kept:
                self._kept.move_to_end(url)
                return self._kept[url]
        pem = self._fetch(url)
        if not pem:
            return pem
        with self._lock:
            self._kept[url] = pem
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return pem

    def _fetch(self, url: str) -> bytes:
        import urllib3

        if self._pool is None:
            self._pool = urllib3.PoolManager(timeout=urllib3.Timeout(total=SECONDS), retries=False)
        try:
            answer = self._pool.request("GET", url, redirect=False, preload_content=False)
            pem = bytes(answer.read(LIMIT + 1))
            answer.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"the signing certificate cannot be fetched: {type(error).__name__}") from error
        if answer.status in (403, 404):
            return b""  # a forger's file name; not kept, since SNS may be late with a new one
        if answer.status != 200 or len(pem) > LIMIT:
            raise Unavailable(
                f"the signing certificate cannot be fetched: status {answer.status}, {len(pem)} bytes"
            )
        return pem

    def confirm(self, topic_arn: str, token: str) -> None:
        """See `chalicelib.ports.Topics.confirm`."""
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        region = topic_arn.split(":")[3]
        # Unsigned: the token is the proof, and a signed call would need a right on topics of any account.
        config = Config(
            signature_version=UNSIGNED,
            connect_timeout=1,
            read_timeout=2,
            retries={"mode": "standard", "total_max_attempts": 1},
        )
        try:
            boto3.client("sns", region_name=region, config=config).confirm_subscription(
                TopicArn=topic_arn, Token=token
            )
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(
                f"the subscription to {topic_arn} cannot be confirmed: {type(error).__name__}"
            ) from error
