"""What a cluster holds before anybody touched it: namespaces, roles, accounts and Argo's five kinds.

The roles are those of every Kubernetes that somebody here relies on, with fewer rules where it has kinds we lack.
The definitions under `crds/` are our own and minimal; Argo's own can be applied over them, server-side.
Source: kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import yaml

Object = dict[str, Any]

NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
_RBAC: Final = "rbac.authorization.k8s.io"
_EVERYBODY: Final = ("system:authenticated", "system:unauthenticated")
_READ: Final = ["get", "list", "watch"]
_WRITE: Final = ["create", "delete", "deletecollection", "patch", "update"]
_ARGO: Final = ["workflows", "workflowtemplates", "cronworkflows", "workfloweventbindings"]
_INFO: Final = ["/healthz", "/livez", "/readyz", "/version", "/version/"]
_DISCOVERY: Final = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez"]
_DISCOVERY_REST: Final = ["/openapi", "/openapi/*", "/readyz", "/version", "/version/"]
_OPENID: Final = ["/.well-known/openid-configuration", "/.well-known/openid-configuration/"]
_KEYS: Final = ["/openid/v1/jwks", "/openid/v1/jwks/"]


def _rule(verbs: list[str], group: str, *resources: str) -> Object:
    return {"verbs": verbs, "apiGroups": [group], "resources": list(resources)}


def _paths(*urls: str) -> Object:
    return {"verbs": ["get"], "nonResourceURLs": list(urls)}


_VIEW: Final = [
    _rule(_READ, "", "configmaps", "events", "namespaces", "serviceaccounts"),
    _rule(_READ, "argoproj.io", *_ARGO),
]
_EDIT: Final = [
    *_VIEW,
    _rule([*_READ, *_WRITE], "", "configmaps", "events", "secrets", "serviceaccounts"),
    _rule(["create"], "", "serviceaccounts/token"),
    _rule(["impersonate"], "", "serviceaccounts"),
    _rule(_WRITE, "argoproj.io", *_ARGO),
]
_ADMIN: Final = [
    *_EDIT,
    _rule([*_READ, *_WRITE], _RBAC, "roles", "rolebindings"),
    _rule(["create"], "authorization.k8s.io", "localsubjectaccessreviews"),
]
# ClusterRole → its rules, and the groups it is bound to
_ROLES: Final[tuple[tuple[str, list[Object], tuple[str, ...]], ...]] = (
    (
        "cluster-admin",
        [
            {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
            {"verbs": ["*"], "nonResourceURLs": ["*"]},
        ],
        ("system:masters",),
    ),
    ("admin", _ADMIN, ()),
    ("edit", _EDIT, ()),
    ("view", _VIEW, ()),
    (
        "system:basic-user",
        [
            _rule(["create"], "authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
            _rule(["create"], "authentication.k8s.io", "selfsubjectreviews"),
        ],
        ("system:authenticated",),
    ),
    ("system:public-info-viewer", [_paths(*_INFO)], _EVERYBODY),
    ("system:service-account-issuer-discovery", [_paths(*_OPENID, *_KEYS)], ("system:serviceaccounts",)),
    ("system:discovery", [_paths(*_DISCOVERY, *_DISCOVERY_REST)], ("system:authenticated",)),
    ("system:well-known-viewer", [_paths("/.well-known", "/.well-known/*")], _EVERYBODY),
)


def roles() -> list[Object]:
    """The ClusterRoles and ClusterRoleBindings of a new cluster."""
    found: list[Object] = []
    for name, rules, groups in _ROLES:
        metadata = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
        head = {"apiVersion": f"{_RBAC}/v1"}
        found.append(head | {"kind": "ClusterRole", "metadata": metadata, "rules": rules})
        if groups:
            found.append(
                head
                | {
                    "kind": "ClusterRoleBinding",
                    "metadata": metadata,
                    "subjects": [{"kind": "Group", "apiGroup": _RBAC, "name": group} for group in groups],
                    "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
                }
            )
    return found


def definitions() -> list[Object]:
    """The CustomResourceDefinitions of Argo's five kinds, as small as they can be."""
    directory = files("lynceus.local.kubernetes") / "crds"
    found = sorted(
        (path for path in directory.iterdir() if path.name.endswith(".yaml")), key=lambda path: path.name
    )
    return [yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader) for path in found]


def objects() -> list[Object]:
    """Everything, in an order in which each object finds what it needs."""
    namespaces: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES
    ]
    return [*namespaces, *roles(), *definitions()]
