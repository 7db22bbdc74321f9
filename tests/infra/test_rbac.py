"""infra/kubernetes applied to a Kubernetes API, and asked: what each function needs, and the neighbours of that.

The questions are SelfSubjectAccessReviews and real requests with the user's own token, so that they hold for any
API server.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from lynceus.local import demos
from lynceus.local.kubernetes import Cluster
from tests.infra.worlds import FUNCTIONS

ROOT = Path(__file__).resolve().parents[2]
ARGO = "argoproj.io"
RBAC = "rbac.authorization.k8s.io"

# What a function needs: (verb, group, resource, name).
NEEDS = {
    "api_handler": [
        ("list", ARGO, "workfloweventbindings", ""),
        ("get", "", "serviceaccounts", "github.com"),
    ],
    "submit": [
        ("impersonate", "", "serviceaccounts", "github.com"),
        ("get", "", "serviceaccounts", "github.com"),
        ("get", ARGO, "workflows", "any"),
        ("list", ARGO, "workfloweventbindings", ""),
        ("create", "", "events", ""),
        ("patch", "", "events", "any"),
    ],
    "submit_cron": [
        ("get", ARGO, "cronworkflows", "any"),
        ("patch", ARGO, "cronworkflows", "any"),
        *((verb, ARGO, "workflows", "") for verb in ("create", "get", "list", "patch")),
        ("create", "", "events", ""),
        ("patch", "", "events", "any"),
    ],
    "tick": [
        ("list", ARGO, "workfloweventbindings", ""),
        ("list", ARGO, "cronworkflows", ""),
        ("get", ARGO, "cronworkflows", "any"),
        ("patch", ARGO, "cronworkflows", "any"),
        ("list", ARGO, "workflows", ""),
        ("delete", ARGO, "workflows", "any"),
        ("create", "", "events", ""),
        ("patch", "", "events", "any"),
    ],
}

# What lies next to it, and nobody gets.
NEIGHBOURS = [
    ("impersonate", "", "serviceaccounts", "default"),
    ("impersonate", "", "users", "admin"),
    ("impersonate", "", "groups", "system:masters"),
    ("create", "", "serviceaccounts/token", "github.com"),
    ("get", "", "secrets", "argo-workflows-webhook-clients"),
    ("list", "", "secrets", ""),
    ("create", "", "pods", ""),
    ("create", "", "pods/exec", "any"),
    ("get", "", "configmaps", "any"),
    ("create", ARGO, "workflowtemplates", ""),
    ("delete", ARGO, "cronworkflows", "any"),
    ("create", ARGO, "workfloweventbindings", ""),
    ("create", "rbac.authorization.k8s.io", "rolebindings", ""),
]


class Api:
    """The API server as one user sees it."""

    def __init__(self, cluster: Cluster, token: str) -> None:
        self._cluster, self._token = cluster, token
        self._context = ssl.create_default_context(cadata=cluster.ca_pem)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and answer of a request."""
        told = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = json.dumps(body).encode() if body is not None else None
        request = Request(self._cluster.url + path, data, told, method=method)
        try:
            with urlopen(request, context=self._context) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            return error.code, json.load(error)

    def may(self, verb: str, group: str, resource: str, name: str = "", namespace: str = "argo") -> bool:
        """What a SelfSubjectAccessReview says."""
        plural, _, part = resource.partition("/")
        wish = {
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": part,
            "name": name,
            "namespace": namespace,
        }
        status, review = self.ask(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": wish},
            },
        )
        assert status == 201, review
        return review["status"].get("allowed", False) is True


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with the functions' rights in the namespace argo."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        made.apply(demos.objects())
        yield made


def user(cluster: Cluster, function: str) -> Api:
    return Api(cluster, cluster.user_token(f"role-of-{function}", [FUNCTIONS[function][1]]))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_what_it_needs(cluster: Cluster, function: str) -> None:
    api = user(cluster, function)
    assert [need for need in NEEDS[function] if not api.may(*need)] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_refused_the_neighbours(cluster: Cluster, function: str) -> None:
    api = user(cluster, function)
    assert [wish for wish in NEIGHBOURS if api.may(*wish)] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_nothing_in_another_namespace(cluster: Cluster, function: str) -> None:
    api = user(cluster, function)
    assert [need for need in NEEDS[function] if api.may(*need, namespace="default")] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_not_do_what_another_one_needs(cluster: Cluster, function: str) -> None:
    api, own = user(cluster, function), set(NEEDS[function])
    others = {need for needs in NEEDS.values() for need in needs} - own
    # A right without names covers every name.
    unnamed = {need[:3] for need in own if need[3] in ("", "any")}
    others = {need for need in others if need[:3] not in unnamed}
    assert [need for need in sorted(others) if api.may(*need)] == []


TEMPLATE = "/apis/argoproj.io/v1alpha1/namespaces/argo/workflowtemplates/build"


def test_the_worker_reads_a_template_as_the_account_and_not_as_itself(cluster: Cluster) -> None:
    api = user(cluster, "submit")
    assert api.ask("GET", TEMPLATE)[0] == 403
    account = "system:serviceaccount:argo:github.com"
    assert api.ask("GET", TEMPLATE, Impersonate_User=account)[0] == 200
    status, told = api.ask("GET", TEMPLATE, Impersonate_User="system:serviceaccount:argo:default")
    assert (status, "cannot impersonate" in told["message"]) == (403, True)
    status, _ = api.ask("GET", TEMPLATE, Impersonate_User="system:serviceaccount:default:github.com")
    assert status == 403


def test_acting_as_an_account_gives_no_more_than_the_account_has(cluster: Cluster) -> None:
    account = "system:serviceaccount:argo:github.com"
    status, _ = user(cluster, "submit").ask(
        "GET", "/api/v1/namespaces/argo/secrets", Impersonate_User=account
    )
    assert status == 403


# kustomize

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None and not os.environ.get("LYNCEUS_REQUIRE_KUBECTL"), reason="kubectl absent"
)


def built(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k` would apply."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


OVERLAY = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ci
resources: [../kubernetes]
{components}
patches:
  - target: {{kind: Role, name: lynceus-api}}
    patch: |-
      - {{op: replace, path: /rules/1/resourceNames, value: [jenkins]}}
  - target: {{kind: Role, name: lynceus-submit}}
    patch: |-
      - {{op: replace, path: /rules/0/resourceNames, value: [jenkins]}}
      - {{op: replace, path: /rules/1/resourceNames, value: [jenkins]}}
"""


@pytest.fixture
def overlaid(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with an overlay's rights in the namespace ci, for the service account jenkins."""
    shutil.copytree(ROOT / "infra/kubernetes", tmp_path / "kubernetes")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kustomization.yaml").write_text(OVERLAY.format(components=request.param))
    with Cluster(tmp_path / "cluster") as made:
        made.apply(demos.objects())
        made.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ci"}}])
        for name in ("jenkins", "other"):
            made.apply(
                [
                    {
                        "apiVersion": "v1",
                        "kind": "ServiceAccount",
                        "metadata": {"name": name, "namespace": "ci"},
                    }
                ]
            )
        # Both accounts may do much here, secrets included: what the function gets of it is the question.
        made.apply(
            [
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "RoleBinding",
                    "metadata": {"name": "much", "namespace": "ci"},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": "cluster-admin",
                    },
                    "subjects": [
                        {"kind": "ServiceAccount", "name": name, "namespace": "ci"}
                        for name in ("jenkins", "other")
                    ],
                }
            ]
        )
        made.apply(built(tmp_path / "mine"))
        yield made


CONSTRAINED = "components: [../kubernetes/constrained]"


@needs_kubectl
@pytest.mark.kubectl
@pytest.mark.parametrize("overlaid", ["", CONSTRAINED], indirect=True, ids=["plain", "constrained"])
def test_an_overlay_names_its_own_namespace_and_accounts(overlaid: Cluster) -> None:
    api = user(overlaid, "submit")
    templates = "/apis/argoproj.io/v1alpha1/namespaces/ci/workflowtemplates/none"
    jenkins, other = "system:serviceaccount:ci:jenkins", "system:serviceaccount:ci:other"
    assert api.ask("GET", templates, Impersonate_User=jenkins)[0] == 404  # allowed, and not there
    assert api.ask("GET", templates, Impersonate_User=other)[0] == 403
    assert api.ask("GET", templates)[0] == 403
    assert user(overlaid, "api_handler").may("list", ARGO, "workfloweventbindings", namespace="ci")


@needs_kubectl
@pytest.mark.kubectl
@pytest.mark.parametrize(("overlaid", "allowed"), [("", True), (CONSTRAINED, False)], indirect=["overlaid"])
def test_constrained_impersonation_gives_two_calls_of_the_account_and_no_others(
    overlaid: Cluster, allowed: bool
) -> None:
    api, jenkins = user(overlaid, "submit"), "system:serviceaccount:ci:jenkins"
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "made"},
        "spec": {"workflowTemplateRef": {"name": "t"}},
    }
    path = "/apis/argoproj.io/v1alpha1/namespaces/ci/workflows"
    assert api.ask("POST", path, workflow, Impersonate_User=jenkins)[0] == 201
    status, _ = api.ask("GET", "/api/v1/namespaces/ci/secrets", Impersonate_User=jenkins)
    assert (status == 200) is allowed


@needs_kubectl
@pytest.mark.kubectl
def test_kustomize_makes_what_the_local_system_applies() -> None:
    def known(documents: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
        return {
            (one["kind"], one["metadata"]["name"]): {
                key: one[key] for key in one if key not in ("apiVersion", "kind")
            }
            for one in documents
        }

    assert known(built(ROOT / "infra/kubernetes")) == known(demos.rights())
