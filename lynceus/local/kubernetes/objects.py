"""What every object has in common: its metadata, decoded, checked and completed by the server.

Source: k8s.io/apimachinery/pkg/api/validation/objectmeta.go and apiserver/pkg/registry/rest/{create,update}.go
"""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from lynceus.local.kubernetes import kinds
from lynceus.local.kubernetes.selectors import key_faults, value_faults
from lynceus.local.kubernetes.statuses import (
    Cause,
    forbidden_field,
    go_quoted,
    invalid_value,
    required,
    too_long,
)

Object = dict[str, Any]

MOST_ANNOTATED: Final = 262_144  # bytes of all annotations together
_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # without vowels, so that no word is made by chance
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


def timestamp(seconds: float) -> str:
    """A Unix time as Kubernetes writes it, to the second."""
    return _timestamp(int(seconds))


@lru_cache(maxsize=16)
def _timestamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def generated_name(prefix: str, chance: random.Random) -> str:
    """The name made from a generateName: 58 characters of it at most, and five more."""
    return prefix[:58] + "".join(chance.choices(_ALPHABET, k=5))


def name_faults(name: str, form: str, *, prefix: bool = False) -> list[str]:
    """What is wrong with a name; `form` is "subdomain", "label" or "path", `prefix` allows a dash at the end."""
    if form == "path":
        if name in (".", ".."):
            return [f"may not be '{name}'"]
        return [f"may not contain '{bad}'" for bad in ("/", "%") if bad in name]
    # The server takes the character before a dash at the end away, too.
    checked = name[:-2] + "a" if prefix and len(name) > 1 and name.endswith("-") else name
    longest, pattern, rule = (
        (63, _LABEL, _LABEL_RULE) if form == "label" else (253, _SUBDOMAIN, _SUBDOMAIN_RULE)
    )
    faults = [] if len(checked) <= longest else [f"must be no more than {longest} characters"]
    return faults if pattern.match(checked) else [*faults, rule]


_FINALIZERS: Final = ("orphan", "foregroundDeletion", "kubernetes")  # those without a domain


def check_metadata(metadata: Object, *, namespaced: bool, form: str) -> list[Cause]:
    """The findings about a new object's metadata, in the server's order."""
    causes: list[Cause] = []
    prefix = metadata.get("generateName")
    if prefix:
        faults = name_faults(prefix, form, prefix=True)
        causes += [invalid_value("metadata.generateName", prefix, fault) for fault in faults]
    name = metadata.get("name")
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    else:
        causes += [invalid_value("metadata.name", name, fault) for fault in name_faults(name, form)]
    if namespaced and not metadata.get("namespace"):
        causes.append(required("metadata.namespace"))
    return causes + check_mutable_metadata(metadata) + check_finalizers(metadata.get("finalizers") or [])


def check_mutable_metadata(metadata: Object) -> list[Cause]:
    """The findings about labels, annotations and owners, which updates may bring too."""
    causes: list[Cause] = []
    for key, value in (metadata.get("labels") or {}).items():
        causes += [invalid_value("metadata.labels", key, fault) for fault in key_faults(key)]
        causes += [invalid_value("metadata.labels", value, fault) for fault in value_faults(value)]
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        causes += [invalid_value("metadata.annotations", key, fault) for fault in key_faults(key.lower())]
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > MOST_ANNOTATED:
        causes.append(too_long("metadata.annotations", MOST_ANNOTATED))
    owners = metadata.get("ownerReferences") or []
    for owner in owners:
        causes += [
            invalid_value(f"metadata.ownerReferences.{name}", owner.get(name, ""), text)
            for name, text in (
                ("apiVersion", "version must not be empty"),
                ("kind", "must not be empty"),
                ("name", "must not be empty"),
                ("uid", "must not be empty"),
            )
            if not owner.get(name) or (name == "apiVersion" and owner[name].count("/") > 1)
        ]
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            detail = "/v1, Kind=Event is disallowed from being an owner"
            causes.append(invalid_value("metadata.ownerReferences", _in_order(owner), detail))
    causes += _check_controllers(owners)
    return causes


def check_finalizers(finalizers: list[str]) -> list[Cause]:
    """The findings about a new object's finalizers; updates may bring any."""
    causes = [
        invalid_value("metadata.finalizers", finalizer, fault)
        for finalizer in finalizers
        for fault in key_faults(finalizer)
    ]
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(invalid_value("metadata.finalizers", finalizers, detail))
    return causes


def check_domains(finalizers: list[str]) -> list[Cause]:
    """The findings about finalizers of built-in kinds, which need a domain unless they are Kubernetes' own."""
    detail = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        invalid_value(f"metadata.finalizers[{at}]", finalizer, detail)
        for at, finalizer in enumerate(finalizers)
        if "/" not in finalizer and finalizer not in _FINALIZERS
    ]


def _in_order(owner: Object) -> Object:
    return {name: owner[name] for name in kinds.MESSAGES["OwnerReference"].fields if name in owner}


def _check_controllers(owners: list[Object]) -> list[Cause]:
    """One finding per owner after the first that claims to be the controller."""
    claims = [
        f"{owner.get('kind', '')}/{owner.get('name', '')}" for owner in owners if owner.get("controller")
    ]
    shown = [_in_order(owner) for owner in owners]
    return [
        invalid_value(
            "metadata.ownerReferences",
            shown,
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{claims[0]} and {claim}",
        )
        for claim in claims[1:]
    ]


def check_metadata_change(old: Object, new: Object) -> list[Cause]:
    """The findings about an update's metadata, each twice: two layers of the server find them."""
    causes: list[Cause] = []
    if old.get("deletionTimestamp"):
        added = [each for each in new.get("finalizers") or () if each not in (old.get("finalizers") or ())]
        if added:
            listed = ", ".join(go_quoted(each) for each in added)
            detail = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            causes.append(forbidden_field("metadata.finalizers", detail))
    causes += [
        invalid_value(f"metadata.{name}", new.get(name), "field is immutable")
        for name in _IMMUTABLE
        if old.get(name) != new.get(name)
    ]
    causes += check_mutable_metadata(new)
    return [cause for cause in causes for _ in range(2)]


_IMMUTABLE: Final = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)


def finalizer_warnings(metadata: Object) -> list[str]:
    """A warning per finalizer without a domain."""
    return [
        f"metadata.finalizers: {go_quoted(each)}: prefer a domain-qualified finalizer name to avoid accidental "
        "conflicts with other finalizer writers"
        for each in metadata.get("finalizers") or ()
        if "/" not in each and each not in _FINALIZERS
    ]


METADATA: Final = kinds.schema("ObjectMeta")


def wipe(metadata: Object) -> None:
    """Drop what a client may have said of a new object that only the server can know."""
    for name in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "uid"):
        metadata.pop(name, None)


def prepare_create(instance: Object, *, uid: str, now: str, generation: bool) -> None:
    """Fill in what the server alone decides about a new object."""
    metadata = instance["metadata"]
    metadata["uid"] = uid
    metadata["creationTimestamp"] = now
    if generation:
        metadata["generation"] = 1


def prepare_update(old: Object, new: Object) -> None:
    """Carry over what updates cannot change; an absent uid means the same object."""
    was, metadata = old["metadata"], new["metadata"]
    metadata.pop("selfLink", None)
    metadata.pop("generation", None)
    for name in ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        if name in was:
            metadata[name] = was[name]
    if not metadata.get("uid"):
        metadata["uid"] = was["uid"]
    if not metadata.get("resourceVersion"):
        metadata["resourceVersion"] = was["resourceVersion"]


def content(instance: Object, *, status: bool) -> Object:
    """What an object is about: all of it but metadata, and but status where that has its own path."""
    left_out = {"metadata"} if status else {"metadata", "status"}
    return {name: value for name, value in instance.items() if name not in left_out}
