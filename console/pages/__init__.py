"""The pages, in the order of the menu."""

from __future__ import annotations

from console.pages import alarm, city_map, supervisor, watch
from console.pages.page import Page

PAGES: tuple[Page, ...] = (watch.PAGE, city_map.PAGE, supervisor.PAGE, alarm.PAGE)
