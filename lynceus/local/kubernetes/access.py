"""Who may do what: the request's attributes, the RBAC authorizer and impersonation.

A request is first reduced to `Attributes`, by its path and method alone, before anybody knows whether the resource
exists. RBAC looks for one binding whose role has one rule that covers them, and says which it was. Impersonation is
a question to the same authorizer: may this user act as that one?
Source: kubernetes plugin/pkg/auth/authorizer/rbac, apiserver/pkg/endpoints/{request,filters}; KEP-5284 for the
constrained form of impersonation.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lynceus.local.kubernetes.statuses import Named, Refusal, bad_request, forbidden, go_quoted
from lynceus.local.kubernetes.tokens import ANONYMOUS, User, service_account_groups, service_account_of

_RBAC: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Attributes:
    """What a request wants to do."""

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def qualified_resource(self) -> str:
        """The resource with its subresource, as rules name it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


_VERBS: Final = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}


def attributes_of(method: str, path: str, query: Mapping[str, list[str]]) -> Attributes:
    """The attributes of a request; a path that names no resource keeps the method as its verb.

    A list by `metadata.name=` counts as one of that name. Source: request/requestinfo.go
    """
    parts = [urllib.parse.unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return Attributes(method.lower(), path)
    verb = _VERBS.get(method, "")
    if rest[0] in ("watch", "proxy") and len(rest) > 1:
        verb, rest = rest[0], rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "")[:3] if len(rest) < 4 else rest[:3]
    if not name:
        verb = _collection_verb(verb, query)
        name = _selected_name(query) if verb in ("list", "watch", "deletecollection") else ""
    return Attributes(verb, path, True, group, version, resource, subresource, namespace, name)


def _collection_verb(verb: str, query: Mapping[str, list[str]]) -> str:
    if verb == "get":
        return "watch" if _true(query, "watch") else "list"
    return "deletecollection" if verb == "delete" else verb


def _true(query: Mapping[str, list[str]], name: str) -> bool:
    values = query.get(name)
    return values is not None and values[0].lower() not in ("false", "0")


def _selected_name(query: Mapping[str, list[str]]) -> str:
    for term in (query.get("fieldSelector") or [""])[0].split(","):
        path, equal, value = term.replace("==", "=").partition("=")
        if path.strip() == "metadata.name" and equal:
            return value.strip()
    return ""


@dataclass(frozen=True)
class Verdict:
    """Whether, and by which binding."""

    allowed: bool
    reason: str = ""


class Authorizer:
    """RBAC over the roles and bindings that `objects(store, namespace)` finds at the moment of asking."""

    def __init__(self, objects: Callable[[str, str], Iterable[dict[str, Any]]]) -> None:
        self._objects = objects

    def decide(self, user: User, wanted: Attributes) -> Verdict:
        """May the user do it? The first binding that says so is the reason; system:masters need none."""
        if "system:masters" in user.groups:
            return Verdict(True)
        for binding, subject, rules in self._grants(user, wanted.namespace):
            if any(_covers(rule, wanted) for rule in rules):
                return Verdict(True, _reason(binding, subject))
        return Verdict(False)

    def require(self, user: User, wanted: Attributes) -> None:
        """Raises Refusal 403 unless the user may."""
        if not self.decide(user, wanted).allowed:
            raise refused(user, wanted)

    def rules(self, user: User, namespace: str) -> Iterator[dict[str, Any]]:
        """Every rule that reaches the user in the namespace."""
        if "system:masters" in user.groups:
            yield {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            yield {"verbs": ["*"], "nonResourceURLs": ["*"]}
        for _, _, rules in self._grants(user, namespace):
            yield from rules

    def _grants(
        self, user: User, namespace: str
    ) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]]:
        """(binding, the subject that meets the user, the role's rules), cluster-wide ones first."""
        bindings = [(binding, "") for binding in self._objects(f"clusterrolebindings.{_RBAC}", "")]
        if namespace:
            bindings += [
                (binding, namespace) for binding in self._objects(f"rolebindings.{_RBAC}", namespace)
            ]
        for binding, where in bindings:
            subject = next(
                (each for each in binding.get("subjects") or () if _meets(each, user, where)),
                None,
            )
            if subject is not None:
                yield binding, subject, self._rules(binding["roleRef"], where)

    def _rules(self, reference: Mapping[str, str], namespace: str) -> list[dict[str, Any]]:
        store, where = (
            (f"clusterroles.{_RBAC}", "")
            if reference["kind"] == "ClusterRole"
            else (f"roles.{_RBAC}", namespace)
        )
        for role in self._objects(store, where):
            if role["metadata"]["name"] == reference["name"]:
                return self._aggregated(role) if role.get("aggregationRule") else role.get("rules") or []
        return []

    def _aggregated(self, role: dict[str, Any]) -> list[dict[str, Any]]:
        """The rules of all roles that the aggregation rule selects, and the role's own."""
        found = list(role.get("rules") or [])
        for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
            wanted = (selector.get("matchLabels") or {}).items()
            for other in self._objects(f"clusterroles.{_RBAC}", ""):
                if wanted and wanted <= (other["metadata"].get("labels") or {}).items():
                    found += other.get("rules") or []
        return found


def _meets(subject: Mapping[str, str], user: User, namespace: str) -> bool:
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind == "User":
        return name == user.name
    if kind == "Group":
        return name in user.groups
    where = subject.get("namespace") or namespace
    return kind == "ServiceAccount" and user.name == f"system:serviceaccount:{where}:{name}"


def _covers(rule: Mapping[str, Any], wanted: Attributes) -> bool:
    verbs = rule.get("verbs") or ()
    if wanted.verb not in verbs and "*" not in verbs:
        return False
    if not wanted.is_resource:
        return any(_covers_path(pattern, wanted.path) for pattern in rule.get("nonResourceURLs") or ())
    groups, resources, names = (
        rule.get("apiGroups") or (),
        rule.get("resources") or (),
        rule.get("resourceNames"),
    )
    return (
        (wanted.group in groups or "*" in groups)
        and (
            "*" in resources
            or wanted.qualified_resource in resources
            or (bool(wanted.subresource) and f"*/{wanted.subresource}" in resources)
        )
        and (not names or wanted.name in names)
    )


def _covers_path(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def _reason(binding: Mapping[str, Any], subject: Mapping[str, str]) -> str:
    metadata, role = binding["metadata"], binding["roleRef"]
    where = metadata.get("namespace")
    name = f"{metadata['name']}/{where}" if where else metadata["name"]
    to = subject["name"]
    if subject["kind"] == "ServiceAccount":
        to += f"/{subject.get('namespace') or where}"
    return (
        f"RBAC: allowed by {binding['kind']} {go_quoted(name)} of {role['kind']} {go_quoted(role['name'])} "
        f"to {subject['kind']} {go_quoted(to)}"
    )


def refused(user: User, wanted: Attributes) -> Refusal:
    """403 in the authorizer's words."""
    who = f"User {go_quoted(user.name)} cannot {wanted.verb}"
    if not wanted.is_resource:
        return Refusal(403, "Forbidden", f"forbidden: {who} path {go_quoted(wanted.path)}", {})
    where = f"in the namespace {go_quoted(wanted.namespace)}" if wanted.namespace else "at the cluster scope"
    detail = f"{who} resource {go_quoted(wanted.qualified_resource)} in API group {go_quoted(wanted.group)} {where}"
    return forbidden(Named(wanted.group, wanted.resource, wanted.name), detail)


# -- impersonation -------------------------------------------------------------------------------------------


def requested_user(headers: Mapping[str, list[str]]) -> User | None:
    """The user that the Impersonate headers ask for, None without any; raises Refusal 400 without a name.

    Header names are lower-case.
    """
    name = (headers.get("impersonate-user") or [""])[0]
    groups = tuple(headers.get("impersonate-group") or ())
    uid = (headers.get("impersonate-uid") or [""])[0]
    extra = {
        urllib.parse.unquote(header.removeprefix("impersonate-extra-")): tuple(values)
        for header, values in headers.items()
        if header.startswith("impersonate-extra-")
    }
    if not (name or groups or uid or extra):
        return None
    if not name:
        raise bad_request(f"requested {_go_user(uid, groups, extra)} without impersonating a user name")
    return User(name, uid, groups, extra)


def _go_user(uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> str:
    def listed(values: Iterable[str]) -> str:
        return "{" + ", ".join(go_quoted(value) for value in values) + "}"

    shown_groups = f"[]string{listed(groups)}" if groups else "[]string(nil)"
    shown_extra = "map[string][]string(nil)"
    if extra:
        pairs = ", ".join(f"{go_quoted(name)}:[]string{listed(values)}" for name, values in extra.items())
        shown_extra = "map[string][]string{" + pairs + "}"
    return f'&user.DefaultInfo{{Name:"", UID:{go_quoted(uid)}, Groups:{shown_groups}, Extra:{shown_extra}}}'


def impersonate(user: User, wanted: User, target: Attributes, authorizer: Authorizer) -> User:
    """The user to go on as; raises Refusal 403 where neither form of impersonation is allowed.

    The constrained form asks twice, for the identity (`impersonate:<mode>`) and for the request itself
    (`impersonate-on:<mode>:<verb>`); the plain `impersonate` verb is the fallback and allows everything.
    """
    account = service_account_of(wanted.name)
    mode = "serviceaccount" if account else "user-info"
    constrained = _first_refused(user, _identity(wanted, f"impersonate:{mode}", legacy=False), authorizer)
    on_target: Attributes | None = None
    if constrained is None:
        on_target = replace(target, verb=f"impersonate-on:{mode}:{target.verb}")
        if authorizer.decide(user, on_target).allowed:
            return _with_default_groups(wanted, account)
    plain = _first_refused(user, _identity(wanted, "impersonate", legacy=True), authorizer)
    if plain is None:
        return _with_default_groups(wanted, account)
    raise refused(user, on_target or plain)


def _first_refused(user: User, asked: Iterable[Attributes], authorizer: Authorizer) -> Attributes | None:
    return next((each for each in asked if not authorizer.decide(user, each).allowed), None)


def _identity(wanted: User, verb: str, *, legacy: bool) -> Iterator[Attributes]:
    """One question per part of the identity; the plain form keeps users, groups and accounts in the core group."""
    core = "" if legacy else "authentication.k8s.io"

    def asked(
        resource: str, name: str, *, group: str = core, namespace: str = "", subresource: str = ""
    ) -> Attributes:
        return Attributes(verb, "", True, group, "v1", resource, subresource, namespace, name)

    account = service_account_of(wanted.name)
    if account:
        yield asked("serviceaccounts", account[1], namespace=account[0])
    else:
        yield asked("users", wanted.name)
    for group in wanted.groups:
        yield asked("groups", group)
    for name, values in wanted.extra.items():
        for value in values:
            yield asked("userextras", value, group="authentication.k8s.io", subresource=name)
    if wanted.uid:
        yield asked("uids", wanted.uid, group="authentication.k8s.io")


def _with_default_groups(wanted: User, account: tuple[str, str] | None) -> User:
    """An account brings its groups unless groups were asked for; everybody is authenticated, or anonymous, or said."""
    groups = wanted.groups or (service_account_groups(account[0]) if account else ())
    if not {"system:authenticated", "system:unauthenticated"} & set(groups):
        own = "system:unauthenticated" if wanted.name == ANONYMOUS.name else "system:authenticated"
        groups = (*groups, own)
    return replace(wanted, groups=groups)
