"""What the server serves: one `Resource` per plural, from the table of built-in kinds or from a CRD.

A resource knows its names, its scope, how its objects look (`schema`) and how they are shown (`columns`).
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from lynceus.local.kubernetes import kinds, schemas
from lynceus.local.kubernetes.statuses import Named

_CRUD: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One plural of one group and version."""

    group: str  # "" for the core group
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str
    list_kind: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _CRUD
    custom: bool = False
    message: str = ""  # the paragraph of `kinds` that describes a built-in kind
    schema: dict[str, Any] = field(default_factory=dict, repr=False)
    columns: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    status_subresource: bool = False
    subresources: tuple[
        tuple[str, str, tuple[str, ...]], ...
    ] = ()  # name, answer kind as group/version/Kind, verbs
    stored_as: str = ""  # events.k8s.io shares its objects with the core group

    @property
    def api_version(self) -> str:
        """group/version, as objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def store(self) -> str:
        """The name under which objects are kept: plural.group."""
        return self.stored_as or (f"{self.plural}.{self.group}" if self.group else self.plural)

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of the collection, or of one object in it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{where}/{self.plural}" + (f"/{name}" if name else "")

    @property
    def stored(self) -> bool:
        """False for reviews, which are answered and forgotten."""
        return "list" in self.verbs

    def named(self, name: str = "") -> Named:
        """For messages that speak of the plural."""
        return Named(self.group, self.plural, name)

    def kind_named(self, name: str = "") -> Named:
        """For messages that speak of the Kind."""
        return Named(self.group, self.kind, name)

    @property
    def has_rules(self) -> bool:
        """Whether any cross-field rule stands in the schema; its absence changes a 422's last cause."""
        return self.custom and schemas.has_rules(self.schema)

    @cached_property
    def typed_schema(self) -> dict[str, Any]:
        """The schema with what every object has described, which CRDs may leave to the server."""
        text = {"type": "string"}
        everywhere = {"apiVersion": text, "kind": text, "metadata": kinds.schema("ObjectMeta")}
        return self.schema | {"properties": (self.schema.get("properties") or {}) | everywhere}


def _built_in(row: str) -> Resource:
    names, api_version, kind, scope, *rest = row.split()
    plural, *short = names.split(",")
    group, _, version = api_version.rpartition("/")
    options = dict(item.split("=", 1) for item in rest)
    message = options.get("message", kind)
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=scope == "namespaced",
        singular=kind.lower(),
        list_kind=f"{kind}List",
        short_names=tuple(short),
        categories=tuple(filter(None, options.get("categories", "").split(","))),
        verbs=("create",) if options.get("verbs") == "create" else _without(options.get("without", "")),
        message=message,
        schema=kinds.schema(message),
        subresources=_SUBRESOURCES.get(plural, ()),
        stored_as=options.get("stored", ""),
    )


def _without(verb: str) -> tuple[str, ...]:
    return tuple(known for known in _CRUD if known != verb)


_SUBRESOURCES: Final[dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]]] = {
    "namespaces": (
        ("finalize", "v1/Namespace", ("update",)),
        ("status", "v1/Namespace", ("get", "patch", "update")),
    ),
    "serviceaccounts": (("token", "authentication.k8s.io/v1/TokenRequest", ("create",)),),
    "customresourcedefinitions": (
        ("status", "apiextensions.k8s.io/v1/CustomResourceDefinition", ("get", "patch", "update")),
    ),
}

_ROWS: Final = """
configmaps,cm v1 ConfigMap namespaced
events,ev v1 Event namespaced
namespaces,ns v1 Namespace cluster without=deletecollection
secrets v1 Secret namespaced
serviceaccounts,sa v1 ServiceAccount namespaced
events,ev events.k8s.io/v1 Event namespaced message=NewEvent stored=events
selfsubjectreviews authentication.k8s.io/v1 SelfSubjectReview cluster verbs=create
tokenreviews authentication.k8s.io/v1 TokenReview cluster verbs=create
localsubjectaccessreviews authorization.k8s.io/v1 LocalSubjectAccessReview namespaced verbs=create
selfsubjectaccessreviews authorization.k8s.io/v1 SelfSubjectAccessReview cluster verbs=create
selfsubjectrulesreviews authorization.k8s.io/v1 SelfSubjectRulesReview cluster verbs=create
subjectaccessreviews authorization.k8s.io/v1 SubjectAccessReview cluster verbs=create
clusterrolebindings rbac.authorization.k8s.io/v1 ClusterRoleBinding cluster
clusterroles rbac.authorization.k8s.io/v1 ClusterRole cluster
rolebindings rbac.authorization.k8s.io/v1 RoleBinding namespaced
roles rbac.authorization.k8s.io/v1 Role namespaced
customresourcedefinitions,crd,crds apiextensions.k8s.io/v1 CustomResourceDefinition cluster categories=api-extensions
"""

BUILT_IN: Final = tuple(_built_in(row) for row in _ROWS.strip().splitlines())
BUILT_IN_GROUPS: Final = tuple(dict.fromkeys(resource.group for resource in BUILT_IN))


def resources_of(definition: dict[str, Any]) -> list[Resource]:
    """The resources of a CustomResourceDefinition, one per served version."""
    spec = definition["spec"]
    names = spec["names"]
    return [
        Resource(
            group=spec["group"],
            version=version["name"],
            plural=names["plural"],
            kind=names["kind"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular") or names["kind"].lower(),
            list_kind=names.get("listKind") or f"{names['kind']}List",
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            verbs=_CUSTOM_VERBS,
            custom=True,
            schema=(version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"},
            columns=tuple(version.get("additionalPrinterColumns") or ()),
            status_subresource=(version.get("subresources") or {}).get("status") is not None,
            subresources=(
                ("status", f"{spec['group']}/{version['name']}/{names['kind']}", ("get", "patch", "update")),
            )
            if (version.get("subresources") or {}).get("status") is not None
            else (),
        )
        for version in spec["versions"]
        if version.get("served")
    ]


class Catalogue:
    """The resources being served; changes only under the store's lock."""

    def __init__(self) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        for resource in BUILT_IN:
            self._by_path[resource.group, resource.version, resource.plural] = resource

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource under a path's parts."""
        return self._by_path.get((group, version, plural))

    def by_store(self, name: str) -> Resource | None:
        """The resource kept under a name like `workflows.argoproj.io`."""
        return next(
            (each for each in self._by_path.values() if each.store == name and not each.stored_as), None
        )

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """The resource of an object's own apiVersion and kind."""
        return next(
            (
                each
                for each in self._by_path.values()
                if each.api_version == api_version and each.kind == kind
            ),
            None,
        )

    def register(self, definition: dict[str, Any]) -> None:
        """Serve what the definition describes, in place of what it described before."""
        self.forget(definition)
        for resource in resources_of(definition):
            self._by_path[resource.group, resource.version, resource.plural] = resource

    def forget(self, definition: dict[str, Any]) -> None:
        """Serve the definition's resources no longer."""
        spec = definition["spec"]
        for key in [
            key for key in self._by_path if key[0] == spec["group"] and key[2] == spec["names"]["plural"]
        ]:
            del self._by_path[key]

    def groups(self) -> dict[str, list[str]]:
        """Group → its versions, the core group left out, in the order of serving."""
        found: dict[str, list[str]] = {}
        for group, version, _ in self._by_path:
            if group and version not in found.setdefault(group, []):
                found[group].append(version)
        return found

    def of(self, group: str, version: str) -> list[Resource]:
        """The resources of one group and version."""
        return [each for each in self._by_path.values() if (each.group, each.version) == (group, version)]


def storage_hash(resource: Resource) -> str:
    """The opaque id that discovery gives for a stored kind; changes when the storage does."""
    digest = hashlib.sha256(f"{resource.group}/{resource.version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def legacy_group_list(catalogue: Catalogue) -> dict[str, Any]:
    """GET /apis"""
    groups = [legacy_group(name, versions) for name, versions in catalogue.groups().items()]
    for group in groups:
        del group["kind"], group["apiVersion"]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def legacy_group(name: str, versions: list[str]) -> dict[str, Any]:
    """GET /apis/<group>"""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def legacy_resource_list(catalogue: Catalogue, group: str, version: str) -> dict[str, Any]:
    """GET /api/v1 and /apis/<group>/<version>"""
    listed: list[dict[str, Any]] = []
    for resource in catalogue.of(group, version):
        entry: dict[str, Any] = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        if resource.stored:
            entry["storageVersionHash"] = storage_hash(resource)
        listed.append(entry)
        for name, answer, verbs in resource.subresources:
            sub: dict[str, Any] = {"name": f"{resource.plural}/{name}", "singularName": ""}
            sub["namespaced"] = resource.namespaced
            answer_group, answer_version, answer_kind = _answer(answer)
            if (answer_group, answer_version) != (group, version):
                sub |= {"group": answer_group, "version": answer_version}
            listed.append(sub | {"kind": answer_kind, "verbs": list(verbs)})
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": listed,
    }


def _answer(text: str) -> tuple[str, str, str]:
    api_version, _, kind = text.rpartition("/")
    group, _, version = api_version.rpartition("/")
    return group, version, kind


def aggregated(catalogue: Catalogue, *, core: bool) -> dict[str, Any]:
    """GET /api or /apis as APIGroupDiscoveryList, which spares clients a request per group."""
    groups = {"": ["v1"]} if core else catalogue.groups()
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": name} if name else {},
                "versions": [
                    {
                        "version": version,
                        "resources": [_discovered(each) for each in catalogue.of(name, version)],
                        "freshness": "Current",
                    }
                    for version in versions
                ],
            }
            for name, versions in groups.items()
        ],
    }


def _discovered(resource: Resource) -> dict[str, Any]:
    # Built-in kinds leave group and version empty: the enclosing ones are meant.
    own = (
        {"group": resource.group, "version": resource.version}
        if resource.custom
        else {"group": "", "version": ""}
    )
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": own | {"kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": sorted(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    listed = []
    for name, answer, verbs in resource.subresources:
        group, version, kind = _answer(answer)
        same = (group, version) == (resource.group, resource.version) and not resource.custom
        where = {"group": "", "version": ""} if same else {"group": group, "version": version}
        listed.append({"subresource": name, "responseKind": where | {"kind": kind}, "verbs": list(verbs)})
    return entry | ({"subresources": listed} if listed else {})
