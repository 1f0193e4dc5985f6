"""Payloads as devices send them, with what becomes of them, in files that a person reads.

Made again by `python -m tests.golden.test_payloads`; the difference is read before it is committed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.admission import admit_status, admit_telemetry
from ingest.intake import JsonIntake
from schemas.identity import id_of
from tests.messages import ARRIVAL_US, Door

FILES = sorted((Path(__file__).parent / "payloads").glob("*.json"))


def outcome_of(case: dict[str, Any]) -> dict[str, Any]:
    """The case with what admission makes of it."""
    admit = admit_status if case["leaf"] == "status" else admit_telemetry
    outcome = admit(case["payload"].encode(), ARRIVAL_US)
    readings = [
        {
            "key": reading.key,
            "value": reading.value,
            "seconds_from_arrival": (reading.event_us - ARRIVAL_US) / 1e6,
            "quality": reading.quality.name.lower(),
            "origin": reading.origin.name.lower(),
        }
        for reading in outcome.readings
    ]
    rejects = [{"code": r.code, "field": r.field, "reason": r.reason, "mend": r.mend} for r in outcome.rejects]
    return {"leaf": case["leaf"], "payload": case["payload"], "readings": readings, "rejects": rejects}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_payload_gives_what_its_file_says(path: Path) -> None:
    """A change of any word that a device reads is seen in a diff."""
    case = json.loads(path.read_text(encoding="utf-8"))
    assert outcome_of(case) == case


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_compiled_way_gives_the_same(path: Path) -> None:
    """Once its sensors are known, whichever way the message takes."""
    case = json.loads(path.read_text(encoding="utf-8"))
    message = (f"tocsin/v1/shop/kitchen/{case['leaf']}", case["payload"].encode())
    door, intake = Door(), JsonIntake()
    for _ in range(2):
        door.next_arrival_us = ARRIVAL_US
        admitted = intake.take(door.batch([message]))
        expected = [(id_of(f"shop/kitchen/{one['key']}"), one["value"]) for one in case["readings"]]
        assert (
            list(zip(admitted.readings.sensor_id.tolist(), admitted.readings.value.tolist(), strict=True)) == expected
        )
        codes = [reject.code for refused in admitted.refused for reject in refused.rejects]
        assert codes == [one["code"] for one in case["rejects"]]


if __name__ == "__main__":
    for file in FILES:
        case = outcome_of(json.loads(file.read_text(encoding="utf-8")))
        file.write_text(json.dumps(case, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
