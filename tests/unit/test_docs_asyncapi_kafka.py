"""docs/reference/asyncapi-kafka.json: a cluster's topics and records, held to what the code makes and writes.

Made again by `python -m tests.unit.test_docs_asyncapi_kafka`; the difference is read before it is committed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from jsonschema import Draft7Validator

from ingest.ports import Kept
from ingest.quarantine import encode_kept
from schemas.entries import (
    ClockStepped,
    DeviceFacts,
    EntryKind,
    PackActivated,
    Payload,
    ResetAsked,
    Sensor,
    Sensors,
    Tick,
)
from schemas.errors import Reject
from schemas.identity import id_of
from schemas.kafka import ALARMS, ALARMS_STATE, PARTITIONS, QUARANTINE, RISK, log_topic, topics
from schemas.readings import Origin, Quality, ReadingBatch
from schemas.risk import Risk
from streams.log.records import payload_of, records_of

Json = dict[str, Any]

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
FILE = REFERENCE / "asyncapi-kafka.json"
BINDING = "0.5.0"
SHAPES = (Sensor, Tick, PackActivated, DeviceFacts, ResetAsked, ClockStepped, Kept, Risk)
CONTROLS = (PackActivated, DeviceFacts, ResetAsked, ClockStepped)
NOW_US = 1_790_000_000_000_000
BATCH = ReadingBatch.of(
    [id_of("shop-1/kitchen/smoke")], [NOW_US - 20_000], [NOW_US], [0.4], [Quality.GOOD], [Origin.LIVE]
)
ENTRIES: dict[str, tuple[EntryKind, Payload]] = {
    "batch": (EntryKind.BATCH, BATCH),
    "sensors": (EntryKind.SENSORS, Sensors([Sensor(id_of("shop-1/kitchen/smoke"), "shop-1", "kitchen", "smoke")])),
    "control": (EntryKind.CONTROL, DeviceFacts("shop-1", "kitchen", rated_current_a=32.0)),
    "tick": (EntryKind.TICK, Tick(NOW_US)),
}
KEPT = Kept(
    NOW_US, "shop-1", "kitchen", "tocsin/v1/shop-1/kitchen/telemetry", "kitchen-1", b'{"smoke":"0.4"}',
    (Reject("not_a_number", "smoke", "is text.", "Send a number."),), "door-1",
)  # fmt: skip


def plain(schema: Any) -> Any:
    """As of JSON Schema draft 7, which AsyncAPI speaks: there a tuple's places are its `items`."""
    if isinstance(schema, dict):
        return {"items" if word == "prefixItems" else word: plain(said) for word, said in schema.items()}
    return [plain(one) for one in schema] if isinstance(schema, list) else schema


def message(says: str, content: str, payload: Json, key: Json, example: Any = None) -> Json:
    bindings = {"kafka": {"key": key, "bindingVersion": BINDING}}
    made = {"summary": says, "contentType": content, "payload": payload, "bindings": bindings}
    return made if example is None else {**made, "examples": [{"payload": example}]}


def kind(which: EntryKind) -> Json:
    return {"type": "string", "const": chr(which), "description": f"One byte, {int(which)}."}


def channel(address: str, says: str, messages: Json, name: str = "") -> Json:
    """With the topic's own settings, as `tocsin migrate` makes it."""
    (topic,) = [one for one in topics() if one.name == (name or address)]
    settings = topic.settings()
    configuration = {
        "cleanup.policy": [settings["cleanup.policy"]],
        "retention.ms": int(settings["retention.ms"]),
        "max.message.bytes": int(settings["max.message.bytes"]),
    }
    binding = {"partitions": topic.partitions, "topicConfiguration": configuration, "bindingVersion": BINDING}
    return {"address": address, "description": says, "messages": messages, "bindings": {"kafka": binding}}


def operation(action: str, name: str) -> Json:
    return {"action": action, "channel": {"$ref": f"#/channels/{name}"}}


def document() -> Json:
    """The whole document; actions are Tocsin's."""
    _, shapes = msgspec.json.schema_components(SHAPES, ref_template="#/components/schemas/{name}")
    sensors = {"type": "array", "items": {"$ref": "#/components/schemas/Sensor"}}
    columns = pa.ipc.open_stream(BATCH.to_ipc()).schema
    mqtt_topic = {"type": "string", "description": "The MQTT topic."}
    msgpack = "application/msgpack"
    log = channel(
        "tocsin.log.{partitions}",
        "The log: everything that can change the engine's answer, and nothing else. A record's partition is that of "
        "its enterprise (`schemas.identity.partition_of`); ticks, clock steps and packs go to every partition. An "
        "entry's number is its offset plus one. The table `log_layout` says which log is current.",
        {
            "batch": message(
                "Readings of many sensors.",
                "application/vnd.apache.arrow.stream",
                {
                    "type": "string",
                    "format": "binary",
                    "description": "An Arrow IPC stream of the columns of `x-columns`.",
                    "x-columns": [{"name": field.name, "type": str(field.type)} for field in columns],
                },
                kind(EntryKind.BATCH),
            ),
            "sensors": message(
                "Sensors, before their ids are first used; harmless when repeated.",
                msgpack,
                {"$ref": "#/components/schemas/Sensors"},
                kind(EntryKind.SENSORS),
                as_json(ENTRIES["sensors"][1]),
            ),
            "control": message(
                "A rule pack, facts of a device, a reset that was asked for, a step of the wall clock.",
                msgpack,
                {"oneOf": [{"$ref": f"#/components/schemas/{one.__name__}"} for one in CONTROLS]},
                kind(EntryKind.CONTROL),
                as_json(ENTRIES["control"][1]),
            ),
            "tick": message(
                "Time goes on, once a second; the engine's now is the largest.",
                msgpack,
                {"$ref": "#/components/schemas/Tick"},
                kind(EntryKind.TICK),
                as_json(ENTRIES["tick"][1]),
            ),
        },
        log_topic(PARTITIONS),
    )
    log["parameters"] = {
        "partitions": {"description": "How many it was made with; it keeps them.", "default": str(PARTITIONS)}
    }
    record = {
        "type": "object",
        "required": ["version", "kept"],
        "properties": {"version": {"const": 1}, "kept": {"$ref": "#/components/schemas/Kept"}},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tocsin's topics in Kafka",
            "version": "1",
            "description": "What the parts of a cluster say to one another. Read the topics of alarms and of risk as "
            "you like; the others are Tocsin's own, nobody else writes there. Actions are Tocsin's.",
        },
        "servers": {"kafka": {"host": "kafka:9092", "protocol": "kafka", "description": "Kafka 4."}},
        "channels": {
            "log": log,
            "quarantine": channel(
                QUARANTINE,
                "Refused messages on their way into the table `quarantine`.",
                {
                    "kept": message(
                        "A refused message, whole.",
                        "application/json",
                        {"$ref": "#/components/schemas/KeptRecord"},
                        {"type": "string", "description": "ENTERPRISE/DEVICE, empty where the topic names none."},
                        json.loads(encode_kept(KEPT)),
                    )
                },
            ),
            "alarms": channel(
                ALARMS,
                "Each step of each alarm, as on MQTT. A restart may repeat one: `key` and `step` say so.",
                {
                    "alarm": message(
                        "A step in the life of an alarm.",
                        "application/json",
                        {"$ref": "asyncapi.json#/components/schemas/AlarmEvent"},
                        mqtt_topic,
                    )
                },
            ),
            "alarms_state": channel(
                ALARMS_STATE,
                "The open alarms of each enterprise, worst first; the newest record of a key is what holds.",
                {
                    "state": message(
                        "What is open.",
                        "application/json",
                        {"$ref": "asyncapi.json#/components/schemas/AlarmState"},
                        mqtt_topic,
                    )
                },
            ),
            "risk": channel(
                RISK,
                "How each enterprise stands: the risk of a place, which is no warning grade. The newest record of a "
                "key is what holds; it is written when the colour or a reason changes.",
                {
                    "risk": message(
                        "Score, colour, terms, reasons and what would lower it.",
                        "application/json",
                        {"$ref": "#/components/schemas/Risk"},
                        {"type": "string", "description": "The enterprise."},
                    )
                },
            ),
        },
        "operations": {
            "log": operation("send", "log"),
            "judge": operation("receive", "log"),
            "keepApart": operation("send", "quarantine"),
            "writeDown": operation("receive", "quarantine"),
            "tellAlarms": operation("send", "alarms"),
            "tellAlarmsState": operation("send", "alarms_state"),
            "tellRisk": operation("send", "risk"),
        },
        "components": {
            "schemas": {
                **{name: plain(shape) for name, shape in shapes.items()},
                "Sensors": {"type": "object", "required": ["sensors"], "properties": {"sensors": sensors}},
                "KeptRecord": record,
            }
        },
    }


def as_json(payload: Payload) -> Any:
    """A msgpack record's value, as JSON would show it."""
    ((_, value),) = records_of(payload)
    return msgspec.msgpack.decode(value)


DOCUMENT: Json = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def problems(payload: Json, value: Any) -> list[str]:
    schema = {**payload, "components": DOCUMENT["components"]}
    return [error.message for error in Draft7Validator(schema).iter_errors(value)]


def test_the_document_is_what_the_code_makes_of_its_shapes() -> None:
    """A field that is added to a shape changes the document in the same commit."""
    assert json.loads(json.dumps(document())) == DOCUMENT


def test_every_topic_is_a_channel() -> None:
    """`tocsin migrate` makes no topic of which nobody can read."""
    addresses = {one["address"].replace("{partitions}", str(PARTITIONS)) for one in DOCUMENT["channels"].values()}
    assert addresses == {topic.name for topic in topics()}


@pytest.mark.parametrize("name", ENTRIES)
def test_a_record_of_the_log_is_as_its_message_says(name: str) -> None:
    """Key and value, as they are written."""
    which, payload = ENTRIES[name]
    said = DOCUMENT["channels"]["log"]["messages"][name]
    ((key, value),) = records_of(payload)
    assert key.decode() == said["bindings"]["kafka"]["key"]["const"] == chr(which)
    if name == "batch":
        columns = [(field.name, str(field.type)) for field in pa.ipc.open_stream(value).schema]
        assert columns == [(one["name"], one["type"]) for one in said["payload"]["x-columns"]]
        return
    assert problems(said["payload"], msgspec.msgpack.decode(value)) == []


@pytest.mark.parametrize(
    "control",
    [
        PackActivated("v1", "[[rule]]"),
        DeviceFacts("e", "d"),
        ResetAsked("c", "a", 1, "Li Wei"),
        ClockStepped(5, NOW_US),
    ],
)
def test_every_control_fits_its_one_shape(control: Payload) -> None:
    """`type` tells them apart."""
    assert problems(DOCUMENT["channels"]["log"]["messages"]["control"]["payload"], as_json(control)) == []


def test_every_kind_of_entry_is_a_message() -> None:
    """A kind that is not described cannot be read by others."""
    keys = [one["bindings"]["kafka"]["key"]["const"] for one in DOCUMENT["channels"]["log"]["messages"].values()]
    assert sorted(ord(key) for key in keys) == sorted(EntryKind)


@pytest.mark.parametrize("name", ["sensors", "control", "tick"])
def test_the_examples_are_records_that_the_code_reads(name: str) -> None:
    """An example that Tocsin would not read misleads."""
    (example,) = DOCUMENT["channels"]["log"]["messages"][name]["examples"]
    which, payload = ENTRIES[name]
    assert payload_of(bytes([which]), msgspec.msgpack.encode(example["payload"])) == payload


def test_a_refused_message_is_as_its_message_says() -> None:
    """It is written by doors of one version and read by workers of another."""
    said = DOCUMENT["channels"]["quarantine"]["messages"]["kept"]
    assert problems(said["payload"], json.loads(encode_kept(KEPT))) == []


def test_a_payload_of_another_shape_does_not_fit() -> None:
    """A schema that takes everything says nothing."""
    messages = DOCUMENT["channels"]["log"]["messages"]
    assert problems(messages["tick"]["payload"], {"now_us": "soon"})
    assert problems(messages["control"]["payload"], {"type": "unknown"})
    assert problems(messages["sensors"]["payload"], {"sensors": [["no id"]]})
    assert problems(DOCUMENT["channels"]["quarantine"]["messages"]["kept"]["payload"], {"version": 2, "kept": {}})


def test_alarms_are_the_shapes_of_mqtt() -> None:
    """One shape, however it travels."""
    of_mqtt = json.loads((REFERENCE / "asyncapi.json").read_text(encoding="utf-8"))
    for name in ("alarms", "alarms_state"):
        (said,) = DOCUMENT["channels"][name]["messages"].values()
        file, _, pointer = said["payload"]["$ref"].partition("#/components/schemas/")
        assert file == "asyncapi.json"
        assert pointer in of_mqtt["components"]["schemas"]


def test_the_page_names_every_topic() -> None:
    """topics.md is for people what the document is for programs."""
    page = (REFERENCE / "topics.md").read_text(encoding="utf-8")
    assert "(asyncapi-kafka.json)" in page
    for one in DOCUMENT["channels"].values():
        assert f"`{one['address'].replace('{partitions}', 'P')}`" in page


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
