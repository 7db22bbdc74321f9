"""The API itself: what each request does, from who is asking to the answer; no sockets here.

A request passes five gates in the order of the real server, because the order decides which of several errors a
caller sees: whose token, acting as whom, may they, does the path exist, and only then the verb. Writing verbs share
one path: read the body, complete the object, check it, work out who owns which field, and keep it under the
next revision, all under the store's lock.
"""

from __future__ import annotations

import base64
import binascii
import copy
import random
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from lynceus.local.kubernetes import (
    bodies,
    fieldsets,
    kinds,
    objects,
    openapi,
    patches,
    reviews,
    schemas,
    strategies,
)
from lynceus.local.kubernetes.access import Attributes, Authorizer, attributes_of, impersonate, requested_user
from lynceus.local.kubernetes.bodies import LARGEST_OBJECT, Unreadable, unrecognized
from lynceus.local.kubernetes.exchanges import (
    TEXT,
    Form,
    Request,
    Response,
    answer,
    negotiate,
    page_not_found,
    refusal,
)
from lynceus.local.kubernetes.resources import (
    BUILT_IN_GROUPS,
    Catalogue,
    Resource,
    aggregated,
    legacy_group,
    legacy_group_list,
    legacy_resource_list,
)
from lynceus.local.kubernetes.selectors import FieldTerm, field_terms, label_selector, matches_fields
from lynceus.local.kubernetes.statuses import (
    Cause,
    Named,
    Refusal,
    already_exists,
    bad_request,
    conflict,
    expired,
    forbidden,
    forbidden_field,
    go_quoted,
    invalid,
    invalid_options,
    invalid_value,
    method_not_allowed,
    modified,
    no_such_resource,
    not_found,
    not_supported_on,
    required,
    revision_too_large,
    too_long,
    unauthorized,
    unexplained,
    unsupported,
    unsupported_media,
)
from lynceus.local.kubernetes.stores import Change, Store, encode, key_of
from lynceus.local.kubernetes.strategies import Strategy
from lynceus.local.kubernetes.tables import metadata_only, table
from lynceus.local.kubernetes.tokens import ANONYMOUS, ISSUER, TokenError, Tokens, User

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
CRDS: Final = "customresourcedefinitions.apiextensions.k8s.io"
_LASTING: Final = ("default", "kube-system", "kube-public")
_WAIT: Final = 3.0  # seconds the real server waits for a revision it has not seen
_BOOKMARK: Final = 60.0  # seconds between bookmarks
_LOOK: Final = 1.0  # seconds between looks at a silent watch's connection
_LONGEST_WATCH: Final = 3600  # seconds of a watch that named none
_GZIP_FROM: Final = 128 * 1024  # bytes
_POLICIES: Final = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True)
class Call:
    """A request with what the gates found out about it."""

    request: Request
    user: User
    wanted: Attributes
    resource: Resource
    form: Form

    @property
    def namespace(self) -> str:
        return self.wanted.namespace if self.resource.namespaced else ""

    @property
    def name(self) -> str:
        return self.wanted.name

    @property
    def key(self) -> str:
        return key_of(self.namespace, self.name)

    @property
    def strategy(self) -> Strategy:
        if self.resource.stored_as:
            return strategies.NEW_EVENT
        if self.resource.custom:
            return strategies.CUSTOM
        return strategies.STRATEGIES.get(self.resource.store, Strategy())


@dataclass(frozen=True)
class Options:
    """The parameters that creating, updating and patching share."""

    manager: str
    validation: str  # "Strict", "Warn" or "Ignore"
    dry_run: bool
    force: bool


@dataclass(frozen=True)
class Selection:
    """What a list or watch is about."""

    namespace: str
    labels: Callable[[dict[str, str]], bool] | None
    fields: list[FieldTerm]

    @property
    def everything(self) -> bool:
        """True without any selector."""
        return self.labels is None and not self.fields

    def takes(self, instance: Object) -> bool:
        """Whether the object is selected; its namespace is the caller's business."""
        metadata = instance["metadata"]
        if self.labels is not None and not self.labels(metadata.get("labels") or {}):
            return False
        return matches_fields(instance, self.fields)


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
        open_to_all: bool = False,
    ) -> None:
        self.store, self.catalogue, self.tokens = store, catalogue, tokens
        self._clock, self._chance, self._url = clock, chance, url
        self._open_to_all = open_to_all  # without TLS clients send no tokens
        self.authorizer = Authorizer(self._found)
        self.closed = False
        self._documents = openapi.Documents(catalogue)

    # -- the gates -------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Response:
        """The response to a request; never raises."""
        try:
            return self._handle(request)
        except Refusal as error:
            return refusal(error, request.header("accept"))

    def _handle(self, request: Request) -> Response:
        user = self._authenticate(request)
        wanted = attributes_of(request.method, request.path, request.query)
        other = requested_user(request.headers)
        if other is not None:
            user = impersonate(user, other, wanted, self.authorizer)
        if request.method == "OPTIONS":
            self._find_resource(wanted)
            raise not_supported_on(Named(wanted.group, wanted.resource))
        self.authorizer.require(user, wanted)
        if not wanted.is_resource:
            return self._non_resource(request)
        resource = self._find_resource(wanted)
        if resource is None:
            return page_not_found()
        form = negotiate(request.header("accept")) if request.method in ("GET", "HEAD") else Form()
        return self._dispatch(Call(request, user, wanted, resource, form))

    def _authenticate(self, request: Request) -> User:
        header = request.header("authorization")
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return (
                User("lynceus-admin", "", ("system:masters", "system:authenticated"))
                if self._open_to_all
                else ANONYMOUS
            )
        try:
            user, _ = self.tokens.user_of(token.strip())
        except TokenError:
            raise unauthorized() from None
        self._note_use(self.tokens.legacy_secret(token.strip()))
        return user

    def _note_use(self, key: str) -> None:
        """Label the Secret of a legacy token with the day of its use, as the real server does."""
        secret = self.store.get("secrets", key) if key else None
        today = objects.timestamp(self._clock())[:10]
        label = "kubernetes.io/legacy-token-last-used"
        if secret is not None and (secret["metadata"].get("labels") or {}).get(label) != today:
            metadata = secret["metadata"] | {
                "labels": (secret["metadata"].get("labels") or {}) | {label: today}
            }
            self.store.write("secrets", key, secret | {"metadata": metadata})

    def _find_resource(self, wanted: Attributes) -> Resource | None:
        """The resource of a path; None for the plain 404, which custom groups answer; raises Refusal 404 otherwise."""
        resource = self.catalogue.find(wanted.group, wanted.version, wanted.resource)
        in_group = wanted.group in BUILT_IN_GROUPS
        if resource is None:
            if in_group:
                raise no_such_resource()
            return None
        # A kind of a namespace can be listed across all of them, and nothing else without naming one.
        if (
            resource.namespaced
            and not wanted.namespace
            and (wanted.name or wanted.verb not in ("list", "watch"))
        ):
            if wanted.verb not in ("list", "watch", "deletecollection") or resource.custom:
                if in_group:
                    raise no_such_resource()
                return None
        if not resource.namespaced and wanted.namespace and resource.plural != "namespaces":
            if in_group:
                raise no_such_resource()
            return None
        return resource

    def _dispatch(self, call: Call) -> Response:
        wanted, method = call.wanted, call.request.method
        if wanted.subresource:
            return self._subresource(call)
        verb = {"POST": "create"}.get(method, wanted.verb)
        if verb in ("update", "patch") and not call.name:
            if call.resource.custom:
                raise bad_request("name must be provided")
            raise method_not_allowed()
        if verb not in call.resource.verbs:
            raise method_not_allowed()
        if not call.resource.stored:
            return self._review(call)
        if verb == "watch":
            return self._watch(call)
        if verb in ("get", "list"):
            return self._list(call) if verb == "list" else self._get(call)
        with self.store.lock:
            if verb == "create":
                if call.name and not call.resource.custom:
                    raise method_not_allowed()
                return self._create(call)
            if verb == "update":
                return self._update(call)
            if verb == "patch":
                return self._patch(call)
            return self._delete(call) if verb == "delete" else self._delete_collection(call)

    # -- paths that are no resources -------------------------------------------------------------------------

    def _non_resource(self, request: Request) -> Response:
        path = request.path.rstrip("/") or "/"
        parts = path.strip("/").split("/")
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
        if not versions or len(rest) > 1 or (rest and rest[0] not in versions):
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

    # -- finding and showing ---------------------------------------------------------------------------------

    def _found(self, store: str, namespace: str) -> Iterator[Object]:
        """The objects of a kind now, in the order they came, or those of one namespace by name."""
        shelf = self.store.shelf(store)
        if not namespace:
            yield from list(shelf.objects.values())
            return
        for key in self.store.keys(store, namespace):
            instance = shelf.objects.get(key)
            if instance is not None:
                yield instance

    def _existing(self, call: Call) -> Object:
        found = self.store.get(call.resource.store, call.key)
        if found is None:
            raise not_found(call.resource.named(call.name))
        return found

    def _shown(self, resource: Resource, instance: Object) -> Object:
        return strategies.new_event(instance) if resource.stored_as else instance

    def _object(
        self, call: Call, status: int, instance: Object, warnings: list[str] | None = None
    ) -> Response:
        """One object in the form the caller wants."""
        instance = self._shown(call.resource, instance)
        if call.form.shape == "table":
            metadata = {"resourceVersion": instance["metadata"].get("resourceVersion", "")}
            response = answer(status, self._table(call, [instance], metadata), call.form.media)
        elif call.form.shape == "metadata":
            response = answer(status, metadata_only(instance, call.form.version), call.form.media)
        elif call.form.media == bodies.JSON:
            response = Response(status, encode(instance, sort=call.resource.custom))
        else:
            response = answer(status, instance, call.form.media)
        return response.warn(warnings or [])

    def _table(
        self, call: Call, instances: list[Object], metadata: Object, *, with_columns: bool = True
    ) -> Object:
        return table(
            call.resource,
            instances,
            metadata,
            now=self._clock(),
            version=call.form.version,
            include=call.request.parameter("includeObject") or "Metadata",
            with_columns=with_columns,
        )

    def _get(self, call: Call) -> Response:
        self._await_revision(call.request.parameter("resourceVersion"), exact=False)
        instance = self._existing(call)
        if call.form == Form() and call.resource.custom:
            with self.store.lock:
                self._existing(call)
                return Response(200, self.store.encoded(call.resource.store, call.key))
        return self._object(call, 200, instance)

    def _await_revision(self, text: str, *, exact: bool) -> int:
        """The revision asked for, 0 for none; raises Refusal 400, or 504 for one from the future."""
        if not text:
            return 0
        try:
            asked = _uint(text)
        except ValueError:
            raise bad_request(f"invalid resource version: {_bad_revision(text)}") from None
        with self.store.lock:
            if asked > self.store.revision and not exact:
                self.store.changed.wait_for(lambda: self.closed or self.store.revision >= asked, _WAIT)
            if asked > self.store.revision:
                raise revision_too_large(asked, self.store.revision, waited=not exact)
        return asked

    def _selection(self, call: Call) -> Selection:
        request = call.request
        return Selection(
            call.namespace,
            label_selector(request.parameter("labelSelector")),
            field_terms(request.parameter("fieldSelector"), call.resource.store),
        )

    # -- list ------------------------------------------------------------------------------------------------

    def _list(self, call: Call) -> Response:
        request = call.request
        limit = max(request.number("limit"), 0)
        request.number("timeoutSeconds")
        match = request.parameter("resourceVersionMatch")
        text = request.parameter("resourceVersion")
        resume = request.parameter("continue")
        _check_match(match, text, resume)
        selection = self._selection(call)
        after = ""
        inconsistent = False
        if resume:
            revision, after = _read_continue(resume)
            if text not in ("", "0"):
                raise bad_request("specifying resource version is not allowed when using continue")
            inconsistent = revision < 0
            exact = 0 if inconsistent else revision
        else:
            asked = self._await_revision(text, exact=match == "Exact")
            exact = asked if match == "Exact" or (asked and limit and match != "NotOlderThan") else 0
        if text == "0" and not resume:
            limit = 0  # answered from the cache, which knows no pages
        elif text == "0":
            limit = 0
        with self.store.lock:
            if exact and exact < self.store.oldest(call.resource.store):
                raise _too_old(resume, after)
            return self._page(
                call,
                selection,
                exact=exact,
                after=after,
                limit=limit,
                paged=bool(resume) and not inconsistent,
            )

    def _page(
        self, call: Call, selection: Selection, *, exact: int, after: str, limit: int, paged: bool
    ) -> Response:
        """One page; the lock is held, since today's objects are read as they lie."""
        store = call.resource.store
        cached = call.request.parameter("resourceVersion") == "0"
        current = self.store.shelf(store).changed if cached else self.store.revision
        revision = exact or current
        if exact and exact < self.store.revision:
            found = self.store.objects_at(store, exact)
            keys = [
                key for key in found if not selection.namespace or key.startswith(f"{selection.namespace}/")
            ]
        else:
            found = self.store.shelf(store).objects
            keys = self.store.keys(store, selection.namespace)
        prefix = f"{selection.namespace}/" if selection.namespace else ""
        if after:
            keys = [key for key in keys if key >= prefix + after]
        if not selection.everything:
            keys = [key for key in keys if selection.takes(found[key])]
        metadata: Object = {"resourceVersion": str(revision)}
        if limit and len(keys) > limit:
            keys, left = keys[:limit], len(keys) - limit
            metadata["continue"] = _write_continue(
                revision, ("/" if paged else "") + keys[-1].removeprefix(prefix)
            )
            if selection.everything:
                metadata["remainingItemCount"] = left
        today = found is self.store.shelf(store).objects
        return self._listed(call, keys, found, metadata, today=today)

    def _listed(
        self, call: Call, keys: list[str], found: dict[str, Object], metadata: Object, *, today: bool = False
    ) -> Response:
        """Objects as a list, in the form the caller wants."""
        resource, form = call.resource, call.form
        if form.shape == "table":
            shown = [self._shown(resource, found[key]) for key in keys]
            return answer(200, self._table(call, shown, metadata), form.media)
        if form.shape == "metadata":
            items = [metadata_only(found[key], form.version) for key in keys]
            head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{form.version}"}
            return answer(200, head | {"metadata": metadata, "items": items}, form.media)
        if not resource.custom or form.media != bodies.JSON:
            items = [self._shown(resource, found[key]) for key in keys]
            if not resource.custom:
                # A built-in list says once what its items are.
                items = [
                    {name: item[name] for name in item if name not in ("kind", "apiVersion")}
                    for item in items
                ]
            else:
                metadata = {"continue": ""} | metadata
            head = {"kind": resource.list_kind, "apiVersion": resource.api_version}
            return answer(200, head | {"metadata": metadata, "items": items}, form.media)
        # The largest answers there are: the objects' own bytes are kept and joined.
        encoded = (
            [self.store.encoded(resource.store, key) for key in keys]
            if today
            else [encode(found[key], sort=True) for key in keys]
        )
        body = (
            b'{"apiVersion":'
            + encode(resource.api_version)
            + b',"items":['
            + b",".join(encoded)
            + b'],"kind":'
            + encode(resource.list_kind)
            + b',"metadata":'
            + encode({"continue": ""} | metadata, sort=True)
            + b"}"
        )
        return Response(200, body)

    # -- watch -----------------------------------------------------------------------------------------------

    def _watch(self, call: Call) -> Response:
        request = call.request
        seconds = request.number("timeoutSeconds") or _LONGEST_WATCH
        text = request.parameter("resourceVersion")
        initial = request.flag("sendInitialEvents")
        match = request.parameter("resourceVersionMatch")
        if "sendInitialEvents" in request.query and match != "NotOlderThan":
            detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise invalid_options("ListOptions", forbidden_field("resourceVersionMatch", detail))
        selection = self._selection(call)
        try:
            asked = _uint(text) if text else 0
        except ValueError:
            raise unexplained(_bad_revision(text)) from None
        selection_by_name = replace(
            selection, fields=[*selection.fields, FieldTerm("metadata.name", call.name, equal=True)]
        )
        chosen = (
            selection_by_name
            if call.name and call.wanted.verb == "watch" and not selection.fields
            else selection
        )
        stream = self._events(
            call,
            chosen,
            after=asked,
            with_existing=initial or not asked,
            mark_end=initial,
            until=time.monotonic() + seconds,
        )
        return Response(200, stream=stream)

    def _events(
        self,
        call: Call,
        selection: Selection,
        *,
        after: int,
        with_existing: bool,
        mark_end: bool,
        until: float,
    ) -> Iterator[bytes]:
        """The lines of a watch, with an empty one now and then while nothing happens."""
        store = call.resource.store
        bookmarks = call.request.flag("allowWatchBookmarks")
        next_bookmark = time.monotonic() + _BOOKMARK
        writer = _EventWriter(self, call)
        with self.store.lock:
            oldest = self.store.oldest(store)
            existing: list[Object] = []
            if with_existing:
                shelf = self.store.shelf(store).objects
                existing = [shelf[key] for key in self.store.keys(store, selection.namespace)]
                after = self.store.revision
        if after < oldest:
            yield writer.error(expired(f"too old resource version: {after} ({oldest})"))
            return
        for instance in existing:
            if selection.takes(instance):
                yield writer.line("ADDED", instance)
        if mark_end:
            yield writer.bookmark(after, {"k8s.io/initial-events-end": "true"})
        while True:
            with self.store.lock:
                if after < self.store.oldest(store):
                    yield writer.error(
                        expired(f"too old resource version: {after} ({self.store.oldest(store)})")
                    )
                    return
                pending = list(self.store.changes(store, after))
                now = time.monotonic()
                if not pending:
                    after = max(after, self.store.revision)
                    if self.closed or now >= until:
                        return
                    self.store.changed.wait(min(until - now, _LOOK))
            for change in pending:
                line = _event_of(change, selection)
                if line is not None:
                    yield writer.line(*line)
                after = change.revision
            if bookmarks and time.monotonic() >= next_bookmark:
                next_bookmark = time.monotonic() + _BOOKMARK
                yield writer.bookmark(after, {})
            elif not pending:
                yield b""

    # -- writing ---------------------------------------------------------------------------------------------

    def _options(self, call: Call, kind: str) -> Options:
        request = call.request
        validation = request.parameter("fieldValidation")
        manager = request.parameter("fieldManager")
        if len(manager.encode()) > 128:
            raise invalid_options(kind, too_long("fieldManager", 128))
        dry_run = _dry_run(request.query.get("dryRun") or [], kind)
        if validation not in ("", "Ignore", "Strict", "Warn"):
            raise invalid_options(
                kind, unsupported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn"))
            )
        agent = request.header("user-agent").partition("/")[0]
        return Options(manager or agent or "unknown", validation or "Warn", dry_run, request.flag("force"))

    def _read(self, call: Call, options: Options) -> tuple[Object, list[str]]:
        """The object in the body, decoded for its kind, and the warnings about it."""
        resource, body = call.resource, call.request.body
        if len(body) > bodies.LARGEST:
            raise Refusal(
                413, "RequestEntityTooLarge", f"Request entity too large: limit is {bodies.LARGEST}"
            )
        content_type = call.request.header("content-type")
        try:
            value, doubled = bodies.read(body, content_type, resource.message)
        except Unreadable as error:
            prefix = "" if "yaml" in content_type else "couldn't get version/kind; json parse error: "
            raise unrecognized(resource.kind, f"{prefix}{error}", body) from None
        if not isinstance(value, dict):
            found = {list: "array", str: "string", bool: "bool"}.get(type(value), "number")
            target = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
            detail = f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value of type {target}"
            raise unrecognized(resource.kind, detail, body)
        self._check_type(call, value, body)
        return value, self._strict(call, value, doubled, options)

    def _check_type(self, call: Call, value: Object, body: bytes) -> None:
        """Raises Refusal 400 for a document of another kind than the path's."""
        resource = call.resource
        if resource.custom:
            for name, shown in (("kind", "Kind"), ("apiVersion", "apiVersion")):
                if not value.get(name):
                    text = body.decode("utf-8", "replace")
                    raise unrecognized(resource.kind, f"Object '{shown}' is missing in '{text}'", body)
        else:
            value["kind"] = value.get("kind") or resource.kind
            value["apiVersion"] = value.get("apiVersion") or resource.api_version
        version = str(value["apiVersion"])
        if version != resource.api_version:
            text = f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
            error = bad_request(text)
            if resource.custom and version.rpartition("/")[0] == resource.group:
                # Of a version nobody knows the fields of, every field is unknown.
                unknown = [name for name in value if name not in ("apiVersion", "kind", "metadata")]
                warned = Response(400).warn([f'unknown field "{name}"' for name in sorted(unknown)])
                error.headers = tuple(warned.headers)
            raise error
        if not resource.custom and value["kind"] != resource.kind:
            kind = str(value["kind"])
            raise bad_request(
                f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
                f'no kind "{kind}" is registered for version "{version}" in scheme'
            )

    def _strict(self, call: Call, value: Object, doubled: list[str], options: Options) -> list[str]:
        """Decode the object in place: metadata typed, unknown fields dropped; returns warnings, raises Refusal 400."""
        resource = call.resource
        schema = resource.schema
        if resource.custom:
            unknown = self._decode_metadata(call, value)
            unknown += schemas.prune(value, schema)
        else:
            error = objects.decoding_error(value, schema, struct=resource.kind)
            if error:
                raise self._undecodable(resource, error)
            unknown = schemas.prune(value, schema | {"properties": schema["properties"]})
            unknown += self._decode_metadata(call, value)
        findings = [f'duplicate field "{path}"' for path in doubled] + [
            f'unknown field "{path}"' for path in unknown
        ]
        if findings and options.validation == "Strict":
            raise self._undecodable(resource, f"strict decoding error: {', '.join(findings)}")
        return findings if options.validation == "Warn" else []

    @staticmethod
    def _undecodable(resource: Resource, detail: str) -> Refusal:
        return bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {detail}'
        )

    def _decode_metadata(self, call: Call, value: Object) -> list[str]:
        metadata = value.get("metadata")
        if metadata is None:
            metadata = value["metadata"] = {}
        struct = "ObjectMeta" if call.resource.custom else call.resource.kind
        error = objects.decoding_error(metadata, objects.METADATA, struct=struct)
        if error:
            raise self._undecodable(call.resource, error)
        for name in [name for name, item in metadata.items() if item is None or item in ("", [], {})]:
            if name != "managedFields" or metadata[name] is None:
                del metadata[name]
        return schemas.prune(metadata, objects.METADATA, path="metadata")

    def _match_namespace(self, call: Call, metadata: Object) -> None:
        if not call.resource.namespaced:
            metadata.pop("namespace", None)
        elif metadata.setdefault("namespace", call.namespace) != call.namespace:
            raise bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    def _admit(self, call: Call, metadata: Object) -> None:
        """Raises Refusal when the namespace takes no new objects."""
        if not call.resource.namespaced:
            return
        namespace = self.store.get("namespaces", call.namespace)
        if namespace is None:
            raise not_found(Named("", "namespaces", call.namespace))
        if namespace["metadata"].get("deletionTimestamp"):
            name = metadata.get("name") or metadata.get("generateName") or ""
            detail = (
                f"unable to create new content in namespace {call.namespace} because it is being terminated"
            )
            cause = Cause(
                "NamespaceTerminating",
                f"namespace {call.namespace} is being terminated",
                "metadata.namespace",
            )
            raise forbidden(call.resource.named(name), detail, [cause])

    def _complete(self, call: Call, instance: Object) -> Object:
        """Defaults filled in; the object in the shape it is kept in."""
        if call.resource.custom:
            schemas.fill_defaults(instance, call.resource.schema)
            return instance
        call.strategy.fill(instance)
        filled = {"kind": instance["kind"], "apiVersion": instance["apiVersion"]}
        return filled | kinds.fill(call.resource.message, instance)

    def _owner(self, call: Call, options: Options, operation: str = "Update") -> fieldsets.Owner:
        subresource = call.wanted.subresource
        return fieldsets.Owner(options.manager, operation, call.resource.api_version, subresource)

    def _blank(self, call: Call) -> Object:
        """The object there was before a new one: nothing but what Go writes of nothing."""
        head = {"apiVersion": call.resource.api_version, "kind": call.resource.kind}
        if call.resource.custom:
            return head | {"metadata": {}}
        return head | kinds.fill(call.resource.message, {}) | {"metadata": {}}

    def _create(self, call: Call) -> Response:
        options = self._options(call, "CreateOptions")
        instance, warnings = self._read(call, options)
        self._match_namespace(call, instance["metadata"])
        self._admit(call, instance["metadata"])
        created = self._create_object(call, instance, options, warnings)
        return self._object(call, 201, created, warnings)

    def _create_object(self, call: Call, instance: Object, options: Options, warnings: list[str]) -> Object:
        resource, metadata = call.resource, instance["metadata"]
        sent = metadata.pop("managedFields", None)
        objects.wipe(metadata)
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = objects.generated_name(metadata["generateName"], self._chance)
        instance = self._complete(call, instance)
        if resource.status_subresource:
            instance.pop("status", None)
        now = objects.timestamp(self._clock())
        managed = fieldsets.record_update(
            self._blank(call), instance, resource.typed_schema, self._owner(call, options), now, sent=sent
        )
        wanted_revision = metadata.pop("resourceVersion", "")
        self._prepare_create(call, instance, now)
        self._check_new(call, instance)
        warnings += objects.finalizer_warnings(metadata)
        if wanted_revision:
            raise unexplained("resourceVersion should not be set on objects to be created")
        name = metadata["name"]
        key = key_of(call.namespace, name)
        existing = self.store.get(resource.store, key)
        if existing is not None:
            raise already_exists(
                resource.named(name), terminating=bool(existing["metadata"].get("deletionTimestamp"))
            )
        if managed:
            metadata["managedFields"] = managed
        return self._keep(call, key, instance, options)

    def _prepare_create(self, call: Call, instance: Object, now: str) -> None:
        generation = call.resource.custom or call.resource.store == CRDS
        objects.prepare_create(instance, uid=str(uuid.uuid4()), now=now, generation=generation)
        call.strategy.prepare(instance)

    def _check_new(self, call: Call, instance: Object) -> None:
        resource, metadata = call.resource, instance["metadata"]
        if instance["kind"] != resource.kind:
            named = Named(resource.group, str(instance["kind"]), metadata.get("name", ""))
            cause = invalid_value("kind", instance["kind"], f"must be {resource.kind}")
            raise invalid(named, [cause])
        causes = objects.check_metadata(
            metadata, namespaced=resource.namespaced, form=call.strategy.name_form
        )
        causes += self._check_content(call, instance, causes)
        if causes:
            group = "" if resource.stored_as else resource.group
            raise invalid(Named(group, resource.kind, metadata.get("name", "")), causes)

    def _check_content(self, call: Call, instance: Object, earlier: list[Cause]) -> list[Cause]:
        if not call.resource.custom:
            return call.strategy.check(instance)
        schema = call.resource.schema
        causes = schemas.validate(instance, schema, rules=False)
        if call.resource.has_rules:
            causes += schemas.check_rules(instance, schema, earlier + causes)
        return causes

    def _keep(self, call: Call, key: str, instance: Object, options: Options) -> Object:
        """Write the object unless this is a dry run; returns it as it now is."""
        resource = call.resource
        if resource.store == CRDS:
            strategies.accept_definition(instance, objects.timestamp(self._clock()))
        size = len(call.request.body)
        if size > LARGEST_OBJECT and len(encode(instance)) > LARGEST_OBJECT:
            raise unexplained("etcdserver: request is too large")
        if options.dry_run:
            return instance
        if resource.stored_as:
            instance = {"kind": "Event"} | strategies.core_event(instance)
        kept = self.store.write(resource.store, key, instance)
        if resource.store == CRDS:
            self.catalogue.register(kept)
            for name in {
                each.store
                for each in self.catalogue.of(kept["spec"]["group"], kept["spec"]["versions"][0]["name"])
            }:
                self.store.shelf(name)
            self._documents.forget()
        if (
            resource.store == "namespaces"
            and key
            and self.store.get("serviceaccounts", f"{key}/default") is None
        ):
            self.add_default_account(key)
        return kept

    def add_default_account(self, namespace: str) -> None:
        """The service account that every namespace has."""
        account: Object = {
            "kind": "ServiceAccount",
            "apiVersion": "v1",
            "metadata": {
                "name": "default",
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": objects.timestamp(self._clock()),
            },
        }
        self.store.write("serviceaccounts", f"{namespace}/default", account)

    def _update(self, call: Call) -> Response:
        options = self._options(call, "UpdateOptions")
        instance, warnings = self._read(call, options)
        metadata = instance["metadata"]
        self._match_namespace(call, metadata)
        _match_name(metadata, call.name)
        existing = self.store.get(call.resource.store, call.key)
        if existing is None and call.strategy.create_on_update and not metadata.get("resourceVersion"):
            self._admit(call, metadata)
            return self._object(call, 201, self._create_object(call, instance, options, warnings), warnings)
        if existing is None:
            raise not_found(call.resource.named(call.name))
        if not metadata.get("resourceVersion") and not call.strategy.unconditional_update:
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(call.resource.named(call.name), [cause])
        instance = self._complete(call, instance)
        return self._object(call, 200, self._replace(call, existing, instance, options, warnings), warnings)

    def _replace(
        self,
        call: Call,
        existing: Object,
        instance: Object,
        options: Options,
        warnings: list[str],
        *,
        applied: bool = False,
    ) -> Object:
        """Put the new object in the place of the old one; the same object when nothing changed."""
        resource, metadata = call.resource, instance["metadata"]
        was = existing["metadata"]
        if metadata.get("uid") and metadata["uid"] != was["uid"]:
            where = f"{resource.group}/{resource.plural}" if resource.group else resource.plural
            raise conflict(
                resource.named(call.name),
                f"StorageError: invalid object, Code: 4, Key: /registry/{where}/{call.key}, ResourceVersion: 0, "
                f"AdditionalErrorMsg: Precondition failed: UID in precondition: {metadata['uid']}, "
                f"UID in object meta: {was['uid']}",
            )
        revision = metadata.get("resourceVersion")
        if revision and revision != was["resourceVersion"]:
            try:
                _uint(revision)
            except ValueError:
                raise unexplained(
                    f"strconv.ParseUint: parsing {go_quoted(revision)}: invalid syntax"
                ) from None
            raise modified(resource.named(call.name))
        objects.prepare_update(existing, instance)
        sent = metadata.pop("managedFields", None)
        self._separate_status(call, existing, instance)
        whole = not resource.status_subresource
        generation = was.get("generation")
        if generation and objects.content(existing, status=whole) != objects.content(instance, status=whole):
            metadata["generation"] = generation + 1
        self._check_change(call, existing, instance)
        warnings += (
            objects.finalizer_warnings(metadata)
            if metadata.get("finalizers") != was.get("finalizers")
            else []
        )
        managed = sent
        if not applied:
            now = objects.timestamp(self._clock())
            owner = self._owner(call, options)
            managed = fieldsets.record_update(
                existing, instance, resource.typed_schema, owner, now, sent=sent
            )
        if managed:
            metadata["managedFields"] = managed
        if _same(existing, instance):
            return existing
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            if not options.dry_run:
                self._end(call)
            return instance
        return self._keep(call, call.key, instance, options)

    def _separate_status(self, call: Call, existing: Object, instance: Object) -> None:
        """Where status has a path of its own, each path changes its half only."""
        if call.wanted.subresource == "status":
            status = instance.get("status")
            for name in [name for name in instance if name not in ("metadata", "status")]:
                del instance[name]
            instance |= {
                name: value for name, value in existing.items() if name not in ("metadata", "status")
            }
            kept = ("managedFields", "resourceVersion")
            metadata = {name: instance["metadata"][name] for name in kept if name in instance["metadata"]}
            instance["metadata"] = existing["metadata"] | metadata
            if status is not None:
                instance["status"] = status
        else:
            own = ("status",) if call.resource.status_subresource else call.strategy.kept
            for name in own:
                instance.pop(name, None)
                if name in existing:
                    instance[name] = existing[name]

    def _check_change(self, call: Call, existing: Object, instance: Object) -> None:
        resource = call.resource
        if instance["kind"] != resource.kind:
            named = Named(resource.group, str(instance["kind"]), call.name)
            raise invalid(named, [invalid_value("kind", instance["kind"], f"must be {resource.kind}")])
        causes = objects.check_metadata_change(existing["metadata"], instance["metadata"])
        causes += self._check_content(call, instance, causes)
        causes += call.strategy.check_change(existing, instance)
        if causes:
            raise invalid(resource.kind_named(call.name), causes)

    # -- patch -----------------------------------------------------------------------------------------------

    def _patch(self, call: Call) -> Response:
        request, resource = call.request, call.resource
        content_type = request.header("content-type").partition(";")[0].strip()
        accepted = [patches.JSON, patches.MERGE]
        accepted += [patches.APPLY] if resource.custom else [patches.STRATEGIC, patches.APPLY]
        if content_type not in accepted:
            raise unsupported_media(accepted)
        if len(request.body) > bodies.LARGEST:
            raise Refusal(
                413, "RequestEntityTooLarge", f"Request entity too large: limit is {bodies.LARGEST}"
            )
        options = self._options(call, "PatchOptions")
        if content_type == patches.APPLY:
            return self._apply(call, options)
        if "force" in request.query:
            cause = forbidden_field("force", "may not be specified for non-apply patch")
            raise invalid_options("PatchOptions", cause)
        existing = self._existing(call)
        current = self._shown(resource, existing)
        patched = self._patched(current, content_type, request.body, resource)
        return self._write_patched(call, existing, patched, options)

    def _patched(self, current: Object, content_type: str, body: bytes, resource: Resource) -> Object:
        try:
            patch, _ = bodies.read_json(body)
        except Unreadable as error:
            raise bad_request(f"error decoding patch: {error}") from None
        if content_type == patches.JSON:
            if not isinstance(patch, list):
                raise bad_request(f"error decoding patch: {_not_into(patch, '[]handlers.jsonPatchOp')}")
            return patches.json_patch(current, patch)
        if not isinstance(patch, dict):
            raise bad_request(f"error decoding patch: {_not_into(patch, 'map[string]interface {}')}")
        if content_type == patches.STRATEGIC:
            merged = patches.strategic_merge(current, patch, resource.schema)
        else:
            merged = patches.merge_patch(current, patch)
        found: Object = copy.deepcopy(merged)
        return found

    def _write_patched(self, call: Call, existing: Object, patched: Object, options: Options) -> Response:
        whole = encode(patched, sort=True).decode() if options.validation == "Strict" else ""
        self._check_type(call, patched, b"")
        try:
            warnings = self._strict(call, patched, [], options)
        except Refusal as error:
            _, strict, finding = error.text.partition("strict decoding error: ")
            if not strict:
                raise
            cause = invalid_value("patch", whole, strict + finding)
            raise invalid(Named("", ""), [cause]) from None
        self._match_namespace(call, patched["metadata"])
        _match_name(patched["metadata"], call.name)
        patched = self._complete(call, patched)
        return self._object(call, 200, self._replace(call, existing, patched, options, warnings), warnings)

    def _apply(self, call: Call, options: Options) -> Response:
        request, resource = call.request, call.resource
        if not request.parameter("fieldManager"):
            cause = required("fieldManager", "is required for apply patch")
            raise invalid_options("PatchOptions", cause)
        wanted = self._read_applied(call)
        existing = self.store.get(resource.store, call.key)
        fields = [
            f"{path}: field not declared in schema"
            for path in fieldsets.undeclared(wanted, resource.typed_schema)
        ]
        if fields:
            where = wanted["metadata"].get("namespace", "")
            listed = fields[0] if len(fields) == 1 else "errors:\n  " + "\n  ".join(fields)
            raise unexplained(
                f"failed to create typed patch object ({where}/{call.name}; {wanted['apiVersion']}, "
                f"Kind={wanted['kind']}): {listed}"
            )
        owner = self._owner(call, options, "Apply")
        now = objects.timestamp(self._clock())
        self._match_namespace(call, wanted["metadata"])
        live = existing or {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}}
        revision = wanted["metadata"].pop("resourceVersion", "")
        merged = fieldsets.apply(live, wanted, resource.typed_schema, owner, now, force=options.force)
        warnings = self._strict(call, merged, [], replace(options, validation="Ignore"))
        managed = merged["metadata"].get("managedFields")
        if existing is None:
            if call.wanted.subresource:
                raise not_found(resource.named(call.name))
            if revision or wanted["metadata"].get("uid"):
                raise conflict(
                    resource.named(call.name),
                    "uid mismatch: the provided object specified uid, and no existing object was found",
                )
            self._admit(call, merged["metadata"])
            created = self._create_applied(call, merged, managed, options, warnings)
            return self._object(call, 201, created, warnings)
        merged["metadata"] = merged["metadata"] | {
            "resourceVersion": revision or existing["metadata"]["resourceVersion"]
        }
        merged = self._complete(call, merged)
        kept = self._replace(call, existing, merged, options, warnings, applied=True)
        return self._object(call, 200, kept, warnings)

    def _create_applied(
        self, call: Call, instance: Object, managed: Any, options: Options, warnings: list[str]
    ) -> Object:
        instance["metadata"].pop("managedFields", None)
        objects.wipe(instance["metadata"])
        instance = self._complete(call, instance)
        self._prepare_create(call, instance, objects.timestamp(self._clock()))
        self._check_new(call, instance)
        warnings += objects.finalizer_warnings(instance["metadata"])
        if managed:
            instance["metadata"]["managedFields"] = managed
        return self._keep(call, call.key, instance, options)

    def _read_applied(self, call: Call) -> Object:
        body = call.request.body
        try:
            wanted = bodies.read_json(body)[0] if body.lstrip()[:1] == b"{" else bodies.read_yaml(body)
        except Unreadable as error:
            raise bad_request(f"error decoding YAML: {error}") from None
        if not isinstance(wanted, dict):
            raise bad_request(f"error decoding YAML: {_not_into(wanted, 'map[string]interface {}')}")
        api_version, kind = str(wanted.get("apiVersion") or ""), str(wanted.get("kind") or "")
        resource = call.resource
        if (api_version, kind) != (resource.api_version, resource.kind):
            group, _, version = api_version.rpartition("/")
            raise bad_request(f"invalid object type: {group}/{version}, Kind={kind}")
        if not isinstance(wanted.get("metadata"), dict):
            wanted["metadata"] = {}
        if "managedFields" in wanted["metadata"]:
            raise bad_request("metadata.managedFields must be nil")
        wanted["metadata"].setdefault("name", call.name)
        _match_name(wanted["metadata"], call.name)
        return wanted

    # -- delete ----------------------------------------------------------------------------------------------

    def _delete_options(self, call: Call) -> Object:
        request = call.request
        options: Object = {}
        if request.body.strip():
            try:
                value, _ = bodies.read(request.body, request.header("content-type"), "DeleteOptions")
            except Unreadable as error:
                raise bad_request(f"couldn't get version/kind; json parse error: {error}") from None
            if isinstance(value, dict):
                error_text = objects.decoding_error(
                    value, kinds.schema("DeleteOptions"), struct="DeleteOptions"
                )
                if error_text:
                    raise bad_request(
                        f'DeleteOptions in version "v1" cannot be handled as a DeleteOptions: {error_text}'
                    )
                options = value
        for name in ("propagationPolicy", "dryRun"):
            if name in request.query:
                options[name] = request.query[name] if name == "dryRun" else request.parameter(name)
        policy = options.get("propagationPolicy")
        if policy is not None and policy not in _POLICIES:
            cause = unsupported("propagationPolicy", policy, (*_POLICIES, "nil"))
            raise invalid_options("DeleteOptions", cause)
        options["dryRun"] = _dry_run(options.get("dryRun") or [], "DeleteOptions")
        return options

    def _delete(self, call: Call) -> Response:
        options = self._delete_options(call)
        resource = call.resource
        if resource.store == "namespaces" and call.name in _LASTING:
            raise forbidden(resource.named(call.name), "this namespace may not be deleted")
        existing = self._existing(call)
        self._check_preconditions(call, existing, options.get("preconditions") or {})
        removed = self._remove(call, existing, options)
        if removed is not None:
            return self._object(call, 200, removed)
        if call.strategy.returns_deleted:
            return self._object(call, 200, existing)
        details = resource.named(call.name).details() | {"uid": existing["metadata"]["uid"]}
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": details,
        }
        return answer(200, status)

    def _check_preconditions(self, call: Call, existing: Object, preconditions: Object) -> None:
        about = call.resource.kind_named(call.name)
        for name, title, ending in (
            ("uid", "UID", "deleted and then recreated"),
            ("resourceVersion", "ResourceVersion", "modified"),
        ):
            wanted, found = preconditions.get(name), existing["metadata"][name]
            if wanted is not None and wanted != found:
                raise conflict(
                    about,
                    f"the {title} in the precondition ({wanted}) does not match the {title} in record ({found}). "
                    f"The object might have been {ending}",
                )

    def _remove(self, call: Call, existing: Object, options: Object) -> Object | None:
        """Delete the object, or mark it as being deleted and return it while something still holds it."""
        metadata = existing["metadata"]
        held = list(metadata.get("finalizers") or ())
        policy = options.get("propagationPolicy")
        extra = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy or "")
        if options.get("orphanDependents"):
            extra = "orphan"
        if extra and extra not in held:
            held.append(extra)
        is_namespace = call.resource.store == "namespaces"
        if not held and not (is_namespace and (existing.get("spec") or {}).get("finalizers")):
            if not options["dryRun"]:
                self._end(call)
            return None
        if metadata.get("deletionTimestamp"):
            return existing
        marked = dict(metadata) | {"deletionTimestamp": objects.timestamp(self._clock())}
        if held:
            marked["finalizers"] = held
        if not is_namespace:
            marked["deletionGracePeriodSeconds"] = 0
        if "generation" in marked:
            marked["generation"] += 1
        instance = existing | {"metadata": marked}
        if is_namespace:
            instance["status"] = (existing.get("status") or {}) | {"phase": "Terminating"}
        if options["dryRun"]:
            return instance
        return self.store.write(call.resource.store, call.key, instance)

    def _end(self, call: Call) -> None:
        """Remove the object for good, and with a definition all it defined."""
        gone = self.store.delete(call.resource.store, call.key)
        if call.resource.store == CRDS:
            self.catalogue.forget(gone)
            self.store.drop(gone["metadata"]["name"])
            self._documents.forget()

    def _delete_collection(self, call: Call) -> Response:
        options = self._delete_options(call)
        selection = self._selection(call)
        store = call.resource.store
        found = dict(self.store.shelf(store).objects)
        keys = [key for key in self.store.keys(store, selection.namespace) if selection.takes(found[key])]
        revision = self.store.revision
        for key in keys:
            name = found[key]["metadata"]["name"]
            namespace = found[key]["metadata"].get("namespace", "")
            one = replace(call, wanted=replace(call.wanted, name=name, namespace=namespace))
            removed = self._remove(one, found[key], options)
            if removed is not None:
                found[key] = removed
        return self._listed(replace(call, form=Form()), keys, found, {"resourceVersion": str(revision)})

    # -- subresources and reviews ----------------------------------------------------------------------------

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
            raise method_not_allowed()
        if name == "token":
            return self._token(call)
        if verb == "get":
            return self._get(call)
        with self.store.lock:
            if name == "finalize":
                return self._finalize(call)
            return self._update(call) if verb == "update" else self._patch(call)

    def _finalize(self, call: Call) -> Response:
        """PUT namespaces/<name>/finalize: the way a namespace really ends."""
        options = self._options(call, "UpdateOptions")
        instance, _ = self._read(call, options)
        existing = self._existing(call)
        left = list((instance.get("spec") or {}).get("finalizers") or ())
        changed = existing | {"spec": {"finalizers": left} if left else {}}
        if not left and existing["metadata"].get("deletionTimestamp"):
            self._end(call)
            return self._object(call, 200, changed)
        changed["metadata"] = dict(existing["metadata"])
        return self._object(call, 200, self.store.write("namespaces", call.key, changed))

    def _token(self, call: Call) -> Response:
        options = self._options(call, "CreateOptions")
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
        request, warnings = self._read(inner, options)
        made = reviews.request_token(
            request,
            call.namespace,
            account,
            self.tokens,
            lambda sent: self._managed(inner, sent, options),
            self._clock(),
        )
        return answer(201, made).warn(warnings)

    def _managed(self, call: Call, sent: Object, options: Options) -> list[Object]:
        blank = self._blank(call)
        now = objects.timestamp(self._clock())
        return fieldsets.record_update(
            blank, blank | sent, call.resource.typed_schema, self._owner(call, options), now
        )

    def _review(self, call: Call) -> Response:
        options = self._options(call, "CreateOptions")
        review, warnings = self._read(call, options)
        metadata = review["metadata"]
        if call.resource.namespaced:
            self._match_namespace(call, metadata)
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
        return answer(201, head | review).warn(warnings)


class _EventWriter:
    """Writes the lines of one watch in the caller's form."""

    def __init__(self, api: Api, call: Call) -> None:
        self._api, self._call = api, call
        self._with_columns = True

    def line(self, type_: str, instance: Object) -> bytes:
        call = self._call
        shown: Object = self._api._shown(call.resource, instance)
        if call.form.shape == "table":
            metadata = {"resourceVersion": shown["metadata"]["resourceVersion"]}
            shown = self._api._table(call, [shown], metadata, with_columns=self._with_columns)
            self._with_columns = False
        elif call.form.shape == "metadata":
            shown = metadata_only(shown, call.form.version)
        return (
            b'{"type":"' + type_.encode() + b'","object":' + encode(shown, sort=call.resource.custom) + b"}\n"
        )

    def bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        resource = self._call.resource
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        bare = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return b'{"type":"BOOKMARK","object":' + encode(bare) + b"}\n"

    def error(self, error: Refusal) -> bytes:
        return b'{"type":"ERROR","object":' + encode(error.as_json()) + b"}\n"


def _event_of(change: Change, selection: Selection) -> tuple[str, Object] | None:
    """The event that a change is for a selection; leaving the selection is a deletion, entering an addition."""
    if selection.namespace and not change.key.startswith(f"{selection.namespace}/"):
        return None
    was = change.before is not None and selection.takes(change.before)
    now = change.after is not None and selection.takes(change.after)
    if now and change.after is not None:
        return ("MODIFIED" if was else "ADDED"), change.after
    if was and change.before is not None:
        revision = {"resourceVersion": str(change.revision)}
        return "DELETED", change.before | {"metadata": change.before["metadata"] | revision}
    return None


def _uint(text: str) -> int:
    """A resourceVersion as a number; raises ValueError, as for signs and blanks too."""
    if not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return int(text)


def _bad_revision(text: str) -> str:
    quoted = go_quoted(text)
    return f"resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax"


def _check_match(match: str, revision: str, resume: str) -> None:
    """Raises Refusal 422 for a resourceVersionMatch that means nothing."""
    if not match:
        return
    path = "resourceVersionMatch"
    cause: Cause | None = None
    if not revision:
        cause = forbidden_field(path, "resourceVersionMatch is forbidden unless resourceVersion is provided")
    elif resume:
        cause = forbidden_field(path, "resourceVersionMatch is forbidden when continue is provided")
    elif match not in ("Exact", "NotOlderThan"):
        cause = unsupported(path, match, ("Exact", "NotOlderThan", ""))
    elif match == "Exact" and revision == "0":
        cause = forbidden_field(path, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    if cause is not None:
        raise invalid_options("ListOptions", cause)


def _write_continue(revision: int, start: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": f"{start}\0"}
    return base64.urlsafe_b64encode(encode(token)).rstrip(b"=").decode()


def _read_continue(token: str) -> tuple[int, str]:
    """(revision, key to go on from); the revision is -1 for a list that may be inconsistent."""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise _bad_continue("illegal base64 data at input byte 0") from None
    try:
        found, _ = bodies.read_json(text)
    except Unreadable as error:
        raise _bad_continue(str(error)) from None
    if not isinstance(found, dict) or found.get("v") != "meta.k8s.io/v1":
        raise bad_request(
            "invalid continue token: continue key is not valid: server does not recognize this encoded version"
        )
    revision, start = found.get("rv"), found.get("start")
    if not isinstance(revision, int) or not isinstance(start, str) or revision == 0 or not start:
        raise _bad_continue("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    return revision, start.lstrip("/")


def _bad_continue(detail: str) -> Refusal:
    return bad_request(f"invalid continue token: continue key is not valid: {detail}")


def _too_old(resume: str, after: str) -> Refusal:
    if not resume:
        return expired("The resourceVersion for the provided list is too old.")
    return expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list.",
        resume=_write_continue(-1, after.removesuffix("\0")),
    )


def _dry_run(values: Any, kind: str) -> bool:
    """Whether nothing is to be kept; raises Refusal 422 for any other value than All."""
    listed = [value for value in values if value] if isinstance(values, list) else [str(values)]
    if any(value != "All" for value in listed):
        raise invalid_options(kind, unsupported("dryRun", listed, ("All",)))
    return bool(listed)


def _match_name(metadata: Object, name: str) -> None:
    found = metadata.setdefault("name", name)
    if found != name:
        raise bad_request(f"the name of the object ({found}) does not match the name on the URL ({name})")


def _not_into(value: Any, target: str) -> str:
    found = {list: "array", dict: "object", str: "string", bool: "bool"}.get(type(value), "number")
    return f"json: cannot unmarshal {found} into Go value of type {target}"


def _same(old: Object, new: Object) -> bool:
    """Whether nothing but the times of managedFields differs."""

    def bare(instance: Object) -> Object:
        metadata = dict(instance["metadata"])
        metadata["managedFields"] = [
            {name: value for name, value in entry.items() if name != "time"}
            for entry in metadata.get("managedFields") or ()
        ]
        return instance | {"metadata": metadata}

    return old.keys() == new.keys() and bare(old) == bare(new)
