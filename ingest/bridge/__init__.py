"""Reads a broker that is already there, and hands what devices say to the log."""

from ingest.bridge.limits import BridgeSettings
from ingest.bridge.loop import Bridge

__all__ = ["Bridge", "BridgeSettings"]
