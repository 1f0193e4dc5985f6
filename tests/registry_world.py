"""What tests of the registry are made of: two districts with a few shops, and those who look at them."""

from __future__ import annotations

from typing import Any

import psycopg

from registry.directory import Directory
from registry.views import Placed
from schemas.enterprises import Contact, District, Enterprise, Flammables, Zone
from schemas.viewers import Role, Viewer

WEST, EAST = District("330106", "西湖区", "Xihu"), District("330102", "上城区", "Shangcheng")
HOUSE = Viewer("house", Role.ADMINISTRATOR)
DESK = Viewer("desk", Role.OPERATOR)
WEST_DESK = Viewer("west", Role.OPERATOR, districts=("330106",))
BUREAU = Viewer("bureau", Role.SUPERVISOR, districts=("330106",))
OWNER = Viewer("owner", Role.OWNER, enterprises=("noodles",))
FITTER = Viewer("fitter", Role.INTEGRATOR, enterprises=("noodles", "tailor"))

NOODLES = Enterprise(
    code="noodles",
    name="老王面馆",
    name_en="Wang's Noodles",
    trade="H6210",
    district="330106",
    address="文三路 1 号",
    longitude=120.13,
    latitude=30.27,
    hours="Mo-Su 10:00-14:00,17:00-02:00",
    area_m2=85.5,
    built=1998,
    open_flame=True,
    flammables=Flammables.SOME,
    people=40,
)
TAILOR = Enterprise(code="tailor", name="裁缝铺", trade="C1810", district="330102")
BAR = Enterprise(code="bar", name="100%_酒吧", trade="H6233", district="330106")
KITCHEN = Zone("noodles", "kitchen", "厨房", "Kitchen", "1")
WANG = Contact(enterprise="noodles", order=1, name="王伟", duty="owner", phone="+8613800138000")


def settle(dsn: str) -> Directory:
    """A directory of the two districts, the three shops, a zone and a contact."""
    directory = Directory(dsn)
    for district in (WEST, EAST):
        directory.put_district(HOUSE, district)
    for enterprise in (NOODLES, TAILOR, BAR):
        directory.put_enterprise(HOUSE, enterprise)
    directory.put_zone(HOUSE, KITCHEN)
    directory.put_contact(HOUSE, WANG)
    return directory


def panel(enterprise: str = "noodles", device: str = "panel", **more: Any) -> Placed:
    return Placed(enterprise=enterprise, device=device, **more)


def speak(dsn: str, enterprise: str, device: str, *sensors: str) -> None:
    """A device is heard, as the store keeps it."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO device_sensors (enterprise, device, sensors) VALUES (%s, %s, %s)",
            (enterprise, device, list(sensors)),
        )
