"""deletionProtection, held by the API server itself: ValidatingAdmissionPolicies on DELETE.

- Of a Cluster: the object says it. A namespace that is already terminating is let through, or it
  would terminate for ever. (Match conditions are not shown the namespace, validations are.)
- Of a namespace: every Cluster in it is a parameter of the policy. `Ignore` for what cannot be
  evaluated: without the Cluster definition no namespace at all could be deleted otherwise.
- Of a definition: a policy cannot list Clusters over all namespaces, so the operator keeps the
  protected ones in an annotation of each definition.
"""

from collections.abc import Iterable
from typing import Any, Final

from headrace_operator.crd.metadata import API_VERSION, GROUP
from headrace_operator.crd.struct import Rule

ANNOTATION: Final = f"{GROUP}/protected-clusters"
"""On each definition: namespace/name of protected Clusters, comma separated."""

NAMED_MAX: Final = 20
"""Clusters that the annotation names; the refusal is a sentence, not a list."""

POLICIES: Final = (
    "headrace-protects-clusters",
    "headrace-protects-namespaces",
    "headrace-protects-definitions",
)
"""Names of the policies and of their bindings."""

_ADMISSION: Final = "admissionregistration.k8s.io/v1"
_PARTS: Final = {"app.kubernetes.io/part-of": "headrace"}


def protected_clusters(names: Iterable[tuple[str, str]]) -> str | None:
    """The annotation's value for the (namespace, name) of every protected Cluster."""
    sorted_names = sorted(f"{namespace}/{name}" for namespace, name in names)
    shown = sorted_names[:NAMED_MAX]
    if len(sorted_names) > NAMED_MAX:
        shown.append(f"and {len(sorted_names) - NAMED_MAX} more")
    return ", ".join(shown) or None


def policies() -> list[dict[str, Any]]:
    """The policies, each with its binding."""
    return [*_cluster(), *_namespace(), *_definition()]


def _cluster() -> list[dict[str, Any]]:
    rule = Rule(
        cel="""oldObject == null || !has(oldObject.spec.deletionProtection)
            || !oldObject.spec.deletionProtection
            || (namespaceObject != null && has(namespaceObject.metadata.deletionTimestamp))""",
        message="the Cluster is protected: set its spec.deletionProtection to false first.",
    )
    # A deletion of all Clusters of a namespace is refused without naming one, so this does.
    named = (
        "'Cluster ' + oldObject.metadata.name + ' is protected:"
        " set its spec.deletionProtection to false first.'"
    )
    return _policy(
        POLICIES[0],
        (GROUP, "*", "clusters"),
        rule,
        message_expression=named,
    )


def _namespace() -> list[dict[str, Any]]:
    rule = Rule(
        cel="!has(params.spec.deletionProtection) || !params.spec.deletionProtection",
        message="a Cluster in this namespace is protected:"
        " set its spec.deletionProtection to false first.",
    )
    named = (
        "'Cluster ' + params.metadata.name + ' in this namespace is protected:"
        " set its spec.deletionProtection to false first.'"
    )
    return _policy(
        POLICIES[1],
        ("", "v1", "namespaces"),
        rule,
        message_expression=named,
        failurePolicy="Ignore",
        paramKind={"apiVersion": API_VERSION, "kind": "Cluster"},
        matchConditions=[_not_yet_deleted()],
    )


def _definition() -> list[dict[str, Any]]:
    rule = Rule(
        cel=f"!('{ANNOTATION}' in oldObject.?metadata.annotations.orValue({{}}))",
        message="Clusters are protected: set their spec.deletionProtection to false first.",
    )
    named = (
        f"'protected Clusters exist (' + oldObject.metadata.annotations['{ANNOTATION}'] + '):"
        " set their spec.deletionProtection to false first; where no operator runs any more, take"
        f" the annotation {ANNOTATION} off.'"
    )
    ours = {
        "name": "ours",
        "expression": f"oldObject != null && oldObject.spec.group == '{GROUP}'",
    }
    return _policy(
        POLICIES[2],
        ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
        rule,
        message_expression=named,
        matchConditions=[ours, _not_yet_deleted()],
    )


def _not_yet_deleted() -> dict[str, str]:
    return {
        "name": "not-yet-deleted",
        "expression": "oldObject != null && !has(oldObject.metadata.deletionTimestamp)",
    }


def _policy(
    name: str,
    resource: tuple[str, str, str],
    rule: Rule,
    *,
    message_expression: str | None = None,
    **spec: Any,
) -> list[dict[str, Any]]:
    """A policy on DELETE of the (group, version, plural), and the binding that puts it in force."""
    group, version, plural = resource
    written = rule.rendered()
    validation = {"expression": written["rule"], "message": written["message"]}
    if message_expression is not None:
        validation["messageExpression"] = message_expression
    where = {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": ["DELETE"],
        "resources": [plural],
        "scope": "*",
    }
    params = {"paramRef": {"selector": {}, "parameterNotFoundAction": "Allow"}}
    metadata = {"name": name, "labels": dict(_PARTS)}
    return [
        {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": metadata,
            "spec": {
                "failurePolicy": "Fail",
                **spec,
                "matchConstraints": {"resourceRules": [where]},
                "validations": [validation],
            },
        },
        {
            "apiVersion": _ADMISSION,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": metadata,
            "spec": {
                "policyName": name,
                **(params if "paramKind" in spec else {}),
                "validationActions": ["Deny"],
            },
        },
    ]
