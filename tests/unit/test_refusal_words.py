"""Refusals in both languages, and payloads as people say they were meant."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ingest.admission import admit_status, admit_telemetry
from ingest.intake import JsonIntake
from ingest.mending import check_mend, mended, suggestion
from ingest.words import LANGUAGES, in_chinese, load, told
from schemas.errors import ConfigError, Reject
from schemas.payloads import Mend
from schemas.rejects import Code
from tests.messages import ARRIVAL_US, Door

GOLDEN = sorted((Path(__file__).parents[1] / "golden" / "payloads").glob("*.json"))
ODD = [
    b"", b" ", b"{", b"\xff", b"[" * 5000, b"3", b'"x"', b"null", b"[]", b"{}", b"[1]", b"[{}]", b'{"ts": 1}',
    b'{"smok": 1}',
    b'{"smoke.a b": 1}', b'{"smoke": "1"}', b'{"smoke": null}', b'{"smoke": []}', b'{"smoke": {}}', b'{"smoke": true}',
    b'{"tamper": 2}', b'{"tamper": null}', b'{"tamper": "x"}', b'{"smoke": NaN}', b'{"smoke": 1e999}',
    b'{"smoke": 999}',
    b'{"smoke": 1, "smoke": 2}', b'{"ts": "x", "smoke": 1}', b'{"ts": 1790000000, "smoke": 1}',
    b'{"ts": 1790000000000000, "smoke": 1}', b'{"ts": 1790000000000000000, "smoke": 1}', b'{"ts": -1, "smoke": 1}',
    b'{"ts": 99999999999999, "smoke": 1}', b'[{"smoke": 1}, {"smoke": 2}]',
    json.dumps({f"odd{k}": 1 for k in range(30)}).encode(),
]  # fmt: skip


def every_reject() -> list[Reject]:
    rejects = [one for payload in ODD for one in admit_telemetry(payload, ARRIVAL_US).rejects]
    rejects += admit_status(b"on", ARRIVAL_US).rejects
    for path in GOLDEN:
        content = json.loads(path.read_text())
        for case in content if isinstance(content, list) else content.get("cases", [content]):
            admit = admit_status if case.get("leaf") == "status" else admit_telemetry
            rejects += admit(case["payload"].encode(), ARRIVAL_US).rejects
    intake = JsonIntake(sensors_per_device=1)
    payload = b'{"smoke.a": 1, "smoke.b": 2, "odd": 1}'
    batch = Door().batch([("tocsin/v1/a/b/telemetry", payload), ("tocsin/v1/a/b/other", b"{}")])
    rejects += [reject for one in intake.take(batch).refused for reject in one.rejects]
    return rejects


def test_every_sentence_of_a_refusal_has_its_chinese() -> None:
    """A sentence that is changed in admission and not here would be shown in English to who reads none."""
    rejects = every_reject()
    assert {one.code for one in rejects} >= set(Code) - {Code.PAYLOAD_TOO_LARGE}
    large = Reject(
        Code.TOO_LARGE, "", "The message is larger than 262144 bytes; only its head was kept.",
        "Send it in several messages.",
    )  # fmt: skip
    for one in told([*rejects, large]):
        for sentence, chinese in ((one.reason, one.reason_zh), (one.mend, one.mend_zh)):
            assert re.search(r"[\u4e00-\u9fff]", chinese), sentence
            assert not re.search(r"\{[a-z]+\}", chinese), chinese


def test_what_differs_in_a_sentence_stands_in_the_other() -> None:
    assert in_chinese("No smoke lies outside -5 to 100 %/m.") == "smoke 不可能超出 -5 至 100 %/m 的范围。"
    assert in_chinese("The value is an array, not a number or a boolean.") == "该值是数组，而不是数字或布尔值。"
    assert (
        in_chinese("Send milliseconds since 1970. Divide it by 1,000.") == "请发送 1970 年以来的毫秒数。请除以 1000。"
    )
    assert in_chinese("A sentence of another version.") == "A sentence of another version."


def test_both_languages_have_the_same_keys_and_holes() -> None:
    english, chinese = (load(language) for language in LANGUAGES)
    assert english.keys() == chinese.keys()
    assert english["word"].keys() == chinese["word"].keys()
    for key in english.keys() - {"word"}:
        assert set(re.findall(r"\{(\w+)\}", english[key])) == set(re.findall(r"\{(\w+)\}", chinese[key])), key


@pytest.mark.parametrize(
    ("payload", "mend", "meant"),
    [
        (
            '{"temprature": 21.50, "smoke": 1}',
            Mend({"temprature": "temperature"}),
            '{"temperature": 21.50, "smoke": 1}',
        ),
        ('{"i": 3400}', Mend({"i": "current.L1"}, {"i": 0.001}), '{"current.L1": 3.4}'),
        ('{"smoke": "0.4", "note": "x"}', Mend(leave_out=("note",), numbers_in_text=True), '{"smoke": 0.4}'),
        ('{"ts": "2026", "smoke": "NaN"}', Mend(numbers_in_text=True), '{"ts": "2026", "smoke": "NaN"}'),
        ('[{"t": 1}, 2, {"t": 3}]', Mend({"t": "temperature"}), '[{"temperature": 1}, null, {"temperature": 3}]'),
        ('{"a": 1, "a": 2, "b": {"c": [1, "é\\ud800"]}}', Mend({"x": "smoke"}), None),
        ("not json", Mend({"x": "smoke"}), "not json"),
    ],
)
def test_a_payload_is_read_as_it_was_meant(payload: str, mend: Mend, meant: str | None) -> None:
    """Numbers stay as they were written; what the mend does not name stays as it is, duplicates and all."""
    made = mended(payload.encode(), mend)
    if meant is None:
        assert admit_telemetry(made, ARRIVAL_US) == admit_telemetry(payload.encode(), ARRIVAL_US)
    else:
        assert made.decode() == meant


def test_a_mend_that_can_never_help_is_refused() -> None:
    """Before a hundred thousand messages are tried by it in vain."""
    for wrong in (
        Mend({"a": "smoak"}), Mend({"a": "smoke.a b"}), Mend(factor={"a": float("nan")}), Mend(factor={"a": 0.0}),
        Mend(leave_out=tuple("abcdefgh" * 9)),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            check_mend(wrong)
    assert check_mend(Mend({"a": "current.L1"}, {"a": 0.001}))
    assert not Mend()


def test_what_likely_was_meant_is_suggested() -> None:
    """A misspelt measure, and numbers in quotes; for what is like nothing there is no guess."""
    payload = b'[{"temprature.oil": 1, "Humidty": 2, "volt": 3, "smoke": "4"}]'
    found = suggestion(admit_telemetry(payload, ARRIVAL_US).rejects)
    assert found == Mend({"temprature.oil": "temperature.oil", "Humidty": "humidity"}, numbers_in_text=True)
    assert not suggestion(admit_telemetry(b"{", ARRIVAL_US).rejects)
