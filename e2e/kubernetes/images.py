"""The images that the end-to-end run needs, built from this tree, and where the nodes get them."""

import json
from dataclasses import dataclass
from pathlib import Path

from headrace.base.version import VERSION

from e2e.rig import images
from e2e.rig.layout import NODES
from e2e.rig.paths import ROOT
from e2e.rig.process import RigFailed

ETCD_VERSION = "3.6.16"
HERE = Path(__file__).parent
DEFAULT_PREFIX = "docker.io/headrace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Full names of the four images.

    prefix: registry and path that they stand under
    """

    prefix: str

    @property
    def broker(self) -> str:
        return f"{self.prefix}/broker:{VERSION}"

    @property
    def operator(self) -> str:
        return f"{self.prefix}/operator:{VERSION}"

    @property
    def etcd(self) -> str:
        return f"{self.prefix}/etcd:{ETCD_VERSION}"

    @property
    def client(self) -> str:
        return f"{self.prefix}/kcat:e2e"

    @property
    def stand_in(self) -> str:
        """The name under which README runs kcat; given to the rig's nodes, which pull nothing."""
        return "docker.io/edenhill/kcat:1.7.1"

    def all(self) -> list[str]:
        return [self.broker, self.operator, self.etcd, self.client]


def build(names: Images) -> None:
    """Builds the four images. Raises RigFailed with what the failing build said."""
    images.build(ROOT / "Dockerfile.broker", names.broker)
    images.build(ROOT / "Dockerfile.operator", names.operator)
    images.build(HERE / "Dockerfile.client", names.client, context=HERE)
    images.etcd(names.etcd)


def give(names: Images, *, push: bool) -> None:
    """Pushes the images to the registry of their prefix, or imports them on the rig's nodes."""
    for image in names.all():
        if push:
            images.push(image, image)
        else:
            images.load(NODES, image)
    if not push:
        images.name(NODES, names.client, names.stand_in)


def check(names: Images) -> str:
    """What the project promises of its two images; returns their sizes for people.

    Raises RigFailed naming the broken promise: the same wheel, no root, a health check.
    """
    contents = {}
    for image in (names.broker, names.operator):
        config = images.configuration(image)
        if config.get("User", "") != "10001:10001":
            raise RigFailed(f"{image} runs as {config.get('User')!r}, not as 10001:10001")
        if not config.get("Healthcheck"):
            raise RigFailed(f"{image} has no health check: {json.dumps(config)}")
        contents[image] = images.text(image, "opt/headrace/lib/*/site-packages/headrace-*/RECORD")
    if len(set(contents.values())) != 1:
        raise RigFailed(f"the wheels in {' and '.join(contents)} differ")
    sizes = [images.size(image) for image in contents]
    return f"broker {sizes[0]}, operator {sizes[1]} unpacked, base included; one wheel"
