"""The gRPC face of the books."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import caller, tenant
from libs.clock import Clock
from libs.db import Snapshots
from libs.errors import FieldInvalid
from libs.verification import Counts, answers
from libs.wire import page_token, parse_page, parse_page_token, parse_text, parse_uuids
from services.wallet.api.parsing import parse_optional_uuid
from services.wallet.operations import verifying
from services.wallet.operations.desk import Desk
from services.wallet.operations.messages import use_message
from services.wallet.operations.tracing import list_uses
from services.wallet.store.grant_uses import UsesAsked
from tally.wallet.v1 import ledger_service_pb2 as pb
from tally.wallet.v1 import ledger_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Answers for the books of the caller's tenant or, of an internal caller without, of all."""

    engine: AsyncEngine
    worker: AsyncEngine
    clock: Clock

    def CheckInvariants(
        self, request: pb.CheckInvariantsRequest, context: Context
    ) -> AsyncGenerator[pb.CheckInvariantsResponse, None]:
        """Answer contradictions as they are found."""
        counts = Counts()
        found = verifying.check_invariants(self._snapshots(), counts)
        return answers(pb.CheckInvariantsResponse, found, counts)

    async def ListApplications(
        self, request: pb.ListApplicationsRequest, context: Context
    ) -> pb.ListApplicationsResponse:
        """List what was paid of invoices."""
        return await verifying.list_applications(
            self._snapshots(),
            invoice_ids=parse_uuids(request.invoice_ids, "invoice_ids"),
            page=parse_page(request.page_size, request.page_token),
        )

    async def ListGrantUses(
        self, request: pb.ListGrantUsesRequest, context: Context
    ) -> pb.ListGrantUsesResponse:
        """List what became of credit, and where what was paid came from."""
        page = parse_page(request.page_size, request.page_token)
        after: Any = parse_page_token(page.token, int, int)
        desk = Desk(self.engine, self.clock, tenant())
        found = await list_uses(desk, parse_uses(request), after=after or None, limit=page.size + 1)
        last = found[page.size - 1] if len(found) > page.size else None
        return pb.ListGrantUsesResponse(
            uses=[use_message(use) for use in found[: page.size]],
            next_page_token=page_token(*last.key) if last else "",
        )

    def _snapshots(self) -> Snapshots:
        return Snapshots(self.engine, self.worker, caller().tenant)


def parse_uses(request: pb.ListGrantUsesRequest) -> UsesAsked:
    """Read whose movements to list."""
    if not request.grant_id and not request.reference:
        raise FieldInvalid("grant_id", "is missing: give it, or a reference")
    return UsesAsked(
        grant_id=parse_optional_uuid(request.grant_id, "grant_id"),
        reference=parse_text(request.reference, "reference", required=False) or None,
        line_id=parse_optional_uuid(request.line_id, "line_id"),
        revenue_only=request.revenue_only,
    )
