"""The API itself: five gates, and behind them what each path is.

A request passes the gates in the order of the real server, because the order decides which of several errors a
caller sees: whose token, acting as whom, may they, does the path exist, and only then the verb. `readings` and
`writings` do the verbs; no sockets here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from lynceus.local.kubernetes import fieldsets, kinds, objects, openapi, reviews
from lynceus.local.kubernetes.access import Attributes, Authorizer, attributes_of, impersonate, requested_user
from lynceus.local.kubernetes.calls import Call, Options, options_of
from lynceus.local.kubernetes.decodings import blank, match_namespace, owner_of, read_object
from lynceus.local.kubernetes.exchanges import (
    TEXT,
    Request,
    Response,
    answer,
    negotiate,
    page_not_found,
    refusal,
)
from lynceus.local.kubernetes.readings import Reader
from lynceus.local.kubernetes.resources import (
    BUILT_IN_GROUPS,
    Catalogue,
    Resource,
    aggregated,
    legacy_group,
    legacy_group_list,
    legacy_resource_list,
)
from lynceus.local.kubernetes.statuses import (
    Refusal,
    bad_request,
    invalid,
    invalid_value,
    method_not_allowed,
    no_such_resource,
    not_found,
    not_supported_on,
    unauthorized,
)
from lynceus.local.kubernetes.stores import Store, encode, key_of
from lynceus.local.kubernetes.tokens import ANONYMOUS, ISSUER, TokenError, Tokens, User
from lynceus.local.kubernetes.writings import Writer

Object = dict[str, Any]

VERSION: Final = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2+lynceus",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}


class Api:
    """One cluster's API."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        tokens: Tokens,
        *,
        clock: Callable[[], float],
        chance: random.Random,
        url: Callable[[], str],
        nobody: User = ANONYMOUS,
    ) -> None:
        self.store, self.catalogue, self.tokens = store, catalogue, tokens
        self._clock, self._url = clock, url
        self._nobody = nobody  # who comes without a token
        self.authorizer = Authorizer(self.found)
        self._documents = openapi.Documents(catalogue)
        self.reader = Reader(store, clock)
        self._writer = Writer(
            store, catalogue, self.reader, clock=clock, chance=chance, on_definition=self._documents.forget
        )

    def handle(self, request: Request) -> Response:
        """The response to a request; never raises."""
        warnings: list[str] = []
        try:
            response = self._handle(request, warnings)
        except Refusal as error:
            response = refusal(error, request.header("accept"))
        return response.warn(warnings)

    def _handle(self, request: Request, warnings: list[str]) -> Response:
        user = self._authenticate(request)
        wanted = attributes_of(request.method, request.path, request.query)
        other = requested_user(request.headers)
        if other is not None:
            user = impersonate(user, other, wanted, self.authorizer)
        self.authorizer.require(user, wanted)
        if not wanted.is_resource:
            return self._non_resource(request)
        resource = self._find_resource(wanted)
        if resource is None:
            return page_not_found()
        form = negotiate(request.header("accept"), stream=wanted.verb == "watch")
        return self._dispatch(Call(request, user, wanted, resource, form, warnings))

    def _authenticate(self, request: Request) -> User:
        header = request.header("authorization")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return self._nobody
        try:
            user, _ = self.tokens.user_of(token.strip())
        except TokenError:
            raise unauthorized() from None
        secret = self.tokens.legacy_secret(token.strip())
        if secret:
            self._note_use(secret)
        return user

    def _note_use(self, key: str) -> None:
        """Label the Secret of a legacy token with the day of its use, as the real server does."""
        used = {"kubernetes.io/legacy-token-last-used": objects.timestamp(self._clock())[:10]}
        with self.store.lock:
            secret = self.store.get("secrets", key)
            labels = (secret["metadata"].get("labels") or {}) if secret is not None else used
            if secret is not None and not used.items() <= labels.items():
                metadata = secret["metadata"] | {"labels": labels | used}
                self.store.write("secrets", key, secret | {"metadata": metadata})

    def _find_resource(self, wanted: Attributes) -> Resource | None:
        """The resource of a path; None for the plain 404, which custom groups answer; raises Refusal 404 otherwise."""
        resource = self.catalogue.find(wanted.group, wanted.version, wanted.resource)
        if resource is not None and _is_in_scope(resource, wanted):
            return resource
        if wanted.group not in BUILT_IN_GROUPS:
            return None
        if resource is not None and resource.namespaced and resource.stored and not wanted.name:
            raise method_not_allowed()  # the path is there, for lists across all namespaces
        raise no_such_resource()

    def _dispatch(self, call: Call) -> Response:
        wanted, method = call.wanted, call.request.method
        if method == "OPTIONS":
            raise _unsupported(call)
        if wanted.subresource:
            return self._subresource(call)
        verb = {"POST": "create"}.get(method, wanted.verb)
        if verb in ("update", "patch") and not call.name:
            if call.resource.custom:
                raise bad_request("name must be provided")
            raise method_not_allowed()
        if verb not in call.resource.verbs:
            raise _unsupported(call)
        if not call.resource.stored:
            return self._review(call)
        if verb == "watch":
            return self.reader.watch(call)
        if verb in ("get", "list"):
            return self.reader.list_(call) if verb == "list" else self.reader.get(call)
        with self.store.lock:
            if verb == "create":
                if call.name and not call.resource.custom:
                    raise method_not_allowed()
                return self._writer.create(call)
            if verb == "update":
                return self._writer.update(call)
            if verb == "patch":
                return self._writer.patch(call)
            return self._writer.delete(call) if verb == "delete" else self._writer.delete_collection(call)

    def _subresource(self, call: Call) -> Response:
        resource, name = call.resource, call.wanted.subresource
        known = next((each for each in resource.subresources if each[0] == name), None)
        if known is None:
            if resource.custom:
                raise not_found(resource.named(call.name))
            raise no_such_resource()
        verb = {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(
            call.request.method, call.wanted.verb
        )
        if verb not in known[2]:
            raise _unsupported(call)
        if name == "token":
            return self._token(call)
        if verb == "get":
            return self.reader.get(call)
        with self.store.lock:
            if name == "finalize":
                return self._writer.finalize(call)
            return self._writer.update(call) if verb == "update" else self._writer.patch(call)

    def _non_resource(self, request: Request) -> Response:
        path = request.path.rstrip("/") or "/"
        parts = path.strip("/").split("/")
        routed = path == "/version" or parts[0] == "api" or (len(parts) > 2 and parts[1] in BUILT_IN_GROUPS)
        if routed and request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        if path in ("/healthz", "/livez", "/readyz"):
            return Response(200, b"ok", TEXT)
        if path == "/version":
            return answer(200, VERSION)
        if path == "/":
            return answer(200, {"paths": self._paths()})
        if parts[0] in ("api", "apis"):
            return self._discovery(request, parts)
        if path == "/openapi/v2":
            return openapi.version_2(request.header("accept"))
        if parts[:2] == ["openapi", "v3"]:
            return self._documents.answer("/".join(parts[2:]), request)
        if path == "/.well-known/openid-configuration":
            response = answer(200, self._openid())
            response.cache_control = "public, max-age=3600"
            return response
        if path == "/openid/v1/jwks":
            return self._key_set(request)
        return page_not_found()

    def _paths(self) -> list[str]:
        fixed = [
            "/.well-known/openid-configuration",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/",
            "/healthz",
            "/livez",
        ]
        fixed += ["/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openid/v1/jwks", "/readyz", "/version"]
        for group, versions in self.catalogue.groups().items():
            fixed += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
        return sorted(fixed)

    def _openid(self) -> Object:
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{self._url()}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _key_set(self, request: Request) -> Response:
        media = "application/jwk-set+json"
        accept = request.header("accept")
        if accept and media not in accept and "*/*" not in accept:
            text = f"406: Not Acceptable\n\nAvailable representations: {media}"
            raise Refusal(406, "NotAcceptable", text, {})
        response = answer(200, self.tokens.key_set())
        response.content_type = media
        response.cache_control = "public, max-age=3600"
        return response

    def _discovery(self, request: Request, parts: list[str]) -> Response:
        core = parts[0] == "api"
        if len(parts) == 1:
            for version in ("v2", "v2beta1"):
                media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
                if media in request.header("accept").replace(" ", ""):
                    return self._aggregated(request, media, version, core=core)
            if not core:
                return answer(200, legacy_group_list(self.catalogue))
            address = {"clientCIDR": "0.0.0.0/0", "serverAddress": self._url().partition("//")[2]}
            listed = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [address]}
            return answer(200, listed)
        group, rest = ("", parts[1:]) if core else (parts[1], parts[2:])
        versions = ["v1"] if core else self.catalogue.groups().get(group, [])
        if not versions or (rest and rest[0] not in versions):
            if core or group in BUILT_IN_GROUPS:
                raise no_such_resource()
            return page_not_found()
        if not rest:
            return answer(200, legacy_group(group, versions))
        return answer(200, legacy_resource_list(self.catalogue, group, rest[0]))

    def _aggregated(self, request: Request, media: str, version: str, *, core: bool) -> Response:
        document = aggregated(self.catalogue, core=core) | {"apiVersion": f"apidiscovery.k8s.io/{version}"}
        body = encode(document)
        etag = openapi.etag(body)
        headers = [("Vary", "Accept"), ("ETag", etag)]
        if request.header("if-none-match") == etag:
            return Response(304, b"", "", headers, cache_control="public")
        return Response(200, body, media, headers, cache_control="public")

    def found(self, store: str, namespace: str) -> Iterator[Object]:
        """The objects of a kind now, in the order they came, or those of one namespace by name."""
        shelf = self.store.shelf(store)
        if not namespace:
            yield from list(shelf.objects.values())
            return
        for key in self.store.keys(store, namespace):
            instance = shelf.objects.get(key)
            if instance is not None:
                yield instance

    def _token(self, call: Call) -> Response:
        options = options_of(call.request, "CreateOptions")
        self._writer.admit(call, {"name": call.name})
        account = self.store.get("serviceaccounts", call.key)
        if account is None:
            raise not_found(call.resource.named(call.name))
        token_request = self.catalogue.find("authentication.k8s.io", "v1", "tokenreviews")
        if token_request is None:
            raise no_such_resource()
        as_request = replace(
            token_request, kind="TokenRequest", message="TokenRequest", schema=kinds.schema("TokenRequest")
        )
        inner = replace(call, resource=as_request)
        request = read_object(inner, options)
        for name, wanted in (("name", call.name), ("namespace", call.namespace)):
            said = request["metadata"].get(name) or wanted
            if said != wanted:
                detail = f"must match the service account {name} if specified"
                raise invalid(
                    as_request.kind_named(call.name), [invalid_value(f"metadata.{name}", said, detail)]
                )
        made = reviews.request_token(
            request,
            call.namespace,
            account,
            self.tokens,
            lambda sent: self._managed(inner, sent, options),
            self._clock(),
            lambda name: self.store.get("secrets", key_of(call.namespace, name)),
        )
        return answer(201, made)

    def _managed(self, call: Call, sent: Object, options: Options) -> list[Object]:
        before = blank(call)
        now = objects.timestamp(self._clock())
        return fieldsets.record_update(
            before, before | sent, call.resource.typed_schema, owner_of(call, options), now
        )

    def _review(self, call: Call) -> Response:
        options = options_of(call.request, "CreateOptions")
        review = read_object(call, options)
        metadata = review["metadata"]
        if call.resource.namespaced:
            match_namespace(call, metadata)
        managed = self._managed(call, review, options)
        kind = call.resource.kind
        now = objects.timestamp(self._clock())
        if kind == "TokenReview":
            reviews.review_token(review, self.tokens)
        elif kind == "SelfSubjectReview":
            reviews.review_self(review, call.user, now)
        elif kind == "SelfSubjectRulesReview":
            reviews.review_rules(review, self.authorizer, call.user)
        else:
            reviews.review_access(review, self.authorizer, call.user, namespace=call.namespace)
        if managed and kind not in ("SelfSubjectReview", "SelfSubjectRulesReview"):
            review["metadata"]["managedFields"] = managed
        head = {"kind": kind, "apiVersion": call.resource.api_version}
        return answer(201, head | review)


def _unsupported(call: Call) -> Refusal:
    """405 for a verb that the resource does not have; the two parts of the server word it each in its way."""
    if call.resource.custom:
        return not_supported_on(call.resource.named(), call.wanted.verb)
    return method_not_allowed()


def _is_in_scope(resource: Resource, wanted: Attributes) -> bool:
    """Whether the path names a namespace where the kind has one; lists and watches may go across all."""
    if resource.namespaced:
        return bool(wanted.namespace) or wanted.verb in ("list", "watch")
    return not wanted.namespace or resource.plural == "namespaces"
