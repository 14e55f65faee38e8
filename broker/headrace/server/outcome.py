"""A refusal as the two fields in which most answers carry one."""

from collections.abc import Mapping
from typing import Any

from headrace.base.errors import Code, Refusal


def outcome(refusal: Refusal | None) -> Mapping[str, Any]:
    """error_code and error_message of one item; no message where all went well."""
    if refusal is None:
        return {"error_code": Code.NONE, "error_message": None}
    return {"error_code": refusal.code, "error_message": refusal.message}
