"""The pages, in the order of the menu."""

from __future__ import annotations

from console.pages import (
    alarm,
    city_map,
    device,
    devices,
    enterprise,
    enterprises,
    health,
    me,
    refused,
    rules,
    supervisor,
    watch,
)
from console.pages.page import Page

PAGES: tuple[Page, ...] = (
    watch.PAGE,
    city_map.PAGE,
    enterprises.PAGE,
    devices.PAGE,
    supervisor.PAGE,
    rules.PAGE,
    health.PAGE,
    # Behind those of the menu. A longer address goes before one that would take it for a name.
    refused.PAGE,
    device.PAGE,
    enterprise.PAGE,
    alarm.PAGE,
    me.PAGE,
)
