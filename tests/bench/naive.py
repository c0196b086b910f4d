"""The service to beat: a call for each event, and an INSERT for each call.

`python -m tests.bench.naive ADDRESS DATABASE_URL` serves until it is terminated.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import asyncpg
import grpc

from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest, RecordEventsResponse

CONNECTIONS = 8
METHOD = "/naive/Record"
TABLE = """
    CREATE TABLE IF NOT EXISTS naive_event (
        id text PRIMARY KEY, customer_id text, type text, time timestamptz, properties text
    )
"""
INSERT = "INSERT INTO naive_event VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"


async def main(address: str, database_url: str) -> None:
    """Serve at `address`."""
    pool = await asyncpg.create_pool(database_url, min_size=CONNECTIONS, max_size=CONNECTIONS)
    await pool.execute(TABLE)

    async def record(request: RecordEventsRequest, context: Any) -> RecordEventsResponse:
        event = request.events[0]
        properties = str({name: str(value) for name, value in event.properties.items()})
        time = event.time.ToDatetime()
        await pool.execute(INSERT, event.id, event.customer_id, event.type, time, properties)
        return RecordEventsResponse()

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        record,
        request_deserializer=RecordEventsRequest.FromString,
        response_serializer=RecordEventsResponse.SerializeToString,
    )
    service, method = METHOD.strip("/").split("/")
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
