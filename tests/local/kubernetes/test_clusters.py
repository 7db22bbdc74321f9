"""What only our own cluster can do: faults, a clock, a directory, and controllers that are played."""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3

from lynceus.local.kubernetes import Cluster, Refusal, creates
from tests.local.kubernetes.servers import Server
from tests.local.kubernetes.test_behaviour import eventually, workflow, workflows

WHERE = workflows("default")


def cluster_of(server: Server) -> Cluster:
    assert server.cluster is not None
    return server.cluster


# -- faults --------------------------------------------------------------------------------------------------


def test_an_error_happens_as_often_as_it_was_asked_for(ours: Server) -> None:
    cluster_of(ours).faults.error(503, count=2)

    assert [ours.call("GET", WHERE)[0] for _ in range(3)] == [503, 503, 200]


def test_a_throttled_caller_is_told_when_to_come_back(ours: Server) -> None:
    cluster_of(ours).faults.throttle(retry_after=7, count=1)

    status, answer = ours.call("GET", WHERE)

    assert status == 429
    assert answer["details"]["retryAfterSeconds"] == 7


def test_a_fault_for_creates_leaves_reads_alone(ours: Server) -> None:
    cluster_of(ours).faults.error(500, when=creates("workflows"))

    assert ours.call("GET", WHERE)[0] == 200
    assert ours.call("POST", WHERE, workflow("one"))[0] == 500
    cluster_of(ours).faults.clear()
    assert ours.call("POST", WHERE, workflow("one"))[0] == 201


def test_a_dropped_answer_leaves_its_effect(ours: Server) -> None:
    cluster_of(ours).faults.drop_after_effect(when=creates("workflows"))

    with pytest.raises(urllib3.exceptions.ProtocolError):
        ours.call("POST", WHERE, workflow("one"))

    assert ours.call("POST", WHERE, workflow("one"))[0] == 409


def test_a_refused_request_leaves_nothing(ours: Server) -> None:
    cluster_of(ours).faults.refuse(count=1)

    with pytest.raises(urllib3.exceptions.ProtocolError):
        ours.call("POST", WHERE, workflow("one"))

    assert ours.call("GET", WHERE)[1]["items"] == []


def test_a_cluster_that_was_down_comes_back_with_its_objects(ours: Server) -> None:
    ours.create(WHERE, workflow("one"))
    cluster = cluster_of(ours)

    cluster.faults.down()
    address = urllib3.util.parse_url(cluster.url)
    with (
        pytest.raises(OSError, match="refused"),
        socket.create_connection((address.host, address.port), timeout=5),
    ):
        pass
    cluster.faults.up()

    assert ours.call("GET", f"{WHERE}/one")[0] == 200


def test_going_down_ends_the_watches_that_are_open(ours: Server) -> None:
    ended = threading.Event()

    def watch() -> None:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            ours.call("GET", f"{WHERE}?watch=1&timeoutSeconds=60")
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    time.sleep(0.2)
    cluster_of(ours).faults.down()

    assert ended.wait(10)


# -- time, tokens and users ----------------------------------------------------------------------------------


def test_a_token_ends_by_the_clusters_clock(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    with Cluster(clock=lambda: now[0]) as cluster:
        server = Server(cluster.url, cluster.ca_pem, cluster.admin_token, tmp_path)
        token = cluster.token_for("default", "default", seconds=600)
        reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

        before, _ = server.call("POST", reviews, {}, token=token)
        now[0] += 700
        after, _ = server.call("POST", reviews, {}, token=token)
        _, review = server.call(
            "POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}
        )

    assert (before, after) == (201, 401)
    assert review["status"]["error"] == "[invalid bearer token, service account token has expired]"


def test_a_named_user_has_one_token_and_the_groups_it_was_given(ours: Server) -> None:
    cluster = cluster_of(ours)
    token = cluster.user_token("lynceus-api", ["lynceus:api"])

    _, answer = ours.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)

    assert cluster.user_token("lynceus-api", ["lynceus:api"]) == token
    assert answer["status"]["userInfo"]["username"] == "lynceus-api"
    assert answer["status"]["userInfo"]["groups"] == ["lynceus:api", "system:authenticated"]


def test_a_token_for_an_account_that_is_not_there_is_refused(ours: Server) -> None:
    with pytest.raises(Refusal, match='serviceaccounts "nobody" not found'):
        cluster_of(ours).token_for("default", "nobody")


def test_without_tls_everybody_is_the_admin(tmp_path: Path) -> None:
    with Cluster(tls=False) as cluster:
        answer = urllib3.request("GET", cluster.url + WHERE)

    assert cluster.url.startswith("http://")
    assert answer.status == 200


# -- history -------------------------------------------------------------------------------------------------


def test_what_was_forgotten_is_gone_and_says_so(ours: Server) -> None:
    for name in ("one", "two", "three"):
        ours.create(WHERE, workflow(name))
    _, page = ours.call("GET", f"{WHERE}?limit=1")
    token, revision = page["metadata"]["continue"], page["metadata"]["resourceVersion"]
    ours.create(WHERE, workflow("four"))
    cluster_of(ours).forget_history()

    resumed, answer = ours.call("GET", f"{WHERE}?limit=1&continue={token}")
    exact, _ = ours.call("GET", f"{WHERE}?resourceVersion={revision}&resourceVersionMatch=Exact")
    _, event = ours.call("GET", f"{WHERE}?watch=1&resourceVersion={revision}&timeoutSeconds=1")
    again, rest = ours.call("GET", f"{WHERE}?limit=1&continue={answer['metadata']['continue']}")

    assert (resumed, exact, again) == (410, 410, 200)
    assert event["type"] == "ERROR"
    assert event["object"]["code"] == 410
    assert [each["metadata"]["name"] for each in rest["items"]] == ["three"]


def test_the_cached_revision_of_a_kind_moves_with_that_kind_only(ours: Server) -> None:
    def cached() -> str:
        revision: str = ours.call("GET", f"{WHERE}?resourceVersion=0")[1]["metadata"]["resourceVersion"]
        return revision

    before = cached()
    ours.create("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "other"}})
    same = cached()
    ours.create(WHERE, workflow("one"))

    assert same == before
    assert int(cached()) > int(before)


def test_initial_events_end_with_a_bookmark_that_says_so(ours: Server) -> None:
    ours.create(WHERE, workflow("one"))
    ours.create(WHERE, workflow("two"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"

    _, text = ours.call("GET", f"{WHERE}?{query}&timeoutSeconds=1")

    lines = text.splitlines()
    assert len(lines) == 3
    assert '"k8s.io/initial-events-end":"true"' in lines[-1]


def test_a_change_reaches_a_watch_that_is_waiting(ours: Server) -> None:
    seen: queue.Queue[Any] = queue.Queue()
    _, listed = ours.call("GET", WHERE)
    revision = listed["metadata"]["resourceVersion"]
    target = f"{WHERE}?watch=1&resourceVersion={revision}&timeoutSeconds=2"
    thread = threading.Thread(target=lambda: seen.put(ours.call("GET", target)[1]), daemon=True)
    thread.start()
    time.sleep(0.2)
    ours.create(WHERE, workflow("one"))

    event = seen.get(timeout=10)

    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "one")


def test_a_watcher_sees_every_change_once_and_in_order(ours: Server) -> None:
    lines: queue.Queue[str] = queue.Queue()
    # From a revision, and not from 0, which gives what is already there in the order of its names.
    before = ours.call("GET", WHERE)[1]["metadata"]["resourceVersion"]
    target = f"{WHERE}?watch=1&resourceVersion={before}&timeoutSeconds=3"
    watcher = threading.Thread(target=lambda: lines.put(ours.call("GET", target)[1]), daemon=True)
    watcher.start()

    def create(part: int) -> None:
        for at in range(25):
            ours.create(WHERE, workflow(f"w-{part}-{at}"))

    writers = [threading.Thread(target=create, args=(part,)) for part in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    events = [json.loads(line)["object"]["metadata"] for line in lines.get(timeout=30).splitlines()]

    revisions = [int(event["resourceVersion"]) for event in events]
    assert sorted(event["name"] for event in events) == sorted(
        f"w-{part}-{at}" for part in range(4) for at in range(25)
    )
    assert revisions == sorted(set(revisions))


def test_names_are_taken_by_one_of_many(ours: Server) -> None:
    answers: queue.Queue[int] = queue.Queue()
    callers = [
        threading.Thread(target=lambda: answers.put(ours.call("POST", WHERE, workflow("one"))[0]))
        for _ in range(8)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    assert sorted(answers.get() for _ in range(8)) == [201] + [409] * 7


# -- a directory ---------------------------------------------------------------------------------------------


def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.apply([workflow("one", namespace="default"), workflow("two", namespace="default")])
        cluster.user_token("alice", ["dev"])
        token, authority = cluster.token_for("default", "default"), cluster.ca_pem
        before = cluster.objects("workflows.argoproj.io")
    with Cluster(tmp_path) as again:
        server = Server(again.url, authority, again.admin_token, tmp_path)
        known, _ = server.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)
        after = again.objects("workflows.argoproj.io")
        reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        _, alice = server.call("POST", reviews, {}, token=again.user_token("alice"))

    assert known == 201
    assert alice["status"]["userInfo"]["groups"] == ["dev", "system:authenticated"]
    assert after == before
    assert again.admin_token == cluster.admin_token
    assert again.user_token("alice") == cluster.user_token("alice")


def test_deleted_objects_and_definitions_stay_deleted(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.apply([workflow("one", namespace="default")])
        server = Server(cluster.url, cluster.ca_pem, cluster.admin_token, tmp_path)
        server.call("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/workflows.argoproj.io")
    with Cluster(tmp_path) as again:
        server = Server(again.url, again.ca_pem, again.admin_token, tmp_path)
        status, _ = server.call("GET", WHERE)

    assert status == 404


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.apply([workflow("one", namespace="default"), workflow("two", namespace="default")])
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])

    with Cluster(tmp_path) as again:
        names = [each["metadata"]["name"] for each in again.objects("workflows.argoproj.io")]

    assert names == ["one"]


def test_secrets_of_the_cluster_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    with Cluster(tmp_path / "state") as cluster:
        cluster.token_for("default", "default")
        cluster.write_kubeconfig(tmp_path / "state" / "kubeconfig")

    names = ("journal.jsonl", "users.json", "server-key.pem", "service-accounts.pem", "kubeconfig")
    assert {(tmp_path / "state" / name).stat().st_mode & 0o077 for name in names} == {0}


# -- controllers ---------------------------------------------------------------------------------------------


def phases(cluster: Cluster) -> list[str]:
    return [(each.get("status") or {}).get("phase", "") for each in cluster.objects("workflows.argoproj.io")]


def test_workflows_run_and_succeed(ours: Server) -> None:
    lines: queue.Queue[str] = queue.Queue()
    cluster = cluster_of(ours)
    cluster.play_controller(0.0, on_change=lines.put)
    ours.create(WHERE, workflow("one"))

    told = [lines.get(timeout=10), lines.get(timeout=10)]
    found = cluster.objects("workflows.argoproj.io")[0]

    assert [line.split()[1:] for line in told] == [["Running", "default/one"], ["Succeeded", "default/one"]]
    assert found["status"]["finishedAt"]
    assert found["metadata"]["labels"]["workflows.argoproj.io/completed"] == "true"


def test_the_failure_rate_decides_how_many_fail(ours: Server) -> None:
    cluster = cluster_of(ours)
    cluster.play_controller(0.0, failure_rate=1.0)
    for at in range(3):
        ours.create(WHERE, workflow(f"w{at}"))

    assert eventually(lambda: phases(cluster) == ["Failed"] * 3)


def test_a_shutdown_ends_a_workflow_before_its_time(ours: Server) -> None:
    cluster = cluster_of(ours)
    cluster.play_controller(None)
    ours.create(WHERE, workflow("one"))
    assert eventually(lambda: phases(cluster) == ["Running"])

    headers = {"Content-Type": "application/merge-patch+json"}
    ours.call("PATCH", f"{WHERE}/one", {"spec": {"shutdown": "Terminate"}}, headers=headers)

    assert eventually(lambda: phases(cluster) == ["Failed"])
    assert (
        cluster.objects("workflows.argoproj.io")[0]["status"]["message"]
        == "Stopped with strategy 'Terminate'"
    )


def test_a_deleted_namespace_ends_with_all_it_holds(ours: Server) -> None:
    cluster = cluster_of(ours)
    cluster.play_housekeeping()
    ours.create("/api/v1/namespaces", {"metadata": {"name": "team"}})
    ours.create(workflows("team"), workflow("one"))

    ours.call("DELETE", "/api/v1/namespaces/team")

    assert eventually(lambda: ours.call("GET", "/api/v1/namespaces/team")[0] == 404)
    assert cluster.objects("workflows.argoproj.io", "team") == []


def test_children_follow_their_owner(ours: Server) -> None:
    cluster = cluster_of(ours)
    cluster.play_housekeeping()
    owner = ours.create(WHERE, workflow("parent"))
    reference = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "name": "parent",
        "uid": owner["metadata"]["uid"],
    }
    ours.create(WHERE, workflow("child", ownerReferences=[reference]))

    ours.call("DELETE", f"{WHERE}/parent")

    assert eventually(lambda: cluster.objects("workflows.argoproj.io") == [])


def test_the_secret_of_an_account_gets_a_token_that_works(ours: Server) -> None:
    cluster = cluster_of(ours)
    cluster.play_housekeeping()
    path = "/api/v1/namespaces/default/secrets"
    annotations = {"kubernetes.io/service-account.name": "default"}
    metadata = {"name": "default.service-account-token", "annotations": annotations}
    ours.create(path, {"metadata": metadata, "type": "kubernetes.io/service-account-token"})

    assert eventually(lambda: "token" in (cluster.objects("secrets")[0].get("data") or {}))
    token = base64.b64decode(cluster.objects("secrets")[0]["data"]["token"]).decode()
    _, answer = ours.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token)

    assert answer["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    assert "kubernetes.io/legacy-token-last-used" in cluster.objects("secrets")[0]["metadata"]["labels"]
