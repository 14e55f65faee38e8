"""Kubeconfig files. JSON is YAML, and every Kubernetes client reads it."""

import base64
import json
from pathlib import Path

from e2e.rig.pki import Pair


def write(path: Path, *, server: str, authority: Path, user: Pair) -> Path:
    """Writes a kubeconfig for one server and one user, all certificates within; returns `path`."""

    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "rig",
                "cluster": {"server": server, "certificate-authority-data": embedded(authority)},
            }
        ],
        "users": [
            {
                "name": "user",
                "user": {
                    "client-certificate-data": embedded(user.certificate),
                    "client-key-data": embedded(user.key),
                },
            }
        ],
        "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "user"}}],
        "current-context": "rig",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=1))
    return path
