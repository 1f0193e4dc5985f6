"""The pages, in the order of the menu."""

from __future__ import annotations

from console.pages import alarm, city_map, enterprise, enterprises, supervisor, watch
from console.pages.page import Page

PAGES: tuple[Page, ...] = (watch.PAGE, city_map.PAGE, enterprises.PAGE, supervisor.PAGE, enterprise.PAGE, alarm.PAGE)
