"""Questions asked as objects: whose token is this, may they do that, who am I, a token for this account.

Each is answered with the object itself, its status filled in, and nothing is kept.
Source: kubernetes pkg/registry/{authentication,authorization}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from lynceus.local.kubernetes.access import Attributes, Authorizer
from lynceus.local.kubernetes.objects import timestamp
from lynceus.local.kubernetes.statuses import (
    Cause,
    Named,
    bad_request,
    conflict,
    go_quoted,
    invalid,
    invalid_unshown,
    invalid_value,
    not_found,
)
from lynceus.local.kubernetes.tokens import AUDIENCES, SHORTEST, TokenError, Tokens, User

Object = dict[str, Any]
_AUTHENTICATION: Final = "authentication.k8s.io"
_AUTHORIZATION: Final = "authorization.k8s.io"
DEFAULT_SECONDS: Final = 3600


def review_token(review: Object, tokens: Tokens) -> None:
    """TokenReview: whose token it is; a bad one is an answer too, not a failure."""
    spec = review.get("spec") or {}
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    try:
        user, audiences = tokens.user_of(spec["token"], spec.get("audiences") or AUDIENCES)
    except TokenError as error:
        review["status"] = {"user": {}, "error": str(error)}
    else:
        review["status"] = {"authenticated": True, "user": user.as_json(), "audiences": audiences}


def review_self(review: Object, user: User, now: str) -> None:
    """SelfSubjectReview: who the caller is, impersonation applied."""
    review["metadata"] = {"creationTimestamp": now}
    review["status"] = {"userInfo": user.as_json()}


def _asked(spec: Object) -> Attributes:
    resource = spec.get("resourceAttributes")
    if resource is None:
        other = spec.get("nonResourceAttributes") or {}
        return Attributes(other.get("verb", ""), other.get("path", ""))
    return Attributes(
        resource.get("verb", ""),
        "",
        True,
        resource.get("group", ""),
        resource.get("version", ""),
        resource.get("resource", ""),
        resource.get("subresource", ""),
        resource.get("namespace", ""),
        resource.get("name", ""),
    )


def _check(spec: Object, *, needs_user: bool) -> list[Cause]:
    causes: list[Cause] = []
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        detail = f"{_shown_path(other)}: cannot be specified in combination with resourceAttributes"
        causes.append(invalid_unshown("spec.nonResourceAttributes", detail))
    if resource is None and other is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        causes.append(invalid_unshown("spec.resourceAttributes", f"null: {detail}"))
    if needs_user and not spec.get("user") and not spec.get("groups"):
        causes.append(invalid_value("spec.user", "", "at least one of user or group must be specified"))
    return causes


def _check_local(spec: Object, namespace: str) -> list[Cause]:
    causes: list[Cause] = []
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and resource.get("namespace", "") != namespace:
        where = resource.get("namespace", "")
        causes.append(
            invalid_value("spec.resourceAttributes.namespace", where, "must match metadata.namespace")
        )
    if other is not None:
        detail = f"{_shown_path(other)}: disallowed on this kind of request"
        causes.append(invalid_unshown("spec.nonResourceAttributes", detail))
    return causes


def _shown_path(attributes: Object) -> str:
    path, verb = (go_quoted(attributes.get(name, "")) for name in ("path", "verb"))
    return f'{{"Path":{path},"Verb":{verb}}}'


def review_access(review: Object, authorizer: Authorizer, user: User, *, namespace: str = "") -> None:
    """The three forms of SubjectAccessReview: may they?"""
    kind = review["kind"]
    spec: Object = review.get("spec") or {}
    own = kind == "SelfSubjectAccessReview"
    causes = _check(spec, needs_user=not own)
    local = kind == "LocalSubjectAccessReview"
    metadata = {
        name: value for name, value in review["metadata"].items() if not (local and name == "namespace")
    }
    if metadata:
        detail = "must be empty except for namespace" if local else "must be empty"
        causes.append(invalid_value("metadata", review["metadata"], detail))
    if local:
        causes += _check_local(spec, namespace)
    if causes:
        # The server leaves the kind out here.
        raise invalid(Named(_AUTHORIZATION, ""), causes)
    if own:
        subject = user
    else:
        extra = {name: tuple(values) for name, values in (spec.get("extra") or {}).items()}
        subject = User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)
    verdict = authorizer.decide(subject, _asked(spec))
    review["status"] = {"allowed": verdict.allowed} | ({"reason": verdict.reason} if verdict.reason else {})


def review_rules(review: Object, authorizer: Authorizer, user: User) -> None:
    """SelfSubjectRulesReview: every rule that reaches the caller in a namespace; `kubectl auth can-i --list`."""
    namespace = (review.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise bad_request("no namespace on request")
    resources: list[Object] = []
    paths: list[Object] = []
    for rule in authorizer.rules(user, namespace):
        found = paths if rule.get("nonResourceURLs") else resources
        names = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        kept = {name: rule[name] for name in names if rule.get(name)}
        if kept not in found:
            found.append(kept)
    review["metadata"] = {}
    review["spec"] = {}
    review["status"] = {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}


def _bound_secret(account: str, bound: Object, find: Callable[[str], Object | None]) -> Object:
    """The Secret that a token is to live and die with; raises Refusal 400, 404 or 409."""
    group, _, version = bound.get("apiVersion", "").rpartition("/")
    kind, name = bound.get("kind", ""), bound.get("name", "")
    if group or kind not in ("Secret", "Pod", "Node"):
        raise bad_request(
            f"cannot bind token for serviceaccount {go_quoted(account)} to type {group}/{version}, Kind={kind}"
        )
    secret = find(name) if kind == "Secret" else None
    if secret is None:  # there are no pods and nodes here
        raise not_found(Named("", f"{kind.lower()}s", name))
    uid = bound.get("uid", "")
    if uid and uid != secret["metadata"]["uid"]:
        raise conflict(
            Named("", kind, name),
            f"the UID in the bound object reference ({uid}) does not match the UID in record. "
            "The object might have been deleted and then recreated",
        )
    return secret


def request_token(
    request: Object,
    namespace: str,
    account: Object,
    tokens: Tokens,
    managed: Callable[[Object], list[Object]],
    now: float,
    find: Callable[[str], Object | None],
) -> Object:
    """TokenRequest: a new token for the account.

    `managed` makes the managedFields of the request as sent, `find` gives a Secret of the namespace.
    """
    spec: Object = request.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    seconds = DEFAULT_SECONDS if seconds is None else seconds
    causes: list[Cause] = []
    if seconds < SHORTEST:
        causes.append(
            invalid_value(
                "spec.expirationSeconds", seconds, "may not specify a duration less than 10 minutes"
            )
        )
    elif seconds > 1 << 32:
        causes.append(
            invalid_value(
                "spec.expirationSeconds", seconds, "may not specify a duration larger than 2^32 seconds"
            )
        )
    if causes:
        raise invalid(Named(_AUTHENTICATION, "TokenRequest"), causes)
    bound = spec.get("boundObjectRef")
    secret = _bound_secret(account["metadata"]["name"], bound, find) if bound else None
    audiences = spec.get("audiences") or list(AUDIENCES)
    token, ends = tokens.issue(namespace, account, seconds, audiences, secret)
    metadata = account["metadata"]
    return {
        "kind": "TokenRequest",
        "apiVersion": f"{_AUTHENTICATION}/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": namespace,
            "uid": metadata["uid"],
            "creationTimestamp": timestamp(now),
            "managedFields": managed(request),
        },
        "spec": {
            "audiences": audiences,
            "expirationSeconds": seconds,
            "boundObjectRef": bound,
        },
        "status": {"token": token, "expirationTimestamp": timestamp(ends)},
    }
