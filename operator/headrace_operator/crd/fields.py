"""The scalars that resources are made of, each with its bound."""

from typing import Annotated, Final

from pydantic import Field

BROKER_ID_MAX: Final = 999_999
"""Six digits: names are bounded with that many in mind, and ids are never reused."""

LABEL_CHARACTERS_MAX: Final = 63
"""Of a label's value, a Service's name and a namespace's (RFC 1123 label)."""

NAME_CHARACTERS_MAX: Final = 253
"""Of most names in Kubernetes (RFC 1123 subdomain)."""

MESSAGE_CHARACTERS_MAX: Final = 32_768
"""As metav1.Condition has it."""

Label = Annotated[str, Field(max_length=LABEL_CHARACTERS_MAX)]
"""A value that also stands in a label."""

Namespace = Annotated[
    str, Field(max_length=LABEL_CHARACTERS_MAX, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
ObjectName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_CHARACTERS_MAX,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    ),
]
BrokerId = Annotated[int, Field(ge=0, le=BROKER_ID_MAX)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Image = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^\S+$")]
"""An image reference: registries bound the parts of one, not the whole; 512 holds any in use."""

Text = Annotated[str, Field(max_length=1024)]
"""A short text of status."""
