"""Everything is rendered, and the image's environment is made, once."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.deploy.manifests import OVERLAYS, Overlay, render
from tests.slow.deploy.recipe import Image, build


@pytest.fixture(scope="session")
def overlays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Overlay]:
    """The overlays by name."""
    return {name: render(name, tmp_path_factory.mktemp(name)) for name in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, overlays: dict[str, Overlay]) -> Overlay:
    """Each overlay in turn."""
    return overlays[request.param]


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp(prefix="tally-deploy-"))
    os.chmod(folder, 0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def image(open_folder: Path) -> Image:
    """What deploy/Dockerfile makes, without a container."""
    return build(open_folder / "image")
