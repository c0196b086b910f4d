"""How properties are searched: with no time limit for one example; a busy machine breaks it."""

from hypothesis import settings

settings.register_profile("tally", deadline=None, print_blob=True)
settings.load_profile("tally")
