"""Get, list and watch: objects as they are, as they were, and as they change.

A list without a revision is today's; with `resourceVersion=0` it is the cache's, which knows no pages; at an exact
revision it is today's with the log undone. A watch walks the log from a revision on.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import base64
import posixpath
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from lynceus.local.kubernetes import bodies, strategies
from lynceus.local.kubernetes.bodies import Unreadable
from lynceus.local.kubernetes.calls import Call, Selection, selection_of
from lynceus.local.kubernetes.exchanges import Form, Response, answer, mismatched
from lynceus.local.kubernetes.resources import Resource
from lynceus.local.kubernetes.selectors import FieldTerm
from lynceus.local.kubernetes.statuses import (
    Cause,
    Refusal,
    bad_request,
    expired,
    forbidden_field,
    go_quoted,
    invalid_options,
    invalid_value,
    not_found,
    revision_too_large,
    unexplained,
    unsupported,
)
from lynceus.local.kubernetes.stores import Change, Store, encode
from lynceus.local.kubernetes.tables import metadata_only, table

Object = dict[str, Any]

_WAIT: Final = 3.0  # seconds the real server waits for a revision it has not seen
_BOOKMARK: Final = 60.0  # seconds between bookmarks
_LOOK: Final = 1.0  # seconds between looks at a silent watch's connection
_LONGEST_WATCH: Final = 3600  # seconds of a watch that named none
_BASE64: Final = re.compile("[A-Za-z0-9_-]*")


class Reader:
    """Answers get, list and watch from the store, and shows what others wrote."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self.closed = False  # watches end

    def get(self, call: Call) -> Response:
        """GET of one object."""
        text = call.request.parameter("resourceVersion")
        if text and not is_uint(text):
            raise unexplained(_bad_revision(text))
        self._await_revision(text, exact=False)
        instance = self.existing(call)
        if call.form == Form() and call.resource.custom:
            with self._store.lock:
                self.existing(call)
                return Response(200, self._store.encoded(call.resource.store, call.key))
        return self.show(call, 200, instance)

    def existing(self, call: Call) -> Object:
        """The object that the path names; raises Refusal 404."""
        found = self._store.get(call.resource.store, call.key)
        if found is None:
            raise not_found(call.resource.named(call.name))
        return found

    def show(self, call: Call, status: int, instance: Object) -> Response:
        """One object in the form the caller wants."""
        instance = shown(call.resource, instance)
        if call.form.shape == "metadata list":
            raise mismatched(call.form, _go_kind(call.resource, call.resource.kind))
        if call.form.shape == "table":
            metadata = {"resourceVersion": instance["metadata"].get("resourceVersion", "")}
            return answer(status, self.table_of(call, [instance], metadata), call.form.media)
        if call.form.shape == "metadata":
            return answer(status, metadata_only(instance, call.form.version), call.form.media)
        if call.form.media == bodies.JSON:
            return Response(status, encode(instance, sort=call.resource.custom))
        return answer(status, instance, call.form.media)

    def table_of(
        self, call: Call, instances: list[Object], metadata: Object, *, with_columns: bool = True
    ) -> Object:
        """The objects as the Table the caller asked for."""
        include = call.request.parameter("includeObject")
        if include not in ("", "Metadata", "Object", "None"):
            detail = "must be 'Metadata', 'Object', 'None', or empty"
            cause = invalid_value("includeObject", include, detail)
            raise bad_request(f"Unable to convert to Table as requested: {cause.field}: {cause.message}")
        return table(
            call.resource,
            instances,
            metadata,
            now=self._clock(),
            version=call.form.version,
            include=include or "Metadata",
            with_columns=with_columns,
        )

    def _await_revision(self, text: str, *, exact: bool) -> int:
        """The revision asked for, 0 for none; raises Refusal 400, or 504 for one from the future."""
        if not text:
            return 0
        if not is_uint(text):
            raise bad_request(f"invalid resource version: {_bad_revision(text)}")
        asked = int(text)
        with self._store.lock:
            if asked > self._store.revision and not exact:
                self._store.changed.wait_for(lambda: self.closed or self._store.revision >= asked, _WAIT)
            if asked > self._store.revision:
                raise revision_too_large(asked, self._store.revision, waited=not exact)
        return asked

    def list_(self, call: Call) -> Response:
        """GET of a collection: all of it, a page, or as it was."""
        request = call.request
        limit = max(request.number("limit"), 0)
        request.number("timeoutSeconds")
        match = request.parameter("resourceVersionMatch")
        text = request.parameter("resourceVersion")
        resume = request.parameter("continue")
        _check_match(match, text, resume)
        if "sendInitialEvents" in request.query:
            detail = "sendInitialEvents is forbidden for list"
            raise invalid_options("ListOptions", forbidden_field("sendInitialEvents", detail))
        selection = selection_of(call)
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
        if text == "0":
            limit = 0  # answered from the cache, which knows no pages
        with self._store.lock:
            if exact and exact < self._store.oldest(call.resource.store):
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
        current = self._store.shelf(store).changed if cached else self._store.revision
        revision = exact or current
        if exact and exact < self._store.revision:
            found = self._store.objects_at(store, exact)
            keys = [
                key for key in found if not selection.namespace or key.startswith(f"{selection.namespace}/")
            ]
        else:
            found = self._store.shelf(store).objects
            keys = self._store.keys(store, selection.namespace)
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
        today = found is self._store.shelf(store).objects
        return self.listed(call, keys, found, metadata, today=today)

    def listed(
        self, call: Call, keys: list[str], found: dict[str, Object], metadata: Object, *, today: bool = False
    ) -> Response:
        """Objects as a list, in the form the caller wants."""
        resource, form = call.resource, call.form
        if form.shape == "table":
            listed = [shown(resource, found[key]) for key in keys]
            return answer(200, self.table_of(call, listed, metadata), form.media)
        if form.shape == "metadata":
            raise mismatched(form, _go_kind(resource, resource.list_kind))
        if form.shape == "metadata list":
            items = [metadata_only(found[key], form.version) for key in keys]
            head = {"kind": "PartialObjectMetadataList", "apiVersion": f"meta.k8s.io/{form.version}"}
            return answer(200, head | {"metadata": metadata, "items": items}, form.media)
        if not resource.custom or form.media != bodies.JSON:
            items = [shown(resource, found[key]) for key in keys]
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
            [self._store.encoded(resource.store, key) for key in keys]
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

    def watch(self, call: Call) -> Response:
        """GET with `watch`: a stream of changes."""
        request = call.request
        seconds = request.number("timeoutSeconds") or _LONGEST_WATCH
        text = request.parameter("resourceVersion")
        initial = request.flag("sendInitialEvents")
        match = request.parameter("resourceVersionMatch")
        said = "sendInitialEvents" in request.query
        _check_watch_match(match, initial=said, resume=request.parameter("continue"))
        selection = selection_of(call)
        if text and not is_uint(text):
            raise unexplained(_bad_revision(text))
        asked = int(text or 0)
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
        with self._store.lock:
            oldest = self._store.oldest(store)
            existing: list[Object] = []
            if with_existing:
                shelf = self._store.shelf(store).objects
                existing = [shelf[key] for key in self._store.keys(store, selection.namespace)]
                after = self._store.revision
        if after < oldest:
            yield writer.error(expired(f"too old resource version: {after} ({oldest})"))
            return
        for instance in existing:
            if selection.takes(instance):
                yield writer.line("ADDED", instance)
        if mark_end:
            yield writer.bookmark(after, {"k8s.io/initial-events-end": "true"})
        while True:
            with self._store.lock:
                if after < self._store.oldest(store):
                    yield writer.error(
                        expired(f"too old resource version: {after} ({self._store.oldest(store)})")
                    )
                    return
                pending = list(self._store.changes(store, after))
                now = time.monotonic()
                if not pending:
                    after = max(after, self._store.revision)
                    if self.closed or now >= until:
                        return
                    self._store.changed.wait(min(until - now, _LOOK))
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


class _EventWriter:
    """Writes the lines of one watch in the caller's form."""

    def __init__(self, reader: Reader, call: Call) -> None:
        self._reader, self._call = reader, call
        self._with_columns = True

    def line(self, type_: str, instance: Object) -> bytes:
        """One event."""
        call = self._call
        found = shown(call.resource, instance)
        if call.form.shape == "table":
            metadata = {"resourceVersion": found["metadata"]["resourceVersion"]}
            found = self._reader.table_of(call, [found], metadata, with_columns=self._with_columns)
            self._with_columns = False
        elif call.form.shape == "metadata":
            found = metadata_only(found, call.form.version)
        return (
            b'{"type":"' + type_.encode() + b'","object":' + encode(found, sort=call.resource.custom) + b"}\n"
        )

    def bookmark(self, revision: int, annotations: dict[str, str]) -> bytes:
        """An event that says how far the watch has come."""
        resource = self._call.resource
        metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        bare = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        return b'{"type":"BOOKMARK","object":' + encode(bare) + b"}\n"

    def error(self, error: Refusal) -> bytes:
        """The event that ends a watch before its time."""
        return b'{"type":"ERROR","object":' + encode(error.as_json()) + b"}\n"


def _go_kind(resource: Resource, kind: str) -> str:
    """The Go type that holds such objects, as messages name it."""
    if resource.custom:
        return f"*unstructured.Unstructured{'List' if kind == resource.list_kind else ''}"
    return f"*{(resource.group or 'core').partition('.')[0]}.{kind}"


def shown(resource: Resource, instance: Object) -> Object:
    """A kept object as its path shows it: events.k8s.io has the core group's events under other names."""
    return strategies.new_event(instance) if resource.stored_as else instance


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


def is_uint(text: str) -> bool:
    """Whether the text is a revision as Go parses one: digits, no sign, no blank, within 64 bits."""
    return text.isascii() and text.isdigit() and len(text) < 20


def _bad_revision(text: str) -> str:
    quoted = go_quoted(text)
    return f"resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: invalid syntax"


def _check_match(match: str, revision: str, resume: str) -> None:
    """Raises Refusal 422 for a resourceVersionMatch that means nothing in a list."""
    if not match:
        return
    path = "resourceVersionMatch"
    causes: list[Cause] = []
    if not revision:
        causes.append(forbidden_field(path, f"{path} is forbidden unless resourceVersion is provided"))
    if resume:
        causes.append(forbidden_field(path, f"{path} is forbidden when continue is provided"))
    if match not in ("Exact", "NotOlderThan"):
        causes.append(unsupported(path, match, ("Exact", "NotOlderThan", "")))
    if match == "Exact" and revision == "0":
        causes.append(forbidden_field(path, f'{path} "exact" is forbidden for resourceVersion "0"'))
    if causes:
        raise invalid_options("ListOptions", *causes)


def _check_watch_match(match: str, *, initial: bool, resume: str) -> None:
    """Raises Refusal 422 for what means nothing in a watch; `initial` tells that sendInitialEvents was said."""
    path = "resourceVersionMatch"
    causes: list[Cause] = []
    if initial and match != "NotOlderThan":
        detail = f"sendInitialEvents requires setting {path} to NotOlderThan"
        causes.append(forbidden_field(path, detail))
    if match and not initial:
        causes.append(
            forbidden_field(path, f"{path} is forbidden for watch unless sendInitialEvents is provided")
        )
    if match and match != "NotOlderThan":
        causes.append(unsupported(path, match, ("NotOlderThan",)))
    if match and resume:
        causes.append(forbidden_field(path, f"{path} is forbidden when continue is provided"))
    if causes:
        raise invalid_options("ListOptions", *causes)


def _write_continue(revision: int, start: str) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": revision, "start": f"{start}\0"}
    return base64.urlsafe_b64encode(encode(token)).rstrip(b"=").decode()


def _read_continue(token: str) -> tuple[int, str]:
    """(revision, key to go on from); the revision is -1 for a list that may be inconsistent; raises Refusal 400.

    Source: k8s.io/apiserver/pkg/storage/continue.go
    """
    digits = _BASE64.match(token)
    good = len(token) if digits is None else digits.end()
    if good < len(token) or len(token) % 4 == 1:
        at = good if good < len(token) else good - 1
        raise _bad_continue(f": illegal base64 data at input byte {at}")
    try:
        found, _ = bodies.read_json(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except Unreadable as error:
        raise _bad_continue(f": {error}") from None
    if not isinstance(found, dict) or found.get("v") != "meta.k8s.io/v1":
        raise _bad_continue(": server does not recognize this encoded version")
    revision, start = found.get("rv", 0), found.get("start", "")
    if not isinstance(revision, int) or not revision:
        raise _bad_continue(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start:
        raise _bad_continue(": encoded start key empty (version meta.k8s.io/v1)")
    if posixpath.normpath(f"/{start.removeprefix('/')}") != f"/{start.removeprefix('/')}":
        raise _bad_continue("")  # a key that climbs out of its kind
    return revision, start.removeprefix("/")


def _bad_continue(detail: str) -> Refusal:
    return bad_request(f"invalid continue token: continue key is not valid{detail}")


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
