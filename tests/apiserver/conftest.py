"""The server that tests of the API server speak to."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.apiserver.calling import CRDS, Api, serving, widget_definition


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """A fresh server, in memory."""
    async with serving(tmp_path) as caller:
        yield caller


@pytest.fixture
async def widgets(api: Api) -> Api:
    """A fresh server that knows the custom kind Widget."""
    assert (await api("POST", CRDS, widget_definition())).code == 201
    return api
