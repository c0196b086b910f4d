"""What ends the demo early."""


class DemoFailed(Exception):
    """Something is not as the story has it; the message says what, with the numbers."""
