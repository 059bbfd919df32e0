"""Serving: the configuration of a server that serves the door."""

from tollhouse.http.app import DoorApp
from tollhouse.http.config import DoorConfig
from tollhouse.http.limits import Limits
from tollhouse.http.protocol import DoorProtocol


def server_config(app: DoorApp, limits: Limits) -> DoorConfig:
    """What `uvicorn.Server` needs; sockets, signals and draining are its caller's business."""
    return DoorConfig(app, DoorProtocol, limits, app.word)
