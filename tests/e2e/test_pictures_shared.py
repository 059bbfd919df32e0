"""Pictures by address, made by one gateway and fetched from another: replicas that share one PostgreSQL."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from support.callers import VOLTAGE, ask
from support.gateway import RunningGateway
from support.image_provider import opened
from tollhouse.settings import DatabaseUrl

IMAGES = "/v1/images/generations"


@pytest.mark.row(128)
def test_replicas_share_their_pictures(start_gateway: Callable[..., RunningGateway], postgres_url: str) -> None:
    one, other = (start_gateway(database_url=DatabaseUrl(postgres_url)) for _ in range(2))
    wish = {"prompt": "a toll house", "size": "256x256", "n": 2}
    answer = ask(one, "POST", IMAGES, VOLTAGE.auth(one.key()), wish).json()
    for each in answer["data"]:
        found = ask(other, "GET", urlsplit(each["url"]).path)
        assert (found.status, found.headers["content-type"]) == (200, "image/png")
        assert opened(found.body).size == (256, 256)
    assert not (one.data_dir / "data" / "pictures").exists()
