"""Coupons that customers have: how long they last, and what using and giving back does to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from libs.errors import AlreadyExists, NotFound, Refused
from services.invoicing.domain.coupon import CouponScope, OpenCoupon
from services.invoicing.domain.discounts import AmountOff, Discount


class CouponNotFound(NotFound):
    """The tenant has no such coupon."""

    reason = "COUPON_NOT_FOUND"


class AppliedCouponNotFound(NotFound):
    """No customer has such a coupon."""

    reason = "APPLIED_COUPON_NOT_FOUND"


class CouponCodeTaken(AlreadyExists):
    """Another coupon has the code."""

    reason = "COUPON_CODE_TAKEN"


class CouponArchived(Refused):
    """The coupon is archived: no customer gets it any more."""

    reason = "COUPON_ARCHIVED"


class CouponExpired(Refused):
    """The coupon has expired: no customer gets it any more."""

    reason = "COUPON_EXPIRED"


class TooManyCoupons(Refused):
    """The customer has as many coupons that are not used up as it may."""

    reason = "TOO_MANY_COUPONS"


class Frequency(StrEnum):
    """How long a coupon lasts."""

    ONCE = "once"  # A percentage for one invoice, an amount until it is used up.
    PERIODS = "periods"  # For so many invoices, the whole of it for each.
    FOREVER = "forever"


class CouponStatus(StrEnum):
    """Whether a customer's coupon has something left."""

    ACTIVE = "active"
    USED = "used"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """A coupon that customers can be given, until it expires or is archived. Its terms stand.

    `currency` is that of an amount, and empty for a percentage; `periods` is 0 but for PERIODS.
    """

    code: str
    name: str
    discount: Discount
    currency: str = ""
    frequency: Frequency = Frequency.ONCE
    periods: int = 0
    scope: CouponScope = CouponScope()
    expires_at: datetime | None = None
    created_at: datetime
    archived_at: datetime | None = None

    @property
    def most_minor(self) -> int | None:
        """What it takes off at most of all invoices of a customer together; None: no bound."""
        if isinstance(self.discount, AmountOff) and self.frequency is Frequency.ONCE:
            return self.discount.amount_minor
        return None

    @property
    def most_count(self) -> int | None:
        """Of how many invoices of a customer it takes something at most; None: no bound."""
        if self.frequency is Frequency.PERIODS:
            return self.periods
        once = self.frequency is Frequency.ONCE and not isinstance(self.discount, AmountOff)
        return 1 if once else None

    def has_ended(self, now: datetime) -> bool:
        """Tell whether customers can be given it no more."""
        expired = self.expires_at is not None and self.expires_at <= now
        return expired or self.archived_at is not None

    def check_open(self, now: datetime) -> None:
        """Check that customers can be given it.

        Raises:
            CouponArchived, CouponExpired: they cannot.
        """
        if self.archived_at is not None:
            raise CouponArchived(f"the coupon {self.code} was archived at {self.archived_at}")
        if self.has_ended(now):
            raise CouponExpired(f"the coupon {self.code} expired at {self.expires_at}")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedCoupon:
    """A coupon of a customer: `used_minor` is what it took off of `used_count` invoices so far."""

    applied_coupon_id: UUID
    customer_id: str
    coupon: Coupon
    status: CouponStatus
    applied_at: datetime
    used_minor: int = 0
    used_count: int = 0
    removed_at: datetime | None = None

    @property
    def left(self) -> Discount:
        """What it takes off of the next invoice, if it is active."""
        most = self.coupon.most_minor
        return self.coupon.discount if most is None else AmountOff(most - self.used_minor)

    @property
    def periods_left(self) -> int:
        """Of how many more invoices it takes something; 0 where they are not counted."""
        return max(0, self.coupon.periods - self.used_count)

    def opened(self) -> OpenCoupon:
        """Return it as the next invoice sees it."""
        return OpenCoupon(
            applied_coupon_id=self.applied_coupon_id,
            code=self.coupon.code,
            name=self.coupon.name,
            discount=self.left,
            currency=self.coupon.currency,
            scope=self.coupon.scope,
        )

    def used(self, amount_minor: int) -> AppliedCoupon:
        """Return it after it took `amount_minor` off of an invoice."""
        after = self._counted(amount_minor, 1)
        used_up = (
            after.used_minor == self.coupon.most_minor or after.used_count == self.coupon.most_count
        )
        return replace(after, status=CouponStatus.USED) if used_up else after

    def given_back(self, amount_minor: int, *, ended: bool) -> AppliedCoupon:
        """Return it after an invoice of which it took `amount_minor` was voided.

        One that was removed stays so, and one that is used up if the coupon itself has `ended`.
        """
        after = self._counted(-amount_minor, -1)
        if self.status is CouponStatus.REMOVED or (self.status is CouponStatus.USED and ended):
            return after
        return replace(after, status=CouponStatus.ACTIVE)

    def _counted(self, amount_minor: int, count: int) -> AppliedCoupon:
        return replace(
            self, used_minor=self.used_minor + amount_minor, used_count=self.used_count + count
        )
