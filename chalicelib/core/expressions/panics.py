"""What a Go function gives instead of a value: the error it returns, or the text it panics with.

expr turns both into the same thing, a run error at the call's place. The modules of functions know no
place, so they raise `FunctionError` with Go's text, and the evaluator adds line and column.
"""

from __future__ import annotations

from chalicelib.core.errors import Misconfigured


class FunctionError(Misconfigured):
    """A function refused its arguments; `message` is Go's text where it was recorded."""
