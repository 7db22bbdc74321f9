"""How the system starts and ends: at once, cleanly, and touching nothing real."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Running, push_body


def test_it_ends_with_zero_on_ctrl_c_and_keeps_its_objects_for_the_next_start(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(tmp_path)
    delivery = "99999999-2222-3333-4444-555555555555"
    assert running.push(push_body("1111111a"), X_GitHub_Delivery=delivery).status == 200
    (workflow,) = running.settled(1, "1111111")
    assert running.stop(signal.SIGINT) == 0
    assert running.lines[-1] == "stopped"
    assert not (tmp_path / "env").exists()

    again = start(tmp_path)
    assert again.secret == running.secret
    (kept,) = again.workflows("1111111")
    assert kept["metadata"]["uid"] == workflow["metadata"]["uid"]
    answer = again.push(push_body("1111111a"), X_GitHub_Delivery=delivery)
    assert answer.status == 200
    assert again.push(push_body("2222222a")).status == 200
    assert len(again.settled(1, "2222222")) == 1
    assert len(again.workflows("1111111")) == 1
    assert again.stop(signal.SIGTERM) == 0


def test_nothing_of_the_shell_leads_to_something_real(start: Callable[..., Running], tmp_path: Path) -> None:
    real = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "KUBECONFIG": "/nonexistent/kubeconfig",
        "LYNCEUS_CLUSTER_ENDPOINT": "https://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
        "HTTPS_PROXY": "http://127.0.0.1:1",
    }
    running = start(tmp_path, environment=real)
    written = (tmp_path / "env").read_text()
    assert "AKIAREAL" not in written
    assert "production" not in written
    assert "LYNCEUS_CLUSTER_ENDPOINT" not in written
    assert running.push(push_body("3333333a")).status == 200
    assert len(running.settled(1, "3333333")) == 1
    running.stop()


def test_clients_that_nobody_has_read_yet_cannot_be_judged_while_secrets_manager_is_away(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(tmp_path)
    running.outages("secretsmanager")
    refused = running.push(push_body("5555555a"))
    running.outages()
    assert (refused.status, refused.body["code"]) == (503, 14)
    assert running.push(push_body("5555555a")).status == 200
    assert len(running.settled(1, "5555555")) == 1
    running.stop()


def test_a_second_system_with_the_same_state_says_so(system: Running, start: Callable[..., Running]) -> None:
    second = start(system.state)
    assert second.process.wait(20) == 3
    assert f"another system runs with {system.state}" in "\n".join(second.lines)


def test_a_port_in_use_is_named_with_the_way_out(
    system: Running, start: Callable[..., Running], tmp_path: Path
) -> None:
    port = system.url.rpartition(":")[2]
    second = start(tmp_path, ["--port", port])
    assert second.process.wait(20) == 3
    assert f"port {port} is in use" in "\n".join(second.lines)


def test_a_real_cluster_is_named_and_given_no_demo(start: Callable[..., Running], tmp_path: Path) -> None:
    kubeconfig = tmp_path / "mine"
    kubeconfig.write_text(
        """
        apiVersion: v1
        kind: Config
        current-context: production
        clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
        contexts: [{name: production, context: {cluster: c, user: u}}]
        users: [{name: u, user: {token: t}}]
        """
    )
    running = start(tmp_path / "state", ["--kubeconfig", str(kubeconfig)])
    assert running.lines[0] == "cluster of your own: production at http://127.0.0.1:9"
    written = (tmp_path / "state" / "env").read_text()
    assert "LYNCEUS_CRON=off\n" in written
    assert f"LYNCEUS_KUBECONFIG={kubeconfig}\n" in written
    assert f"\nKUBECONFIG={kubeconfig}\n" in written
    assert not (tmp_path / "state" / "cluster").exists()
    assert running.stop() == 0


def test_a_real_cluster_is_acted_in_by_the_rights_of_its_kubeconfig(
    system: Running, start: Callable[..., Running], tmp_path: Path
) -> None:
    # The other system's cluster stands for a real one.
    second = start(tmp_path, ["--kubeconfig", str(system.state / "kubeconfig")])
    second.secret = "0123456789abcdef0123456789abcdef"
    document = json.dumps({"github.com": {"type": "github", "secret": second.secret}})
    second.aws("secretsmanager").create_secret(
        Name="lynceus-local/argo/webhook-clients", SecretString=document
    )
    second.url = (
        next(line for line in second.lines if " api " in line).split()[1].removesuffix("/api/v1/events/…")
    )
    assert second.push(push_body("4444444a")).status == 200
    assert len(system.settled(1, "4444444")) == 1
    assert second.stop() == 0


@pytest.mark.parametrize("text", ["", "[]", "current-context: none\ncontexts: []\n"])
def test_a_kubeconfig_without_a_context_is_refused(
    start: Callable[..., Running], tmp_path: Path, text: str
) -> None:
    (tmp_path / "mine").write_text(text)
    running = start(tmp_path / "state", ["--kubeconfig", str(tmp_path / "mine")])
    assert running.process.wait(20) == 1
    assert "names no usable current context" in "\n".join(running.lines)
