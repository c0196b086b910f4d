"""Rules about Python, judged on its syntax tree. Each gives findings as `line: what`."""

import ast
import sys
from collections.abc import Iterator

FLOAT_NAMES = {"float", "float16", "float32", "float64", "double", "complex"}
SKIPPERS = {"skip", "skipif", "skipIf", "skipUnless", "xfail", "importorskip", "expectedFailure"}
SLEEPERS = {"time", "asyncio", "anyio", "trio"}
ENGINE_MAKERS = {"create_async_engine", "create_engine", "async_engine_from_config"}

# What the domain may import besides itself: it computes, and knows neither time nor place.
DOMAIN_LIBS = {
    "libs.difference",
    "libs.money",
    "libs.errors",
    "libs.partition",
    "libs.planes",
    "libs.anniversary",
    "libs.period",
    "libs.quantity",
    "libs.tenant",
}
DOMAIN_OTHERS = {"numpy"}
IMPURE = set(
    "asyncio concurrent io logging multiprocessing os pathlib random secrets selectors shutil"
    " signal socket sqlite3 ssl subprocess tempfile threading time urllib".split()
)


def find_binary_floats(text: str) -> list[str]:
    """Find float literals, and every mention of a binary float type."""
    findings = []
    for node in walk(text):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            findings.append(f"{node.lineno}: {node.value!r} is a binary float")
        elif (name := mentioned(node)) in FLOAT_NAMES:
            findings.append(f"{line_of(node)}: {name} is a binary float")
    return findings


def find_skips(text: str) -> list[str]:
    """Find tests that are skipped or expected to fail."""
    findings = []
    for node in walk(text):
        if isinstance(node, ast.Attribute) and node.attr in SKIPPERS:
            if root(node) in {"pytest", "unittest"}:
                findings.append(f"{node.lineno}: {node.attr} keeps a test from failing")
        if imported(node) & {f"{of}.{how}" for of in ("pytest", "unittest") for how in SKIPPERS}:
            findings.append(f"{line_of(node)}: keeps a test from failing")
    return findings


def find_sleeps(text: str) -> list[str]:
    """Find waiting for a length of time."""
    findings = []
    for node in walk(text):
        sleeps = isinstance(node, ast.Attribute) and node.attr == "sleep" and root(node) in SLEEPERS
        if sleeps or imported(node) & {f"{module}.sleep" for module in SLEEPERS}:
            findings.append(f"{line_of(node)}: sleeps; wait on a condition with tests.wait.until")
    return findings


def find_engines(text: str) -> list[str]:
    """Find ways into a database that pass by libs.db."""
    findings = []
    for node in walk(text):
        if (
            mentioned(node) in ENGINE_MAKERS
            or {name.rpartition(".")[2] for name in imported(node)} & ENGINE_MAKERS
        ):
            findings.append(f"{line_of(node)}: makes an engine; that is libs.db's")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            opens = node.func.attr in {"begin", "connect"}
            if opens and (mentioned(node.func.value) or "").lstrip("_").endswith("engine"):
                findings.append(f"{node.lineno}: opens a transaction; use libs.db.begin")
    return findings


def find_unfinished(text: str) -> list[str]:
    """Find stubs."""
    stubs = (node for node in walk(text) if mentioned(node) == "NotImplementedError")
    return [f"{line_of(node)}: is a stub" for node in stubs]


def find_impure_imports(text: str) -> list[str]:
    """Find imports that the domain of a service may not have."""
    findings = []
    for node in walk(text):
        for name in imported(node):
            top = name.split(".")[0]
            pure = top in sys.stdlib_module_names and top not in IMPURE
            own = top == "services" and name.split(".")[2:3] == ["domain"]
            lib = any(name == allowed or name.startswith(allowed + ".") for allowed in DOMAIN_LIBS)
            lib = lib or (name == "libs" and isinstance(node, ast.ImportFrom))
            if not (pure or own or lib or top in DOMAIN_OTHERS):
                findings.append(f"{line_of(node)}: a domain does not import {name}")
            if name in {"uuid.uuid1", "uuid.uuid4"}:
                findings.append(f"{line_of(node)}: ids come into a domain as arguments")
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today", "uuid4"}:
            findings.append(f"{node.lineno}: {node.attr} comes into a domain as an argument")
        if isinstance(node, ast.AsyncFunctionDef | ast.Await):
            findings.append(f"{node.lineno}: a domain does not wait")
    return findings


def walk(text: str) -> Iterator[ast.AST]:
    """Give every node of the syntax tree of `text`."""
    return ast.walk(ast.parse(text))


def line_of(node: ast.AST) -> int:
    """Return the line on which the node begins."""
    line: int = getattr(node, "lineno", 0)
    return line


def mentioned(node: ast.AST) -> str | None:
    """Return the name that the node mentions by itself: `engine` of `app.engine`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None


def root(node: ast.AST) -> str | None:
    """Return the first name of a dotted one: `pytest` of `pytest.mark.skip`."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def imported(node: ast.AST) -> set[str]:
    """Return the dotted names that the statement imports; `from a import b` gives `a.b`."""
    match node:
        case ast.Import(names=aliases):
            return {alias.name for alias in aliases}
        case ast.ImportFrom(module=str(module), names=aliases, level=0):
            return {f"{module}.{alias.name}" for alias in aliases}
        case _:
            return set()
