"""The rules about text hold, and each finds the example of what it forbids."""

from pathlib import Path

import pytest

from tests.tidy import text_rules, tree

CODE = ["*.py", "*.proto", "*.sh", "*.toml", "*.yaml", "*.typ", "Makefile", ".ci/run"]
LOCKS = ["requirements.lock", "requirements-dev.lock"]
RECORDS = [name for name in tree.matching("docs/decisions/**") if not name.endswith("README.md")]
# Not written by hand, or not ours to cut.
LONG = {*LOCKS, "sdk/typescript/package-lock.json", "LICENSE"}
LONG |= {*tree.matching("tests/vectors/**", "demo/data/**", "docs/examples/**")}
# Messages stay in the file that they were released in, which grows with the service.
LONG.add("proto/tally/invoicing/v1/invoice_service.proto")
LONG.add("proto/tally/wallet/v1/wallet_service.proto")

HASH = "--hash=sha256:" + "0" * 64
RECORD = "# 0007 Why\n\nStatus: accepted\n\n## Context\n## Decision\n## Consequences\n"
EXAMPLES = [
    (text_rules.find_machine_paths, "path = '/ro" + "ot/project/x'", 1),
    (text_rules.find_machine_paths, "cd /ho" + "me/ann/tally", 1),
    (text_rules.find_machine_paths, "see libs/work/order.py and ~/root/x", 0),
    (text_rules.find_index_hosts, "https://py" + "pi.org/simple", 1),
    (text_rules.find_index_hosts, "pip install --index" + "-url x", 1),
    (text_rules.find_index_hosts, "uv pip compile --no-emit-index-url", 0),
    (text_rules.find_left_to_do, "# TO" + "DO: later", 1),
    (text_rules.find_length, "line\n" * 401, 1),
    (text_rules.find_length, "line\n" * 400, 0),
    (text_rules.find_lock_faults, "click==8.1", 1),
    (text_rules.find_lock_faults, "click>=8.1 \\\n    " + HASH, 1),
    (text_rules.find_lock_faults, "click @ https://example.org/click.whl \\\n    " + HASH, 1),
    (text_rules.find_lock_faults, "--index x", 1),
    (text_rules.find_lock_faults, "click==8.1 \\\n    --hash=md5:00", 1),
    (text_rules.find_lock_faults, f"uvloop==1 ; os_name == 'x' \\\n    {HASH} \\\n    {HASH}", 0),
    (text_rules.find_record_faults, RECORD, 0),
    (text_rules.find_record_faults, RECORD.replace("accepted", "new"), 1),
    (text_rules.find_record_faults, RECORD.replace("## Context\n", ""), 1),
    (text_rules.find_record_faults, RECORD.replace("0007", "7"), 1),
    (text_rules.find_record_faults, RECORD + "\n" * 50, 1),
    (text_rules.find_changelog_faults, "# Changelog\n\n\n## Unreleased\n\n- Adds a thing.\n", 0),
    (text_rules.find_changelog_faults, "# Changelog\n\n\n## Unreleased\n\nAdds a thing\n", 1),
    (text_rules.find_changelog_faults, "# Changelog\n\n\n## 1.0\n", 1),
]


def test_no_file_names_a_machine_or_a_package_index() -> None:
    files = [name for name in tree.matching("*") if not name.startswith("demo/data/")]
    tree.check(text_rules.find_machine_paths, files)
    tree.check(text_rules.find_index_hosts, files)


def test_nothing_is_left_to_do() -> None:
    tree.check(text_rules.find_left_to_do, tree.matching(*CODE))


def test_no_file_is_longer_than_400_lines() -> None:
    files = [name for name in tree.matching("*") if name not in LONG]
    tree.check(text_rules.find_length, files)


def test_locks_pin_by_hash() -> None:
    tree.check(text_rules.find_lock_faults, LOCKS)


def test_what_is_tested_is_what_runs() -> None:
    runtime, dev = ((tree.ROOT / name).read_text() for name in LOCKS)
    packages = text_rules.locked(runtime)
    assert len(packages) > 20
    assert packages.items() <= text_rules.locked(dev).items()


def test_decision_records_have_one_form_and_gapless_numbers() -> None:
    tree.check(text_rules.find_record_faults, RECORDS)
    numbers = [int(Path(name).name[:4]) for name in RECORDS]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_decision_record_is_in_the_index() -> None:
    index = (tree.ROOT / "docs/decisions/README.md").read_text()
    titles = {Path(name).name: (tree.ROOT / name).read_text().splitlines()[0] for name in RECORDS}
    for name, title in titles.items():
        assert title.startswith(f"# {name[:4]} ")
        assert f"- [{title[2:]}]({name})" in index.splitlines()


def test_the_changelog_has_one_line_per_change() -> None:
    tree.check(text_rules.find_changelog_faults, ["CHANGELOG.md"])


@pytest.mark.parametrize("name", list(tree.matching("*.md")))
def test_links_lead_somewhere(name: str) -> None:
    def exists(path: str, anchor: str) -> bool:
        target = (tree.ROOT / name).parent / path if path else tree.ROOT / name
        if not anchor or not target.is_file():
            return target.exists() and not anchor
        return anchor in text_rules.anchors(target.read_text())

    tree.check_none(text_rules.find_dead_links(tree.read(name) or "", exists))


def test_a_dead_link_is_found() -> None:
    text = "# A b\n[x](there.md) [y](gone.md) [z](#a-b) [w](#c) [v](https://example.org)\n"
    present = {("there.md", ""), ("", "a-b")}
    found = text_rules.find_dead_links(text, lambda path, anchor: (path, anchor) in present)
    assert found == ["2: gone.md leads nowhere", "2: #c leads nowhere"]
    assert text_rules.anchors("# A b\n```\n# not one\n```\n## Who's `next`?\n") == {
        "a-b",
        "whos-next",
    }


@pytest.mark.parametrize(("rule", "text", "count"), EXAMPLES)
def test_a_rule_finds_what_it_forbids(rule: tree.Rule, text: str, count: int) -> None:
    findings = rule(text)
    assert len(findings) == count, findings
