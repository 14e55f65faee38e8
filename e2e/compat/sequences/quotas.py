"""Describing and altering quotas, and what beyond a quota is refused."""

from typing import Any

from e2e.compat.differential.peer import Peer
from e2e.compat.differential.sequence import sequence
from e2e.compat.sequences.setting import new_topic

EXACT, DEFAULT, SPECIFIED = 0, 1, 2
VALUES = {
    "producer_byte_rate": (1.0, 0.0, -1.0, 0.5, 1.0000001, 2.0**63, 2.0**64, float("inf")),
    "consumer_byte_rate": (1e6, 1.5),
    "request_percentage": (0.01, 200.0, 0.0, float("inf")),
    "controller_mutation_rate": (0.5, -0.5),
    "connection_creation_rate": (5.0,),
    "no_such_rate": (5.0,),
}
ADDRESS_VALUES = {
    "connection_creation_rate": (1.0, 0.0, 1.5, 2.0**31 - 1, 2.0**31),
    "producer_byte_rate": (5.0,),
}

Entity = tuple[tuple[str, str | None], ...]


def entry(entity: Entity, **changes: float | None) -> dict[str, Any]:
    """One entry of AlterClientQuotas; None removes."""
    ops = [{"key": k, "value": v or 0.0, "remove": v is None} for k, v in changes.items()]
    return {"entity": [{"entity_type": k, "entity_name": n} for k, n in entity], "ops": ops}


def alter(peer: Peer, *entries: dict[str, Any], dry: bool = False) -> Any:
    return peer.ask("alter_client_quotas", 1, entries=list(entries), validate_only=dry)


def described(peer: Peer, *components: tuple[str, int, str | None], strict: bool = True) -> Any:
    asked = [{"entity_type": k, "match_type": t, "match": m} for k, t, m in components]
    return peer.ask("describe_client_quotas", 1, components=asked, strict=strict)


def settled(peer: Peer, entity: Entity, **expected: float) -> None:
    """Describe one entity once it has these quotas, or after 10 s; the order is nobody's."""
    components = [
        {"entity_type": k, "match_type": DEFAULT if n is None else EXACT, "match": n}
        for k, n in entity
    ]

    def seen(answer: Any) -> dict[str, float]:
        return {v.key: v.value for e in answer.entries or () for v in e.values}

    answer = peer.settle(
        lambda a: seen(a) == expected,
        "describe_client_quotas",
        1,
        components=components,
        strict=True,
    )
    peer.note("describe_client_quotas v1 settled", dict(sorted(seen(answer).items())))


@sequence
def values(peer: Peer) -> None:
    app = (("client-id", peer.name("app")),)
    for key, tried in VALUES.items():
        for value in tried:
            alter(peer, entry(app, **{key: value}), dry=True)
    for key, tried in ADDRESS_VALUES.items():
        for value in tried:
            alter(peer, entry((("ip", "192.0.2.1"),), **{key: value}), dry=True)
    alter(peer, entry(app, no_such_rate=None), dry=True)
    alter(peer, entry(app), dry=True)


@sequence
def entities(peer: Peer) -> None:
    name = peer.name("x")
    for entity in (
        (),
        (("group", name),),
        (("user", ""),),
        (("client-id", ""),),
        (("ip", "192.0.2.1"), ("user", name)),
        (("ip", None), ("client-id", None)),
        (("ip", "300.1.1.1"),),
        (("ip", "2001:db8::1"),),
        (("user", name), ("user", None)),
        (("user", name), ("client-id", None)),
        (("USER", name),),
    ):
        alter(peer, entry(entity, producer_byte_rate=5.0), dry=True)
        alter(peer, entry(entity, connection_creation_rate=5.0), dry=True)


@sequence
def set_and_removed(peer: Peer) -> None:
    app = (("user", peer.name("u")), ("client-id", peer.name("app")))
    alter(peer, entry(app, producer_byte_rate=1000.0, request_percentage=0.5))
    settled(peer, app, producer_byte_rate=1000.0, request_percentage=0.5)
    alter(peer, entry(app, producer_byte_rate=2000.0, consumer_byte_rate=-1.0))
    settled(peer, app, producer_byte_rate=1000.0, request_percentage=0.5)
    alter(peer, entry(app, producer_byte_rate=None, controller_mutation_rate=3.5))
    settled(peer, app, request_percentage=0.5, controller_mutation_rate=3.5)
    alter(peer, entry(app, producer_byte_rate=7.0), dry=True)
    settled(peer, app, request_percentage=0.5, controller_mutation_rate=3.5)
    alter(peer, entry(app, request_percentage=None, controller_mutation_rate=None))
    settled(peer, app)


@sequence
def entities_named_twice(peer: Peer) -> None:
    app = (("client-id", peer.name("app")),)
    alter(peer, entry(app, producer_byte_rate=1.0), entry(app, producer_byte_rate=2.0))
    settled(peer, app, producer_byte_rate=1.0)
    twice = entry(app, producer_byte_rate=3.0)
    twice["ops"] *= 2
    alter(peer, twice)
    settled(peer, app, producer_byte_rate=1.0)
    alter(peer)
    alter(peer, entry(app, producer_byte_rate=None))
    settled(peer, app)


@sequence
def filters(peer: Peer) -> None:
    name = peer.name("f")
    for components in (
        [("", EXACT, name)],
        [("group", EXACT, name)],
        [("user", EXACT, name), ("user", DEFAULT, None)],
        [("user", EXACT, None)],
        [("user", DEFAULT, name)],
        [("user", SPECIFIED, name)],
        [("user", 3, None)],
        [("user", -1, None)],
        [("ip", EXACT, "192.0.2.1"), ("user", EXACT, name)],
        [("ip", SPECIFIED, None), ("client-id", SPECIFIED, None)],
        [("user", EXACT, name)],
        [("user", EXACT, name), ("client-id", DEFAULT, None)],
        [("ip", EXACT, "not an address")],
    ):
        described(peer, *components)
        described(peer, *components, strict=False)


@sequence
def what_filters_match(peer: Peer) -> None:
    user, app = peer.name("u"), peer.name("app")
    made: tuple[Entity, ...] = (
        (("user", user),),
        (("user", user), ("client-id", app)),
        (("user", user), ("client-id", None)),
        (("client-id", app),),
    )
    for entity in made:
        alter(peer, entry(entity, consumer_byte_rate=1.0))
        settled(peer, entity, consumer_byte_rate=1.0)
    for component in (("user", EXACT, user), ("client-id", EXACT, app)):
        for strict in (True, False):
            asked = [dict(zip(("entity_type", "match_type", "match"), component, strict=True))]
            fields = {"components": asked, "strict": strict}
            answer = peer.quietly("describe_client_quotas", 1, **fields)
            found = sorted(
                str(sorted((e.entity_type, e.entity_name or "") for e in one.entity))
                for one in answer.entries
            )
            peer.note(f"describe_client_quotas v1 {component[0]} {strict}", found)
    alter(peer, *(entry(entity, consumer_byte_rate=None) for entity in made))


@sequence
def mutations_beyond_the_quota(peer: Peer) -> None:
    """A burst takes what it needs; what follows is refused, or done where the client is old."""
    quota = (("client-id", "compat"),)
    alter(peer, entry(quota, controller_mutation_rate=0.01))
    settled(peer, quota, controller_mutation_rate=0.01)

    def create(name: str, version: int, partitions: int = 1) -> None:
        topics = [new_topic(peer.name(name), partitions)]
        peer.ask("create_topics", version, topics=topics, timeout_ms=9000, validate_only=False)
        peer.drop()  # It is not read for minutes.

    try:
        create("first", 7, 5)
        create("second", 7)
        create("second", 5)
        named = [{"name": peer.name("first"), "topic_id": None}]
        peer.ask("delete_topics", 6, topics=named, timeout_ms=9000)
        peer.drop()
        more = [{"name": peer.name("first"), "count": 6, "assignments": None}]
        peer.ask("create_partitions", 3, topics=more, timeout_ms=9000, validate_only=False)
    finally:
        peer.drop()
        alter(peer, entry(quota, controller_mutation_rate=None))
        settled(peer, quota)
