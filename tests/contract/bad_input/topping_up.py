"""What the wallet refuses of top-ups and of the rules that make them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.bad_input.rules import (
    ABSENT,
    CURRENCY,
    INSTANT,
    OPTIONAL_TEXT,
    OUTPUT,
    PAGE,
    UUID,
    ZONE,
    AnyValue,
    Fields,
    Refusal,
    Rule,
    enum,
    uuid_of,
)

MINOR_MAX = 10**15
ANOTHER = Refusal("JPY", reason="CURRENCY_MISMATCH", field="*")
# Whether it is 0 that lacks, or the other part as well, is told by the field that may hold it.
MINOR: Rule = {"negative": -1, "oversized": MINOR_MAX + 1}
ABOVE_ZERO: Rule = {**MINOR, "absent": 0}
AMOUNT: Rule = {"negative": -1, "oversized": 2**63 - 1}

RULE: Fields = {
    "rule.name": OPTIONAL_TEXT,
    "rule.threshold": {"absent": Refusal(None, field="rule.trigger")},
    "rule.threshold.threshold_minor": {
        **MINOR,
        "at the target": Refusal(200, field="rule.target.target_minor"),
    },
    "rule.threshold.cool_down": {
        "negative": {"seconds": -1},
        "malformed": {"seconds": 1, "nanos": 1},
        "oversized": {"seconds": 367 * 86_400},
    },
    "rule.interval": {"absent": Refusal({}, field="rule.interval.interval")},
    "rule.interval.interval": enum(),
    "rule.interval.first_day": AnyValue("absent: the day on which the wallet was opened"),
    "rule.interval.first_day.year": {"malformed": Refusal(1, field="*")},
    "rule.interval.first_day.month": {"malformed": Refusal(13, field="*")},
    "rule.interval.first_day.day": {"malformed": Refusal(32, field="*")},
    "rule.fixed": {"empty": Refusal({}, field="rule.fixed.paid_minor")},
    "rule.fixed.paid_minor": ABOVE_ZERO,
    "rule.fixed.granted_minor": MINOR,
    "rule.target": {"absent": Refusal(None, field="rule.amount")},
    "rule.target.target_minor": ABOVE_ZERO,
    "rule.target.granted": AnyValue("bought, or given"),
    "rule.time_zone": ZONE,
    "rule.requires_payment": AnyValue("both are good"),
    "rule.ignores_limits": AnyValue("both are good"),
    "rule.monthly_cap_minor": {**MINOR, "zero": 0},
    "rule.expires_at": INSTANT,
    "rule.created_at": OUTPUT,
    "rule.archived_at": OUTPUT,
}

TOPPING_UP: Mapping[str, Fields] = {
    "tally.wallet.v1.WalletService.TopUp": {
        "request_id": UUID,
        "top_up": ABSENT,
        "top_up.top_up_id": OUTPUT,
        "top_up.wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "top_up.paid": AnyValue("absent: nothing is bought"),
        "top_up.paid.currency_code": {**CURRENCY, "another": ANOTHER},
        "top_up.paid.amount_minor": {
            **AMOUNT,
            "below the minimum": Refusal(99, "FAILED_PRECONDITION", "TOP_UP_BELOW_MINIMUM", ""),
            "above the maximum": Refusal(
                10**9 + 1, "FAILED_PRECONDITION", "TOP_UP_ABOVE_MAXIMUM", ""
            ),
        },
        "top_up.granted": AnyValue("absent: nothing is given"),
        "top_up.granted.currency_code": {**CURRENCY, "another": ANOTHER},
        "top_up.granted.amount_minor": AMOUNT,
        "top_up.requires_payment": AnyValue("both are good"),
        "top_up.status": OUTPUT,
        "top_up.rule_id": OUTPUT,
        "top_up.created_at": OUTPUT,
        "top_up.closed_at": OUTPUT,
    },
    "tally.wallet.v1.WalletService.ListTopUps": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "status": {"malformed": 99},
        **PAGE,
    },
    "tally.wallet.v1.TopUpRuleService.CreateTopUpRule": {
        "request_id": UUID,
        "rule": ABSENT,
        "rule.rule_id": OUTPUT,
        "rule.wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        **RULE,
    },
    "tally.wallet.v1.TopUpRuleService.UpdateTopUpRule": {
        "request_id": UUID,
        "rule": ABSENT,
        "rule.rule_id": uuid_of("rule", "TOP_UP_RULE_NOT_FOUND"),
        "rule.wallet_id": AnyValue("stays as it is"),
        **RULE,
    },
    "tally.wallet.v1.TopUpRuleService.ArchiveTopUpRule": {
        "request_id": UUID,
        "rule_id": uuid_of("rule", "TOP_UP_RULE_NOT_FOUND"),
    },
    "tally.wallet.v1.TopUpRuleService.GetTopUpRule": {
        "rule_id": uuid_of("rule", "TOP_UP_RULE_NOT_FOUND"),
    },
    "tally.wallet.v1.TopUpRuleService.ListTopUpRules": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        **PAGE,
    },
}
