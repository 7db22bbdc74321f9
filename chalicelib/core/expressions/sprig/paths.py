"""sprig's functions on slash-separated paths; those that begin with `os` are the same on Linux.

Source: Go 1.26 path/path.go, internal/filepathlite (Unix).
"""

from __future__ import annotations

from chalicelib.core.expressions.sprig.functions import STRING, Function, aliases, table


def clean(path: str) -> str:
    """The shortest equal path: no empty or dot elements, no `a/..`; "." for nothing."""
    rooted = path.startswith("/")
    kept: list[str] = []
    for element in path.split("/"):
        if element in ("", "."):
            continue
        if element != "..":
            kept.append(element)
        elif kept and kept[-1] != "..":
            kept.pop()
        elif not rooted:
            kept.append("..")
    return ("/" if rooted else "") + "/".join(kept) or "."


def base(path: str) -> str:
    """The last element; "." of an empty path, "/" of one that is all slashes."""
    if not path:
        return "."
    return path.rstrip("/").rpartition("/")[2] or "/"


def dir_of(path: str) -> str:
    """Everything before the last element, cleaned."""
    return clean(path[: path.rfind("/") + 1])


def ext(path: str) -> str:
    """The suffix from the last dot of the last element on."""
    name = path.rpartition("/")[2]
    return name[name.rfind(".") :] if "." in name else ""


FUNCTIONS = table(
    *aliases(base, (STRING,), "base", "osBase"),
    *aliases(clean, (STRING,), "clean", "osClean"),
    *aliases(dir_of, (STRING,), "dir", "osDir"),
    *aliases(ext, (STRING,), "ext", "osExt"),
    Function("isAbs", (STRING,), lambda path: path.startswith("/")),
    Function("osIsAbs", (STRING,), lambda path: path.startswith("/")),
)
