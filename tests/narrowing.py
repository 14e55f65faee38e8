"""What a newer CustomResourceDefinition takes away: an object that was taken must stay taken.

There are no conversions, so a schema may only grow: optional fields, wider bounds, more words.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")
LOWER = ("minimum", "minLength", "minItems", "minProperties")
FIXED = ("format", "pattern", "x-kubernetes-list-type", "x-kubernetes-list-map-keys")
RULES = "x-kubernetes-validations"
EITHER = "x-kubernetes-int-or-string"
OPEN = "x-kubernetes-preserve-unknown-fields"


def narrowed(old: Schema, new: Schema) -> list[str]:
    """One line for each thing that the newer definition takes away; both are whole objects."""
    return [*_names(old["spec"], new["spec"]), *_versions(old["spec"], new["spec"])]


def _names(old: Schema, new: Schema) -> Iterator[str]:
    for part in ("group", "scope"):
        if old[part] != new[part]:
            yield f"{part}: {old[part]} became {new[part]}"
    for part in ("kind", "plural"):
        if old["names"][part] != new["names"][part]:
            yield f"names.{part}: {old['names'][part]} became {new['names'][part]}"
    for part in ("shortNames", "categories"):
        for name in old["names"].get(part, ()):
            if name not in new["names"].get(part, ()):
                yield f"names.{part}: {name} is gone"


def _versions(old: Schema, new: Schema) -> Iterator[str]:
    served = {one["name"]: one for one in new["versions"] if one["served"]}
    for before in old["versions"]:
        after = served.get(before["name"])
        if after is None:
            yield f"version {before['name']} is not served any more"
            continue
        for name in before.get("subresources", {}):
            if name not in after.get("subresources", {}):
                yield f"subresource {name} is gone"
        yield from _schema(
            before["schema"]["openAPIV3Schema"], after["schema"]["openAPIV3Schema"], ""
        )


def _schema(old: Schema, new: Schema, path: str) -> Iterator[str]:
    where = path or "the object"
    yield from _type(old, new, where)
    yield from _bounds(old, new, where)
    yield from _rules(old, new, where)
    if old.get("default") != new.get("default") and "default" in old:
        yield f"{where}: the default {old['default']!r} became {new.get('default')!r}"
    after = new.get("properties", {})
    for name, one in old.get("properties", {}).items():
        if name in after:
            yield from _schema(one, after[name], f"{path}.{name}".lstrip("."))
        elif not new.get(OPEN):
            yield f"{where}: the field {name} is gone"
    for name in new.get("required", ()):
        if name not in old.get("required", ()) and "default" not in after.get(name, {}):
            yield f"{where}: the field {name} is required now"
    for part, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if part in old and part in new:
            yield from _schema(old[part], new[part], path + mark)
        elif part in old and not new.get(OPEN):
            yield f"{where}: {part} is gone"


def _type(old: Schema, new: Schema, where: str) -> Iterator[str]:
    before, after = _kind(old), _kind(new)
    widened = (before, after) in {
        ("integer", EITHER),
        ("string", EITHER),
        ("integer", "number"),
    }
    if before != after and not widened:
        yield f"{where}: {before} became {after}"
    if old.get(OPEN) and not new.get(OPEN):
        yield f"{where}: unknown fields are dropped now"


def _kind(schema: Schema) -> str:
    return EITHER if schema.get(EITHER) else str(schema.get("type"))


def _bounds(old: Schema, new: Schema, where: str) -> Iterator[str]:
    for name in UPPER:
        if name in new and (name not in old or new[name] < old[name]):
            yield f"{where}: {name} {old.get(name)} became {new[name]}"
    for name in LOWER:
        if name in new and (name not in old or new[name] > old[name]):
            yield f"{where}: {name} {old.get(name)} became {new[name]}"
    for name, bound in (("exclusiveMaximum", "maximum"), ("exclusiveMinimum", "minimum")):
        if new.get(name) and not old.get(name) and old.get(bound) == new.get(bound):
            yield f"{where}: {name} is new"
    for name in FIXED:
        if name in new and old.get(name) != new[name]:
            yield f"{where}: {name} {old.get(name)} became {new[name]}"
    for name in FIXED[2:]:
        if name in old and name not in new:
            yield f"{where}: {name} is gone"
    if "enum" in new:
        gone = [word for word in old.get("enum", ["any other"]) if word not in new["enum"]]
        if gone:
            yield f"{where}: {', '.join(map(str, gone))} is not taken any more"


def _rules(old: Schema, new: Schema, where: str) -> Iterator[str]:
    """A new rule is fine where it is about a field that is new as well."""
    known = {rule["rule"] for rule in old.get(RULES, ())}
    fields = _fields(new) - _fields(old)
    for rule in new.get(RULES, ()):
        if rule["rule"] not in known and not fields & set(re.findall(r"\w+", rule["rule"])):
            yield f"{where}: a new rule, {rule['message']!r}"


def _fields(schema: Schema) -> set[str]:
    found = set(schema.get("properties", {}))
    parts = [*schema.get("properties", {}).values()]
    parts += [schema[part] for part in ("items", "additionalProperties") if part in schema]
    for part in parts:
        found |= _fields(part)
    return found
