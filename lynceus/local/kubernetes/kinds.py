"""The built-in kinds, one line per field; everything else about a field follows from its line.

    <number> <name> <type> [marks]

The number is the field's in Kubernetes' protobuf definitions. A type is `string`, `int32`, `int64`, `bool`, `bytes`,
`Time`, `MicroTime`, `any` or another message of this page; `[]` before it makes a list, `map[]` a map with string keys.
`!` after it: always written, even when empty, as Go does for a field without `omitempty`. Marks say who may own
what in a server-side apply: `atomic`, `set`, `keys=name`; lists without a mark are atomic. A message that is marked
atomic is one wherever it is used.

`schema(kind)` is the same page as a structural schema, so that one walk prunes and checks built-in kinds and custom
resources alike. Source: https://github.com/kubernetes/api, generated.proto of each group, and the `+listType` marks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

_PAGE: Final = """
ObjectMeta
  1 name string
  2 generateName string
  3 namespace string
  4 selfLink string
  5 uid string
  6 resourceVersion string
  7 generation int64
  8 creationTimestamp Time
  9 deletionTimestamp Time
  10 deletionGracePeriodSeconds int64
  11 labels map[]string
  12 annotations map[]string
  13 ownerReferences []OwnerReference keys=uid
  14 finalizers []string set
  17 managedFields []ManagedFieldsEntry

OwnerReference atomic
  5 apiVersion string!
  1 kind string!
  3 name string!
  4 uid string!
  6 controller bool
  7 blockOwnerDeletion bool

ManagedFieldsEntry
  1 manager string
  2 operation string
  3 apiVersion string
  4 time Time
  6 fieldsType string
  7 fieldsV1 any
  8 subresource string

LabelSelector atomic
  1 matchLabels map[]string
  2 matchExpressions []LabelSelectorRequirement

LabelSelectorRequirement
  1 key string!
  2 operator string!
  3 values []string

ObjectReference atomic
  1 kind string
  2 namespace string
  3 name string
  4 uid string
  5 apiVersion string
  6 resourceVersion string
  7 fieldPath string

LocalObjectReference atomic
  1 name string

Namespace
  1 metadata ObjectMeta!
  2 spec NamespaceSpec!
  3 status NamespaceStatus!

NamespaceSpec
  1 finalizers []string

NamespaceStatus
  1 phase string
  2 conditions []any keys=type

ServiceAccount
  1 metadata ObjectMeta!
  2 secrets []ObjectReference keys=name
  3 imagePullSecrets []LocalObjectReference
  4 automountServiceAccountToken bool

Secret
  1 metadata ObjectMeta!
  5 immutable bool
  2 data map[]bytes
  4 stringData map[]string
  3 type string

ConfigMap
  1 metadata ObjectMeta!
  4 immutable bool
  2 data map[]string
  3 binaryData map[]bytes

Event
  1 metadata ObjectMeta!
  2 involvedObject ObjectReference!
  3 reason string
  4 message string
  5 source EventSource!
  6 firstTimestamp Time!
  7 lastTimestamp Time!
  8 count int32
  9 type string
  10 eventTime MicroTime!
  11 series EventSeries
  12 action string
  13 related ObjectReference
  14 reportingComponent string!
  15 reportingInstance string!

EventSource
  1 component string
  2 host string

EventSeries
  1 count int32
  2 lastObservedTime MicroTime

NewEvent
  1 metadata ObjectMeta!
  2 eventTime MicroTime!
  3 series EventSeries
  4 reportingController string
  5 reportingInstance string
  6 action string
  7 reason string
  8 regarding ObjectReference!
  9 related ObjectReference
  10 note string
  11 type string
  12 deprecatedSource EventSource!
  13 deprecatedFirstTimestamp Time!
  14 deprecatedLastTimestamp Time!
  15 deprecatedCount int32

Role
  1 metadata ObjectMeta!
  2 rules []PolicyRule!

ClusterRole
  1 metadata ObjectMeta!
  2 rules []PolicyRule!
  3 aggregationRule AggregationRule

AggregationRule
  1 clusterRoleSelectors []LabelSelector

PolicyRule
  1 verbs []string!
  2 apiGroups []string
  3 resources []string
  4 resourceNames []string
  5 nonResourceURLs []string

RoleBinding
  1 metadata ObjectMeta!
  2 subjects []Subject
  3 roleRef RoleRef!

ClusterRoleBinding
  1 metadata ObjectMeta!
  2 subjects []Subject
  3 roleRef RoleRef!

Subject atomic
  1 kind string!
  2 apiGroup string
  3 name string!
  4 namespace string

RoleRef atomic
  1 apiGroup string!
  2 kind string!
  3 name string!

CustomResourceDefinition
  1 metadata ObjectMeta!
  2 spec CustomResourceDefinitionSpec!
  3 status CustomResourceDefinitionStatus

CustomResourceDefinitionSpec
  1 group string!
  3 names CustomResourceDefinitionNames!
  4 scope string!
  7 versions []any!
  9 conversion any
  10 preserveUnknownFields bool

CustomResourceDefinitionNames
  1 plural string!
  2 singular string
  3 shortNames []string
  4 kind string!
  5 listKind string
  6 categories []string

CustomResourceDefinitionStatus
  1 conditions []any keys=type
  2 acceptedNames CustomResourceDefinitionNames!
  3 storedVersions []string!

TokenReview
  1 metadata ObjectMeta!
  2 spec TokenReviewSpec!
  3 status TokenReviewStatus!

TokenReviewSpec
  1 token string
  2 audiences []string

TokenReviewStatus
  1 authenticated bool
  2 user UserInfo!
  4 audiences []string
  3 error string

UserInfo
  1 username string
  2 uid string
  3 groups []string
  4 extra map[]any

TokenRequest
  1 metadata ObjectMeta!
  2 spec TokenRequestSpec!
  3 status TokenRequestStatus!

TokenRequestSpec
  1 audiences []string!
  4 expirationSeconds int64
  3 boundObjectRef BoundObjectReference

BoundObjectReference
  1 kind string
  2 apiVersion string
  3 name string
  4 uid string

TokenRequestStatus
  1 token string!
  2 expirationTimestamp Time!

SelfSubjectReview
  1 metadata ObjectMeta!
  2 status SelfSubjectReviewStatus!

SelfSubjectReviewStatus
  1 userInfo UserInfo!

SubjectAccessReview
  1 metadata ObjectMeta!
  2 spec SubjectAccessReviewSpec!
  3 status SubjectAccessReviewStatus!

LocalSubjectAccessReview
  1 metadata ObjectMeta!
  2 spec SubjectAccessReviewSpec!
  3 status SubjectAccessReviewStatus!

SelfSubjectAccessReview
  1 metadata ObjectMeta!
  2 spec SubjectAccessReviewSpec!
  3 status SubjectAccessReviewStatus!

SubjectAccessReviewSpec
  1 resourceAttributes ResourceAttributes
  2 nonResourceAttributes NonResourceAttributes
  3 user string
  4 groups []string
  5 extra map[]any
  6 uid string

ResourceAttributes
  1 namespace string
  2 verb string
  3 group string
  4 version string
  5 resource string
  6 subresource string
  7 name string
  8 fieldSelector any
  9 labelSelector any

NonResourceAttributes
  1 path string
  2 verb string

SubjectAccessReviewStatus
  1 allowed bool!
  4 denied bool
  2 reason string
  3 evaluationError string

SelfSubjectRulesReview
  1 metadata ObjectMeta!
  2 spec SelfSubjectRulesReviewSpec!
  3 status SubjectRulesReviewStatus!

SelfSubjectRulesReviewSpec
  1 namespace string

SubjectRulesReviewStatus
  1 resourceRules []ResourceRule!
  2 nonResourceRules []NonResourceRule!
  3 incomplete bool!
  4 evaluationError string

ResourceRule
  1 verbs []string!
  2 apiGroups []string
  3 resources []string
  4 resourceNames []string

NonResourceRule
  1 verbs []string!
  2 nonResourceURLs []string

DeleteOptions
  1 gracePeriodSeconds int64
  2 preconditions Preconditions
  3 orphanDependents bool
  4 propagationPolicy string
  5 dryRun []string
  6 ignoreStoreReadErrorWithClusterBreakingPotential bool

Preconditions
  1 uid string
  2 resourceVersion string

Unknown
  1 typeMeta TypeMeta
  2 raw bytes
  3 contentEncoding string
  4 contentType string

TypeMeta
  1 apiVersion string
  2 kind string
"""


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the page."""

    number: int
    name: str
    type: str  # without [] and map[]
    shape: str  # "" one value, "list" or "map"
    always: bool
    mark: str  # "", "atomic", "set" or "keys=<name>"


@dataclass(frozen=True, slots=True)
class Message:
    """One paragraph of the page."""

    name: str
    atomic: bool
    fields: dict[str, Field]
    numbers: dict[int, Field]


def _read(page: str) -> dict[str, Message]:
    found: dict[str, Message] = {}
    for paragraph in page.strip().split("\n\n"):
        head, *lines = paragraph.splitlines()
        name, _, mark = head.partition(" ")
        fields = [_field(line) for line in lines]
        found[name] = Message(
            name,
            mark == "atomic",
            {field.name: field for field in fields},
            {field.number: field for field in fields},
        )
    return found


def _field(line: str) -> Field:
    number, name, type_, *marks = line.split()
    shape = "list" if type_.startswith("[]") else "map" if type_.startswith("map[]") else ""
    bare = type_.removeprefix("[]").removeprefix("map[]")
    return Field(int(number), name, bare.removesuffix("!"), shape, bare.endswith("!"), "".join(marks))


MESSAGES: Final = _read(_PAGE)

_SCALARS: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "Time": {"type": "string", "format": "date-time", "nullable": True},
    "MicroTime": {"type": "string", "format": "micro-time", "nullable": True},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "bool": {"type": "boolean"},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}


@cache
def schema(kind: str) -> dict[str, Any]:
    """The structural schema of a message; `x-go-type` names its Go type for decoding errors."""
    message = MESSAGES[kind]
    properties: dict[str, Any] = {name: _schema(field) for name, field in message.fields.items()}
    if "metadata" in message.fields:
        properties = {"apiVersion": _SCALARS["string"], "kind": _SCALARS["string"]} | properties
    found: dict[str, Any] = {"type": "object", "properties": properties, "x-go-type": kind}
    if message.atomic:
        found["x-kubernetes-map-type"] = "atomic"
    return found


def _schema(field: Field) -> dict[str, Any]:
    one = _SCALARS.get(field.type) or schema(field.type)
    if field.shape == "map":
        return {"type": "object", "additionalProperties": one}
    if field.shape == "list":
        found: dict[str, Any] = {"type": "array", "items": one}
        if field.mark.startswith("keys="):
            return found | {
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": field.mark.removeprefix("keys=").split(","),
            }
        return found | {"x-kubernetes-list-type": field.mark or "atomic"}
    return one


_EMPTY: Final[dict[str, Any]] = {"string": "", "bytes": "", "int32": 0, "int64": 0, "bool": False}


def fill(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """`value` in the page's order, with what Go always writes; empty values that Go leaves out are dropped.

    Structs without `omitempty` become {}, times null, lists null unless they hold something.
    """
    message = MESSAGES[kind]
    filled: dict[str, Any] = {}
    for name, field in message.fields.items():
        found = value.get(name)
        empty = found in ("", [], {}) and (field.shape or field.type not in MESSAGES)
        if found is None or (empty and not field.always):
            if field.always:
                filled[name] = _nothing(field)
            continue
        if field.type in MESSAGES and field.type != "ObjectMeta":
            if field.shape == "list":
                found = [fill(field.type, item) for item in found]
            elif not field.shape:
                found = fill(field.type, found)
        filled[name] = found
    return filled


def _nothing(field: Field) -> Any:
    if field.shape == "list":
        return None
    if field.type in MESSAGES:
        return fill(field.type, {}) if field.type != "ObjectMeta" else {}
    return _EMPTY.get(field.type)
