"""The rig's StorageClass: volumes with real sizes, made, grown and removed as claims ask.

Each volume is an XFS of its own in a sparse file, mounted on the host and given to pods as a
`local` volume of the node that the scheduler chose. A full volume is full, and a grown one grows
while it is in use. (kube-controller-manager's own hostpath provisioner makes folders without a
size, which only root can write to, and grows nothing.)
"""

import fcntl
import os
import sys
import threading
from pathlib import Path
from typing import Any

from e2e.rig.api import Api
from e2e.rig.layout import STATE
from e2e.rig.process import RigFailed, run

PROVISIONER = "headrace.io/rig"
CLASS = "rig"
MADE_BY = "pv.kubernetes.io/provisioned-by"
INTERVAL_S = 0.5
# mkfs.xfs refuses less.
SIZE_MIN_BYTES = 300 * 1024**2
LOOP_CTL_GET_FREE = 0x4C82
LOOP_MAJOR = 7
SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
SUFFIXES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
FOLDER = STATE / "volumes"

STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": CLASS,
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "allowVolumeExpansion": True,
    # A volume is made where its first pod is put.
    "volumeBindingMode": "WaitForFirstConsumer",
}


class Provisioner:
    """A thread that looks at all claims and volumes twice a second until it is stopped."""

    def __init__(self, api: Api) -> None:
        """Creates the StorageClass and starts. Raises RigFailed if the class is refused."""
        self._api = api
        self._stopped = threading.Event()
        status, answer = api.request(
            "POST", "/apis/storage.k8s.io/v1/storageclasses", STORAGE_CLASS
        )
        if status not in (201, 409):
            raise RigFailed(f"the StorageClass was refused: {answer}")
        FOLDER.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="provisioner", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; volumes stay mounted until the rig is cleaned away."""
        self._stopped.set()
        self._thread.join(30.0)

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            try:
                self._look()
            except (OSError, RigFailed, KeyError, ValueError) as fault:
                # The next look finds the same work to do.
                print(f"provisioner: {fault!r}", file=sys.stderr, flush=True)

    def _look(self) -> None:
        classes = {
            one["metadata"]["name"]
            for one in self._list("/apis/storage.k8s.io/v1/storageclasses")
            if one["provisioner"] == PROVISIONER
        }
        claims = self._list("/api/v1/persistentvolumeclaims")
        volumes = {
            volume["metadata"]["name"]: volume
            for volume in self._list("/api/v1/persistentvolumes")
            if volume["metadata"].get("annotations", {}).get(MADE_BY) == PROVISIONER
        }
        for claim in claims:
            if claim["spec"].get("storageClassName") not in classes:
                continue
            volume = volumes.get(f"pvc-{claim['metadata']['uid']}")
            if volume is None:
                self._make(claim)
            elif claim.get("status", {}).get("phase") == "Bound":
                self._grow(claim, volume)
        for name, volume in volumes.items():
            released = volume.get("status", {}).get("phase") == "Released"
            if released and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete":
                _unmake(name)
                self._api.request("DELETE", f"/api/v1/persistentvolumes/{name}")

    def _list(self, path: str) -> list[Any]:
        status, answer = self._api.request("GET", path)
        if status != 200:
            raise RigFailed(f"GET {path} was answered {status}: {answer}")
        return list(answer["items"])

    def _make(self, claim: Any) -> None:
        node = claim["metadata"].get("annotations", {}).get("volume.kubernetes.io/selected-node")
        if node is None:
            return
        name = f"pvc-{claim['metadata']['uid']}"
        quantity = claim["spec"]["resources"]["requests"]["storage"]
        if (size := _bytes(quantity)) < SIZE_MIN_BYTES:
            size, quantity = SIZE_MIN_BYTES, str(SIZE_MIN_BYTES)
        volume = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": name,
                "annotations": {MADE_BY: PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": quantity},
                "accessModes": claim["spec"]["accessModes"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": claim["spec"]["storageClassName"],
                "local": {"path": str(_mounted(name, size))},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [_only_on(node)]}},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": claim["metadata"]["namespace"],
                    "name": claim["metadata"]["name"],
                    "uid": claim["metadata"]["uid"],
                },
            },
        }
        status, answer = self._api.request("POST", "/api/v1/persistentvolumes", volume)
        if status != 201:
            raise RigFailed(f"the volume of {claim['metadata']['name']} was refused: {answer}")

    def _grow(self, claim: Any, volume: Any) -> None:
        quantity = claim["spec"]["resources"]["requests"]["storage"]
        asked = _bytes(quantity)
        name = volume["metadata"]["name"]
        if asked > _bytes(volume["spec"]["capacity"]["storage"]):
            image, device, target = FOLDER / f"{name}.img", _device_of(name), FOLDER / name
            os.truncate(image, asked)
            run(["losetup", "--set-capacity", device])
            run(["xfs_growfs", target])
            self._patch(
                f"/api/v1/persistentvolumes/{name}",
                {"spec": {"capacity": {"storage": quantity}}},
            )
        elif asked > _bytes(claim["status"]["capacity"]["storage"]):
            where = claim["metadata"]
            self._patch(
                f"/api/v1/namespaces/{where['namespace']}/persistentvolumeclaims/{where['name']}"
                "/status",
                {"status": {"capacity": volume["spec"]["capacity"], "conditions": []}},
            )

    def _patch(self, path: str, patch: Any) -> None:
        status, answer = self._api.request("PATCH", path, patch)
        if status != 200:
            raise RigFailed(f"PATCH {path} was answered {status}: {answer}")


def _mounted(name: str, size_bytes: int) -> Path:
    image, target = FOLDER / f"{name}.img", FOLDER / name
    target.mkdir(exist_ok=True)
    if target.is_mount():
        return target
    with image.open("wb") as file:
        file.truncate(size_bytes)
    run(["mkfs.xfs", "-q", "-f", image])
    device = _free_device()
    run(["losetup", device, image])
    # Nobody keeps these volumes over a crash of the machine.
    run(["mount", "-t", "xfs", "-o", "nouuid", device, target])
    return target


def _unmake(name: str) -> None:
    target, image = FOLDER / name, FOLDER / f"{name}.img"
    if target.is_mount():
        device = _device_of(name)
        run(["umount", target])
        run(["losetup", "--detach", device])
    image.unlink(missing_ok=True)
    if target.exists():
        target.rmdir()


def _free_device() -> str:
    """A loop device that is free; one is made where the kernel has none left."""
    control = os.open("/dev/loop-control", os.O_RDWR)
    try:
        number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
    finally:
        os.close(control)
    path = f"/dev/loop{number}"
    if not os.path.exists(path):
        os.mknod(path, 0o60660, os.makedev(LOOP_MAJOR, number))
    return path


def _device_of(name: str) -> str:
    said = run(["losetup", "--associated", FOLDER / f"{name}.img", "--noheadings", "-O", "NAME"])
    return said.split()[0]


def _only_on(node: str) -> dict[str, object]:
    key = "kubernetes.io/hostname"
    return {"matchExpressions": [{"key": key, "operator": "In", "values": [node]}]}


def _bytes(quantity: str) -> int:
    number = quantity.rstrip("KMGTik")
    return int(float(number) * SUFFIXES[quantity[len(number) :]])
