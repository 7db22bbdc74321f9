"""A Kubernetes API for one machine: kubectl and the official client take it for real.

It behaves as kube-apiserver 1.36 was recorded to, for the kinds that triggering workflows needs, and runs no
containers. Start reading at `clusters` (the whole), then `api` (what a request does), `stores` (objects and
revisions); the other modules are one subject each:

    kinds, resources, openapi    what is served, and how it describes itself
    schemas, objects, strategies what an object must look like
    misfits                      what does not fit its field, as Go says it
    fieldsets, patches           who owns which field, and how it changes
    access, tokens, reviews      who may do what
    selectors, tables            which objects, and how they are shown
    exchanges, bodies, protobufs requests and responses; server puts them on the wire
    faults, controllers          trouble on purpose, and workflows that seem to run

Never imported by deployed code.
"""

from lynceus.local.kubernetes.clusters import Cluster
from lynceus.local.kubernetes.faults import Faults, creates
from lynceus.local.kubernetes.statuses import Refusal

__all__ = ["Cluster", "Faults", "Refusal", "creates"]
