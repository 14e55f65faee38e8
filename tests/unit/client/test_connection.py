"""A connection tells what is wrong with the other end, and gives up in time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from headrace.client.address import Address
from headrace.client.connection import Connection
from headrace.client.errors import ConnectionLost, Incompatible, RequestTimedOut, Unreachable
from headrace.wire import versions
from headrace.wire.messages import write_response

from tests.scripted_broker import ScriptedBroker

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def opened(serve: Serve) -> Connection:
    """A connection to a server that serves one peer so."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
        return await Connection.open(address, client_id="test", timeout_ms=300)


async def frame(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))


async def test_nobody_there_is_said_with_the_address() -> None:
    async with ScriptedBroker() as broker:
        address = broker.address
    with pytest.raises(Unreachable, match="cannot be a host's name"):
        await Connection.open(Address("a..b", 9092), client_id="t", timeout_ms=5000)
    with pytest.raises(Unreachable, match=f"{address}: connection refused"):
        await Connection.open(address, client_id="test", timeout_ms=1000)


async def test_a_server_of_another_protocol_is_told_apart() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await frame(reader)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    with pytest.raises(ConnectionLost, match="is it a Kafka listener"):
        await opened(web)


async def test_silence_runs_out_of_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    with pytest.raises(RequestTimedOut, match=r"No answer .* ApiVersions within 300 ms"):
        await opened(silent)


async def test_an_answer_to_another_request_ends_the_connection() -> None:
    async def confused(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await frame(reader)
        writer.write(
            write_response(versions.API_VERSIONS, 4, 77, {"error_code": 0, "api_keys": []})
        )
        await reader.read()
        writer.close()

    with pytest.raises(ConnectionLost, match="answer 77 where 0 was due"):
        await opened(confused)


async def test_an_older_broker_is_spoken_to_in_its_versions() -> None:
    async def older(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await frame(reader)
        assert first[2:4] == b"\0\4"
        unknown = {"error_code": 35, "api_keys": []}
        writer.write(write_response(versions.API_VERSIONS, 0, 0, unknown))
        assert (await frame(reader))[2:4] == b"\0\0"
        keys = [
            {"api_key": versions.METADATA, "min_version": 0, "max_version": 7},
            {"api_key": versions.FETCH, "min_version": 0, "max_version": 3},
        ]
        fields = {"error_code": 0, "api_keys": keys}
        writer.write(write_response(versions.API_VERSIONS, 0, 1, fields))
        await reader.read()
        writer.close()

    connection = await opened(older)
    assert connection.version(versions.METADATA) == 7
    assert connection.version(versions.METADATA, version_max=5) == 5
    with pytest.raises(Incompatible, match="Fetch requests of versions 0 to 3"):
        connection.version(versions.FETCH)
    with pytest.raises(Incompatible, match="does not take Produce"):
        connection.version(versions.PRODUCE)
    connection.close()


async def test_requests_waiting_when_the_connection_ends_fail() -> None:
    async with ScriptedBroker(lambda _: "drop") as broker:
        connection = await Connection.open(broker.address, client_id="test", timeout_ms=5000)
        version = connection.version(versions.METADATA)
        fields = {
            "topics": [],
            "allow_auto_topic_creation": False,
            "include_topic_authorized_operations": False,
        }
        waiting = [connection.send(versions.METADATA, version, fields) for _ in range(3)]
        connection.close()
        for answer in waiting:
            with pytest.raises(ConnectionLost):
                await answer
        with pytest.raises(ConnectionLost):
            connection.send(versions.METADATA, version, fields)
