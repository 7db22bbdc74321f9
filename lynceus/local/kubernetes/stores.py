"""Objects, revisions and the log of what happened: the part etcd and the watch cache play.

Everything lies under one lock, and every change takes the next revision. An object handed in is the store's from
then on: nobody changes it again, which is why readers need no copies. The log remembers the last changes with the
object before and after, so a list at an old revision is today's with the log undone, and a watch is a walk along
the log. What the log has forgotten answers 410.

With a directory, each change is also a line of `journal.jsonl`; reading the journal back is the whole start-up. When
it has grown long it is rewritten then, without its history.
"""

from __future__ import annotations

import bisect
import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

Object = dict[str, Any]

HISTORY: Final = 20_000  # changes remembered for watches and old lists


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the log; an object that came has no `before`, one that went has no `after`."""

    revision: int
    store: str
    key: str
    before: Object | None
    after: Object | None  # of a deletion: None; its last state, at this revision, is `last`
    last: Object


class _Shelf:
    """The objects of one kind, by key, in the order of keys."""

    __slots__ = ("born", "changed", "encoded", "keys", "objects")

    def __init__(self, revision: int) -> None:
        self.objects: dict[str, Object] = {}
        self.keys: list[str] = []
        self.encoded: dict[str, bytes] = {}
        self.born = revision
        self.changed = revision


# Made once: json.dumps would make an encoder per call.
_IN_ORDER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_SORTED: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def encode(value: Any, *, sort: bool = False) -> bytes:
    """Compact JSON, as UTF-8; sorted is how Go writes custom resources."""
    return (_SORTED if sort else _IN_ORDER).encode(value).encode("utf-8", "replace")


def key_of(namespace: str, name: str) -> str:
    """The key of an object: `namespace/name`, or the name alone at the cluster scope."""
    return f"{namespace}/{name}" if namespace else name


class Store:
    """All objects of one cluster."""

    def __init__(self, directory: Path | None = None) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.revision = 1
        self._shelves: dict[str, _Shelf] = {}
        self._log: deque[Change] = deque(maxlen=HISTORY)
        self._forgotten = 1  # the log holds every change after this revision
        self._journal: IO[str] | None = None
        self._path = directory / "journal.jsonl" if directory else None

    def load(self) -> bool:
        """Read the journal; False when there is none, and thus nothing yet."""
        if self._path is None:
            return False
        known = self._path.exists()
        read = self._replay(self._path) if known else 0
        self._forgotten = self.revision
        for shelf in self._shelves.values():
            shelf.born = self.revision
        # Most of a long journal is history, and rewriting a short one would cost more than reading it.
        live = sum(len(shelf.objects) for shelf in self._shelves.values())
        if read < 0 or read > 2 * live + 100:
            self._rewrite(self._path)
        self.open()
        return known

    def open(self) -> None:
        """Write changes to the journal from now on, where there is a directory."""
        if self._path is not None and self._journal is None:
            self._path.touch(mode=0o600)  # Secrets are in it
            self._journal = self._path.open("a", encoding="utf-8")

    def _replay(self, path: Path) -> int:
        """Take the journal's changes over; returns their number, -1 when the last was cut off by the process's end."""
        read = 0
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.endswith("\n"):
                    return -1
                revision, store, key, instance = json.loads(line)
                self._put(store, key, instance, revision)
                self.revision = revision
                read += 1
        return read

    def _rewrite(self, path: Path) -> None:
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        with fresh.open("w", encoding="utf-8") as lines:
            for store, shelf in self._shelves.items():
                for key, instance in shelf.objects.items():
                    revision = int(instance["metadata"]["resourceVersion"])
                    lines.write(self._line(revision, store, key, instance))
            lines.write(self._line(self.revision, "", "", None))
        fresh.replace(path)

    def close(self) -> None:
        """End the journal; objects stay readable."""
        with self.lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    @staticmethod
    def _line(revision: int, store: str, key: str, instance: Object | None) -> str:
        return json.dumps([revision, store, key, instance], separators=(",", ":")) + "\n"

    def shelf(self, store: str) -> _Shelf:
        """The objects of a kind; a kind is known from the first look on."""
        found = self._shelves.get(store)
        if found is None:
            found = self._shelves[store] = _Shelf(self.revision)
        return found

    def _put(self, store: str, key: str, instance: Object | None, revision: int) -> None:
        if not store:
            return
        shelf = self.shelf(store)
        if instance is None:
            if shelf.objects.pop(key, None) is not None:
                del shelf.keys[bisect.bisect_left(shelf.keys, key)]
        else:
            if key not in shelf.objects:
                bisect.insort(shelf.keys, key)
            shelf.objects[key] = instance
        shelf.encoded.pop(key, None)
        shelf.changed = revision

    def get(self, store: str, key: str) -> Object | None:
        """The object under the key; never to be changed by the caller."""
        return self.shelf(store).objects.get(key)

    def write(self, store: str, key: str, instance: Object) -> Object:
        """Keep the object under the next revision, which it gets as its resourceVersion; returns it."""
        with self.lock:
            before = self.get(store, key)
            instance["metadata"]["resourceVersion"] = str(self.revision + 1)
            self._change(store, key, before, instance, instance)
        return instance

    def delete(self, store: str, key: str) -> Object:
        """Remove the object; returns its last state, which carries the revision of its end."""
        with self.lock:
            before = self.shelf(store).objects[key]
            last = before | {"metadata": before["metadata"] | {"resourceVersion": str(self.revision + 1)}}
            self._change(store, key, before, None, last)
        return last

    def _change(
        self, store: str, key: str, before: Object | None, after: Object | None, last: Object
    ) -> None:
        self.revision += 1
        self._put(store, key, after, self.revision)
        if len(self._log) == HISTORY:
            self._forgotten = self._log[0].revision
        self._log.append(Change(self.revision, store, key, before, after, last))
        if self._journal is not None:
            self._journal.write(self._line(self.revision, store, key, after))
            self._journal.flush()
        self.changed.notify_all()

    def drop(self, store: str) -> None:
        """Remove all objects of a kind."""
        with self.lock:
            for key in list(self.shelf(store).keys):
                self.delete(store, key)

    def encoded(self, store: str, key: str) -> bytes:
        """The object under the key as JSON, kept until it changes."""
        shelf = self.shelf(store)
        found = shelf.encoded.get(key)
        if found is None:
            found = shelf.encoded[key] = encode(shelf.objects[key], sort=True)
        return found

    def keys(self, store: str, namespace: str) -> list[str]:
        """The keys of a kind, sorted, of one namespace where one is named."""
        keys = self.shelf(store).keys
        if not namespace:
            return list(keys)
        low = bisect.bisect_left(keys, f"{namespace}/")
        high = bisect.bisect_left(keys, f"{namespace}0")  # "0" follows "/"
        return keys[low:high]

    def oldest(self, store: str) -> int:
        """The revision behind which nothing is known about the kind."""
        return max(self._forgotten, self.shelf(store).born)

    def objects_at(self, store: str, revision: int) -> dict[str, Object]:
        """Key → object as of a revision that is not older than `oldest`, in the order of keys."""
        found = dict(self.shelf(store).objects)
        for change in reversed(self._log):
            if change.revision <= revision:
                break
            if change.store == store:
                if change.before is None:
                    found.pop(change.key, None)
                else:
                    found[change.key] = change.before
        return dict(sorted(found.items()))

    def changes(self, store: str, after: int) -> Iterator[Change]:
        """The changes of a kind after a revision, oldest first."""
        waiting: list[Change] = []
        for change in reversed(self._log):
            if change.revision <= after:
                break
            if change.store == store:
                waiting.append(change)
        return reversed(waiting)

    def all_changes(self, after: int) -> list[Change]:
        """The changes of every kind after a revision, oldest first."""
        waiting: list[Change] = []
        for change in reversed(self._log):
            if change.revision <= after:
                break
            waiting.append(change)
        return waiting[::-1]

    def stores(self) -> list[str]:
        """The kinds that objects are kept of."""
        return list(self._shelves)

    def forget(self) -> None:
        """Compact: old lists, continue tokens and watches from before now answer 410."""
        with self.lock:
            self._log.clear()
            self._forgotten = self.revision
