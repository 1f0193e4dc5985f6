"""docs/reference/asyncapi.json: topics and payloads for programs, held to the shapes that the code writes.

Made again by `python -m tests.unit.test_docs_asyncapi`; the difference is read before it is committed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alerting.channels.mqtt_events import AlarmState
from ingest.admission import admit_status, admit_telemetry
from ingest.answers import encode_errors
from ingest.door.access import may_read
from ingest.ports import Refused
from schemas.alarms import AlarmEvent, decode_event, encode_event
from schemas.identity import CHANNEL
from schemas.measures import MEASURES
from schemas.principals import ANONYMOUS, Principal
from schemas.rejects import Code
from schemas.topics import LEAVES, STATUS_WORDS, DeviceTopic, alarms_state_topic, alarms_topic, device_topic
from tests.messages import ARRIVAL_US

Json = dict[str, Any]

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
FILE = REFERENCE / "asyncapi.json"
KEY = f"^({'|'.join(measure.name for measure in MEASURES)})(\\.{CHANNEL.pattern.removesuffix(chr(92) + 'Z')})?$"
READINGS: Json = {
    "type": "object",
    "minProperties": 1,
    "properties": {"ts": {"description": "Milliseconds since 1970, or RFC 3339.", "type": ["number", "string"]}},
    "patternProperties": {KEY: {"description": "In the measure's unit.", "type": ["number", "boolean"]}},
    "additionalProperties": False,
}
REJECT: Json = {
    "type": "object",
    "required": ["code", "field", "reason", "mend"],
    "properties": {
        "code": {"enum": sorted(Code)},
        "field": {"type": "string"},
        "reason": {"type": "string"},
        "mend": {"type": "string"},
    },
}
ERRORS: Json = {
    "type": "object",
    "required": ["arrival", "rejects"],
    "properties": {
        "arrival": {"description": "Microseconds since 1970.", "type": "integer"},
        "rejects": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Reject"}},
    },
}
TELEMETRY_SENT = (
    {"ts": 1790000000000, "smoke": 0.4, "temperature": 23.5, "current.L1": 3.1, "mains": True},
    [{"ts": 1789999990000, "gas": 2.5}, {"ts": "2026-09-21T13:33:15Z", "gas": 2.6}],
)
EVENT: Json = {
    "key": "6df807071798e5656ec3a58f26bc8424", "step": 1, "partition": 0, "seq": 1, "state": "raised",
    "subject": "shop-1/kitchen/temperature", "enterprise": "shop-1", "device": "kitchen", "measure": "temperature",
    "family": "heat", "kind": "fire", "grade": 4, "previous": 0, "active": True, "latched": True,
    "onset_us": 1795580361666979, "event_us": 1795580362690418, "received_us": 1795580362690418,
    "now_us": 1795580362357849, "entry": 127,
    "evidence": {
        "rule": "heat.heavy", "pack": "3e5a37e606b9b9f750801a0c34917875", "value": 95.0, "limit": 90.0, "unit": "Cel",
        "held_s": 1.023439, "score": None,
    },
    "late": False, "age_s": 0.0, "reason": "",
}  # fmt: skip
STATE: Json = {
    "enterprise": "shop-1",
    "alarms": [
        {
            "key": "6df807071798e5656ec3a58f26bc8424", "step": 1, "state": "raised",
            "standing": "active_unacknowledged", "enterprise": "shop-1", "device": "kitchen",
            "subject": "shop-1/kitchen/temperature", "measure": "temperature", "family": "heat", "kind": "fire",
            "grade": "red", "open": True, "active": True, "latched": True, "acknowledged": False,
            "acknowledged_by": "", "suppression": "none", "raised_step": 1, "onset_us": 1795580361666979,
            "raised_us": 1795580362690418, "event_us": 1795580362690418, "rule": "heat.heavy", "value": 95.0,
            "limit": 90.0, "unit": "Cel", "late": False, "told": ["journal"],
        }
    ],
    "version": 1,
}  # fmt: skip


def answer_to(payload: bytes) -> bytes:
    """What a device hears back of a telemetry message."""
    rejects = tuple(admit_telemetry(payload, ARRIVAL_US).rejects)
    return encode_errors(Refused(0, "shop-1", "kitchen", "", payload, ARRIVAL_US, rejects))


def channel(address: str, says: str, message: Json | None) -> Json:
    names = re.findall(r"\{(\w+)\}", address)
    parameters = {name: {"description": f"An {name}" if name[0] in "aeiou" else f"A {name}"} for name in names}
    return {"address": address, "description": says, "parameters": parameters} | (
        {"messages": {"message": message}} if message is not None else {}
    )


def message(payload: Json, *examples: Any, content: str = "application/json") -> Json:
    return {"contentType": content, "payload": payload, "examples": [{"payload": one} for one in examples]}


def operation(action: str, name: str, *, retain: bool = False) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}},
    }


def document() -> Json:
    """The whole document; actions are Tocsin's: it receives telemetry, it sends alarms."""
    _, shapes = msgspec.json.schema_components((AlarmEvent, AlarmState), ref_template="#/components/schemas/{name}")
    answer = json.loads(answer_to(b'{"smoke": "0.4"}'))
    alarm, state = ({"$ref": f"#/components/schemas/{shape.__name__}"} for shape in (AlarmEvent, AlarmState))
    words = sorted(word.decode() for word in STATUS_WORDS)
    topics = {leaf: device_topic("{enterprise}", "{device}", leaf) for leaf in LEAVES}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tocsin on MQTT",
            "version": "1",
            "description": "What devices send and hear back, and alarms for programs. Actions are Tocsin's.",
        },
        "servers": {
            "door": {
                "host": "127.0.0.1:1883",
                "protocol": "mqtt",
                "description": "MQTT 3.1.1 and 5.",
                "security": [{"type": "userPassword"}],
            }
        },
        "channels": {
            "telemetry": channel(
                topics["telemetry"],
                "Readings, or an array of them with their times: a back-fill.",
                message(
                    {"oneOf": [{"$ref": "#/components/schemas/Readings"}, {"$ref": "#/components/schemas/Backfill"}]},
                    *TELEMETRY_SENT,
                ),
            ),
            "status": channel(
                topics["status"],
                "A word without quotes; `offline` as last will. Handed on to those who may read it.",
                message({"type": "string", "enum": words}, *words, content="text/plain"),
            ),
            "errors": channel(
                topics["errors"],
                "What was refused, or is to be mended, of one message of the device.",
                message({"$ref": "#/components/schemas/Errors"}, answer),
            ),
            "command": channel(topics["command"], "Reserved: a device may subscribe; nothing is sent yet.", None),
            "alarms": channel(
                alarms_topic("{enterprise}"),
                "Each step of each alarm. A restart may repeat one: `key` and `step` say so.",
                message(alarm, EVENT),
            ),
            "alarms_state": channel(
                alarms_state_topic("{enterprise}"),
                "The enterprise's open alarms, worst first.",
                message(state, STATE),
            ),
        },
        "operations": {
            "takeTelemetry": operation("receive", "telemetry"),
            "takeStatus": operation("receive", "status"),
            "answer": operation("send", "errors"),
            "tellAlarms": operation("send", "alarms"),
            "tellAlarmsState": operation("send", "alarms_state", retain=True),
        },
        "components": {
            "schemas": {
                "Readings": READINGS,
                "Backfill": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Readings"}},
                "Reject": REJECT,
                "Errors": ERRORS,
                **shapes,
            }
        },
    }


def fits(schema: Json, value: Any, root: Json) -> bool:
    """Does the value fit the schema? Knows the words that this document uses and refuses others."""
    types: dict[str, type | tuple[type, ...]] = {
        "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
        "null": type(None),
    }  # fmt: skip
    for word, said in schema.items():
        match word:
            case "$ref":
                target: Any = root
                for part in said.removeprefix("#/").split("/"):
                    target = target[part]
                good = fits(target, value, root)
            case "type":
                wanted = [said] if isinstance(said, str) else said
                good = any(
                    isinstance(value, types[one]) and (not isinstance(value, bool) or one == "boolean")
                    for one in wanted
                )
            case "enum":
                good = value in said
            case "oneOf" | "anyOf":
                found = sum(fits(one, value, root) for one in said)
                good = found == 1 if word == "oneOf" else found > 0
            case "required":
                good = not isinstance(value, dict) or set(said) <= set(value)
            case "properties":
                good = all(fits(said[name], value[name], root) for name in said if name in value)
            case "patternProperties":
                good = all(
                    fits(one, of, root) for pattern, one in said.items() for name, of in value.items()
                    if re.search(pattern, name)
                )  # fmt: skip
            case "additionalProperties":
                assert said is False
                patterns = schema.get("patternProperties", {})
                good = all(name in schema["properties"] or any(re.search(p, name) for p in patterns) for name in value)
            case "items":
                good = all(fits(said, one, root) for one in value)
            case "minItems" | "minProperties":
                good = len(value) >= said
            case "title" | "description" | "default":
                good = True
            case _:
                raise AssertionError(f"no check of {word!r}")
        if not good:
            return False
    return True


DOCUMENT: Json = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
EXAMPLES = [
    pytest.param(name, example["payload"], id=f"{name}-{number}")
    for name, one in DOCUMENT.get("channels", {}).items()
    for number, example in enumerate(one.get("messages", {}).get("message", {}).get("examples", ()))
]


def payload_schema(name: str) -> Json:
    found: Json = DOCUMENT["channels"][name]["messages"]["message"]["payload"]
    return found


def test_the_document_is_what_the_code_makes_of_its_shapes() -> None:
    """A field that is added to a shape changes the document in the same commit."""
    assert document() == DOCUMENT


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_every_example_fits_its_schema(name: str, example: Any) -> None:
    """Programs are generated from the schemas and tried with the examples."""
    assert fits(payload_schema(name), example, DOCUMENT)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_every_example_is_what_the_code_takes_or_writes(name: str, example: Any) -> None:
    """An example that Tocsin would refuse, or would never send, misleads."""
    match name:
        case "telemetry":
            outcome = admit_telemetry(json.dumps(example).encode(), ARRIVAL_US)
            assert outcome.readings
            assert not outcome.rejects
        case "status":
            assert not admit_status(example.encode(), ARRIVAL_US).rejects
        case "errors":
            assert json.loads(answer_to(b'{"smoke": "0.4"}')) == example
        case "alarms":
            assert json.loads(encode_event(decode_event(json.dumps(example)))) == example
        case "alarms_state":
            state = msgspec.json.decode(json.dumps(example), type=AlarmState)
            assert json.loads(msgspec.json.encode(state)) == example
        case _:
            pytest.fail(f"nothing writes {name}")


@pytest.mark.parametrize(
    "payload",
    [b'{"smoke":1}', b'{"ts":1,"mains":true}', b"{}", b'{"smoke":"1"}', b'{"Smoke":1}', b'{"smoke.":1}', b'{"a":1}',
     b"[]", b"[3]", b'{"smoke":[1]}', b'{"smoke":null}', b'{"smoke.a.b":1}', b'[{"ts":1790000000000,"co.K-1":3}]'],
)  # fmt: skip
def test_the_schema_refuses_what_admission_refuses_for_its_form(payload: bytes) -> None:
    """Of values (limits, flags, times) a schema says nothing; form and names are the same for both."""
    rejects = [one for one in admit_telemetry(payload, ARRIVAL_US).rejects if not one.code.startswith("ts_")]
    assert fits(payload_schema("telemetry"), json.loads(payload), DOCUMENT) == (not rejects)


def test_every_leaf_is_a_channel_at_its_topic() -> None:
    """A topic of the code that is no channel would be one of which nobody knows."""
    addresses = {one["address"].format(enterprise="shop-1", device="kitchen") for one in DOCUMENT["channels"].values()}
    of_devices = {device_topic("shop-1", "kitchen", leaf) for leaf in LEAVES}
    assert addresses == of_devices | {alarms_topic("shop-1"), alarms_state_topic("shop-1")}
    assert all(DeviceTopic.parse(topic) for topic in of_devices)


def test_the_page_names_every_topic() -> None:
    """topics.md is for people what the document is for programs."""
    page = (REFERENCE / "topics.md").read_text(encoding="utf-8")
    for one in DOCUMENT["channels"].values():
        assert one["address"].format(enterprise="ENTERPRISE", device="DEVICE") in page
    assert [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.S)] == [EVENT, STATE]


DEVICE = Principal("shop-1/kitchen", frozenset({"shop-1/kitchen"}))
ENTERPRISE = Principal("owner", enterprises=frozenset({"shop-1"}))
ALARMS = Principal("desk", alarms=frozenset({"shop-1"}))
BOTH = Principal("both", enterprises=frozenset({"shop-1"}), alarms=frozenset({"shop-1"}))


@pytest.mark.parametrize(
    ("login", "wanted", "may"),
    [
        (DEVICE, "tocsin/v1/shop-1/kitchen/errors", True),
        (DEVICE, "tocsin/v1/shop-1/kitchen/#", True),
        (DEVICE, "tocsin/v1/shop-1/panel/errors", False),
        (DEVICE, "tocsin/v1/shop-1/kitchen/telemetry", False),
        (DEVICE, "tocsin/v1/shop-1/alarms", False),
        (ENTERPRISE, "tocsin/v1/shop-1/+/errors", True),
        (ENTERPRISE, "tocsin/v1/shop-1/#", False),
        (ALARMS, "tocsin/v1/shop-1/alarms", True),
        (ALARMS, "tocsin/v1/shop-1/alarms/state", True),
        (ALARMS, "tocsin/v1/shop-2/alarms", False),
        (ALARMS, "tocsin/v1/shop-1/kitchen/status", False),
        (BOTH, "tocsin/v1/shop-1/#", True),
        (BOTH, "tocsin/v1/+/alarms", True),
        (ENTERPRISE, "tocsin/v1/+/alarms", False),
        (BOTH, "tocsin/v1/+/kitchen/errors", False),
        (ANONYMOUS, "#", True),
    ],
)
def test_who_may_read_is_as_on_the_page(login: Principal, wanted: str, may: bool) -> None:
    """The table of topics.md, row by row."""
    assert may_read(login, wanted) == may


if __name__ == "__main__":
    FILE.write_text(json.dumps(document(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
