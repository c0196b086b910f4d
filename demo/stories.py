"""All stories, in the order in which they are told."""

from __future__ import annotations

from demo import ai_text, analytics_weekly, electricity, saas_credits
from demo.story import Story


def stories() -> list[Story]:
    """Return the four stories, with all their events."""
    return [ai_text.story(), saas_credits.story(), analytics_weekly.story(), electricity.story()]
