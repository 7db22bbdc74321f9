"""A cluster as the person at the keyboard reaches it: kubectl's kubeconfig, their own rights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from chalicelib.core.errors import ClusterError, Misconfigured, Unavailable

ARGO = "/apis/argoproj.io/v1alpha1"
PATIENCE = (3.0, 15.0)  # seconds to connect, and to wait for an answer


class Cluster:
    """One context of a kubeconfig."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self.name = name
        self.date = ""  # the Date header of the last answer

    @classmethod
    def of(cls, kubeconfig: str = "", context: str = "") -> Cluster:
        """The cluster that kubectl would speak to; raises Misconfigured."""
        from kubernetes import config

        try:
            client = config.new_client_from_config(kubeconfig or None, context or None)  # type: ignore[no-untyped-call]  # the client's config has no types
        except (config.ConfigException, OSError) as error:
            failed = Misconfigured(f"no cluster: {error}")
            failed.hint = "aws eks update-kubeconfig --name …  # or say --kubeconfig, --context"  # type: ignore[attr-defined]  # what `main` prints below a message
            raise failed from error
        return cls(client, client.configuration.host)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The answer's JSON; raises ClusterError or Unavailable."""
        from urllib3.exceptions import HTTPError

        sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=sent,
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*request, _request_timeout=PATIENCE)
            content = answer.read()
        except HTTPError as error:
            failed = Unavailable(f"{self.name} does not answer: {type(error).__name__}")
            failed.hint = "kubectl cluster-info"  # type: ignore[attr-defined]  # as above
            raise failed from error
        self.date = str(answer.headers.get("Date", ""))
        try:
            value = json.loads(content)
        except ValueError:
            value = {"message": content.decode("utf-8", "replace")[:300]}
        if answer.status >= 400:
            raise ClusterError(answer.status, str(value.get("reason", "")), str(value.get("message", "")))
        return dict(value)

    def find(self, path: str) -> dict[str, Any] | None:
        """The object at the path, None where there is none."""
        try:
            return self.ask("GET", path)
        except ClusterError as error:
            if error.status == 404 and error.reason == "NotFound":
                return None
            raise

    def template(self, namespace: str, name: str, wide: bool) -> dict[str, Any] | None:
        """The WorkflowTemplate, or with `wide` the ClusterWorkflowTemplate."""
        kind = (
            "clusterworkflowtemplates"
            if wide
            else f"namespaces/{quote(namespace, safe='')}/workflowtemplates"
        )
        return self.find(f"{ARGO}/{kind}/{quote(name, safe='')}")

    def workflows(self, namespace: str) -> list[dict[str, Any]]:
        """Every Workflow of the namespace, consistently read page by page."""
        found: list[dict[str, Any]] = []
        query = {"limit": "500"}
        while True:
            page = self.ask("GET", f"{ARGO}/namespaces/{quote(namespace, safe='')}/workflows", query=query)
            found += page.get("items") or ()
            further = (page.get("metadata") or {}).get("continue")
            if not further:
                return found
            query["continue"] = further
