"""Images without a registry: built by buildah, handed to the nodes as archives.

The base image that the Dockerfiles name in FROM cannot be pulled where no registry is reached, so
it is stood in for under the same name: Debian bookworm by debootstrap, with a CPython in
/usr/local. The Dockerfiles themselves are built unchanged.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from e2e.rig.binaries import binary
from e2e.rig.node import PAUSE_IMAGE, Node, ctr
from e2e.rig.paths import IMAGES, ROOT
from e2e.rig.process import RigFailed, run

BUILD_TIMEOUT_S = 600.0
# 440 MB unpacked three times took over two minutes on a disk that others used too.
LOAD_TIMEOUT_S = 400.0
DEBIAN = "bookworm"
# What a CPython of python.org's own image links with.
LIBRARIES = (
    "ca-certificates,libssl3,libsqlite3-0,libffi8,libbz2-1.0,liblzma5,zlib1g,libreadline8,libuuid1,"
    "libncursesw6,libexpat1"
)
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = "pip.conf"
NOT_NEEDED = (
    "test",
    "tests",
    "__pycache__",
    "idlelib",
    "tkinter",
    "turtledemo",
    "*.a",
    "config-3*",
)


def build(
    dockerfile: Path,
    image: str,
    *,
    context: Path = ROOT,
    arguments: Mapping[str, str] | None = None,
) -> str:
    """Builds `dockerfile` as `image`, its base stood in for where it is missing; returns `image`.

    arguments: build arguments. Raises RigFailed with what the build said.
    """
    stand_in(base_of(dockerfile))
    with tempfile.TemporaryDirectory() as folder:
        command = ["bud", "--format", "docker", "--layers", "--network", "host", "--pull-never"]
        command += ["-f", str(dockerfile), "-t", image]
        for name, value in (arguments or {}).items():
            command += ["--build-arg", f"{name}={value}"]
        # The machine's trust in its package registries, lent to the build and not kept in it.
        if AUTHORITIES.exists():
            settings = Path(folder) / PIP_SETTINGS
            settings.write_text(f"[global]\ncert = {AUTHORITIES}\ntimeout = 180\n")
            command += [
                "-v",
                f"{AUTHORITIES}:{AUTHORITIES}:ro",
                "-v",
                f"{settings}:/etc/pip.conf:ro",
            ]
        _buildah(*command, str(context), timeout_s=BUILD_TIMEOUT_S)
    return image


def etcd(image: str) -> str:
    """An image of etcd and its two tools and nothing else, named `image`."""
    return _of_binaries(image, ["etcd", "etcdctl", "etcdutl"], "etcd")


def pause() -> str:
    """The image of every pod's first container."""
    return _of_binaries(PAUSE_IMAGE, ["pause"], "pause")


def _of_binaries(image: str, names: list[str], first: str) -> str:
    if exists(image):
        return image
    container = _buildah("from", "scratch").strip()
    try:
        for name in names:
            _buildah("copy", container, str(binary(name)), f"/usr/local/bin/{name}")
        _buildah("config", "--entrypoint", f'["/usr/local/bin/{first}"]', container)
        _buildah("config", "--user", "10001:10001", "--env", "PATH=/usr/local/bin", container)
        _buildah("commit", "--format", "docker", container, image)
    finally:
        _buildah("rm", container)
    return image


def archive(image: str) -> Path:
    """The image as a file that containerd imports, made anew only if the image changed."""
    identity = _buildah("images", "--quiet", "--no-trunc", image).strip().rpartition(":")[2]
    path = IMAGES / f"{identity}-{re.sub('[^a-z0-9.]+', '-', image)}.tar"
    if not path.exists():
        for old in IMAGES.glob(f"*-{re.sub('[^a-z0-9.]+', '-', image)}.tar"):
            old.unlink()
        fresh = path.with_suffix(".fresh")
        fresh.unlink(missing_ok=True)
        _buildah("push", image, f"docker-archive:{fresh}:{image}", timeout_s=BUILD_TIMEOUT_S)
        fresh.replace(path)
    return path


def load(nodes: Sequence[Node], image: str) -> None:
    """Gives the nodes the image, all at once."""
    path = str(archive(image))

    def give(node: Node) -> str:
        return ctr(node, "images", "import", path, timeout_s=LOAD_TIMEOUT_S)

    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(give, nodes))


def name(nodes: Sequence[Node], image: str, further: str) -> None:
    """Gives an image that the nodes have a further name there."""
    for node in nodes:
        ctr(node, "images", "tag", "--force", image, further)


def push(image: str, name: str) -> None:
    """Pushes `image` to a registry under `name`, with the credentials of `buildah login`."""
    _buildah("push", image, f"docker://{name}", timeout_s=BUILD_TIMEOUT_S)


def configuration(image: str) -> dict[str, Any]:
    """What the image says of how it is run (Docker's `config`: User, Healthcheck, ...)."""
    return dict(json.loads(_buildah("inspect", "--type", "image", image))["Docker"]["config"])


def size(image: str) -> str:
    """Its size unpacked, base included, for people."""
    return str(json.loads(_buildah("images", "--json", image))[0]["size"])


def text(image: str, pattern: str) -> str:
    """The one file of the image whose path matches; raises RigFailed unless there is one."""
    container = _buildah("from", "--pull-never", image).strip()
    try:
        root = Path(_buildah("mount", container).strip())
        found = list(root.glob(pattern))
        if len(found) != 1:
            raise RigFailed(f"{len(found)} files of {image} match {pattern}")
        return found[0].read_text()
    finally:
        _buildah("rm", container)


def exists(image: str) -> bool:
    """True if the image is in the rig's own storage."""
    return bool(_buildah("images", "--quiet", "--filter", f"reference={image}").strip())


def stand_in(base: str) -> None:
    """Makes the image `base` from Debian's packages and a CPython of this machine, once."""
    if base == "scratch" or exists(f"docker.io/library/{base}"):
        return
    print(f"standing in for {base}", file=sys.stderr, flush=True)
    python = _python_home()
    root = IMAGES / "base"
    shutil.rmtree(root, ignore_errors=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    include = LIBRARIES if python else f"{LIBRARIES},python3,python3-venv,python3-pip"
    run(
        ["debootstrap", "--variant=minbase", f"--include={include}", DEBIAN, root],
        timeout_s=BUILD_TIMEOUT_S,
    )
    if python:
        for name in ("bin", "include", "lib"):
            ignored = shutil.ignore_patterns(*NOT_NEEDED)
            shutil.copytree(
                python / name,
                root / "usr/local" / name,
                symlinks=True,
                ignore=ignored,
                dirs_exist_ok=True,
            )
        # The scripts of bin/ name the interpreter's old place.
        for script in ("pip", "pip3"):
            (root / "usr/local/bin" / script).unlink(missing_ok=True)
        run(["chroot", root, "ldconfig"])
    for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc"):
        shutil.rmtree(root / folder, ignore_errors=True)
    container = _buildah("from", "scratch").strip()
    _buildah("copy", container, str(root), "/", timeout_s=BUILD_TIMEOUT_S)
    _buildah("config", "--env", "PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin", container)
    _buildah("commit", container, f"docker.io/library/{base}", timeout_s=BUILD_TIMEOUT_S)
    _buildah("rm", container)
    shutil.rmtree(root)


def _python_home() -> Path | None:
    """A CPython 3.13 of this machine that may be moved; None means Debian's own 3.11."""
    homes = sorted(Path.home().glob(".pyenv/versions/3.13.*"))
    return homes[-1] if homes else None


def base_of(dockerfile: Path) -> str:
    """The image that a Dockerfile starts from."""
    found = re.search(r"^(?:ARG BASE=|FROM )(\S+)", dockerfile.read_text(), re.MULTILINE)
    if found is None:
        raise RigFailed(f"{dockerfile} has neither ARG BASE nor FROM")
    return found.group(1)


def _buildah(command: str, *arguments: str, timeout_s: float = 120.0) -> str:
    storage = IMAGES / "storage"
    storage.mkdir(parents=True, exist_ok=True)
    options = ["--root", str(storage), "--runroot", str(IMAGES / "run")]
    options += ["--storage-driver", "overlay"]
    os.environ.setdefault("BUILDAH_ISOLATION", "chroot")
    return run(["buildah", *options, command, *arguments], timeout_s=timeout_s)
