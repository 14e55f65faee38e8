"""Kubernetes' own programs and their companions, built once from Go modules into the cache.

`python -m e2e.rig.binaries` builds all of them; `binary("kubectl")` builds what it is asked for.
Each module's versions and hashes are fixed by its go.mod and go.sum; a change of either builds
its programs anew.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from e2e.rig.paths import BIN, LOGS, MODULES

# Compiling Kubernetes cold takes 6 minutes of two cores; this is what a slow machine may take.
BUILD_TIMEOUT_S = 1500.0
KUBERNETES_VERSION = "1.36.3"


class BuildFailed(Exception):
    """A program could not be built; carries the compiler's last words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: the module folder under `modules/`, its main package, and its ldflags."""

    module: str
    package: str
    ldflags: str = "-s -w"


def _kubernetes(name: str) -> Program:
    # Whatever parses the version (kubelet, client-go, kubectl) breaks on the unset default.
    major, minor, _patch = KUBERNETES_VERSION.split(".")
    version = "k8s.io/component-base/version"
    flags = (
        f"-s -w -X {version}.gitVersion=v{KUBERNETES_VERSION}"
        f" -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    )
    return Program(module="kubernetes", package=f"k8s.io/kubernetes/cmd/{name}", ldflags=flags)


def _containerd(name: str) -> Program:
    return Program(module="containerd", package=f"github.com/containerd/containerd/v2/cmd/{name}")


PROGRAMS = {
    **{
        name: _kubernetes(name)
        for name in (
            "kube-apiserver",
            "kubectl",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
        )
    },
    **{name: _containerd(name) for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
    "etcd": Program(module="etcd", package="go.etcd.io/etcd/server/v3"),
    "etcdctl": Program(module="etcd", package="go.etcd.io/etcd/etcdctl/v3"),
    "pause": Program(module="pause", package="."),
    "etcdutl": Program(module="etcd", package="go.etcd.io/etcd/etcdutl/v3"),
    "helm": Program(module="helm", package="helm.sh/helm/v4/cmd/helm"),
    "coredns": Program(module="coredns", package="github.com/coredns/coredns"),
}


def binary(name: str) -> Path:
    """The path of a program, built first where the cache has none of this version.

    Raises BuildFailed with the cure, also where there is no Go.
    """
    program = PROGRAMS[name]
    stamp = BIN / f".{name}.version"
    wanted = _version(program)
    if _current(name, stamp, wanted):
        return BIN / name
    BIN.mkdir(parents=True, exist_ok=True)
    # Two test runs beside each other must not both compile Kubernetes.
    with (BIN / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _current(name, stamp, wanted):
            _build(name, program)
            stamp.write_text(wanted)
    return BIN / name


def _current(name: str, stamp: Path, wanted: str) -> bool:
    return (BIN / name).exists() and stamp.exists() and stamp.read_text() == wanted


def _version(program: Program) -> str:
    """What a program is built from, as one hash."""
    folder = MODULES / program.module
    parts = [(folder / name).read_bytes() for name in ("go.mod", "go.sum")]
    parts.append(f"{program.package} {program.ldflags}".encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _build(name: str, program: Program) -> None:
    go = shutil.which("go")
    if go is None:
        raise BuildFailed(f"{name} is built with Go, and there is none on PATH: install Go >= 1.26")
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"build-{name}.log"
    print(f"building {name} from {program.package}", file=sys.stderr, flush=True)
    # The name may be in use by a running rig: build beside it, then put it in its place.
    fresh = BIN / f".{name}.fresh"
    command = [go, "build", "-trimpath", "-buildvcs=false", "-ldflags", program.ldflags]
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [*command, "-o", str(fresh), program.package],
                cwd=MODULES / program.module,
                env={**os.environ, "CGO_ENABLED": "0"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=BUILD_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise BuildFailed(f"{name} was not built in {BUILD_TIMEOUT_S} s; see {log}") from None
    if done.returncode != 0:
        tail = log.read_text(errors="replace")[-2000:]
        raise BuildFailed(f"go build of {name} ended with {done.returncode}:\n{tail}")
    fresh.replace(BIN / name)


def main() -> None:
    """Builds every program and says how long each took."""
    for name in PROGRAMS:
        started = time.monotonic()
        path = binary(name)
        print(f"{time.monotonic() - started:7.1f} s  {path}", flush=True)


if __name__ == "__main__":
    main()
