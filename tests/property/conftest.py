"""How properties are searched: without a time limit for one example, which a busy machine breaks."""

from hypothesis import settings

settings.register_profile("tally", deadline=None, print_blob=True)
settings.load_profile("tally")
