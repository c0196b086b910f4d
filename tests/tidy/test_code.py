"""The rules about Python hold, and each finds the example of what it forbids."""

import pytest

from tests.tidy import code_rules, tree

# Rule; the files it judges; those among them that may: with the reason in the comment.
RULES: dict[str, tuple[tree.Rule, list[str], list[str]]] = {
    "money and usage know no binary floats": (
        code_rules.find_binary_floats,
        ["services/*/domain/**", "libs/money.py", "libs/period.py"],
        [],
    ),
    "a domain is pure": (code_rules.find_impure_imports, ["services/*/domain/**"], []),
    "no test is skipped or expected to fail": (code_rules.find_skips, ["tests/**"], []),
    # wait.py is what all others wait with; a load that is measured has a pace.
    "no test sleeps": (
        code_rules.find_sleeps,
        ["tests/**"],
        [
            "tests/wait.py",
            "tests/bench/pipeline.py",
            "tests/bench/wallets.py",
            "tests/bench/ingest/flood.py",
            "tests/bench/ingest/measuring.py",
        ],
    ),
    "libs.db is the only way into a database": (
        code_rules.find_engines,
        ["services/**", "libs/**", "cli/**", "demo/**"],
        # Migrations run as the owner, before any tenant exists.
        [
            "libs/db.py",
            "libs/migrations.py",
            "libs/migrations/**",
            "services/*/store/migrations/**",
        ],
    ),
    "nothing is a stub": (code_rules.find_unfinished, ["*.py"], []),
}

EXAMPLES = [
    (code_rules.find_binary_floats, "price = Decimal(0.1)", 1),
    (code_rules.find_binary_floats, "def share(part: float) -> Decimal: ...", 1),
    (code_rules.find_binary_floats, "column = values.astype(numpy.float64)", 1),
    (code_rules.find_binary_floats, "price = Decimal('0.1') * 3 // 2", 0),
    (code_rules.find_impure_imports, "import asyncio", 1),
    (code_rules.find_impure_imports, "from services.rating.store import meters", 1),
    (code_rules.find_impure_imports, "from libs import money, db", 1),
    (code_rules.find_impure_imports, "from libs.db import begin", 1),
    (code_rules.find_impure_imports, "from tally.common.v1 import money_pb2", 1),
    (code_rules.find_impure_imports, "start = datetime.now(UTC)", 1),
    (code_rules.find_impure_imports, "from uuid import UUID, uuid4", 1),
    (code_rules.find_impure_imports, "async def load() -> None: ...", 1),
    (code_rules.find_impure_imports, "from services.rating.domain.tiers import Tier", 0),
    (code_rules.find_impure_imports, "from libs.money import Money\nimport decimal", 0),
    (code_rules.find_skips, "@pytest.mark.skipif(True, reason='later')\ndef test(): ...", 1),
    (code_rules.find_skips, "from pytest import xfail", 1),
    (code_rules.find_skips, "pytest.importorskip('numpy')", 1),
    (code_rules.find_skips, "rows.skip(3)", 0),
    (code_rules.find_sleeps, "await asyncio.sleep(1)", 1),
    (code_rules.find_sleeps, "from time import sleep", 1),
    (code_rules.find_sleeps, "await until(lambda: done)", 0),
    (code_rules.find_engines, "async with self._engine.begin() as conn: ...", 1),
    (code_rules.find_engines, "engine = sqlalchemy.create_engine(url)", 1),
    (code_rules.find_engines, "from sqlalchemy.ext.asyncio import create_async_engine", 1),
    (code_rules.find_engines, "async with db.begin(engine, tenant) as conn: ...", 0),
    (code_rules.find_unfinished, "raise NotImplementedError('soon')", 1),
]


@pytest.mark.parametrize("rule", RULES)
def test_the_code_keeps_the_rule(rule: str) -> None:
    find, judged, allowed = RULES[rule]
    excepted = set(tree.matching(*allowed)) if allowed else set()
    files = [name for name in tree.matching(*judged) if name.endswith(".py")]
    assert files, f"{judged} match no file: the rule judges nothing"
    tree.check(find, [name for name in files if name not in excepted])


@pytest.mark.parametrize(("rule", "text", "count"), EXAMPLES)
def test_a_rule_finds_what_it_forbids(rule: tree.Rule, text: str, count: int) -> None:
    findings = rule(text)
    assert len(findings) == count, findings
    assert all(finding.startswith("1: ") for finding in findings)
