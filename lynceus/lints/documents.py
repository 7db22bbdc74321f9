"""YAML and JSON documents whose every node knows its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from lynceus.lints.findings import ERROR, Finding

Place = tuple[int, int]  # line and column, from 1


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: a date stays the text that was written."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own attribute, never written to
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True)
class Document:
    """One document of a file: its value, and where each part of it stands."""

    path: str
    value: Any
    node: yaml.Node | None

    @property
    def name(self) -> str:
        """kind/name, as far as the document has them."""
        if not isinstance(self.value, dict):
            return ""
        metadata = self.value.get("metadata")
        name = metadata.get("name", "") if isinstance(metadata, dict) else ""
        return f"{self.value.get('kind', '')}/{name}"

    def place(self, *keys: str | int) -> Place:
        """Where the value under the keys begins; the deepest one that exists."""
        node, place = self.node, _start(self.node)
        for key in keys:
            node = _child(node, key)
            if node is None:
                return place
            place = _start(node)
        return place

    def key_place(self, *keys: str | int) -> Place:
        """Where the last key itself stands."""
        node = self.node
        for key in keys[:-1]:
            node = _child(node, key) if node is not None else None
        if isinstance(node, yaml.MappingNode):
            for name, _ in node.value:
                if name.value == keys[-1]:
                    return _start(name)
        return self.place(*keys)

    def finding(self, place: Place, level: str, message: str, hint: str = "") -> Finding:
        """A finding at the place."""
        return Finding(self.path, place[0], place[1], level, message, hint, self.name)


def _start(node: yaml.Node | None) -> Place:
    return (node.start_mark.line + 1, node.start_mark.column + 1) if node is not None else (1, 1)


def _child(node: yaml.Node | None, key: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        child: yaml.Node = node.value[key]
        return child
    return None


def documents_of(path: str, text: str) -> tuple[list[Document], list[Finding]]:
    """The documents of a file, the items of lists as documents of their own, and what cannot be read."""
    documents: list[Document] = []
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            documents += _items(Document(path, loader.construct_document(node), node))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        return documents, [Finding(path, line, column, ERROR, f"neither YAML nor JSON: {problem}")]
    return documents, []


def _items(document: Document) -> Iterator[Document]:
    value = document.value
    if (
        isinstance(value, dict)
        and isinstance(value.get("items"), list)
        and str(value.get("kind", "")).endswith("List")
    ):
        items = _child(document.node, "items")
        for number, item in enumerate(value["items"]):
            yield Document(document.path, item, _child(items, number))
    elif value is not None:
        yield document
