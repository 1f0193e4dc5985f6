"""The reading store's process beside the others."""

from __future__ import annotations

from streams.lifeline import begin
from tocsin.child import Child


def store_child() -> Child:
    """It is told `StoreSettings`."""
    return Child("store", lambda: begin("streams.store.process"))
