"""The gRPC face of top-up rules: parse, do, answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import auth
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.wire import page_token, parse_page, parse_page_token, parse_request, parse_uuid
from services.wallet.api.parsing import check_each
from services.wallet.api.top_up_parsing import parse_rule
from services.wallet.operations import top_up_rules as rules
from services.wallet.operations.desk import Desk
from services.wallet.operations.top_up_messages import rule_message
from tally.wallet.v1 import top_up_rule_service_pb2 as pb
from tally.wallet.v1 import top_up_rule_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class TopUpRuleServicer(top_up_rule_service_pb2_grpc.TopUpRuleServiceServicer):
    """Answers the methods about rules."""

    engine: AsyncEngine
    clock: Clock
    committed: Callable[[], None]  # Called after each commit that rules may be due by.

    async def CreateTopUpRule(
        self, request: pb.CreateTopUpRuleRequest, context: Context
    ) -> pb.CreateTopUpRuleResponse:
        """Give a wallet a rule."""
        identity = parse_request(request, request.request_id)
        if not request.HasField("rule"):
            raise FieldInvalid("rule", "is missing")
        check_each(
            lambda: parse_uuid(request.rule.wallet_id, "rule.wallet_id"),
            lambda: parse_rule(request.rule),
        )
        wallet_id = parse_uuid(request.rule.wallet_id, "rule.wallet_id")
        asked = parse_rule(request.rule)
        answer = await rules.create_rule(self._desk(), identity, wallet_id, asked)
        self.committed()
        return answer

    async def UpdateTopUpRule(
        self, request: pb.UpdateTopUpRuleRequest, context: Context
    ) -> pb.UpdateTopUpRuleResponse:
        """Change a rule."""
        identity = parse_request(request, request.request_id)
        if not request.HasField("rule"):
            raise FieldInvalid("rule", "is missing")
        check_each(
            lambda: parse_uuid(request.rule.rule_id, "rule.rule_id"),
            lambda: parse_rule(request.rule),
        )
        rule_id = parse_uuid(request.rule.rule_id, "rule.rule_id")
        asked = parse_rule(request.rule)
        answer = await rules.update_rule(self._desk(), identity, rule_id, asked)
        self.committed()
        return answer

    async def ArchiveTopUpRule(
        self, request: pb.ArchiveTopUpRuleRequest, context: Context
    ) -> pb.ArchiveTopUpRuleResponse:
        """End a rule."""
        identity = parse_request(request, request.request_id)
        return await rules.archive_rule(
            self._desk(), identity, parse_uuid(request.rule_id, "rule_id")
        )

    async def GetTopUpRule(
        self, request: pb.GetTopUpRuleRequest, context: Context
    ) -> pb.GetTopUpRuleResponse:
        """Return a rule."""
        rule = await rules.get_rule(self._desk(), parse_uuid(request.rule_id, "rule_id"))
        return pb.GetTopUpRuleResponse(rule=rule_message(rule))

    async def ListTopUpRules(
        self, request: pb.ListTopUpRulesRequest, context: Context
    ) -> pb.ListTopUpRulesResponse:
        """List the rules of a wallet."""
        wallet_id = parse_uuid(request.wallet_id, "wallet_id")
        page = parse_page(request.page_size, request.page_token)
        keys: Any = parse_page_token(page.token, int)
        found = await rules.list_rules(
            self._desk(), wallet_id, after=keys[0] if keys else 0, limit=page.size + 1
        )
        last = found[page.size - 1] if len(found) > page.size else None
        return pb.ListTopUpRulesResponse(
            rules=[rule_message(rule) for rule in found[: page.size]],
            next_page_token=page_token(last.number) if last else "",
        )

    def _desk(self) -> Desk:
        return Desk(self.engine, self.clock, auth.tenant())
