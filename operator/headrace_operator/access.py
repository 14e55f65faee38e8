"""How the API server is reached: the pod's service account, or a kubeconfig."""

import os
from pathlib import Path
from typing import Final

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

DEFAULT_KUBECONFIG: Final = Path("~/.kube/config")


class NoAccess(Exception):
    """Nothing says where the API server is, or what says it cannot be read."""


async def configuration(kubeconfig: Path | None) -> Configuration:
    """From the given kubeconfig, else the service account (whose token is read again as it is
    rotated), else $KUBECONFIG or ~/.kube/config. Raises NoAccess."""
    made = Configuration()
    try:
        if kubeconfig is None and SERVICE_HOST_ENV_NAME in os.environ:
            load_incluster_config(client_configuration=made)
        else:
            await load_kube_config(str(_file(kubeconfig)), client_configuration=made)
    except (ConfigException, OSError) as failed:
        raise NoAccess(
            f"no access to a Kubernetes API server: {failed}; run in a pod with a service account,"
            " or give --kubeconfig"
        ) from failed
    return made


def _file(kubeconfig: Path | None) -> Path:
    if kubeconfig is None:
        kubeconfig = Path(os.environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG)
    return kubeconfig.expanduser()


async def token(configuration: Configuration) -> str | None:
    """The bearer token as it is now, without its scheme; None where certificates are used."""
    header = await configuration.get_api_key_with_prefix("BearerToken")
    return header.split(" ", 1)[-1].strip() if header else None
