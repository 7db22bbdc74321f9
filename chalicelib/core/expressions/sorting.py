"""Go's sort.Sort: pattern-defeating quicksort, which is not stable above twelve items.

The order of items with equal keys shows in results, so the very steps of Go's algorithm are taken. Where no
two keys are equal every algorithm agrees, and Python's is faster.

Source: Go 1.26 sort/sort.go, sort/zsortinterface.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from chalicelib.core.expressions.values import Meter

_INSERTION: Final = 12
_INCREASING, _DECREASING, _UNKNOWN = "increasing", "decreasing", "unknown"


def sort_by(items: list[Any], keys: list[Any], less: Callable[[Any, Any], bool], meter: Meter) -> None:
    """Sort the items in place by their keys, and the keys with them."""
    meter.spend(len(keys))
    if len(keys) > _INSERTION and _orders_alike(keys):
        order = sorted(range(len(keys)), key=keys.__getitem__, reverse=less(max(keys), min(keys)))
        items[:], keys[:] = [items[at] for at in order], [keys[at] for at in order]
        return
    meter.spend(len(keys) * len(keys).bit_length())
    _Sort(items, keys, less).sort(0, len(items), len(items).bit_length())


def _orders_alike(keys: list[Any]) -> bool:
    """Whether every algorithm puts the keys in one order: one type, no two alike, no NaN."""
    kinds = set(map(type, keys))
    if kinds == {str}:
        return len(set(keys)) == len(keys) and all(map(str.isascii, keys))
    if kinds == {float}:
        return len(set(keys)) == len(keys) and not any(map(math.isnan, keys))
    return kinds == {int} and len(set(keys)) == len(keys)


class _Sort:
    def __init__(self, items: list[Any], keys: list[Any], less: Callable[[Any, Any], bool]) -> None:
        self.items, self.keys, self.compare = items, keys, less
        self.swaps = 0

    def less(self, i: int, j: int) -> bool:
        return self.compare(self.keys[i], self.keys[j])

    def swap(self, i: int, j: int) -> None:
        items, keys = self.items, self.keys
        items[i], items[j] = items[j], items[i]
        keys[i], keys[j] = keys[j], keys[i]

    def sort(self, a: int, b: int, limit: int) -> None:
        balanced = partitioned = True
        while True:
            length = b - a
            if length <= _INSERTION:
                self.insertion(a, b)
                return
            if limit == 0:
                self.heap(a, b)
                return
            if not balanced:
                self.break_patterns(a, b)
                limit -= 1
            pivot, hint = self.choose_pivot(a, b)
            if hint == _DECREASING:
                self.reverse(a, b)
                pivot = (b - 1) - (pivot - a)
                hint = _INCREASING
            if balanced and partitioned and hint == _INCREASING and self.partial_insertion(a, b):
                return
            if a > 0 and not self.less(a - 1, pivot):
                a = self.partition_equal(a, b, pivot)
                continue
            middle, partitioned = self.partition(a, b, pivot)
            left, right = middle - a, b - middle
            if left < right:
                balanced = left >= length // 8
                self.sort(a, middle, limit)
                a = middle + 1
            else:
                balanced = right >= length // 8
                self.sort(middle + 1, b, limit)
                b = middle

    def insertion(self, a: int, b: int) -> None:
        for i in range(a + 1, b):
            j = i
            while j > a and self.less(j, j - 1):
                self.swap(j, j - 1)
                j -= 1

    def heap(self, first: int, b: int) -> None:
        high = b - first
        for i in range((high - 1) // 2, -1, -1):
            self.sift_down(i, high, first)
        for i in range(high - 1, -1, -1):
            self.swap(first, first + i)
            self.sift_down(0, i, first)

    def sift_down(self, root: int, high: int, first: int) -> None:
        while True:
            child = 2 * root + 1
            if child >= high:
                return
            if child + 1 < high and self.less(first + child, first + child + 1):
                child += 1
            if not self.less(first + root, first + child):
                return
            self.swap(first + root, first + child)
            root = child

    def partition(self, a: int, b: int, pivot: int) -> tuple[int, bool]:
        self.swap(a, pivot)
        i, j = self.inward(a, a + 1, b - 1)
        if i > j:
            self.swap(j, a)
            return j, True
        while True:
            self.swap(i, j)
            i, j = self.inward(a, i + 1, j - 1)
            if i > j:
                break
        self.swap(j, a)
        return j, False

    def inward(self, a: int, i: int, j: int) -> tuple[int, int]:
        while i <= j and self.less(i, a):
            i += 1
        while i <= j and not self.less(j, a):
            j -= 1
        return i, j

    def partition_equal(self, a: int, b: int, pivot: int) -> int:
        self.swap(a, pivot)
        i, j = a + 1, b - 1
        while True:
            while i <= j and not self.less(a, i):
                i += 1
            while i <= j and self.less(a, j):
                j -= 1
            if i > j:
                return i
            self.swap(i, j)
            i, j = i + 1, j - 1

    def partial_insertion(self, a: int, b: int) -> bool:
        i = a + 1
        for _ in range(5):
            while i < b and not self.less(i, i - 1):
                i += 1
            if i == b:
                return True
            if b - a < 50:
                return False
            self.swap(i, i - 1)
            if i - a >= 2:
                j = i - 1
                while j >= 1 and self.less(j, j - 1):
                    self.swap(j, j - 1)
                    j -= 1
            if b - i >= 2:
                j = i + 1
                while j < b and self.less(j, j - 1):
                    self.swap(j, j - 1)
                    j += 1
        return False

    def break_patterns(self, a: int, b: int) -> None:
        length = b - a
        if length < 8:
            return
        random, mask = length, (1 << length.bit_length()) - 1
        middle = a + (length // 4) * 2
        for index in range(middle - 1, middle + 2):
            random ^= random << 13 & 2**64 - 1
            random ^= random >> 7
            random ^= random << 17 & 2**64 - 1
            other = random & mask
            self.swap(index, a + (other - length if other >= length else other))

    def choose_pivot(self, a: int, b: int) -> tuple[int, str]:
        length = b - a
        self.swaps = 0
        i, j, k = a + length // 4, a + length // 4 * 2, a + length // 4 * 3
        if length >= 50:
            i, j, k = (self.median(at - 1, at, at + 1) for at in (i, j, k))
        j = self.median(i, j, k)
        if self.swaps == 0:
            return j, _INCREASING
        return j, _DECREASING if self.swaps == 12 else _UNKNOWN

    def median(self, a: int, b: int, c: int) -> int:
        a, b = self.ordered(a, b)
        b, c = self.ordered(b, c)
        a, b = self.ordered(a, b)
        return b

    def ordered(self, a: int, b: int) -> tuple[int, int]:
        if self.less(b, a):
            self.swaps += 1
            return b, a
        return a, b

    def reverse(self, a: int, b: int) -> None:
        self.items[a:b] = self.items[a:b][::-1]
        self.keys[a:b] = self.keys[a:b][::-1]
