"""How much may be bought for a wallet at once."""

from __future__ import annotations

from dataclasses import dataclass

from libs.errors import Refused


class TopUpBelowMinimum(Refused):
    """Less is bought than the wallet takes at once."""

    reason = "TOP_UP_BELOW_MINIMUM"


class TopUpAboveMaximum(Refused):
    """More is bought than the wallet takes at once."""

    reason = "TOP_UP_ABOVE_MAXIMUM"


@dataclass(frozen=True, slots=True)
class Limits:
    """The least and the most, in minor units, that is bought for a wallet at once; None: any."""

    minimum_minor: int | None = None
    maximum_minor: int | None = None

    def check(self, bought_minor: int) -> None:
        """Refuse what lies outside; what is only given has no limits.

        Raises:
            TopUpBelowMinimum, TopUpAboveMaximum: it does.
        """
        least, most = self.minimum_minor, self.maximum_minor
        if bought_minor and least is not None and bought_minor < least:
            raise TopUpBelowMinimum(
                f"{bought_minor} is bought, the wallet takes at least {least}",
                metadata={"minimum_minor": str(least), "asked_minor": str(bought_minor)},
            )
        if most is not None and bought_minor > most:
            raise TopUpAboveMaximum(
                f"{bought_minor} is bought, the wallet takes at most {most}",
                metadata={"maximum_minor": str(most), "asked_minor": str(bought_minor)},
            )
