"""What is wrong with bindings, CronWorkflows and webhook clients, found before any event: as data.

    files → documents (with the line of every node) → findings

Nothing here reaches a network. A template that is not among the files is looked for by `find_template`, where the
caller gives one; without it nothing is said of templates that are elsewhere.
"""

from __future__ import annotations

from lynceus.lints.documents import Document, documents_of
from lynceus.lints.findings import ERROR, NOTE, WARNING, Finding
from lynceus.lints.objects import FindTemplate, Templates, lint

__all__ = [
    "ERROR",
    "NOTE",
    "WARNING",
    "Document",
    "FindTemplate",
    "Finding",
    "Templates",
    "documents_of",
    "lint",
]
