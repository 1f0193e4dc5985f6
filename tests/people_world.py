"""An enterprise with its zone, device and contacts, written as the registry does."""

from __future__ import annotations

import psycopg

DISTRICT = "330106"


def settle(dsn: str, code: str = "shop-1", *, name: str = "城东饭店", name_en: str = "East Gate Diner") -> None:
    """A restaurant with a kitchen, in which the device `kitchen` hangs."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO districts (code, name, name_en) VALUES (%s, '西湖区', 'Xihu') ON CONFLICT DO NOTHING",
            [DISTRICT],
        )
        connection.execute(
            "INSERT INTO enterprises (code, name, name_en, trade, district, address, address_en)"
            " VALUES (%s, %s, %s, 'H6210', %s, '文三路 1 号', '1 Wensan Road')",
            [code, name, name_en, DISTRICT],
        )
        connection.execute("INSERT INTO zones VALUES (%s, 'kitchen', '后厨', 'Kitchen', '1')", [code])
        connection.execute(
            "INSERT INTO devices (enterprise, device, id, facts, zone, name, name_en)"
            " VALUES (%s, 'kitchen', hashtext(%s), '{}', 'kitchen', '烟感2', 'Detector 2')",
            [code, code],
        )


def add_contact(
    dsn: str,
    order: int,
    *,
    enterprise: str = "shop-1",
    name: str = "",
    language: str = "zh",
    hours: str = "",
    least: str = "orange",
    phone: str = "",
) -> str:
    """Returns its name as a recipient."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            'INSERT INTO contacts (enterprise, "order", name, phone, language, hours, least)'
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [enterprise, order, name or f"联系人{order}", phone or f"+86100000000{order:02}", language, hours, least],
        )
    return f"contact:{enterprise}:{order}"
