"""The gRPC face of the books."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import caller
from libs.db import Snapshots
from libs.verification import Counts, answers
from libs.wire import parse_page, parse_uuids
from services.wallet.operations import verifying
from tally.wallet.v1 import ledger_service_pb2 as pb
from tally.wallet.v1 import ledger_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """Answers for the books of the caller's tenant or, of an internal caller without, of all."""

    engine: AsyncEngine
    worker: AsyncEngine

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

    def _snapshots(self) -> Snapshots:
        return Snapshots(self.engine, self.worker, caller().tenant)
