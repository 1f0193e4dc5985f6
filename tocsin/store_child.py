"""The reading store's process beside the others."""

from __future__ import annotations

from streams.store.process import StoreSettings, spawn
from tocsin.child import Child


def store_child(settings: StoreSettings) -> Child:
    return Child("store", lambda: spawn(settings))
