"""Create, update, patch, apply and delete.

They share one way: decode, complete, check, work out who owns which field, keep under the next revision. The order
of the checks is the real server's, since it decides which of several errors a caller sees.
Source: k8s.io/apiserver/pkg/registry/generic/registry/store.go and pkg/endpoints/handlers.
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from lynceus.local.kubernetes import bodies, fieldsets, kinds, misfits, objects, patches, schemas, strategies
from lynceus.local.kubernetes.bodies import LARGEST_OBJECT, Unreadable
from lynceus.local.kubernetes.calls import Call, Options, dry_run_findings, options_of, selection_of
from lynceus.local.kubernetes.decodings import (
    blank,
    check_version,
    complete,
    decode,
    match_namespace,
    match_url,
    owner_of,
    patched_object,
    read_applied,
    read_object,
)
from lynceus.local.kubernetes.exchanges import Response, answer
from lynceus.local.kubernetes.readings import Reader, is_uint, shown
from lynceus.local.kubernetes.resources import Catalogue
from lynceus.local.kubernetes.statuses import (
    Cause,
    Named,
    Refusal,
    already_exists,
    body_too_large,
    conflict,
    forbidden,
    forbidden_field,
    go_quoted,
    invalid,
    invalid_options,
    invalid_value,
    modified,
    not_found,
    required,
    unexplained,
    unsupported,
    unsupported_media,
)
from lynceus.local.kubernetes.stores import Store, encode, key_of

Object = dict[str, Any]

CRDS: Final = "customresourcedefinitions.apiextensions.k8s.io"
_LASTING: Final = ("default", "kube-system", "kube-public")
_POLICIES: Final = ("Foreground", "Background", "Orphan")


class Writer:
    """Creates, changes and removes objects; the caller holds the store's lock."""

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        reader: Reader,
        *,
        clock: Callable[[], float],
        chance: random.Random,
        on_definition: Callable[[], None],
    ) -> None:
        self._store, self._catalogue, self._reader = store, catalogue, reader
        self._clock, self._chance = clock, chance
        self._on_definition = on_definition  # kinds came, changed or went

    def create(self, call: Call) -> Response:
        """POST to a collection."""
        options = options_of(call.request, "CreateOptions")
        instance = read_object(call, options)
        match_namespace(call, instance["metadata"])
        self.admit(call, instance["metadata"])
        created = self._create_object(call, instance, options)
        return self._reader.show(call, 201, created)

    def _create_object(self, call: Call, instance: Object, options: Options) -> Object:
        resource, metadata = call.resource, instance["metadata"]
        sent = metadata.pop("managedFields", None)
        objects.wipe(metadata)
        if metadata.get("generateName") and not metadata.get("name"):
            metadata["name"] = objects.generated_name(metadata["generateName"], self._chance)
        instance = complete(call, instance)
        if resource.status_subresource:
            instance.pop("status", None)
        now = objects.timestamp(self._clock())
        managed = fieldsets.record_update(
            blank(call), instance, resource.typed_schema, owner_of(call, options), now, sent=sent
        )
        wanted_revision = metadata.pop("resourceVersion", "")
        self._prepare_create(call, instance, now)
        self._check_new(call, instance)
        call.warnings.extend(objects.finalizer_warnings(metadata))
        if is_uint(wanted_revision) and int(wanted_revision):  # what is no number is overlooked
            raise unexplained("resourceVersion should not be set on objects to be created")
        name = metadata["name"]
        key = key_of(call.namespace, name)
        existing = self._store.get(resource.store, key)
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

    def admit(self, call: Call, metadata: Object) -> None:
        """Raises Refusal when the namespace takes no new objects."""
        if not call.resource.namespaced:
            return
        namespace = self._store.get("namespaces", call.namespace)
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

    def _check_new(self, call: Call, instance: Object) -> None:
        resource, metadata = call.resource, instance["metadata"]
        self._check_type(call, instance)
        causes = objects.check_metadata(
            metadata, namespaced=resource.namespaced, form=call.strategy.name_form
        )
        causes += self._check_content(call, instance, causes)
        causes += call.strategy.check_new(instance)
        if causes:
            group = "" if resource.stored_as else resource.group
            raise invalid(Named(group, resource.kind, metadata.get("name", "")), causes)

    def _check_type(self, call: Call, instance: Object) -> None:
        """Raises Refusal 422 for an object of another kind or version, which is then what it is called by."""
        resource = call.resource
        instance.setdefault("apiVersion", "")
        causes = [
            invalid_value(name, instance[name], f"must be {wanted}")
            for name, wanted in (("kind", resource.kind), ("apiVersion", resource.api_version))
            if instance[name] != wanted
        ]
        if causes:
            if not instance["apiVersion"]:
                raise unexplained("Object 'apiVersion' is missing in 'unstructured object has no version'")
            group = instance["apiVersion"].rpartition("/")[0]
            raise invalid(Named(group, instance["kind"], instance["metadata"].get("name", "")), causes)

    def _check_content(self, call: Call, instance: Object, earlier: list[Cause]) -> list[Cause]:
        if not call.resource.custom:
            domains = (
                []
                if call.resource.store == CRDS
                else objects.check_domains(instance["metadata"].get("finalizers") or [])
            )
            return domains + call.strategy.check(instance)
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
        kept = self._store.write(resource.store, key, instance)
        if resource.store == CRDS:
            self._catalogue.register(kept)
            for name in {
                each.store
                for each in self._catalogue.of(kept["spec"]["group"], kept["spec"]["versions"][0]["name"])
            }:
                self._store.shelf(name)
            self._on_definition()
        if (
            resource.store == "namespaces"
            and key
            and self._store.get("serviceaccounts", f"{key}/default") is None
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
        self._store.write("serviceaccounts", f"{namespace}/default", account)

    def update(self, call: Call) -> Response:
        """PUT: the object as the caller wants it, whole."""
        options = options_of(call.request, "UpdateOptions")
        instance = read_object(call, options)
        metadata = instance["metadata"]
        match_url(call, metadata)
        existing = self._store.get(call.resource.store, call.key)
        if existing is None and call.strategy.create_on_update and not metadata.get("resourceVersion"):
            self.admit(call, metadata)
            created = self._create_object(call, instance, options)
            return self._reader.show(call, 201, created)
        if existing is None:
            raise not_found(call.resource.named(call.name))
        self._check_uid(call, existing, metadata.get("uid"))
        current = shown(call.resource, existing)
        kept = self._replace(call, current, complete(call, instance), options)
        return self._reader.show(call, 200, kept)

    def _replace(
        self,
        call: Call,
        existing: Object,
        instance: Object,
        options: Options,
        *,
        applied: bool = False,
    ) -> Object:
        """Put the new object in the place of the old one; the same object when nothing changed."""
        resource, metadata = call.resource, instance["metadata"]
        was = existing["metadata"]
        revision = metadata.get("resourceVersion") or "0"
        if not is_uint(revision):
            raise unexplained(f"strconv.ParseUint: parsing {go_quoted(revision)}: invalid syntax")
        if int(revision) == 0:
            if not call.strategy.unconditional_update:
                cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
                raise invalid(resource.named(call.name), [cause])
            metadata["resourceVersion"] = was["resourceVersion"]
        elif revision != was["resourceVersion"]:
            raise modified(resource.named(call.name))
        objects.prepare_update(existing, instance)
        sent = metadata.pop("managedFields", None)
        self._separate_status(call, existing, instance)
        metadata = instance["metadata"]
        whole = not resource.status_subresource
        generation = was.get("generation")
        if generation and objects.content(existing, status=whole) != objects.content(instance, status=whole):
            metadata["generation"] = generation + 1
        self._check_change(call, existing, instance)
        if metadata.get("finalizers") != was.get("finalizers"):
            call.warnings.extend(objects.finalizer_warnings(metadata))
        managed = sent
        if not applied:
            now = objects.timestamp(self._clock())
            owner = owner_of(call, options)
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

    @staticmethod
    def _check_uid(call: Call, existing: Object, uid: str | None) -> None:
        """Raises Refusal 409 when a PUT means another object of the same name."""
        resource, found = call.resource, existing["metadata"]["uid"]
        if uid and uid != found:
            where = f"{resource.group}/{resource.plural}" if resource.group else resource.plural
            raise conflict(
                resource.named(call.name),
                f"StorageError: invalid object, Code: 4, Key: /registry/{where}/{call.key}, ResourceVersion: 0, "
                f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, "
                f"UID in object meta: {found}",
            )

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
        self._check_type(call, instance)
        causes = objects.check_metadata_change(existing["metadata"], instance["metadata"])
        causes += self._check_content(call, instance, causes)
        causes += call.strategy.check_change(existing, instance)
        if causes:
            group = "" if resource.stored_as else resource.group
            raise invalid(Named(group, resource.kind, call.name), causes)

    def patch(self, call: Call) -> Response:
        """PATCH in any of its forms."""
        request, resource = call.request, call.resource
        content_type = request.header("content-type").partition(";")[0].strip()
        accepted = [patches.JSON, patches.MERGE]
        accepted += [patches.APPLY] if resource.custom else [patches.STRATEGIC, patches.APPLY]
        if content_type not in accepted:
            raise unsupported_media(accepted)
        if len(request.body) > bodies.LARGEST:
            raise body_too_large(bodies.LARGEST)
        if content_type == patches.APPLY:
            return self._apply(call)
        unfit = [forbidden_field("force", "may not be specified for non-apply patch")]
        options = options_of(request, "PatchOptions", unfit if "force" in request.query else ())
        current = shown(resource, self._reader.existing(call))
        patched, findings = patched_object(current, content_type, request.body, resource)
        return self._write_patched(call, current, patched, findings, options)

    def _write_patched(
        self, call: Call, existing: Object, patched: Object, findings: list[str], options: Options
    ) -> Response:
        whole = encode(patched, sort=True).decode()  # now, since decoding drops what it does not know

        def undecodable(finding: str) -> Refusal:
            return invalid(Named("", ""), [invalid_value("patch", whole, finding)])

        if call.resource.custom and not patched.get("kind"):
            raise undecodable(f"Object 'Kind' is missing in '{whole}'")
        if not call.resource.custom:
            check_version(call, patched)
        try:
            decode(call, patched, findings, options)
        except Refusal as error:
            raise undecodable(error.text.partition(": ")[2]) from None
        match_url(call, patched["metadata"])
        patched = complete(call, patched)
        return self._reader.show(call, 200, self._replace(call, existing, patched, options))

    def _apply(self, call: Call) -> Response:
        resource = call.resource
        unfit = [required("fieldManager", "is required for apply patch")]
        named = call.request.parameter("fieldManager")
        options = options_of(call.request, "PatchOptions", () if named else unfit)
        wanted = read_applied(call, strict=options.validation == "Strict")
        existing = self._store.get(resource.store, call.key)
        fields = fieldsets.misfits(wanted, resource.typed_schema)
        if fields:
            where = wanted["metadata"].get("namespace", "")
            listed = fields[0] if len(fields) == 1 else "errors:\n  " + "\n  ".join(fields)
            raise unexplained(
                f"failed to create typed patch object ({where}/{call.name}; {wanted['apiVersion']}, "
                f"Kind={wanted['kind']}): {listed}"
            )
        owner = owner_of(call, options, "Apply")
        now = objects.timestamp(self._clock())
        live = existing or {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {}}
        revision = wanted["metadata"].pop("resourceVersion", "")
        merged = fieldsets.apply(live, wanted, resource.typed_schema, owner, now, force=options.force)
        if resource.custom:
            merged = copy.deepcopy(merged)  # it shares parts with the kept object, and is about to be changed
        match_url(call, merged["metadata"])
        decode(call, merged, [], replace(options, validation="Ignore"))
        managed = merged["metadata"].get("managedFields")
        if existing is None:
            if call.wanted.subresource:
                raise not_found(resource.named(call.name))
            if revision or wanted["metadata"].get("uid"):
                asked = wanted["metadata"].get("uid", "")
                detail = f"uid mismatch: the provided object specified uid {asked}, and no existing object was found"
                raise conflict(resource.named(call.name), detail)
            self.admit(call, merged["metadata"])
            created = self._create_applied(call, merged, managed, options)
            return self._reader.show(call, 201, created)
        merged["metadata"] = merged["metadata"] | {
            "resourceVersion": revision or existing["metadata"]["resourceVersion"]
        }
        merged = complete(call, merged)
        kept = self._replace(call, existing, merged, options, applied=True)
        return self._reader.show(call, 200, kept)

    def _create_applied(self, call: Call, instance: Object, managed: Any, options: Options) -> Object:
        instance["metadata"].pop("managedFields", None)
        objects.wipe(instance["metadata"])
        instance = complete(call, instance)
        self._prepare_create(call, instance, objects.timestamp(self._clock()))
        self._check_new(call, instance)
        call.warnings.extend(objects.finalizer_warnings(instance["metadata"]))
        if managed:
            instance["metadata"]["managedFields"] = managed
        return self._keep(call, call.key, instance, options)

    def _delete_options(self, call: Call) -> Object:
        """The options of a deletion, from the body or, without one, from the query; `dryRun` is a list."""
        request = call.request
        options: Object = {}
        if request.body:
            try:
                value, _ = bodies.read(request.body, request.header("content-type"), "DeleteOptions")
            except Unreadable as error:
                raise unexplained(f"couldn't get version/kind; json parse error: {error}") from None
            unfit = misfits.decoding_error(value, kinds.schema("DeleteOptions"), struct="DeleteOptions")
            if unfit:
                raise unexplained(unfit)
            options = value or {}
            kind = options.get("kind") or "DeleteOptions"
            if kind != "DeleteOptions":
                version = options.get("apiVersion", "")
                raise unexplained(f'no kind "{kind}" is registered for version "{version}" in scheme')
        else:
            request.number("gracePeriodSeconds")
            if request.parameter("uid"):
                options["preconditions"] = {"uid": request.parameter("uid")}
            if "propagationPolicy" in request.query:
                options["propagationPolicy"] = request.parameter("propagationPolicy")
            if "orphanDependents" in request.query:
                options["orphanDependents"] = request.flag("orphanDependents")
            options["dryRun"] = request.query.get("dryRun") or []
        options["dryRun"] = options.get("dryRun") or []
        causes = _delete_findings(options)
        if causes:
            raise invalid_options("DeleteOptions", *causes)
        return options

    def delete(self, call: Call) -> Response:
        """DELETE of one object."""
        options = self._delete_options(call)
        resource = call.resource
        if resource.store == "namespaces" and call.name in _LASTING:
            raise forbidden(resource.named(call.name), "this namespace may not be deleted")
        existing = self._reader.existing(call)
        self._check_preconditions(call, existing, options.get("preconditions") or {})
        removed = self._remove(call, existing, options)
        if removed is not None:
            return self._reader.show(call, 200, removed)
        if call.strategy.returns_deleted:
            return self._reader.show(call, 200, existing)
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
        held = _held(metadata.get("finalizers") or [], options)
        is_namespace = call.resource.store == "namespaces"
        if not held and not (is_namespace and (existing.get("spec") or {}).get("finalizers")):
            if not options["dryRun"]:
                self._end(call)
            return None
        marked = {name: value for name, value in metadata.items() if name != "finalizers"}
        if held:
            marked["finalizers"] = held
        if not metadata.get("deletionTimestamp"):
            marked["deletionTimestamp"] = objects.timestamp(self._clock())
            if not is_namespace:
                marked["deletionGracePeriodSeconds"] = 0
            if "generation" in marked:
                marked["generation"] += 1
        if marked == metadata:
            return existing
        instance = existing | {"metadata": marked}
        if is_namespace:
            instance["status"] = (existing.get("status") or {}) | {"phase": "Terminating"}
        if options["dryRun"]:
            return instance
        return self._store.write(call.resource.store, call.key, instance)

    def _end(self, call: Call) -> None:
        """Remove the object for good, and with a definition all it defined."""
        gone = self._store.delete(call.resource.store, call.key)
        if call.resource.store == CRDS:
            self._catalogue.forget(gone)
            self._store.drop(gone["metadata"]["name"])
            self._on_definition()

    def delete_collection(self, call: Call) -> Response:
        """DELETE of all that the selectors take; answers what was there before."""
        options = self._delete_options(call)
        selection = selection_of(call)
        limit = call.request.number("limit")
        store = call.resource.store
        found = dict(self._store.shelf(store).objects)
        keys = [key for key in self._store.keys(store, selection.namespace) if selection.takes(found[key])]
        keys = keys[: limit if limit > 0 else None]
        revision = self._store.revision
        for key in keys:
            name = found[key]["metadata"]["name"]
            namespace = found[key]["metadata"].get("namespace", "")
            one = replace(call, wanted=replace(call.wanted, name=name, namespace=namespace))
            self._remove(one, found[key], options)
        return self._reader.listed(call, keys, found, {"resourceVersion": str(revision)})

    def finalize(self, call: Call) -> Response:
        """PUT namespaces/<name>/finalize: the way a namespace really ends."""
        options = options_of(call.request, "UpdateOptions")
        instance = read_object(call, options)
        existing = self._reader.existing(call)
        left = list((instance.get("spec") or {}).get("finalizers") or ())
        changed = existing | {"spec": {"finalizers": left} if left else {}}
        if not left and existing["metadata"].get("deletionTimestamp"):
            self._end(call)
            return self._reader.show(call, 200, changed)
        changed["metadata"] = dict(existing["metadata"])
        return self._reader.show(call, 200, self._store.write("namespaces", call.key, changed))


def _held(finalizers: list[str], options: Object) -> list[str]:
    """What holds an object that is deleted: its finalizers, and the collector's where the options ask for it.

    Options that say nothing leave the collector's as they are. Source: registry/generic/registry/store.go,
    deletionFinalizersForGarbageCollection
    """
    policy = options.get("propagationPolicy")
    if options.get("orphanDependents") is not None:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if policy is None:
        return finalizers
    wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(policy)
    others = [each for each in finalizers if each not in ("foregroundDeletion", "orphan") or each == wanted]
    return others if not wanted or wanted in others else [*others, wanted]


def _delete_findings(options: Object) -> list[Cause]:
    causes: list[Cause] = []
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(invalid_value("propagationPolicy", policy, detail))
    if policy is not None and policy not in _POLICIES:
        causes.append(unsupported("propagationPolicy", policy, (*_POLICIES, "nil")))
    return causes + dry_run_findings(options["dryRun"])


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
