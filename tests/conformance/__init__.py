"""Recorded behaviour against ours: each module here is one corpus, `run()` yields one row per group.

A row is (group, passed, total, failures); a corpus that is not on this machine yields (group, 0, 0, ["absent"])
and is printed as absent, never as passed.
"""
