"""Calls a method of a component in one browser with what many browsers are told."""

from __future__ import annotations

from nicegui import ui

from console.telling import Telling


def tell(element: ui.element, method: str, told: Telling) -> None:
    """As `run_method`, without encoding what is told anew for each page. Into the outbox; nothing is awaited."""
    if not element.is_deleted:
        element.client.run_javascript(f"return runMethod({element.id}, '{method}', [{told.text}])")
