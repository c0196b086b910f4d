"""What ends is started again: soon at first, then less often, and soon again once it is steady."""

from pathlib import Path

from deploy.embedded import processes
from deploy.embedded.processes import Process
from deploy.embedded.supervisor import Supervisor, describe_end


class Parts:
    """One part, a real process that sleeps."""

    parts = ["rating"]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.running: Process | None = None
        self.starts = 0

    def process(self, name: str) -> Process | None:
        return self.running

    def start_part(self, name: str) -> None:
        self.starts += 1
        self.running = processes.start(
            ["sleep", "600"], name=name, folder=self._folder, log=self._folder / "log"
        )

    def kill(self) -> None:
        assert self.running is not None
        self.running.kill()


def test_a_part_that_ends_is_started_again_with_a_growing_delay(tmp_path: Path) -> None:
    parts, said = Parts(tmp_path), list[str]()
    supervisor = Supervisor(parts, said.append)
    parts.start_part("rating")
    try:
        supervisor.mend(100)
        assert said == []
        parts.kill()
        supervisor.mend(100)
        supervisor.mend(100.4)
        assert parts.starts == 1
        supervisor.mend(100.5)
        assert parts.starts == 2
        parts.kill()
        supervisor.mend(101)
        supervisor.mend(161)
        assert parts.starts == 3
        supervisor.mend(221)
        parts.kill()
        supervisor.mend(222)
    finally:
        parts.kill()
    assert said == [
        "rating was killed by SIGKILL; it starts again in 0.5 s",
        "rating was started again",
        "rating was killed by SIGKILL; it starts again in 1 s",
        "rating was started again",
        "rating was killed by SIGKILL; it starts again in 0.5 s",
    ]


def test_an_end_is_described_in_words() -> None:
    assert describe_end(None) == "ended"
    assert describe_end(1) == "ended with status 1"
    assert describe_end(-15) == "was killed by SIGTERM"
