"""Argo's answers, one by one: Lynceus gives the same, or another on purpose, with the reason.

The cases are also the tables of docs/compatibility.md. When these differ on purpose:
``python -m tests.test_argo_golden`` writes them anew.

Argo's side was read in, and where it matters run from, argo-workflows main at f016ad89 (v4.1.2 and a few commits)
with `--auth-mode client` and synchronous dispatch, its defaults.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core.errors import TOKEN_NOT_VALID
from chalicelib.core.submissions import ALPHABET
from lynceus.local.faults import BEFORE, TIMEOUT, Fault
from tests.doors import Door, Headers
from tests.world import SECRET, World, account, binding, template

PAGE = Path(__file__).resolve().parents[1] / "docs" / "compatibility.md"
MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)

MIB = 1024 * 1024
INTERCEPTED = "failed to process webhook request"


@dataclass(frozen=True)
class Request:
    """What is sent; by default with the token of the ServiceAccount `bot`."""

    path: str = "argo/"
    headers: Headers = (("Authorization", "Bearer S"),)
    body: bytes = b"{}"
    method: str = "POST"
    times: int = 1

    def sending(self, *headers: tuple[str, str]) -> Request:
        """The same with more headers."""
        return replace(self, headers=(*self.headers, *headers))


@dataclass(frozen=True)
class Seen:
    """What comes of it."""

    status: int = 200  # 0: the connection is dropped
    message: str = ""  # of the error body
    errors: tuple[str, ...] = ()  # what bindings that fail say; in Argo these make the answer a 500
    workflows: int = 0
    made: Mapping[str, Any] = field(default_factory=dict)  # path in the one Workflow → value, or a pattern

    def __str__(self) -> str:
        if self.status == 0:
            return "the server panics, no answer"
        parts = []
        if self.status != 200:
            # What a 401 says by default is told once above the tables.
            said = "" if self.message in ("", TOKEN_NOT_VALID) else f" `{shown(self.message)}`"
            parts.append(f"{self.status}{said}")
        parts += [f"the binding fails: `{shown(text)}`" for text in self.errors]
        parts += [f"{place_of(path)} `{shown(value)}`" for path, value in self.made.items()]
        if not self.made and (self.workflows or not parts):
            parts.append({0: "200", 1: "a Workflow"}.get(self.workflows, f"{self.workflows} Workflows"))
        return "; ".join(parts).replace("|", "\\|")


def place_of(path: str) -> str:
    """A path in a Workflow, in fewer words."""
    return {VALUE: "parameter"}.get(path) or path.removeprefix("metadata.").replace("labels.", "label ")


def shown(value: Any) -> str:
    """The first line of a text, and no long repetitions."""
    text = value.pattern if isinstance(value, re.Pattern) else value
    text = text if isinstance(text, str) else json.dumps(text)
    return re.sub(r"(.)\1{20,}", r"\1\1\1…", text.partition("\n")[0])


@dataclass(frozen=True)
class Case:
    """A request to a small world, what Argo does about it, and what Lynceus does where it differs."""

    says: str
    argo: Seen
    request: Request = Request()
    bindings: tuple[Mapping[str, Any], ...] = ()
    prepare: Callable[[World], Any] = lambda world: None
    lynceus: Seen | None = None
    why: str = ""


def asked(case: Case) -> str:
    """The expressions of the case's binding, as code."""
    if len(case.bindings) != 1:
        return ""
    spec = case.bindings[0]["spec"]
    submit = spec.get("submit") or {}
    texts = [] if spec["event"]["selector"] == "true" else [spec["event"]["selector"]]
    texts += [
        parameter["valueFrom"]["event"]
        for parameter in (submit.get("arguments") or {}).get("parameters", ())
        if "valueFrom" in parameter
    ]
    texts += [text for key, text in (submit.get("metadata") or {}).items() if key != "labels"]
    texts += (submit.get("metadata") or {}).get("labels", {}).values()
    return "<br>".join(f"`{' '.join(text.split())}`" for text in texts if text).replace("|", "\\|")


def wfeb(selector: str = "true", name: str = "b", **submit: Any) -> dict[str, Any]:
    """A binding that submits the template `t`, without parameters unless told."""
    return binding(name, selector, **{"template": "t", "parameters": {}, **submit})


def when(selector: str) -> tuple[dict[str, Any]]:
    return (wfeb(selector),)


def giving(expression: str) -> tuple[dict[str, Any]]:
    """A binding with one parameter."""
    return (wfeb(parameters={"p": expression}),)


def named(**metadata: Any) -> tuple[dict[str, Any]]:
    return (wfeb(metadata=metadata),)


VALUE = "spec.arguments.parameters.0.value"
ONE = Seen(workflows=1)
NONE = Seen()
FAILED_SELECTOR = "failed to evaluate workflow template expression: "
NO_BOOL = f"{FAILED_SELECTOR}unable to cast expression result 'x' to bool"


def error(text: str) -> Seen:
    return Seen(errors=(text,))


def value(text: str) -> Seen:
    return Seen(workflows=1, made={VALUE: text})


def clients(**entries: Any) -> Callable[[World], None]:
    def prepare(world: World) -> None:
        world.secrets.documents["argo"] = json.dumps(entries)
        world.cluster.apply(*(account(name) for name in entries))

    return prepare


def no_clients(world: World) -> None:
    del world.secrets.documents["argo"]


def nobody(world: World) -> None:
    world.cluster.tokens["Basic dTpw"] = "system:anonymous"
    world.cluster.deny("system:anonymous", "list", "workfloweventbindings")


GITHUB = clients(github={"type": "github", "secret": SECRET})


def signature(body: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(SECRET.encode(), body, algorithm).hexdigest()


def github(event: str = "push", body: bytes = b"{}", signed: str = "sha256={}") -> Request:
    headers = [
        ("X-GitHub-Event", event),
        ("X-GitHub-Delivery", "d-1"),
        ("X-Hub-Signature-256", signed.format(signature(body))),
    ]
    return Request(headers=headers, body=body)


def gitlab(event: str, token: str = SECRET) -> Request:
    return Request(headers=[("X-Gitlab-Event", event), ("X-Gitlab-Token", token)])


def data_center(event: str, prefix: str = "sha256=", proof: str | None = None) -> Request:
    sent = signature(b"{}") if proof is None else proof
    return Request(headers=[("X-Event-Key", event), ("X-Hub-Signature", prefix + sent)])


# After Argo's example of a filter by paths, with all that it shows of the language.
IN_SUBPATH = """
metadata["x-github-event"] == ["push"] && any(payload.commits ?? [], {
  /* each commit names what it did to the files */
  let commit = #;
  any(commit.added, # startsWith "sub/") || any(commit.modified, # startsWith "sub/")
})"""
PUSHED = b'{"commits":[{"added":["sub/x"],"modified":["y"]},{"added":[],"modified":["z"]}]}'

UUID = "{8e2a3c1e-1a67-4f6e-9b8f-0c6b8d1d2e3f}"
AUTHENTIC = (
    "authentication is not validation: what is signed is accepted, whatever it is called and looks like"
)
ONE_SPELLING = "a signature has one spelling; leniency only helps who tries to get around it"
LOST = "an event is not lost for a header that nobody needs"
GATEWAY = "the way of a request is told once"
ROUTING = "Routes and bodies"
DOOR = "Who may send"
SEEING = "What expressions see"
DISPATCH = "What bindings do"

CASES: Mapping[str, Sequence[Case]] = {
    ROUTING: [
        Case(
            "a path without the slash behind the namespace",
            Seen(501, "Not Implemented"),
            Request("argo"),
            lynceus=NONE,
            why="API Gateway drops a slash at the end, so both are one route",
        ),
        Case("a namespace without bindings", NONE, Request()),
        Case("a discriminator with a colon", Seen(501, "Not Implemented"), Request("argo/a:b")),
        Case("a discriminator that begins with a colon", Seen(501, "Not Implemented"), Request("argo/:b")),
        Case("one segment too many", Seen(501, "Not Implemented"), Request("argo/a/b")),
        Case("GET on the events API", Seen(501, "Not Implemented"), Request("argo/d", method="GET")),
        Case("PUT on the events API", Seen(501, "Not Implemented"), Request("argo/d", method="PUT")),
        Case("an empty namespace", Seen(501, "Not Implemented"), Request("/d")),
        Case(
            "a namespace that begins with a quoted slash, which is none",
            ONE,
            Request("%2Fd"),
            when("true"),
            lynceus=Seen(403, INTERCEPTED),
            why="an event has one namespace; no binding elsewhere is set off by whoever may list all of them",
        ),
        Case("a query", ONE, Request("argo/d?a=1&b"), when('discriminator == "d"')),
        Case(
            "broken JSON with a token that is none",
            Seen(400, "unexpected EOF"),
            Request(headers=[("Authorization", "Bearer X")], body=b"{"),
        ),
        Case(
            "broken JSON without any proof",
            Seen(400, "unexpected EOF"),
            github(body=b"{", signed="sha256=no{}"),
            prepare=GITHUB,
            lynceus=Seen(401, TOKEN_NOT_VALID),
            why="nothing of a body is read before its sender is proved",
        ),
        Case(
            "a form from a caller",
            Seen(400, "invalid character 'p' looking for beginning of value"),
            Request(body=b"payload=%7B%7D").sending(("Content-Type", "application/x-www-form-urlencoded")),
        ),
        Case(
            "JSON that is called a form, as curl -d does",
            ONE,
            Request(body=b'{"a":1}').sending(("Content-Type", "application/x-www-form-urlencoded")),
            when("payload.a == 1"),
        ),
        Case(
            "a form from GitHub",
            Seen(401, TOKEN_NOT_VALID),
            github(body=b"payload=%7B%22a%22%3A1%7D").sending(
                ("Content-Type", "application/x-www-form-urlencoded")
            ),
            when("payload.a == 1"),
            GITHUB,
            ONE,
            "it is GitHub's own default, and signed",
        ),
        Case("an empty body", ONE, Request(body=b""), when("payload == nil")),
        Case("what follows the first JSON value", ONE, Request(body=b'{"a":1} junk'), when("payload.a == 1")),
        Case("a key that is there twice", ONE, Request(body=b'{"a":1,"a":2}'), when("payload.a == 2")),
        Case("bytes that are no UTF-8", ONE, Request(body=b'{"a":"\xff"}'), when("payload.a == '\ufffd'")),
        Case("a list as the body", ONE, Request(body=b"[1,2]"), when("payload[0] == 1")),
        Case("a number as the body", ONE, Request(body=b"5"), when("payload == 5")),
        Case(
            "a byte order mark",
            Seen(400, "invalid character 'ï' looking for beginning of value"),
            Request(body=b"\xef\xbb\xbf{}"),
        ),
        Case(
            "NaN",
            Seen(400, "invalid character 'N' looking for beginning of value"),
            Request(body=b"NaN"),
        ),
        Case(
            "a number beyond float64",
            Seen(
                500,
                "failed to create workflow template expression environment: json: cannot unmarshal number "
                "1e400 into Go value of type float64",
            ),
            Request(body=b'{"a":1e400}'),
            lynceus=Seen(
                400,
                "failed to create workflow template expression environment: json: cannot unmarshal "
                "number 1e400 into Go value of type float64",
            ),
            why="it is the sender's doing, and sending it again does not help",
        ),
        Case(
            "a webhook of 2 MiB and a byte",
            Seen(403, INTERCEPTED),
            github(body=b'"' + b"x" * (2 * MIB - 1) + b'"'),
            when("true"),
            GITHUB,
            ONE,
            "the limit is 4 MiB, and one for all",
        ),
        Case(
            "a caller's body of 4 MiB and a byte",
            ONE,
            Request(body=b'"' + b"x" * (4 * MIB - 1) + b'"'),
            when("true"),
            lynceus=Seen(413, "the body has 4194305 bytes, the limit is 4194304: send less, or a link to it"),
            why="Lambda takes 6 MB of base64, Argo up to 100 MiB",
        ),
        Case(
            "a header value outside ASCII",
            Seen(500, 'header key "x-a" contains value with non-printable ASCII characters'),
            Request().sending(("X-A", "caf\xe9")),
            when('metadata["x-a"] != nil'),
            lynceus=ONE,
            why=LOST,
        ),
        Case(
            "a header Grpc-Timeout that is none",
            Seen(400, "invalid grpc-timeout: soon"),
            Request().sending(("Grpc-Timeout", "soon")),
            when("true"),
            lynceus=ONE,
            why=LOST,
        ),
        Case(
            "a header -Bin that is not base64",
            Seen(400, "invalid binary header X-A-Bin: illegal base64 data at input byte 0"),
            Request().sending(("X-A-Bin", "!")),
            when('metadata["x-a-bin"] == ["!"]'),
            lynceus=ONE,
            why=LOST,
        ),
    ],
    DOOR: [
        Case(
            "no Authorization, and no webhook clients",
            Seen(403, INTERCEPTED),
            Request(headers=()),
            prepare=no_clients,
        ),
        Case(
            "an empty Authorization",
            Seen(401, TOKEN_NOT_VALID),
            Request(headers=[("Authorization", "")]),
            prepare=no_clients,
        ),
        Case(
            "a scheme in lower case",
            Seen(401, TOKEN_NOT_VALID),
            Request(headers=[("Authorization", "bearer S")]),
        ),
        Case(
            "a token that the cluster does not know",
            Seen(401, "Unauthorized"),
            Request(headers=[("Authorization", "Bearer X")]),
        ),
        Case(
            "malformed Basic credentials",
            Seen(401, "failed to create REST config: error parsing basic authentication"),
            Request(headers=[("Authorization", "Basic !")]),
        ),
        Case(
            "Basic credentials, which the cluster takes for nobody's",
            Seen(
                403,
                'workfloweventbindings.argoproj.io is forbidden: User "system:anonymous" cannot list resource '
                '"workfloweventbindings" in API group "argoproj.io" in the namespace "argo"',
            ),
            Request(headers=[("Authorization", "Basic dTpw")]),
            prepare=nobody,
            lynceus=Seen(401, "Unauthorized"),
            why="it is a wrong password of a webhook client's, or nothing",
        ),
        Case(
            "a token that may not list bindings",
            Seen(
                403,
                'workfloweventbindings.argoproj.io is forbidden: User "system:serviceaccount:argo:bot" cannot list '
                'resource "workfloweventbindings" in API group "argoproj.io" in the namespace "argo"',
            ),
            prepare=lambda world: world.cluster.deny(
                "system:serviceaccount:argo:bot", "list", "workfloweventbindings"
            ),
        ),
        Case(
            "a token in a cookie",
            ONE,
            Request(headers=[("Cookie", "authorization=Bearer S")]),
            when("true"),
            GITHUB,
            Seen(401, TOKEN_NOT_VALID),
            "senders of events have no cookies; only pages in a browser send them, and not always on their own account",
        ),
        Case(
            "a token of an account of another namespace that may list bindings here",
            ONE,
            bindings=when("true"),
            prepare=lambda world: world.cluster.tokens.update(S="system:serviceaccount:other:bot"),
            lynceus=Seen(
                403,
                '"system:serviceaccount:other:bot" is no service account of namespace "argo": events are '
                "accepted from service accounts of the namespace they are sent to, since these are acted "
                "for later",
            ),
            why="the Workflow is created later in the account's name: only the namespace's own are impersonated",
        ),
        Case(
            "a webhook of GitHub",
            Seen(
                workflows=1,
                made={"metadata.labels.workflows.argoproj.io/creator": "system-serviceaccount-argo-github"},
            ),
            github(),
            when("true"),
            GITHUB,
        ),
        Case(
            "a webhook client's account that has no token Secret",
            Seen(403, INTERCEPTED),
            github(),
            when("true"),
            GITHUB,
            ONE,
            "the account is impersonated; no token of it rests anywhere",
        ),
        Case(
            "GitHub's SHA-1 signature alone",
            Seen(401, TOKEN_NOT_VALID),
            Request(
                headers=[("X-GitHub-Event", "push"), ("X-Hub-Signature", f"sha1={signature(b'{}', 'sha1')}")]
            ),
            prepare=GITHUB,
        ),
        Case(
            "GitHub's signature without its prefix",
            ONE,
            github(signed="{}"),
            when("true"),
            GITHUB,
            Seen(401, TOKEN_NOT_VALID),
            ONE_SPELLING,
        ),
        Case(
            "GitHub's signature in capitals",
            Seen(401, TOKEN_NOT_VALID),
            Request(
                headers=[
                    ("X-GitHub-Event", "push"),
                    ("X-Hub-Signature-256", f"sha256={signature(b'{}').upper()}"),
                ]
            ),
            prepare=GITHUB,
        ),
        Case("GitHub's ping", ONE, github("ping"), when("true"), GITHUB),
        Case(
            "an event of GitHub's that Argo does not list",
            Seen(401, TOKEN_NOT_VALID),
            github("star"),
            when("true"),
            GITHUB,
            ONE,
            AUTHENTIC,
        ),
        Case(
            "a signed list",
            Seen(401, TOKEN_NOT_VALID),
            github(body=b"[1]"),
            when("true"),
            GITHUB,
            ONE,
            AUTHENTIC,
        ),
        Case(
            "a signed body with another type in a field than Argo's library knows",
            Seen(401, TOKEN_NOT_VALID),
            github("installation", b'{"action":"created","installation":{"created_at":1719308535}}'),
            when("true"),
            GITHUB,
            ONE,
            AUTHENTIC,
        ),
        Case(
            "a push of GitLab's",
            ONE,
            gitlab("Push Hook"),
            when("true"),
            clients(gitlab={"type": "gitlab", "secret": SECRET}),
        ),
        Case(
            "an event of GitLab's that Argo does not list",
            Seen(401, TOKEN_NOT_VALID),
            gitlab("Release Hook"),
            when("true"),
            clients(gitlab={"type": "gitlab", "secret": SECRET}),
            ONE,
            AUTHENTIC,
        ),
        Case(
            "a wrong token of GitLab's",
            Seen(401, TOKEN_NOT_VALID),
            gitlab("Push Hook", "no"),
            prepare=clients(gitlab={"type": "gitlab", "secret": SECRET}),
        ),
        Case(
            "Bitbucket's UUID with braces where the secret has none",
            Seen(401, TOKEN_NOT_VALID),
            Request(headers=[("X-Event-Key", "repo:push"), ("X-Hook-UUID", UUID)]),
            when("true"),
            clients(bitbucket={"type": "bitbucket", "secret": UUID.strip("{}")}),
            ONE,
            "it is the same UUID",
        ),
        Case(
            "Bitbucket Data Center's signature behind seven other characters",
            ONE,
            data_center("pr:opened", "xxxxxxx"),
            when("true"),
            clients(bitbucket={"type": "bitbucketserver", "secret": SECRET}),
            Seen(401, TOKEN_NOT_VALID),
            ONE_SPELLING,
        ),
        Case(
            "Bitbucket Data Center's signature of fewer than seven characters",
            Seen(0),
            data_center("pr:opened", "", "x"),
            prepare=clients(bitbucket={"type": "bitbucketserver", "secret": SECRET}),
            lynceus=Seen(401, TOKEN_NOT_VALID),
            why="nothing a stranger sends stops the server",
        ),
        Case(
            "Bitbucket Data Center's Test connection",
            Seen(401, TOKEN_NOT_VALID),
            data_center("diagnostics:ping"),
            when("true"),
            clients(bitbucket={"type": "bitbucketserver", "secret": SECRET}),
            NONE,
            "it is answered, so that the page says that the connection works, and sets nothing off",
        ),
        Case(
            "a webhook client with an empty secret",
            ONE,
            Request(headers=[("X-GitHub-Event", "push")]),
            when("true"),
            clients(github={"type": "github", "secret": ""}),
            Seen(403, INTERCEPTED),
            "it would let anybody in",
        ),
        Case(
            "a webhook client of an unknown type",
            Seen(0),
            github(),
            when("true"),
            clients(github={"type": "githup", "secret": SECRET}),
            Seen(403, INTERCEPTED),
            "the document does not load, and the log says which client and why",
        ),
        Case(
            "a wrong signature where Argo Server runs in auth mode server",
            ONE,
            github(signed="sha256=no{}"),
            when("true"),
            GITHUB,
            Seen(401, TOKEN_NOT_VALID),
            "there is no such mode: without proof nobody acts",
        ),
        Case(
            "a delivery that comes twice",
            Seen(workflows=2),
            replace(github(), times=2),
            when("true"),
            GITHUB,
            ONE,
            "senders and networks repeat; `lynceus.dev/dedupe` on a binding says otherwise",
        ),
    ],
    SEEING: [
        Case(
            "headers are lists",
            ONE,
            Request().sending(("X-GitHub-Event", "push")),
            when('metadata["x-github-event"] == ["push"]'),
        ),
        Case(
            "a header is no text",
            NONE,
            Request().sending(("X-GitHub-Event", "push")),
            when('metadata["x-github-event"] == "push"'),
        ),
        Case(
            "names are in lower case",
            ONE,
            Request().sending(("X-GitHub-Event", "push")),
            when('metadata["X-GitHub-Event"] == nil'),
        ),
        Case(
            "a header sent twice",
            ONE,
            Request().sending(("X-A", "1"), ("X-A", "2")),
            when('metadata["x-a"] == ["1", "2"]'),
        ),
        Case(
            "a comma splits nothing",
            ONE,
            Request().sending(("X-A", "1, 2")),
            when('metadata["x-a"] == ["1, 2"]'),
        ),
        Case(
            "headers that do not begin with x-",
            ONE,
            Request().sending(("Content-Type", "a/b"), ("User-Agent", "c"), ("X_A", "d")),
            when('all(["authorization", "content-type", "user-agent", "host", "x_a"], metadata[#] == nil)'),
        ),
        Case(
            "the host that was asked for",
            ONE,
            Request().sending(("Host", "hooks.example.com")),
            when('metadata["x-forwarded-host"] == ["hooks.example.com"]'),
        ),
        Case(
            "the address of the sender",
            ONE,
            Request(),
            when('metadata["x-forwarded-for"] == ["203.0.113.7"]'),
        ),
        Case(
            "a header X-Forwarded-Host that was sent",
            Seen(workflows=1, made={VALUE: '["a","a"]'}),
            Request().sending(("Host", "b"), ("X-Forwarded-Host", "a")),
            giving('metadata["x-forwarded-host"]'),
            lynceus=Seen(workflows=1, made={VALUE: '["a"]'}),
            why=GATEWAY,
        ),
        Case(
            "a header X-Forwarded-For that was sent",
            Seen(workflows=1, made={VALUE: '["a","a, 203.0.113.7"]'}),
            Request().sending(("X-Forwarded-For", "a")),
            giving('metadata["x-forwarded-for"]'),
            lynceus=Seen(workflows=1, made={VALUE: '["a, 203.0.113.7"]'}),
            why=GATEWAY,
        ),
        Case(
            "a header whose name ends in -Bin",
            Seen(workflows=1, made={VALUE: '["hi"]'}),
            Request().sending(("X-A-Bin", "aGk=")),
            giving('metadata["x-a-bin"]'),
            lynceus=Seen(workflows=1, made={VALUE: '["aGk="]'}),
            why="headers are seen as they were sent; `fromBase64` decodes them",
        ),
        Case(
            "a sender's own credential",
            Seen(workflows=1, made={VALUE: json.dumps([SECRET])}),
            gitlab("Push Hook"),
            giving('metadata["x-gitlab-token"]'),
            clients(gitlab={"type": "gitlab", "secret": SECRET}),
            Seen(workflows=1, made={VALUE: "null"}),
            "more people read Workflows than may know the secret; `expose_credentials: true` on the client shows it",
        ),
        Case(
            "namespace and discriminator",
            ONE,
            Request("argo/d"),
            when('discriminator == "d" && namespace == "argo"'),
        ),
        Case("a quoted discriminator", ONE, Request("argo/a%20b"), when('discriminator == "a b"')),
        Case(
            "numbers of the payload are floats",
            ONE,
            Request(body=b'{"n":5}'),
            when("payload.n == 5.0 && payload.n / 2 == 2.5"),
        ),
        Case(
            "there is no name event",
            error(f"{FAILED_SELECTOR}unknown name event (1:1)\n | event.payload.x\n | ^"),
            bindings=when("event.payload.x"),
        ),
        Case(
            "selectors have no sprig",
            error(f"{FAILED_SELECTOR}unknown name sprig (1:1)\n | sprig.trim(payload.a) == 'x'\n | ^"),
            bindings=when("sprig.trim(payload.a) == 'x'"),
        ),
        Case(
            "a field of a number",
            error(f"{FAILED_SELECTOR}type float64 has no field x (1:9)\n | payload.x == 1\n | ........^"),
            Request(body=b"5"),
            when("payload.x == 1"),
        ),
    ],
    DISPATCH: [
        Case("a binding without submit", NONE, bindings=(wfeb(submit=False),)),
        Case("an empty selector", error(f"{FAILED_SELECTOR}unexpected token EOF"), bindings=when("")),
        Case(
            "a selector that is a text",
            error(NO_BOOL),
            bindings=when('"x"'),
        ),
        Case(
            "a binding that fails before two that do not",
            Seen(
                500,
                f"failed to dispatch event: [{NO_BOOL}]",
                (NO_BOOL,),
                workflows=2,
            ),
            bindings=(wfeb("'x'", "a"), wfeb("true", "b"), wfeb("true", "c")),
            lynceus=Seen(200, "", (NO_BOOL,), workflows=2),
            why="a sender who hears 500 sends again, and would run the others twice; the error is in a Kubernetes "
            "Event on the binding, and in the record",
        ),
        Case(
            "a template that does not exist",
            error('failed to get workflow template: workflowtemplates.argoproj.io "no" not found'),
            bindings=(wfeb(template="no"),),
        ),
        Case(
            "a Workflow's shape",
            Seen(
                workflows=1,
                made={
                    "metadata.generateName": "t-",
                    "metadata.labels.workflows.argoproj.io/workflow-template": "t",
                    "metadata.labels.workflows.argoproj.io/workflow-event-binding": "b",
                    "metadata.labels.workflows.argoproj.io/creator": "system-serviceaccount-argo-bot",
                    "spec": {"workflowTemplateRef": {"name": "t"}},
                },
            ),
            bindings=when("true"),
        ),
        Case(
            "a Workflow's name",
            Seen(workflows=1, made={"metadata.name": re.compile("t-[a-z0-9]{5}")}),
            bindings=when("true"),
            lynceus=Seen(workflows=1, made={"metadata.name": re.compile(f"t-[{ALPHABET}]{{10}}")}),
            why="the name follows from event and binding, so that doing it twice makes one",
        ),
        Case(
            "a ClusterWorkflowTemplate",
            Seen(
                workflows=1,
                made={
                    "metadata.labels.workflows.argoproj.io/cluster-workflow-template": "t",
                    "spec": {"workflowTemplateRef": {"name": "t", "clusterScope": True}},
                },
            ),
            bindings=(wfeb(ref={"clusterScope": True}),),
        ),
        Case(
            "a name of the binding's",
            Seen(workflows=1, made={"metadata.name": "pr-7", "metadata.generateName": "t-"}),
            Request(body=b'{"n":7}'),
            named(name='"pr-" + string(int(payload.n))'),
        ),
        Case(
            "a name that is a number",
            error("workflow name expression must evaluate to a string, not a float64"),
            Request(body=b'{"n":7}'),
            named(name="payload.n"),
        ),
        Case(
            "a name without quotes",
            error("failed to evaluate workflow name expression: unknown name my (1:1)\n | my-name\n | ^"),
            bindings=named(name="my-name"),
        ),
        Case(
            "a name of 64 characters",
            Seen(workflows=1, made={"metadata.name": "n" * 64}),
            bindings=named(name='repeat("n", 64)'),
            lynceus=error(
                f'workflow name "{"n" * 64}" must be at most 63 characters, lower-case letters, digits, "-" or ".", '
                "and begin and end with a letter or digit (it has 64)"
            ),
            why="the controller would fail the Workflow later",
        ),
        Case(
            "a label by sprig",
            Seen(workflows=1, made={"metadata.labels.sha": "1234567"}),
            Request(body=b'{"sha":"123456789"}'),
            named(labels={"sha": "sprig.trunc(7, payload.sha)"}),
        ),
        Case(
            "the creator's label is nobody's else",
            Seen(
                workflows=1,
                made={"metadata.labels.workflows.argoproj.io/creator": "system-serviceaccount-argo-bot"},
            ),
            bindings=named(labels={"workflows.argoproj.io/creator": "'me'"}),
        ),
        Case(
            "a label of the template's and the binding's",
            Seen(workflows=1, made={"metadata.labels.a": "binding", "metadata.labels.b": "template"}),
            bindings=named(labels={"a": "'binding'"}),
            prepare=lambda world: world.cluster.apply(
                {
                    **template("t"),
                    "spec": {
                        **template("t")["spec"],
                        "workflowMetadata": {"labels": {"a": "template", "b": "template"}},
                    },
                }
            ),
        ),
        Case(
            "a parameter without valueFrom",
            error('malformed workflow template parameter "p": valueFrom is nil'),
            bindings=(wfeb(arguments={"parameters": [{"name": "p", "value": "1"}]}),),
        ),
        Case("a text", value("text"), Request(body=b'{"v":"text"}'), giving("payload.v")),
        Case(
            "a text with a line break",
            value("multi\\nline"),
            Request(body=b'{"v":"multi\\nline"}'),
            giving("payload.v"),
        ),
        Case(
            "a text with quotes",
            value('say \\"hi\\"'),
            Request(body=b'{"v":"say \\"hi\\""}'),
            giving("payload.v"),
        ),
        Case("a text with markup", value("<&>"), Request(body=b'{"v":"<&>"}'), giving("payload.v")),
        Case(
            "an object",
            value('{"a":[1,"2",null],"b":"<x>"}'),
            Request(body=b'{"b":"<x>","a":[1,"2",null]}'),
            giving("payload"),
        ),
        Case("nothing", value("null"), Request(), giving("payload.v")),
        Case("true", value("true"), Request(), giving("1 == 1")),
        Case(
            "a time in seconds", value("1735689600"), Request(body=b'{"v":1735689600}'), giving("payload.v")
        ),
        Case("a very large number", value("1e+21"), Request(body=b'{"v":1e21}'), giving("payload.v")),
        Case(
            "more digits than a float has",
            value("12345678901234567000"),
            Request(body=b'{"v":12345678901234567890}'),
            giving("payload.v"),
        ),
        Case(
            "a time in seconds, made a text",
            value("1.7356896e+09"),
            Request(body=b'{"v":1735689600}'),
            giving("string(payload.v)"),
        ),
        Case(
            "a field of nothing",
            error(
                'failed to evaluate workflow template parameter "p" expression: '
                "cannot fetch b from <nil> (1:11)\n | payload.a.b\n | ..........^"
            ),
            bindings=giving("payload.a.b"),
        ),
        Case("a field of nothing, and what else", value("d"), bindings=giving('payload.a?.b ?? "d"')),
        Case(
            "a push below a path",
            Seen(workflows=1, made={VALUE: '["sub/x","y","z"]'}),
            Request(body=PUSHED).sending(("X-GitHub-Event", "push")),
            (
                wfeb(
                    IN_SUBPATH,
                    parameters={"p": "reduce(payload.commits, concat(#acc, #.added, #.modified), [])"},
                ),
            ),
        ),
        Case(
            "a push below another path",
            NONE,
            Request(body=PUSHED.replace(b"sub/", b"top/")).sending(("X-GitHub-Event", "push")),
            when(IN_SUBPATH),
        ),
        Case(
            "a template of another instance",
            error(
                "failed to validate workflow template instanceid: 't' is not managed by the current Argo Server"
            ),
            bindings=when("true"),
            prepare=lambda world: world.cluster.apply(
                template("t", labels={"workflows.argoproj.io/controller-instanceid": "other"})
            ),
        ),
        Case(
            "a name that is taken",
            Seen(
                errors=('failed to create workflow: workflows.argoproj.io "taken" already exists',),
                workflows=1,
            ),
            bindings=named(name="'taken'"),
            prepare=lambda world: world.cluster.create(
                None, {"kind": "Workflow", "metadata": {"name": "taken", "namespace": "argo"}}
            ),
        ),
        Case(
            "a cluster that fails twice",
            ONE,
            bindings=when("true"),
            prepare=lambda world: world.plan.faults.extend(
                Fault("cluster", "create", BEFORE, n) for n in (1, 2)
            ),
        ),
        Case(
            "a cluster that creates and does not answer",
            Seen(workflows=2),
            bindings=when("true"),
            prepare=lambda world: world.plan.faults.append(Fault("cluster", "create", TIMEOUT)),
            lynceus=ONE,
            why="the name is the same at the second try",
        ),
        Case(
            "an account that may not create Workflows",
            error(
                "failed to create workflow: workflows.argoproj.io is forbidden: "
                'User "system:serviceaccount:argo:bot" cannot '
                'create resource "workflows" in API group "argoproj.io" in the namespace "argo"'
            ),
            bindings=when("true"),
            prepare=lambda world: world.cluster.deny("system:serviceaccount:argo:bot", "create", "workflows"),
        ),
    ],
}


def seen(case: Case, expected: Seen) -> Seen:
    """What comes of the case here, told in the fields of the expectation."""
    world = World(*case.bindings) if case.bindings else World()
    if not case.bindings:
        world.cluster.remove("WorkflowEventBinding", "argo", "on-push")
    world.cluster.apply(
        template("t"),
        {**template("t"), "kind": "ClusterWorkflowTemplate", "metadata": {"name": "t"}},
        account("bot"),
    )
    world.cluster.tokens["S"] = "system:serviceaccount:argo:bot"
    case.prepare(world)
    door, request = Door(world), case.request
    for _ in range(request.times):
        told = door.send(request.method, f"/api/v1/events/{request.path}", request.headers, request.body)
        world.work()
    world.pass_time(5)
    verdicts = [verdict for record in world.ledger.events.values() for verdict in record.verdicts]
    failed = [one.progress for one in world.ledger.stored.values() if one.progress.state == "failed"]
    errors = [verdict.message for verdict in verdicts if verdict.outcome == "error"]
    made = world.workflows()[0] if world.workflows() else {}
    return Seen(
        told.status,
        "" if told.status == 200 else told.body["message"],
        tuple(
            in_words(actual, expected.errors)
            for actual in [*errors, *(progress.message for progress in failed)]
        ),
        len(world.workflows()),
        {path: matched(found(made, path), value) for path, value in expected.made.items()},
    )


def found(made: Any, path: str) -> Any:
    """What is at the path of the Workflow; behind labels the rest is one key."""
    while path:
        name, _, path = path.partition(".")
        if name == "labels":
            return made["labels"].get(path)
        made = made[int(name)] if isinstance(made, list) else made.get(name)
        if made is None:
            return None
    return made


def matched(actual: Any, wanted: Any) -> Any:
    """The pattern itself where it fits, so that a Seen with patterns compares."""
    return wanted if isinstance(wanted, re.Pattern) and wanted.fullmatch(str(actual)) else actual


def in_words(actual: str, wanted: Sequence[str]) -> str:
    """The wanted text where the message is that, or that and a hint of ours in the next line."""
    return next((text for text in wanted if f"{actual}\n".startswith(f"{text}\n")), actual)


def without_dispatch(argo: Seen) -> Seen:
    """Argo's outcome where bindings fail, told to the sender as we tell it; a case of its own says why."""
    return replace(argo, status=200, message="") if argo.errors else argo


EVERY = [case for cases in CASES.values() for case in cases]
SAME = [case for case in EVERY if case.lynceus is None]
OTHER = [case for case in EVERY if case.lynceus is not None]


def says(case: Case) -> str:
    return case.says.replace(" ", "-")


@pytest.mark.parametrize("case", SAME, ids=says)
def test_lynceus_does_what_argo_does(case: Case) -> None:
    expected = without_dispatch(case.argo)

    assert seen(case, expected) == expected


@pytest.mark.parametrize("case", OTHER, ids=says)
def test_lynceus_differs_from_argo_on_purpose(case: Case) -> None:
    assert case.lynceus is not None
    assert case.lynceus != case.argo
    assert case.why

    assert seen(case, case.lynceus) == case.lynceus


def test_a_case_is_told_once() -> None:
    told = [case.says for case in EVERY]

    assert sorted(told) == sorted(set(told))


def rendered(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def tables() -> dict[str, str]:
    """The tables of the page by their names."""
    other = [
        (case.says, *(str(outcome) for outcome in (case.argo, case.lynceus)), case.why)
        for cases in CASES.values()
        for case in cases
        if case.lynceus is not None
    ]
    made = {"differences": rendered(("", "Argo", "Lynceus", "Why"), other)}
    for title, cases in CASES.items():
        rows = [(case.says, asked(case), str(case.argo)) for case in cases if case.lynceus is None]
        made[title.lower().replace(" ", "-")] = rendered((title, "Binding", "Argo and Lynceus"), rows)
    return made


def page_with_tables(page: str) -> str:
    made = tables()
    return MARKED.sub(lambda found: found[1] + made[found[2]] + found[4], page)


def test_the_page_says_what_the_cases_say() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert {found[2] for found in MARKED.finditer(page)} == set(tables())
    assert page_with_tables(page) == page, "run: python -m tests.test_argo_golden"


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
