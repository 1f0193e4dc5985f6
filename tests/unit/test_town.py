"""The city: its trades, who lives in it, what a registry knows of it, and what it sends."""

from __future__ import annotations

import calendar
import csv
import io
import itertools
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from registry import importing
from schemas.enterprises import Contact, District, Enterprise, Zone
from schemas.errors import ConfigError
from schemas.identity import NAME
from schemas.measures import BY_NAME
from sensors_sim.city import City, Message
from sensors_sim.opening import AROUND_MIN, busy_week, week_of
from sensors_sim.plants import CHANNELS, known_specs
from sensors_sim.publisher import payload
from sensors_sim.register import DeviceRow, register
from sensors_sim.scenario import Fire, Scenario, SensorFault
from sensors_sim.scenarios import load
from sensors_sim.town import Shop, settle
from sensors_sim.trade import Trade
from sensors_sim.trades import all_trades
from sensors_sim.weather import DAY_S, Weather
from tocsin.commands.sim import app

TRADES = all_trades()
FRIDAY_S = float(calendar.timegm((2026, 5, 15, 0, 0, 0)))


def of_trade(word: str, count: int = 1, *events: SensorFault | Fire) -> City:
    """A city of one trade, whose devices are those of the city of all."""
    trade = next(t for t in TRADES if t.trade == word)
    scenario = Scenario(says="", seconds=1.0, event=events)
    return City(scenario, [trade], count, 1, local_start_s=FRIDAY_S + 12 * 3600)


@pytest.mark.parametrize("trade", TRADES, ids=lambda t: t.trade)
def test_a_trade_is_whole(trade: Trade) -> None:
    """A trade without names, facts or a known measure would be seen only in the console, by a person."""
    assert trade.gb
    assert trade.zh and trade.en and trade.facts and trade.naming
    assert trade.weight > 0
    zones = {zone.zone for zone in trade.zone}
    for device in trade.device:
        assert device.zone in zones and device.zh and device.en and device.supply, device.name
        assert all(sensor.measure in BY_NAME for sensor in device.sensors)
        assert all(sensor.channel in ("", *CHANNELS) for sensor in device.sensors)
        assert device.plant == "none" or all(map(known_specs(device.plant), device.spec)), device.name
    assert any(device.plant == "panel" for device in trade.device)
    assert {"gateway"} >= {device.behind for device in trade.device} - {""}


def test_there_are_a_dozen_trades_and_more_and_a_city_of_300_has_them_all() -> None:
    """A trade that is too rare would never be shown."""
    assert len(TRADES) >= 12
    assert {shop.trade.trade for shop in settle(TRADES, 300, 1)} == {trade.trade for trade in TRADES}


def test_the_same_seed_is_the_same_city_and_another_is_not() -> None:
    def sent(seed: int) -> list[Message]:
        return list(City(*load("busy_evening"), shops=25, seed=seed).until(45))

    assert sent(1) == sent(1)
    assert sent(1) != sent(2)


def test_an_enterprise_lives_the_same_in_a_village_and_in_a_city() -> None:
    """Else a finding in a city of 30,000 could not be looked at in a small one."""
    village = City(*load("city"), shops=5, seed=3, local_start_s=FRIDAY_S)
    city = City(*load("city"), shops=60, seed=3, local_start_s=FRIDAY_S)
    ours = set(village.enterprises)
    assert list(village.until(70)) == [m for m in city.until(70) if m.enterprise in ours]


def test_what_happens_to_the_nth_restaurant_does_not_depend_on_the_other_trades() -> None:
    city = City(*load("watch_room"), shops=80, seed=1)
    first = next(shop.code for shop in city.shops if shop.trade.trade == "restaurant")
    hot = {m.enterprise for m in city.until(120) if m.values.get("smoke", 0.0) > 4.0}
    assert hot == {first}


def test_all_values_can_be_shown_by_their_instruments_and_each_device_speaks_within_its_period() -> None:
    city = City(*load("city"), shops=40, seed=1, local_start_s=FRIDAY_S + 19 * 3600)
    heard = set()
    for message in city.until(62):
        heard.add((message.enterprise, message.device))
        for sensor, value in message.values.items():
            low, high = BY_NAME[sensor.partition(".")[0]].instrument
            assert low <= value <= high
    quick = {name for name, plan in zip(city.devices, city.plans, strict=True) if plan.period <= 60}
    assert quick <= heard


@pytest.mark.parametrize(
    ("hours", "open_at", "closed_at"),
    [
        ("Mo-Fr 08:00-18:00", (0, 8, 0), (5, 12, 0)),
        ("Tu-Su 11:00-14:00,17:00-22:00", (1, 13, 59), (1, 15, 0)),
        ("Mo-Su 18:00-03:00", (6, 23, 0), (0, 4, 0)),
        ("24/7", (3, 3, 0), None),
    ],
)  # fmt: skip
def test_nobody_works_outside_of_the_opening_hours_but_for_half_an_hour(
    hours: str, open_at: tuple[int, int, int], closed_at: tuple[int, int, int] | None
) -> None:
    def minute(at: tuple[int, int, int]) -> int:
        return at[0] * 1440 + at[1] * 60 + at[2]

    week, busy = week_of(hours), busy_week(hours, ((0.0, 1.0),), (1.0,) * 7)
    assert week[minute(open_at)] and busy[minute(open_at)] > 0.5
    assert closed_at is None or not week[minute(closed_at)]
    near = np.convolve(np.concatenate([week, week, week]), np.ones(2 * AROUND_MIN + 1), "same")[10_080:20_160] > 0.5
    assert (busy[~near] == 0.0).all()


def test_a_closed_shop_rests_and_an_open_one_works() -> None:
    """The load of a shop tells its hours, as an officer reads it from the chart."""
    night, day = of_trade("garment_factory"), of_trade("garment_factory")
    night.start(FRIDAY_S + 2 * 3600)
    day.start(FRIDAY_S + 10 * 3600)

    def load_of(city: City) -> float:
        return max(m.values["current.L1"] for m in city.until(60) if "current.L1" in m.values)

    assert night.busy()[0] == 0.0
    assert load_of(night) < 0.2 * 160.0 < 0.4 * 160.0 < load_of(day)


def test_weekends_are_quieter_in_an_office() -> None:
    city = of_trade("office")
    city.start(FRIDAY_S + 11 * 3600)
    friday = city.busy()[0]
    city.start(FRIDAY_S + 2 * DAY_S + 11 * 3600)
    assert city.busy()[0] == 0.0 < friday


def test_the_weather_has_seasons_and_nights_and_is_the_same_whenever_it_is_asked() -> None:
    weather = Weather(1)
    days = [float(calendar.timegm((2026, month, 15, 14, 0, 0))) for month in (1, 4, 7)]
    january, april, july = (np.mean([weather.outdoor_c(day + i * DAY_S) for i in range(10)]) for day in days)
    assert january < april - 5.0 < july - 10.0
    assert weather.outdoor_c(FRIDAY_S + 4 * 3600) < weather.outdoor_c(FRIDAY_S + 15 * 3600)
    asked = [weather.outdoor_c(FRIDAY_S + i * 3600) for i in range(48)]
    assert asked == [Weather(1).outdoor_c(FRIDAY_S + i * 3600) for i in range(48)]
    assert max(abs(b - a) for a, b in itertools.pairwise(asked)) < 3.0


def test_a_dead_gateway_silences_all_behind_it_and_its_connection_breaks() -> None:
    city = of_trade("hotel", 2, SensorFault(at=60, where="gateway", shops=(1,), kind="dead", lasts=60))
    sent = list(city.until(240))
    dead, alive = ([m for m in sent if m.enterprise == f"shop-000{n}"] for n in (1, 2))
    assert [(m.at_s, m.device, m.online) for m in dead if m.online is not None] == [
        (60, "gateway", False), (120, "gateway", True)
    ]  # fmt: skip
    assert not [m for m in dead if 60 <= int(m.at_s) < 120 and m.online is None]
    assert {m.device for m in dead if m.at_s > 120} >= {"lobby", "laundry", "panel", "gateway"}
    assert [m for m in alive if 60 <= m.at_s < 120]
    assert not [m for m in sent if m.history]


def test_what_a_cut_off_device_measured_comes_afterwards_as_a_back_fill() -> None:
    fault = SensorFault(at=60, where="gateway", shops=(1,), kind="outage", lasts=300)
    cut, whole = of_trade("office", 1, fault), of_trade("office")
    sent = list(cut.until(600))
    assert not [m for m in sent if 60 <= int(m.at_s) < 360 and m.online is None]
    filled = [(ts, m.device, values) for m in sent for ts, values in m.history]
    assert {int(m.at_s) for m in sent if m.history} == {360}
    expected = [(m.ts_s, m.device, m.values) for m in whole.until(600) if 60 <= int(m.at_s) < 360]
    assert sorted(filled, key=str) == sorted(expected, key=str)
    body = payload(next(m for m in sent if m.history), 1000.0)
    assert body.startswith(b'[{"ts":10')
    assert body.endswith(b"]")


def test_a_smoke_alarm_that_stands_alone_sleeps_until_it_rings() -> None:
    """It reports every half an hour, and its alarm at once."""
    fire = Fire(at=30, where="store", shops=(1,), initial_kw=25)
    city = of_trade("restaurant", 1, fire)
    alarms = [(m.at_s, m.values["smoke_alarm"]) for m in city.until(300) if m.device == "store"]
    rings = [at for at, alarm in alarms if alarm == 1.0]
    assert rings and rings[0] < 90.0
    assert len(alarms) <= 3


def test_connections_have_their_gateway_first_and_every_device_once() -> None:
    city = City(*load("city"), shops=30, seed=1)
    groups = city.connections
    assert sorted(device for group in groups for device in group) == sorted(city.devices)
    assert all(group[0][1] == "gateway" for group in groups if len(group) > 1)
    assert all(len({enterprise for enterprise, _ in group}) == 1 for group in groups)


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _keys(rows: Iterable[dict[str, str]], *names: str) -> list[tuple[str, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_the_registry_and_the_messages_speak_of_the_same_devices() -> None:
    city = City(*load("city"), shops=50, seed=4)
    files = register(city.shops).files()
    rows = {name: _rows(text) for name, text in files.items()}
    assert _keys(rows["devices.csv"], "enterprise", "device") == city.devices
    assert [code for (code,) in _keys(rows["enterprises.csv"], "code")] == list(city.enterprises)
    zones = set(_keys(rows["zones.csv"], "enterprise", "zone"))
    assert set(_keys(rows["devices.csv"], "enterprise", "zone")) <= zones
    districts = {code for (code,) in _keys(rows["districts.csv"], "code")}
    assert {code for (code,) in _keys(rows["enterprises.csv"], "district")} <= districts
    assert {code for (code,) in _keys(rows["contacts.csv"], "enterprise")} == set(city.enterprises)
    said = {(m.enterprise, m.device) for m in city.until(61)}
    assert said <= set(city.devices)


def test_the_registry_imports_the_files_as_they_are() -> None:
    """Whoever tries the city should not have to mend its own files first."""
    for name, text in register(settle(TRADES, 120, 7)).files().items():
        (table,) = importing.read(name, text.encode())
        rows = list(table.rows())
        assert rows
        assert [problem for row in rows for problem in row.problems] == []


@pytest.mark.parametrize(
    ("file", "form"),
    [
        ("districts.csv", District),
        ("enterprises.csv", Enterprise),
        ("zones.csv", Zone),
        ("contacts.csv", Contact),
        ("devices.csv", DeviceRow),
    ],
)
def test_columns_are_the_fields_of_the_shapes(file: str, form: type[msgspec.Struct]) -> None:
    text = register(settle(TRADES, 3, 1)).files()[file]
    assert text.splitlines()[0].split(",") == [name for name in form.__struct_fields__ if name != "id"]


def test_enterprises_are_believable_and_none_is_where_another_is() -> None:
    known = register(settle(TRADES, 600, 1))
    for one in known.enterprises:
        assert one.built is not None and one.wired is not None
        assert NAME.match(one.code)
        assert one.built <= one.wired <= 2026
        assert one.area_m2 and one.people and one.name and one.name_en and one.address and one.address_en
    places = {(one.longitude, one.latitude) for one in known.enterprises}
    assert len(places) > 0.99 * len(known.enterprises)
    assert len({one.district for one in known.enterprises}) == 6
    per_line = max(np.unique([one.latitude for one in known.enterprises], return_counts=True)[1])
    assert per_line < 10, "they stand along streets, not on one line"


def test_nobody_can_be_called_by_the_city() -> None:
    """A simulated fire must never ring at a real person's."""
    known = register(settle(TRADES, 400, 1))
    assert all(contact.phone.startswith("+8610000") and len(contact.phone) == 13 for contact in known.contacts)
    assert len({contact.phone for contact in known.contacts}) == len(known.contacts)
    assert {contact.language for contact in known.contacts} == {"zh", "en"}


def test_a_shop_is_the_same_whoever_asks() -> None:
    one, other = settle(TRADES, 9, 1)[8], settle(TRADES, 1, 1, first=9)[0]
    assert one == other == Shop(9, one.code, one.trade, 1)
    assert [plan.name for plan in one.devices] == [plan.name for plan in other.devices]


def test_the_command_writes_the_files_of_the_registry(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["city", "--enterprises", "12", "--registry", str(tmp_path / "new")])
    assert ended.exit_code == 0, ended.output
    assert {file.name: file.read_text("utf-8") for file in (tmp_path / "new").iterdir()} == register(
        settle(TRADES, 12, 1)
    ).files()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["kitchen_fire", "--registry", "nowhere"], "has no registry"),
        (["city", "--clock", "nowhere"], "is no running clock"),
    ],
)
def test_what_the_command_cannot_do_is_said(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, arguments)
    assert isinstance(ended.exception, ConfigError)
    assert says in str(ended.exception)
    assert not list(tmp_path.iterdir())
