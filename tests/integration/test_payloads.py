"""What people see of payloads: newest values, refused messages with reason and mend, and their replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest
from msgspec import structs

from ingest.payload_rows import Stored
from ingest.payloads import Payloads, UnknownDevice, UnknownMessage, WantedRefusals, name_text, read_name
from ingest.ports import Kept
from ingest.quarantine import Name, keep
from ingest.replaying import Replayer, write_behind, write_together
from registry.store import add_device, open_registry
from schemas.alarms import Grade, Kind, State
from schemas.entries import DeviceFacts, Payload, Sensor, Sensors
from schemas.errors import ConfigError, Reject, ServiceAway
from schemas.identity import id_of
from schemas.payloads import Mend
from schemas.readings import Origin, ReadingBatch
from schemas.viewers import NotAllowed, Role, Viewer, house
from streams.log.postgres import PostgresLogWriter
from streams.log.reader import PostgresLogReader
from streams.store.heard import Heard
from tests.alerting_world import event
from tests.watching_world import telling
from tocsin.payload_parts import make_payloads

pytestmark = pytest.mark.integration

AT_US = 1_790_000_000_000_000
NOW_US = AT_US + 60_000_000
WRONG = (Reject("unknown_measure", "temprature", "There is no measure of this name.", "Use a measure's name."),)
INTEGRATOR = Viewer("ines", Role.INTEGRATOR, enterprises=("shop",))
STRANGER = Viewer("otto", Role.INTEGRATOR, enterprises=("elsewhere",))
OWNER = Viewer("li", Role.OWNER, enterprises=("shop",))


def refusal(
    arrival_us: int, payload: bytes = b'{"temprature": 21.5}', device: str = "boiler", source: str = ""
) -> Kept:
    topic = f"tocsin/v1/shop/{device}/telemetry"
    return Kept(arrival_us, "shop", device, topic, "client-0", payload, WRONG, source)


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def payloads(dsn: str) -> Iterator[Payloads]:
    made = Payloads(dsn, clock=lambda: NOW_US)
    yield made
    made.close()


def put(connection: psycopg.Connection, *kept: Kept) -> None:
    with connection.transaction(), connection.cursor() as cursor:
        keep(cursor, kept)


class Log:
    """A log of rows, read back as what entered it."""

    def __init__(self, dsn: str) -> None:
        self.writer = PostgresLogWriter(dsn)
        self._reader = PostgresLogReader(dsn)

    def readings(self) -> list[tuple[int, int, int, float, int]]:
        """sensor, event time, arrival, value, origin of each."""
        batches = [e.payload for e in self._reader.read(0, 100) if isinstance(e.payload, ReadingBatch)]
        columns = [(b.sensor_id, b.event_time, b.arrival_time, b.value, b.origin) for b in batches]
        return [row for one in columns for row in zip(*(column.tolist() for column in one), strict=True)]

    def close(self) -> None:
        self._reader.close()
        self.writer.close()


@pytest.fixture
def log(dsn: str) -> Iterator[Log]:
    made = Log(dsn)
    yield made
    made.close()


def test_a_refused_message_says_field_reason_and_mend_in_both_languages(
    connection: psycopg.Connection, payloads: Payloads
) -> None:
    """An integrator must know what to change without asking us."""
    text = Reject("text", "smoke", "The value is text, not a number.", "Send the number without quotes.")
    put(connection, refusal(AT_US), replace(refusal(AT_US + 1, b'{"smoke": "1"}'), rejects=(text,)))
    page = payloads.quarantine(INTEGRATOR)
    assert [one.arrival_us for one in page.messages] == [AT_US + 1, AT_US]
    (said,) = page.messages[0].told
    assert (said.field, said.reason, said.reason_zh) == ("smoke", text.reason, "数值写成了文本，不是数字。")
    assert said.mend_zh == "请去掉引号，直接发送数字。"
    assert [one.arrival_us for one in payloads.quarantine(house(), WantedRefusals(field="smoke")).messages] == [
        AT_US + 1
    ]
    assert not payloads.quarantine(house(), WantedRefusals(code="utf8")).messages


def test_a_page_of_refusals_goes_on_where_the_one_before_ended(
    connection: psycopg.Connection, payloads: Payloads
) -> None:
    """Two doors may have taken messages at the same microsecond: none is skipped or shown twice."""
    put(connection, *(refusal(AT_US + k // 2, source=f"door-{k % 2}") for k in range(7)))
    seen: list[tuple[int, str]] = []
    cursor = ""
    while True:
        page = payloads.quarantine(INTEGRATOR, limit=3, cursor=cursor)
        seen += [(one.arrival_us, one.source) for one in page.messages]
        cursor = page.next
        if not cursor:
            break
    assert seen == sorted({(AT_US + k // 2, f"door-{k % 2}") for k in range(7)}, reverse=True)
    with pytest.raises(ConfigError, match="cursor"):
        payloads.quarantine(INTEGRATOR, cursor="'; DROP TABLE")


def test_the_payload_is_shown_as_text_or_in_hexadecimal_and_never_more_than_a_page(
    connection: psycopg.Connection, payloads: Payloads
) -> None:
    """A terminal or a browser must not be steered by what a device sends."""
    put(connection, refusal(AT_US, b'{"a":"\x1b[2J"}'), refusal(AT_US + 1, b"\xff\xfe\x00"),
        refusal(AT_US + 2, b'"' + "火".encode() * 5_000))  # fmt: skip
    first = payloads.show(INTEGRATOR, AT_US)
    assert first.text == '{"a":"�[2J"}'
    assert first.suggestion == Mend(rename={"temprature": "temperature"})
    second = payloads.show(INTEGRATOR, AT_US + 1)
    assert second.hex == "ff fe 00"
    third = payloads.show(INTEGRATOR, AT_US + 2)
    assert third.is_cut
    assert not third.hex
    assert third.message.bytes == 15_001


def test_what_is_outside_the_scope_is_not_there(connection: psycopg.Connection, payloads: Payloads) -> None:
    """Another enterprise's ids answer nothing, and change nothing."""
    put(connection, refusal(AT_US))
    assert not payloads.quarantine(STRANGER).messages
    with pytest.raises(UnknownMessage):
        payloads.show(STRANGER, AT_US)
    with pytest.raises(UnknownDevice):
        payloads.last(STRANGER, "shop", "boiler")
    assert payloads.replay(STRANGER, [Name(AT_US)]).asked == 0
    assert payloads.replay(STRANGER, WantedRefusals()).asked == 0
    assert not payloads.devices(STRANGER).devices
    assert not payloads.silent(STRANGER).devices
    with pytest.raises(NotAllowed):
        payloads.replay(OWNER, [Name(AT_US)])


def test_a_replayed_message_enters_as_history_of_its_first_arrival(
    dsn: str, connection: psycopg.Connection, payloads: Payloads, log: Log
) -> None:
    """Under the mend it counts as what the device measured then, not as something that happens now."""
    put(connection, refusal(AT_US), refusal(AT_US + 5, b'{"temprature": 22.5}'))
    replayer = Replayer(dsn, write_together(log.writer.append), lambda: NOW_US)
    assert replayer.turn() == 0
    assert (
        payloads.replay(INTEGRATOR, WantedRefusals(enterprise="shop"), Mend(rename={"temprature": "temperature"})).asked
        == 2
    )
    assert payloads.quarantine(INTEGRATOR).messages[0].asked_by == "ines"
    assert replayer.turn() == 2
    sensor = id_of("shop/boiler/temperature")
    assert log.readings() == [
        (sensor, AT_US, NOW_US, 21.5, Origin.REPLAY),
        (sensor, AT_US + 5, NOW_US + 1, 22.5, Origin.REPLAY_END),
    ]
    assert not payloads.quarantine(INTEGRATOR).messages
    done = payloads.quarantine(INTEGRATOR, WantedRefusals(waiting=False)).messages
    assert [(one.tries, one.replayed_us > 0) for one in done] == [(1, True)] * 2
    assert replayer.turn() == 0
    assert payloads.replay(INTEGRATOR, [Name(AT_US)]).asked == 0
    replayer.close()


def test_what_is_refused_again_stays_with_its_new_reasons(
    dsn: str, connection: psycopg.Connection, payloads: Payloads, log: Log
) -> None:
    """Its good fields enter; what is still wrong is said as it is now, not as it was."""
    put(connection, refusal(AT_US, b'{"temprature": 21.5, "smoke": "a little"}'))
    replayer = Replayer(dsn, write_together(log.writer.append), lambda: NOW_US)
    payloads.replay(INTEGRATOR, [Name(AT_US)], Mend(rename={"temprature": "temperature"}))
    assert replayer.turn() == 1
    (message,) = payloads.quarantine(INTEGRATOR).messages
    assert [(one.code, one.field) for one in message.told] == [("text", "smoke")]
    assert (message.tries, message.asked_us, message.replayed_us) == (1, 0, 0)
    assert [value for _, _, _, value, _ in log.readings()] == [21.5]
    payloads.replay(INTEGRATOR, [Name(AT_US)], Mend(leave_out=("smoke", "temprature")))
    assert replayer.turn() == 1
    (message,) = payloads.quarantine(INTEGRATOR).messages
    assert [one.code for one in message.told] == ["empty"]
    replayer.close()


def test_a_kill_between_log_and_mark_tries_once_more_and_doubles_nothing(
    dsn: str, connection: psycopg.Connection, payloads: Payloads
) -> None:
    """Where the log is Kafka the marks come behind the records; the second try bears the very same times."""
    put(connection, refusal(AT_US))
    payloads.replay(INTEGRATOR, [Name(AT_US)], Mend(rename={"temprature": "temperature"}))
    said: list[Payload] = []

    def die(payloads: object) -> None:
        said.extend(payloads)  # type: ignore[arg-type]
        raise ServiceAway("Kafka", "it is cut")

    first = Replayer(dsn, write_behind(die, dsn), lambda: NOW_US, lease_s=0.0)
    with pytest.raises(ServiceAway):
        first.turn()
    second = Replayer(dsn, write_behind(said.extend, dsn), lambda: NOW_US + 7_000_000, lease_s=0.0)
    assert second.turn() == 1
    batches = [one for one in said if isinstance(one, ReadingBatch)]
    assert [batch.event_time.tolist() for batch in batches] == [[AT_US], [AT_US]]
    assert not payloads.quarantine(INTEGRATOR).messages
    for one in (first, second):
        one.close()


def test_one_writer_at_a_time_tries_a_message(dsn: str, connection: psycopg.Connection, payloads: Payloads) -> None:
    """Two doors of a cluster look every second; one that is cut off in the middle is followed by another in a while."""
    put(connection, refusal(AT_US, b'{"temperature": 20}'))
    payloads.replay(INTEGRATOR, [Name(AT_US)])

    def away(_: object) -> None:
        raise ServiceAway("Kafka", "it is away")

    said: list[Payload] = []
    first, second = Replayer(dsn, write_behind(away, dsn), lambda: NOW_US), Replayer(
        dsn, write_behind(said.extend, dsn), lambda: NOW_US
    )  # fmt: skip
    with pytest.raises(ServiceAway):
        first.turn()
    assert second.turn() == 0
    later = Replayer(dsn, write_behind(said.extend, dsn), lambda: NOW_US, lease_s=0.0)
    assert later.turn() == 1
    assert payloads.asked(INTEGRATOR) == 0
    for one in (first, second, later):
        one.close()


def test_what_is_asked_for_anew_is_tried_at_once(dsn: str, connection: psycopg.Connection, payloads: Payloads) -> None:
    """Somebody has found a better mend while the first one was being tried."""
    put(connection, refusal(AT_US))
    payloads.replay(INTEGRATOR, [Name(AT_US)], Mend(leave_out=("smoke",)))
    said: list[Payload] = []
    replayer = Replayer(dsn, write_behind(said.extend, dsn), lambda: NOW_US)
    assert replayer.turn() == 1
    assert payloads.replay(INTEGRATOR, [Name(AT_US)], Mend(rename={"temprature": "temperature"})).asked == 1
    assert replayer.turn() == 1
    assert [one.value.tolist() for one in said if isinstance(one, ReadingBatch)] == [[21.5]]
    replayer.close()


def test_silent_devices_are_listed_worst_and_longest_first(dsn: str, payloads: Payloads) -> None:
    """The alarm says since when; the registry says what it is called and where it hangs."""
    with open_registry(dsn) as registry:
        add_device(registry, DeviceFacts("shop", "boiler"))
        registry.execute("UPDATE devices SET name = '锅炉', zone = 'cellar'")
    silences = [
        structs.replace(
            event(State.RAISED, grade, enterprise="shop", device=device, onset_us=AT_US + k),
            subject=f"shop/{device}", family="silence", kind=Kind.SILENCE, measure="", key=f"{k}" * 32,
        )
        for k, (device, grade) in enumerate((("gate", Grade.BLUE), ("boiler", Grade.ORANGE), ("panel", Grade.BLUE)))
    ]  # fmt: skip
    with telling(dsn) as tale:
        tale.tell(*silences)
    first = payloads.silent(INTEGRATOR, limit=2)
    second = payloads.silent(INTEGRATOR, limit=2, cursor=first.next)
    assert [one.device for page in (first, second) for one in page.devices] == ["boiler", "gate", "panel"]
    assert second.next == ""
    assert (first.devices[0].name, first.devices[0].zone, first.devices[0].grade) == ("锅炉", "cellar", Grade.ORANGE)
    assert first.devices[0].since_us == AT_US + 1
    assert payloads.last(INTEGRATOR, "shop", "boiler").silent == first.devices[0]
    with pytest.raises(ConfigError, match="cursor"):
        payloads.silent(INTEGRATOR, cursor="9.x")


def test_only_the_head_of_a_message_is_never_replayed(
    dsn: str, connection: psycopg.Connection, payloads: Payloads
) -> None:
    """Half a message may read as a whole one that says something else."""
    large = Reject(
        "too_large",
        "",
        "The message is larger than 262144 bytes; only its head was kept.",
        "Send it in several messages.",
    )
    put(connection, replace(refusal(AT_US), rejects=(large,)))
    assert payloads.replay(INTEGRATOR, WantedRefusals()).asked == 0
    assert payloads.replay(INTEGRATOR, [Name(AT_US)]).asked == 0
    (message,) = payloads.quarantine(INTEGRATOR).messages
    assert not message.is_whole
    assert message.told[0].reason_zh == "报文超过 262144 字节，只保留了开头部分。"


def test_a_device_that_is_heard_is_known_with_its_sensors_and_newest_values(
    connection: psycopg.Connection, payloads: Payloads
) -> None:
    """Also one that nobody has added: that is how it is found and claimed."""
    heard = Heard(connection)
    sensors = [
        Sensor(id_of(f"shop/boiler/{one}"), "shop", "boiler", *one.split("."), unit="")
        for one in ("temperature", "current.L1")
    ]
    for _ in range(2):
        heard.note(Sensors(sensors))
        heard.write()
    Heard(connection).note(Sensors(sensors))
    more = Sensor(id_of("shop/boiler/smoke"), "shop", "boiler", "smoke")
    again = Heard(connection)
    again.note(Sensors([*sensors, more]))
    again.write()
    connection.execute("INSERT INTO last_values VALUES (%s, to_timestamp(%s), 21.5, 0)", (sensors[0].id, AT_US / 1e6))
    now = payloads.last(INTEGRATOR, "shop", "boiler")
    assert [(one.sensor, one.value, one.unit) for one in now.values] == [
        ("current.L1", None, "A"), ("smoke", None, "%/m"), ("temperature", 21.5, "Cel"),
    ]  # fmt: skip
    assert now.values[2].age_s == 60.0
    assert not now.is_registered
    assert now.refused is None
    (line,) = payloads.devices(INTEGRATOR, registered=False).devices
    assert (line.device, line.sensors, line.newest_us) == ("boiler", 3, AT_US)
    assert not payloads.devices(INTEGRATOR, registered=True).devices


def test_the_newest_value_is_asked_of_the_store_where_it_can_say(dsn: str, connection: psycopg.Connection) -> None:
    """Saved values are minutes behind: too old for somebody who stands before the device."""
    heard = Heard(connection)
    number = id_of("shop/boiler/smoke")
    heard.note(Sensors([Sensor(number, "shop", "boiler", "smoke")]))
    heard.write()
    payloads = Payloads(dsn, lambda ids: {one: Stored(NOW_US - 2_000_000, 0.5, 0) for one in ids}, clock=lambda: NOW_US)
    (value,) = payloads.last(INTEGRATOR, "shop", "boiler").values
    assert (value.value, value.age_s) == (0.5, 2.0)
    payloads.close()


def test_values_are_as_old_as_the_house_says(dsn: str, connection: psycopg.Connection) -> None:
    """The page of a device counted from the machine's time: where the house's runs faster, values were of next week."""
    heard = Heard(connection)
    number = id_of("shop/boiler/smoke")
    heard.note(Sensors([Sensor(number, "shop", "boiler", "smoke")]))
    heard.write()
    connection.execute("INSERT INTO last_values VALUES (%s, to_timestamp(%s), 0.5, 0)", (number, AT_US / 1e6))
    payloads = make_payloads(dsn, lambda: NOW_US)
    (value,) = payloads.last(INTEGRATOR, "shop", "boiler").values
    assert (value.value, value.age_s) == (0.5, 60.0)
    payloads.close()


def test_a_name_of_a_message_reads_back() -> None:
    """It stands in addresses and commands."""
    for name in (Name(AT_US), Name(AT_US, "door-1")):
        assert read_name(f"{name.arrival_us}:{name.source}" if name.source else str(name.arrival_us)) == name
    for text in ("", "x", "-1", "1" * 30, "²"):
        with pytest.raises(ConfigError, match="message"):
            read_name(text)
    assert callable(name_text)
