"""One readable log out of the services' JSON lines."""

from pathlib import Path

from deploy.embedded.logs import Follower, render
from tests.wait import until


def test_a_line_shows_level_service_message_and_fields() -> None:
    line = (
        '{"time": "2014-01-01T00:00:00.125Z", "level": "warning", "service": "rating",'
        ' "logger": "x", "message": "gap in the facts", "source": "ingest", "missing": 3}'
    )
    shown = render("rating", line).plain
    assert shown.split()[1:] == "WARN rating gap in the facts source=ingest missing=3".split()
    assert shown.split()[0].endswith(":00.125")


def test_of_a_traceback_only_what_was_raised_is_shown() -> None:
    traceback = "Traceback (most recent call last):\\n  File x\\nos.Gone: not there\\nDETAIL: soon"
    shown = render("wallet", f'{{"message": "failed", "exception": "{traceback}"}}').plain
    assert shown.endswith(" failed  os.Gone: not there")


def test_what_is_not_json_is_shown_as_it_is() -> None:
    assert render("ingest", "Segmentation fault [core]").plain.endswith("Segmentation fault [core]")


async def test_lines_are_shown_once_whole_and_from_now_on(tmp_path: Path) -> None:
    path, shown = tmp_path / "rating.jsonl", list[str]()
    path.write_text("before\n")
    with Follower({"rating": path}, lambda name, line: shown.append(line)):
        with path.open("a") as file:
            file.write("first\nsec")
            file.flush()
            await until(lambda: shown == ["first"])
            file.write("ond\n")
            file.flush()
            await until(lambda: shown == ["first", "second"])
            file.write("the end")
    assert shown == ["first", "second", "the end"]
