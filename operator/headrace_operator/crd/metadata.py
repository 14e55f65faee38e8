"""Group, version, and the part of an object's metadata that the operator reads."""

from datetime import datetime
from typing import Final

from pydantic import Field

from headrace_operator.crd.struct import Struct

GROUP: Final = "headrace.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "headrace.io/v1alpha1"


class ObjectMeta(Struct):
    """Names and marks; the API server has checked them."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
