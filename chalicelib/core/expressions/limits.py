"""How much an expression may be and do. The first three are Go's, the others keep us alive.

Source: expr v1.17.8 conf/config.go (DefaultMaxNodes, DefaultMemoryBudget), builtin.MaxDepth.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MAX_NODES: Final = 10_000  # of the tree
MEMORY_BUDGET: Final = 1_000_000  # items of lists made while running; reaching it is an error
MAX_DEPTH: Final = 10_000  # of nested arrays, for flatten, max, min, mean, median

MAX_NESTING: Final = 20_000  # of parentheses and operators while parsing; Go counts only nodes
MAX_SOURCE: Final = 1 << 20  # characters
# While running once. A step is about half a microsecond at worst: an item looped over, eight nodes of what is
# done with it, sixteen characters looked at, one that is looked at by itself.
STEPS: Final = 5_000_000
FRAMES_PER_LEVEL: Final = 10  # at most, of any function here that follows the tree down

_lock = threading.Lock()
_open = 0
_before = 0


@contextmanager
def deep(levels: int) -> Iterator[None]:
    """Let Python recurse `levels` levels of the tree deeper than usual, until the block ends.

    Only for our own functions, which are pure Python: since 3.11 their frames live on the heap, so the
    limit guards nothing but against endless recursion. The limit is the interpreter's, hence the count of
    open blocks: the last one to close puts the old limit back.
    """
    global _open, _before  # the limit itself is global to the interpreter
    needed = min(levels, MAX_NESTING) * FRAMES_PER_LEVEL + 1_000
    with _lock:
        if _open == 0:
            _before = sys.getrecursionlimit()
        _open += 1
        sys.setrecursionlimit(max(sys.getrecursionlimit(), needed))
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if _open == 0:
                sys.setrecursionlimit(_before)
