"""The controller against a store that loses answers, changes under it, or goes away."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from headrace.base.errors import Code, Refusal
from headrace.base.image import Endpoint, PartitionState, TopicState
from headrace.core.controller import MorePartitions, NewTopic, offsets_topic
from headrace.meta.keys import TopicValue, encode_partition, encode_topic
from headrace.meta.store import Delete, Outcome, Put, Unknown
from headrace.server.controller import Controller
from headrace.server.guarded_writes import SEEN_S
from headrace.server.metadata import Metadata, MetadataError
from headrace.sim.store import Loss, SimulatedStore

ENDPOINTS = (Endpoint(listener="PLAINTEXT", host="h", port=1),)


async def join(store: SimulatedStore, node_id: int) -> Metadata:
    metadata = Metadata(store, node_id=node_id, static={})
    await metadata.start()
    await metadata.register(ENDPOINTS, incarnation=uuid4())
    return metadata


@pytest_asyncio.fixture(loop_scope="function")
async def store() -> AsyncIterator[SimulatedStore]:
    made = SimulatedStore()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="function")
async def metadata(store: SimulatedStore) -> AsyncIterator[Metadata]:
    joined = await join(store, 1)
    yield joined
    await joined.close()


@pytest.fixture
def controller(metadata: Metadata, store: SimulatedStore) -> Controller:
    return Controller(metadata, store)


def state() -> PartitionState:
    return PartitionState(replicas=(1,), isr=(1,), leader=1)


@pytest.mark.parametrize("loss", list(Loss))
async def test_a_lost_answer_makes_the_topic_once(
    store: SimulatedStore, metadata: Metadata, controller: Controller, loss: Loss
) -> None:
    store.faults.losses.append(loss)
    made = await controller.create_topic(NewTopic(name="t", partition_count=2))
    assert isinstance(made, TopicState)
    assert metadata.image.topics["t"].topic_id == made.topic_id
    entries = (await store.snapshot(metadata.keys.prefix + "partitions/")).entries
    assert len(entries) == 2
    assert not metadata.builder.orphans


async def test_lost_answers_are_not_tried_for_ever(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    store.faults.losses.extend([Loss.BEFORE] * 8)
    made = await controller.create_topic(NewTopic(name="t"))
    assert isinstance(made, Refusal)
    assert made.code is Code.REQUEST_TIMED_OUT
    assert "t" not in metadata.image.topics
    assert isinstance(await controller.create_topic(NewTopic(name="t")), TopicState)


async def test_a_name_taken_by_another_meanwhile_leaves_no_orphans(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    """The other's topic is in the store and not yet in our image."""
    store.faults.watches_held = True
    other = UUID(int=7)
    value = TopicValue(name="t", topic_id=other, partition_count=1, settings={})
    await store.txn(
        [],
        [
            Put(metadata.keys.partition(other, 0), encode_partition(state())),
            Put(metadata.keys.topic("t"), encode_topic(value)),
        ],
    )
    creating = asyncio.ensure_future(controller.create_topic(NewTopic(name="t")))
    await asyncio.sleep(0)
    store.faults.watches_held = False
    store.wake()
    made = await creating
    assert isinstance(made, Refusal)
    assert made.code is Code.TOPIC_ALREADY_EXISTS
    assert metadata.image.topics["t"].topic_id == other
    assert not metadata.builder.orphans


async def test_a_write_that_changes_nothing_waits_for_no_news(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    """The store's newest revision is another cluster's, which no watch of ours ever tells."""
    store.faults.watches_held = True
    value = TopicValue(name="t", topic_id=UUID(int=7), partition_count=0, settings={})
    await store.txn([], [Put(metadata.keys.topic("t"), encode_topic(value))])
    await store.txn([], [Put("/headrace/another/cluster", b"{}")])
    async with asyncio.timeout(SEEN_S / 2):
        made = await controller.create_topic(NewTopic(name="t"))  # and sweeps what never was
    assert isinstance(made, Refusal) and made.code is Code.TOPIC_ALREADY_EXISTS


async def test_two_requests_for_one_name_make_one_topic(controller: Controller) -> None:
    outcomes = await asyncio.gather(
        *(controller.create_topic(NewTopic(name="u")) for _ in range(3))
    )
    assert sum(isinstance(outcome, TopicState) for outcome in outcomes) == 1


async def test_the_offsets_topic_has_its_own_settings(
    metadata: Metadata, controller: Controller
) -> None:
    await controller.create_topic(offsets_topic(metadata.settings))
    topic = metadata.image.topics["__consumer_offsets"]
    assert len(topic.partitions) == metadata.settings.offsets_topic_num_partitions
    assert topic.settings["cleanup.policy"] == "compact"


async def test_a_deletion_cut_short_is_finished_by_the_sweep(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    topic_id, orphan = UUID(int=5), UUID(int=6)
    value = TopicValue(name="t", topic_id=topic_id, partition_count=3, settings={})
    keys = metadata.keys
    puts = [Put(keys.partition(topic_id, n), encode_partition(state())) for n in range(3)]
    puts += [Put(keys.partition(orphan, n), encode_partition(state())) for n in range(2)]
    await store.txn([], [*puts, Put(keys.deleting(topic_id), encode_topic(value))])
    await controller.create_topic(NewTopic(name="kept", partition_count=2))
    assert set(metadata.builder.orphans) == {topic_id, orphan}
    assert await controller.sweep(controller.leftovers()) is None
    assert not metadata.builder.orphans
    assert not metadata.builder.deleting
    assert len((await store.snapshot(keys.prefix + "partitions/")).entries) == 2
    assert len(metadata.image.topics["kept"].partitions) == 2


async def test_partitions_appear_all_at_once(metadata: Metadata, controller: Controller) -> None:
    await controller.create_topic(NewTopic(name="t", partition_count=2))
    seen: list[int] = []
    metadata.subscribe(lambda _, new: seen.append(len(new.topics["t"].partitions)))
    more = MorePartitions(name="t", partition_count=300)
    assert await controller.create_partitions(more) is None
    assert set(seen) == {2, 300}


async def test_leader_epochs_rise_after_an_unclean_stop(
    metadata: Metadata, controller: Controller
) -> None:
    await controller.create_topic(NewTopic(name="t", partition_count=150))
    await controller.raise_leader_epochs()
    partitions = metadata.image.topics["t"].partitions
    assert {(p.leader, p.leader_epoch, p.partition_epoch) for p in partitions} == {(1, 1, 1)}


async def test_only_the_controller_writes(store: SimulatedStore, metadata: Metadata) -> None:
    second = await join(store, 2)
    refused = await Controller(second, store).create_topic(NewTopic(name="t"))
    assert isinstance(refused, Refusal)
    assert refused.code is Code.NOT_CONTROLLER
    await metadata.reached(second.image.revision)
    assert sorted(metadata.image.brokers) == [1, 2]
    await second.close()


async def test_a_controller_that_lost_its_role_is_refused_by_the_store(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    """Its image still says that it is the controller: the guard, not the image, protects."""
    store.faults.watches_held = True
    await store.txn([], [Delete(metadata.keys.controller)])
    await store.txn([], [Put(metadata.keys.controller, b'{"v":1,"broker":2}')])
    assert metadata.image.controller_id == 1
    refused = await controller.create_topic(NewTopic(name="t"))
    assert isinstance(refused, Refusal)
    assert await store.get(metadata.keys.topic("t")) is None
    store.faults.watches_held = False
    store.wake()


async def test_producer_ids_are_unique_across_brokers_and_lost_answers(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    second = await join(store, 2)
    other = Controller(second, store)
    store.faults.losses.extend([Loss.AFTER, Loss.BEFORE, None, Loss.AFTER])
    given = await asyncio.gather(
        *(controller.next_producer_id() for _ in range(1500)),
        *(other.next_producer_id() for _ in range(1500)),
    )
    assert all(isinstance(number, int) for number in given)
    assert len(set(given)) == 3000
    await second.close()


async def test_a_store_that_is_away_refuses_and_comes_back(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    store.faults.away = True
    refused = await controller.next_producer_id()
    assert isinstance(refused, Refusal) and refused.code.retriable
    made = await controller.create_topic(NewTopic(name="t"))
    assert isinstance(made, Refusal) and made.code.retriable
    store.faults.away = False
    assert isinstance(await controller.create_topic(NewTopic(name="t")), TopicState)


async def test_producer_ids_are_there_while_the_store_is_away(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    """A new producer needs an id before its first record, on partitions that take records."""
    await controller.stock_producer_ids()
    given = [await controller.next_producer_id() for _ in range(600)]
    await controller.stock_producer_ids()
    store.faults.away = True
    given += [await controller.next_producer_id() for _ in range(1400)]
    assert len(set(given)) == 2000 and all(isinstance(number, int) for number in given)
    await controller.stock_producer_ids()
    assert isinstance(await controller.next_producer_id(), Refusal)


async def test_a_restarted_broker_gets_a_new_epoch_and_the_role(store: SimulatedStore) -> None:
    dead = await join(store, 1)
    for task in dead._tasks:
        task.cancel()
    alive = await join(store, 1)
    assert alive.image.brokers[1].epoch > dead.image.brokers[1].epoch
    assert alive.image.controller_id == 1
    assert alive.image.controller_epoch == alive.image.brokers[1].epoch
    await alive.close()


async def test_a_registration_survives_lost_answers(store: SimulatedStore) -> None:
    store.faults.losses.extend([None, Loss.AFTER, Loss.BEFORE])
    metadata = await join(store, 1)
    assert metadata.image.controller_id == 1
    entry = await store.get(metadata.keys.broker(1))
    assert entry is not None and entry.create_revision == metadata.image.brokers[1].epoch
    await metadata.close()
    assert await store.get(metadata.keys.broker(1)) is None


async def test_a_lost_registration_is_claimed_again(store: SimulatedStore) -> None:
    metadata = Metadata(
        store,
        node_id=1,
        static={"broker.heartbeat.interval.ms": "10", "broker.session.timeout.ms": "60000"},
    )
    await metadata.start()
    await metadata.register(ENDPOINTS, incarnation=uuid4())
    first = metadata.image.brokers[1].epoch
    seen = asyncio.Event()

    def look(_: object, new: object) -> None:
        if 1 in metadata.image.brokers and metadata.image.brokers[1].epoch > first:
            seen.set()

    metadata.subscribe(look)
    store.expire(metadata.lease)
    await asyncio.wait_for(seen.wait(), 5)
    assert metadata.image.controller_id == 1
    await metadata.close()


async def test_a_compacted_watch_reads_everything_again(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    await controller.create_topic(NewTopic(name="gone"))
    store.faults.watches_held = True
    topic = metadata.image.topics["gone"]
    done = await store.txn([], [Delete(metadata.keys.topic(topic.name))])
    store.compact()
    store.faults.watches_held = False
    store.wake()
    await asyncio.wait_for(metadata.reached(done.revision), 5)  # type: ignore[union-attr]
    assert "gone" not in metadata.image.topics


async def test_another_clusters_store_is_refused(store: SimulatedStore, metadata: Metadata) -> None:
    wrong = Metadata(store, node_id=2, static={}, cluster_id="another")
    with pytest.raises(MetadataError, match="belongs to the cluster another"):
        await wrong.start()


async def test_a_store_that_lost_a_folders_partitions_is_refused(store: SimulatedStore) -> None:
    wrong = Metadata(store, node_id=1, static={}, cluster_id="c", holdings=["t-0", "t-1"])
    with pytest.raises(MetadataError, match=r"holds 2 partitions \(t-0, t-1\) of the cluster c"):
        await wrong.start()
    assert (await store.snapshot("/")).entries == ()


async def test_a_topic_that_may_yet_be_made_keeps_its_partitions(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    """The store goes away in the middle, and the transaction is applied all the same."""
    transact = store.txn

    async def lost(*call: Any) -> Outcome:
        await transact(*call)
        store.faults.away = True
        return Unknown("the answer was lost")

    store.txn = lost  # type: ignore[method-assign]
    refused = await controller.create_topic(NewTopic(name="t", partition_count=3))
    assert isinstance(refused, Refusal) and refused.code is Code.REQUEST_TIMED_OUT
    del store.txn
    store.faults.away = False
    again = await controller.create_topic(NewTopic(name="t", partition_count=3))
    assert isinstance(again, Refusal) and again.code is Code.TOPIC_ALREADY_EXISTS
    await asyncio.wait_for(metadata.reached((await store.snapshot("/")).revision), 5)
    assert len(metadata.image.topics["t"].partitions) == 3


async def test_who_waits_behind_a_request_that_finds_the_store_away_is_told_the_same(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    """One after the other they would each wait as long as the first."""
    tried = []

    async def away(*call: Any) -> Outcome:
        tried.append(call)
        await asyncio.sleep(0.01)
        store.faults.away = True
        return Unknown("no answer")

    transact, store.txn = store.txn, away  # type: ignore[method-assign]
    made = await asyncio.gather(
        *(controller.create_topic(NewTopic(name=f"t{n}")) for n in range(4))
    )
    assert len(tried) == 1
    assert {m.code for m in made if isinstance(m, Refusal)} == {Code.REQUEST_TIMED_OUT}
    store.txn, store.faults.away = transact, False  # type: ignore[method-assign]
    assert isinstance(await controller.create_topic(NewTopic(name="t")), TopicState)


async def test_our_own_write_that_came_late_is_no_conflict(
    store: SimulatedStore, metadata: Metadata, controller: Controller
) -> None:
    """After Unknown the store shows nothing yet; the second try then meets the first."""
    transact, calls = store.txn, []

    async def late(*call: Any) -> Outcome:
        calls.append(call)
        if len(calls) == 1:
            return Unknown("not applied yet")
        if len(calls) == 2:
            await transact(*calls[0])
        return await transact(*call)

    store.txn = late  # type: ignore[method-assign]
    made = await controller.create_topic(NewTopic(name="t", partition_count=3))
    assert isinstance(made, TopicState)
    assert len(metadata.image.topics["t"].partitions) == 3


async def test_a_leader_raises_its_epochs_without_a_controller(store: SimulatedStore) -> None:
    first = await join(store, 1)
    await Controller(first, store).create_topic(NewTopic(name="t", partition_count=2))
    await first.close()
    again = Metadata(store, node_id=1, static={})
    await again.start()
    assert again.image.controller_id == -1
    assert await Controller(again, store).raise_leader_epochs() is None
    assert {p.leader_epoch for p in again.image.topics["t"].partitions} == {1}
    await again.close()
