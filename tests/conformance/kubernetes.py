"""Request and response pairs of a real kube-apiserver 1.36.2, replayed against the local Kubernetes API.

The pairs were recorded in a few sessions, each of which began by putting a state in place; `SESSIONS` says those
steps again, as requests made before the pair of that name. What the two servers chose by themselves differs (uids,
revisions, tokens, generated names): wherever a response shows such a value, the recorded one is learnt as ours, and
later requests are translated. Bodies are then compared with times and such values made equal.

The pairs about Argo's kinds were recorded under Argo's full definitions, which are read where they lie; without
them only the other pairs are replayed. `EXCEPTIONS` names each pair that is known to differ, and why.
"""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import re
import ssl
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from lynceus.local.kubernetes import Cluster
from lynceus.local.kubernetes.tokens import User

# The share of pairs that must agree, per group; `make conformance` fails below.
FLOOR = {"statuses": 0.98, "bodies": 0.90}

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "kubernetes_api_cases.jsonl.gz"
SHARED = Path(os.environ.get("LYNCEUS_SHARED") or Path(__file__).resolve().parents[3] / "shared")
DEFINITIONS = SHARED / "crds"

_MORE_KINDS = (
    "the recorded server had the built-in kinds of a whole Kubernetes; ours has those that triggering needs"
)
# name of the pair → why its body (or, where it says so, its status) differs
EXCEPTIONS = {
    "disc /api agg": _MORE_KINDS,
    "disc /apis": _MORE_KINDS,
    "disc root": _MORE_KINDS,
    "openapi v3 index": _MORE_KINDS,
    "openapi v3 index2": _MORE_KINDS,
    "disc gv": "recorded with three more kinds of Argo's (task sets, results, artifact collection), not among ours",
    "accept pb": "a refusal in protobuf, which we answer in JSON",
    "watch sendInitialEvents": "its etcd was too old for this kind of watch; ours answers it",
    "410 watch": "recorded in the second after a restart; status differs, ours needs no such second",
}

Pair = dict[str, Any]


def pairs() -> list[Pair]:
    """The recorded pairs, in the order of recording."""
    with gzip.open(VECTORS, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Client:
    """One keep-alive connection to the local cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._context = ssl.create_default_context(cadata=cluster.ca_pem)
        self._connection: http.client.HTTPSConnection | None = None

    def send(
        self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body; a watch is read until it falls silent."""
        watch = "watch=" in target or "/watch/" in target
        if self._connection is None or watch:
            address = urllib.parse.urlsplit(self._cluster.url)
            self._connection = http.client.HTTPSConnection(
                address.hostname or "", address.port, context=self._context, timeout=30
            )
        connection = self._connection
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        found = dict(response.getheaders())
        if response.getheader("Transfer-Encoding") != "chunked":
            return response.status, found, response.read()
        self._connection = None
        return response.status, found, self._read_watch(connection, response)

    @staticmethod
    def _read_watch(connection: http.client.HTTPSConnection, response: http.client.HTTPResponse) -> bytes:
        # What lies in the log is sent at once; the rest of the watch would be silence.
        connection.sock.settimeout(0.3)
        read = bytearray()
        try:
            while data := response.read1(65536):
                read += data
        except TimeoutError:
            pass
        connection.close()
        return bytes(read)


class Replay:
    """A cluster, what was learnt about it, and the steps of the sessions."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.client = Client(cluster)
        self.learnt: dict[str, str] = {}  # recorded text → ours
        for token, user in (
            ("admintoken", User("admin", "admin-uid", ("system:masters",))),
            ("alicetoken", User("alice", "alice-uid", ("dev",))),
            ("lambdatoken", User("lambda-consumer", "lambda-uid")),
            ("ingesttoken", User("ingest", "ingest-uid")),
        ):
            cluster.tokens.add(token, user)

    # -- steps -----------------------------------------------------------------------------------------------

    def do(self, method: str, path: str, body: Any = None, *, query: str = "", media: str = "") -> Any:
        """A request as the admin, without a User-Agent as the recorded ones; returns the decoded answer."""
        headers = [("Authorization", f"Bearer {self.cluster.admin_token}")]
        if body is not None:
            headers.append(("Content-Type", media or "application/json"))
        data = None if body is None else json.dumps(body).encode()
        status, _, answer = self.client.send(method, path + query, headers, data)
        if status >= 400:
            raise AssertionError(f"setting up: {method} {path}{query} answered {status}: {answer.decode()}")
        return json.loads(answer)

    def workflow(self, name: str, spec: Any = None, **parts: Any) -> Any:
        """Create a workflow in `argo`; `labels` and `finalizers` go into its metadata."""
        metadata = {"name": name} | {key: parts.pop(key) for key in ("labels", "finalizers") if key in parts}
        body = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, **parts}
        return self.do("POST", WORKFLOWS, body | {"spec": spec or {"entrypoint": "main"}})

    def patch(self, path: str, body: Any) -> Any:
        return self.do("PATCH", path, body, media="application/merge-patch+json")

    def was(self, recorded: str, answer: Any) -> None:
        """The write just done was the recorded server's revision so."""
        self.learnt[recorded] = answer["metadata"]["resourceVersion"]

    # -- translation -----------------------------------------------------------------------------------------

    def translated(self, text: str) -> str:
        """The text of a request with every learnt value in the place of the recorded one."""
        for recorded in sorted(self.learnt, key=len, reverse=True):
            if len(recorded) > 8:
                text = text.replace(recorded, self.learnt[recorded])
        return re.sub(
            r'("resourceVersion": ?")(\d+)(")',
            lambda found: found[1] + self.learnt.get(found[2], found[2]) + found[3],
            text,
        )

    def target(self, path: str) -> str:
        """The path with its query, revisions and continue tokens translated."""
        path, question, query = self.translated(path).partition("?")
        found = re.sub(
            r"(resourceVersion=)(\d+)", lambda match: match[1] + self.learnt.get(match[2], match[2]), query
        )
        found = re.sub(r"(continue=)([\w-]+)", lambda match: match[1] + self.token(match[2]), found)
        return path + question + found

    def token(self, text: str) -> str:
        """A continue token with its revision translated."""
        try:
            token = json.loads(base64.urlsafe_b64decode(text + "==="))
        except ValueError:
            return text
        token["rv"] = int(self.learnt.get(str(token["rv"]), token["rv"]))
        encoded = json.dumps(token, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(encoded).rstrip(b"=").decode()

    def learn(self, recorded: Any, ours: Any) -> None:
        """Wherever both answers name something the server chose, remember ours."""
        if isinstance(recorded, dict) and isinstance(ours, dict):
            for key in recorded.keys() & ours.keys():
                mine, theirs = ours[key], recorded[key]
                chosen = key in ("uid", "resourceVersion", "token") or (
                    key == "name" and "generateName" in recorded
                )
                if chosen and isinstance(mine, str) and isinstance(theirs, str):
                    self.learnt[theirs] = mine
                elif key == "serverRelativeURL":
                    self.learnt[theirs.partition("hash=")[2]] = mine.partition("hash=")[2]
                else:
                    self.learn(theirs, mine)
        elif (
            isinstance(recorded, list)
            and isinstance(ours, list)
            and "generateName" not in json.dumps(recorded)
        ):
            # Lists go by name, and generated names by chance: there is no telling which is which.
            for theirs, mine in zip(recorded, ours, strict=False):
                self.learn(theirs, mine)

    def play(self, pair: Pair) -> tuple[int, dict[str, str], Any]:
        """Send the pair's request; returns status, headers and body in the recording's form."""
        headers = [(name, self.translated(value)) for name, value in pair["headers"].items()]
        body = pair["requestBody"]
        data = None if body is None else self.translated(_unshortened(body, pair["name"])).encode()
        status, found, answer = self.client.send(pair["method"], self.target(pair["path"]), headers, data)
        decoded = decoded_body(answer)
        self.learn(decoded_body(pair["body"]), decoded)
        return status, found, decoded


def _unshortened(body: str, name: str) -> str:
    """The recording shows large bodies by their size alone; they were workflows around one long text."""
    size = re.fullmatch(r"<(\d+) bytes>", body)
    if size is None:
        return body
    long = "x" * int(size[1])
    metadata: dict[str, Any] = (
        {"name": "ann", "annotations": {"a": long}} if "ann" in name else {"name": "big"}
    )
    template = {"name": "main", "container": {"image": "busybox", "command": ["echo", "hi"]}}
    spec: dict[str, Any] = {"entrypoint": "main", "templates": [template]}
    if "ann" not in name:
        template["container"]["args"] = [long]  # type: ignore[index] - a plain document
    return json.dumps(
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}
    )


def decoded_body(body: Any) -> Any:
    """Bytes or text as the document they hold: JSON, lines of JSON, or the text itself."""
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except ValueError:
        pass
    lines = body.splitlines()
    if lines and all(line.startswith("{") and line.endswith("}") for line in lines):
        return [json.loads(line) for line in lines]
    return body


# -- what two servers may differ in --------------------------------------------------------------------------

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
_HOST = re.compile(r"127\.0\.0\.1:\d+")
_BUILD = ("gitVersion", "gitCommit", "buildDate", "goVersion", "compiler", "platform")


def normalised(value: Any, *, generated: str = "", key: str = "") -> Any:
    """The value with what a server chooses by itself made equal; `generated` is the request's generateName."""
    if isinstance(value, dict):
        if value.get("kind") == "Table":
            _blank_ages(value)
        if value.get("generateName") and "name" in value:
            generated = value["generateName"]
        found = {name: normalised(item, generated=generated, key=name) for name, item in value.items()}
        return _sorted_causes(found)
    if isinstance(value, list):
        listed = [normalised(item, generated=generated) for item in value]
        # The order of these is that of Go's maps, of a lister, or of chance.
        unordered = key in ("resourceRules", "nonResourceRules", "causes")
        by_chance = key == "items" and "generateName" in json.dumps(value)
        return sorted(listed, key=json.dumps) if unordered or by_chance else listed
    if not isinstance(value, str):
        return value
    if key in _BUILD:
        return "<build>"
    if key == "resourceVersion":
        return "<revision>" if value.isdigit() else value
    if key == "continue" and value:
        return re.sub(r'"rv":\d+', '"rv":0', base64.urlsafe_b64decode(value + "===").decode())
    return _normalised_text(value, generated)


def _normalised_text(text: str, generated: str) -> str:
    text = _UUID.sub("<uid>", _JWT.sub("<token>", _HOST.sub("<host>", text)))
    text = _TIME.sub("<time>", text)
    text = re.sub(r"current: \d+", "current: <revision>", text)
    text = re.sub(r"record \(\d+\)", "record (<revision>)", text)
    text = re.sub(r"(too old resource version: \d+) \(\d+\)", r"\1 (<revision>)", text)
    text = re.sub(r'(resourceVersion\\*":\\*")\d+', r"\1<revision>", text)
    if generated:
        text = re.sub(
            re.escape(generated[:58]) + "[bcdfghjklmnpqrstvwxz2456789]{5}\\b",
            generated[:58] + "<chance>",
            text,
        )
    return text


def _blank_ages(table: dict[str, Any]) -> None:
    for at, column in enumerate(table.get("columnDefinitions") or ()):
        if column["type"] == "date":
            for row in table["rows"]:
                row["cells"][at] = row["cells"][at] and "<age>"


def _sorted_causes(found: dict[str, Any]) -> dict[str, Any]:
    """Several findings are listed in the order of a Go map: sort them, in the message too."""
    message = found.get("message")
    if isinstance(message, str) and " is invalid: [" in message:
        head, _, rest = message.partition(" is invalid: [")
        findings = sorted(re.split(r", (?=[\w<.\[\]>]+: )", rest.removesuffix("]")))
        found["message"] = f"{head} is invalid: {findings}"
    return found


def same_body(pair: Pair, ours: Any) -> bool:
    """Whether our body equals the recorded one; a body recorded as its size alone equals any of its kind."""
    theirs = decoded_body(pair["body"])
    if isinstance(theirs, str) and re.fullmatch(r"<\d+ bytes>", theirs):
        return bool(ours)
    if pair["headers"].get("Accept") == "application/yaml":
        theirs, ours = yaml.safe_load(theirs), yaml.safe_load(ours)
    found = re.search(r'"generateName": ?"([^"]*)"', str(pair["requestBody"]))
    generated = found[1] if found else ""
    return bool(normalised(theirs, generated=generated) == normalised(ours, generated=generated))


# -- the sessions --------------------------------------------------------------------------------------------

WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/argo/workflows"
_ONE_TEMPLATE = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "busybox"}}]}
_RBAC = "rbac.authorization.k8s.io"


def _updates(replay: Replay) -> None:
    replay.do("DELETE", WORKFLOWS)
    replay.patch(f"{WORKFLOWS}/fin", {"metadata": {"finalizers": None}})  # held over the deletion
    recorded = next(pair for pair in pairs() if pair["name"] == "put noop")
    replay.learn(recorded["body"], replay.workflow("a", _ONE_TEMPLATE))


def _finalizer(replay: Replay) -> None:
    replay.workflow("fin", _ONE_TEMPLATE, finalizers=["x.io/f"])


def _foreground(replay: Replay) -> None:
    replay.workflow("fg", _ONE_TEMPLATE)


def _orphan(replay: Replay) -> None:
    replay.patch(f"{WORKFLOWS}/fg", {"metadata": {"finalizers": None}})
    replay.workflow("or", _ONE_TEMPLATE)


def _collection(replay: Replay) -> None:
    replay.patch(f"{WORKFLOWS}/or", {"metadata": {"finalizers": None}})


def _lists(replay: Replay) -> None:
    replay.do("DELETE", WORKFLOWS)
    status = {"phase": "Running", "startedAt": "2026-11-20T10:00:00Z", "message": "m"}
    replay.workflow("w0", labels={"app": "x", "tier": "1"}, status=status)
    replay.workflow("w1", labels={"app": "y", "tier": "2"})
    replay.workflow("w2", labels={"app": "z"})
    replay.workflow("w3", labels={"env": "prod"})
    replay.was("365", replay.workflow("w4"))


def _one_more(replay: Replay) -> None:
    replay.was("366", replay.workflow("extra"))


def _watches(replay: Replay) -> None:
    replay.do("DELETE", WORKFLOWS)
    replay.was("379", replay.workflow("w1", labels={"a": "1"}))


def _changes(replay: Replay) -> None:
    replay.workflow("w2", labels={"a": "2"})
    replay.patch(f"{WORKFLOWS}/w2", {"metadata": {"labels": {"a": "1"}}})
    replay.patch(f"{WORKFLOWS}/w1", {"metadata": {"labels": {"a": "9"}}})
    replay.do("DELETE", f"{WORKFLOWS}/w2")


def _more_changes(replay: Replay) -> None:
    replay.was("386", replay.patch(f"{WORKFLOWS}/w1", {"metadata": {"labels": {"a": "1"}}}))
    _changes(replay)


def _old_lists(replay: Replay) -> None:
    replay.workflow("c1")
    replay.was("394", replay.workflow("c2"))
    for label in ("0", "1", "2"):
        replay.patch(f"{WORKFLOWS}/c1", {"metadata": {"labels": {"a": label}}})


def _role(replay: Replay, name: str, rules: list[dict[str, Any]], *subjects: dict[str, str]) -> None:
    """A Role in `argo` and a RoleBinding of another name to the subjects."""
    binding = subjects[0]["name"] if len(subjects) == 1 else name
    base = f"/apis/{_RBAC}/v1/namespaces/argo"
    replay.do("POST", f"{base}/roles", {"metadata": {"name": name}, "rules": rules})
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": name}
    body = {"metadata": {"name": binding}, "subjects": list(subjects), "roleRef": reference}
    replay.do("POST", f"{base}/rolebindings", body)


def _rule(verbs: str, group: str, resources: str, *names: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return rule | ({"resourceNames": list(names)} if names else {})


def _accounts(replay: Replay) -> None:
    accounts = "/api/v1/namespaces/argo/serviceaccounts"
    for name in ("jenkins", "nobody"):
        replay.do("POST", accounts, {"metadata": {"name": name}})
    jenkins = {"kind": "ServiceAccount", "name": "jenkins", "namespace": "argo"}
    _role(
        replay,
        "submit-workflow-template",
        [
            _rule("list", "argoproj.io", "workfloweventbindings"),
            _rule("get", "argoproj.io", "workflowtemplates", "allowed"),
            _rule("create", "argoproj.io", "workflows"),
        ],
        jenkins,
    )
    consumer = {"kind": "User", "name": "lambda-consumer", "apiGroup": _RBAC}
    _role(replay, "impersonate", [_rule("impersonate", "", "serviceaccounts", "jenkins")], consumer)
    reviewer = {
        "metadata": {"name": "reviewer"},
        "rules": [_rule("create", "authentication.k8s.io", "tokenreviews")],
    }
    replay.do("POST", f"/apis/{_RBAC}/v1/clusterroles", reviewer)
    reference = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "reviewer"}
    subjects = [{"kind": "User", "name": "ingest", "apiGroup": _RBAC}]
    body = {"metadata": {"name": "reviewer"}, "subjects": subjects, "roleRef": reference}
    replay.do("POST", f"/apis/{_RBAC}/v1/clusterrolebindings", body)
    for name in ("allowed", "secret"):
        template = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowTemplate",
            "metadata": {"name": name},
        }
        replay.do(
            "PATCH",
            f"/apis/argoproj.io/v1alpha1/namespaces/argo/workflowtemplates/{name}",
            template | {"spec": _ONE_TEMPLATE},
            query="?fieldManager=kubectl",
            media="application/apply-patch+yaml",
        )


def _constrained(replay: Replay) -> None:
    nobody = {"kind": "ServiceAccount", "name": "nobody", "namespace": "argo"}
    _role(
        replay,
        "nobody",
        [
            _rule("get", "argoproj.io", "workflowtemplates"),
            _rule("create delete", "argoproj.io", "workflows"),
        ],
        nobody,
    )
    base = f"/apis/{_RBAC}/v1/namespaces/argo"
    rules = [
        _rule("impersonate:serviceaccount", "authentication.k8s.io", "serviceaccounts", "nobody"),
        _rule("impersonate-on:serviceaccount:get", "argoproj.io", "workflowtemplates"),
        _rule("impersonate-on:serviceaccount:create", "argoproj.io", "workflows"),
    ]
    replay.do("POST", f"{base}/roles", {"metadata": {"name": "constrained"}, "rules": rules})
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": "constrained"}
    subjects = [{"kind": "User", "name": "lambda-consumer", "apiGroup": _RBAC}]
    body = {"metadata": {"name": "constrained"}, "subjects": subjects, "roleRef": reference}
    replay.do("POST", f"{base}/rolebindings", body)


def _recorded_token(name: str) -> str:
    token: str = json.loads(next(pair for pair in pairs() if pair["name"] == name)["requestBody"])["spec"][
        "token"
    ]
    return token


def _legacy_token(replay: Replay) -> None:
    recorded = _recorded_token("legacy before data")
    claims = json.loads(base64.urlsafe_b64decode(recorded.split(".")[1] + "==="))
    uid = "kubernetes.io/serviceaccount/service-account.uid"
    claims[uid] = replay.learnt[claims[uid]]
    replay.learnt[recorded] = replay.cluster.tokens.sign(claims)


def _legacy_data(replay: Replay) -> None:
    token = replay.learnt[_recorded_token("legacy before data")]
    data = {"token": base64.b64encode(token.encode()).decode()}
    replay.patch("/api/v1/namespaces/argo/secrets/jenkins.service-account-token", {"data": data})


def _account_gone(replay: Replay) -> None:
    accounts = "/api/v1/namespaces/argo/serviceaccounts"
    replay.do("POST", accounts, {"metadata": {"name": "tmp"}})
    replay.learnt[_recorded_token("tr deleted SA")] = replay.cluster.token_for("argo", "tmp")
    replay.do("DELETE", f"{accounts}/tmp")


def _account_back(replay: Replay) -> None:
    replay.do("POST", "/api/v1/namespaces/argo/serviceaccounts", {"metadata": {"name": "tmp"}})


def _dying(replay: Replay) -> None:
    replay.do("POST", "/api/v1/namespaces", {"metadata": {"name": "dead"}})


def _ten_thousand(replay: Replay) -> None:
    """10,000 CronWorkflows in ten namespaces, then a server that has forgotten how they came."""
    for team in range(10):
        replay.do("POST", "/api/v1/namespaces", {"metadata": {"name": f"team-{team}"}})
    base = "/apis/argoproj.io/v1alpha1/namespaces"
    for at in range(10_000):
        replay.do("POST", f"{base}/team-{at % 10}/cronworkflows", _cron(at))
    listed = replay.do("GET", "/apis/argoproj.io/v1alpha1/cronworkflows", query="?limit=1")
    replay.was("20671", listed)
    replay.workflow("later")
    replay.cluster.forget_history()


def _cron(at: int) -> dict[str, Any]:
    team = f"team-{at % 10}"
    parameters = [{"name": "date", "value": "{{workflow.scheduledTime}}"}, {"name": "team", "value": team}]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {
            "name": f"cron-{at:05}",
            "labels": {"app.kubernetes.io/managed-by": "gitops", "team": team},
        },
        "spec": {
            "concurrencyPolicy": "Forbid",
            "failedJobsHistoryLimit": 1,
            "schedules": [f"{at % 60} {at % 24} * * *"],
            "startingDeadlineSeconds": 60,
            "successfulJobsHistoryLimit": 3,
            "timezone": "Europe/Paris",
            "workflowMetadata": {"labels": {"team": team}},
            "workflowSpec": {
                "arguments": {"parameters": parameters},
                "entrypoint": "main",
                "serviceAccountName": "wf",
                "workflowTemplateRef": {"name": f"tmpl-{at}"},
            },
        },
        "status": {
            "active": [],
            "conditions": [],
            "failed": 0,
            "lastScheduledTime": "2026-11-20T10:00:00Z",
            "phase": "Active",
            "succeeded": 12,
        },
    }


# name of the pair → what was done before it; these need the pairs about Argo's kinds before them
ARGO_SESSIONS: dict[str, Callable[[Replay], None]] = {
    "put no rv": _updates,
    "delete w/ finalizer": _finalizer,
    "delete foreground": _foreground,
    "delete orphan": _orphan,
    "deletecollection sel": _collection,
    "list": _lists,
    "rv=N NotOlder": _one_more,
    "watch rv=0": _watches,
    "watch rv=N": _changes,
    "watch sel": _more_changes,
    "continue expired": _old_lists,
    "410 continue": _ten_thousand,
}
SESSIONS: dict[str, Callable[[Replay], None]] = {
    "no token": _accounts,
    "ci get tmpl": _constrained,
    "legacy before data": _legacy_token,
    "legacy with data": _legacy_data,
    "tr deleted SA": _account_gone,
    "tr recreated SA": _account_back,
    "ns get": _dying,
}


def _full_definitions() -> Iterator[dict[str, Any]]:
    for path in sorted(DEFINITIONS.glob("full-*.yaml.gz")):
        yield yaml.load(gzip.decompress(path.read_bytes()), Loader=yaml.CSafeLoader)


def replayed(cluster: Cluster, *, full: bool) -> Iterator[tuple[Pair, int, Any]]:
    """Each pair with our status and body; `full` with Argo's definitions, else only those that need none of it."""
    replay = Replay(cluster)
    replay.do("POST", "/api/v1/namespaces", {"metadata": {"name": "argo"}})
    if full:
        cluster.apply(_full_definitions())
    for pair in pairs():
        for sessions in (ARGO_SESSIONS, SESSIONS) if full else (SESSIONS,):
            if pair["name"] in sessions:
                sessions[pair["name"]](replay)
        if not full and "argoproj" in pair["path"]:
            continue
        status, _, body = replay.play(pair)
        yield pair, status, body


def run() -> Iterable[tuple[str, int, int, list[str]]]:
    """Rows for `make conformance`: statuses, bodies, and whether the pairs about Argo's kinds were there."""
    statuses: list[str] = []
    bodies: list[str] = []
    total = 0
    with Cluster() as cluster:
        for pair, status, body in replayed(cluster, full=DEFINITIONS.exists()):
            total += 1
            reason = EXCEPTIONS.get(pair["name"], "unexplained")
            if status != pair["status"]:
                statuses.append(f"{pair['name']}: {status}, recorded {pair['status']} ({reason})")
            if status != pair["status"] or not same_body(pair, body):
                bodies.append(f"{pair['name']}: another body ({reason})")
    yield "statuses", total - len(statuses), total, statuses
    yield "bodies", total - len(bodies), total, bodies
    if not DEFINITIONS.exists():
        yield "argo kinds", 0, 0, ["absent"]
