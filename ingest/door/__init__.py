"""The MQTT endpoint for devices: 3.1.1 and 5, a PUBACK means that the message is on disk. Not a general broker."""

from ingest.door.limits import Cause, Counts, DoorSettings, Dropped
from ingest.door.loop import Door

__all__ = ["Cause", "Counts", "Door", "DoorSettings", "Dropped"]
