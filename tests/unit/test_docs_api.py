"""docs/reference/api.md: every endpoint with its summary, its parameters and its answers, as the API itself says them.

The part below the mark is made again by `python -m tests.unit.test_docs_api`; the difference is read before it is
committed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from console.errors import CODES
from tests.api_world import Asker, all_services, api_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"
MARK = "<!-- below: python -m tests.unit.test_docs_api -->\n"
WORDS = {
    "accounts": "Accounts and sessions",
    "alarms": "Alarms",
    "devices": "Devices as they speak, and what was refused",
    "health": "How it all stands",
    "messages": "Messages",
    "registry": "The registry",
    "risk": "Risk",
    "rules": "Rules",
}
"""Tag → the heading of its endpoints."""
Json = dict[str, Any]


@cache
def document() -> Json:
    """The API's own, of a process that has everything."""
    with all_services("") as services:
        found: Json = Asker(api_of(services))("GET", "/api/v1/openapi.json").json()
    return found


def reference(openapi: Json) -> str:
    """The endpoints, by tag, as the page has them."""
    said: dict[str, list[str]] = {tag: [] for tag in WORDS}
    for path, method, operation in operations(openapi):
        (tag,) = operation["tags"]
        said[tag].append("\n".join(_endpoint(openapi, path, method, operation)))
    return "\n\n".join(f"## {WORDS[tag]}\n\n" + "\n\n".join(found) for tag, found in said.items() if found) + "\n"


def operations(openapi: Json) -> Iterator[tuple[str, str, Json]]:
    for path, found in openapi["paths"].items():
        if path.startswith("/api/"):
            for method, operation in found.items():
                yield path, method.upper(), operation


def _endpoint(openapi: Json, path: str, method: str, operation: Json) -> Iterator[str]:
    yield f"### `{method} {path}`"
    yield operation["summary"]
    query = [one for one in operation.get("parameters", []) if one["in"] == "query"]
    headers = [one["name"] for one in operation.get("parameters", []) if one["in"] == "header"]
    if query:
        yield ""
        yield "| query | |"
        yield "|---|---|"
        for one in query:
            yield f"| `{one['name']}` | {_of(one)} |"
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        shape = _shape(openapi, body)
        needed = set(shape.get("required", []))
        fields = [f"`{name}`" + ("" if name in needed else "?") for name in shape.get("properties", {})]
        yield ""
        yield f"Body: {', '.join(fields)}."
    answers = [_answer(status, answer) for status, answer in operation["responses"].items() if int(status) < 400]
    codes = {status: code for code, status in CODES.items()}
    errors = sorted(int(status) for status in operation["responses"] if int(status) >= 400)
    yield ""
    line = f"Answers: {', '.join(answers)}; errors {', '.join(f'`{codes[status]}`' for status in errors)}."
    yield line + (f" Headers: {', '.join(f'`{_header(name)}`' for name in headers)}." if headers else "")


def _of(parameter: Json) -> str:
    """What may stand there, and what it means."""
    schema = parameter["schema"]
    several = next((one for one in schema.get("anyOf", [schema]) if one.get("type") == "array"), None)
    inner = several["items"] if several else next(
        (one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"), schema
    )  # fmt: skip
    words = [", ".join(f"`{word}`" for word in inner["enum"])] if "enum" in inner else []
    if "default" in schema and schema["default"] not in ("", None):
        words.append(f"`{str(schema['default']).lower()}` if left out")
    if "maximum" in inner:
        words.append(f"at most {inner['maximum']}")
    if parameter.get("description"):
        words.append(parameter["description"].rstrip("."))
    return "; ".join(words)


def _answer(status: str, answer: Json) -> str:
    content = next(iter(answer.get("content", {}).items()), None)
    if content is None:
        return status
    kind, shape = content
    if kind != "application/json":
        return f"{status} `{kind}`"
    return f"{status} `{shape['schema'].get('$ref', '/').rsplit('/', 1)[1]}`"


def _shape(openapi: Json, schema: Json) -> Json:
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    found: Json = openapi["components"]["schemas"].get(name, schema)
    return found


def _header(name: str) -> str:
    return "-".join(part.capitalize() for part in name.replace("_", "-").split("-"))


def test_every_endpoint_is_described_as_it_is() -> None:
    """Who writes a program against a page that lies writes it twice."""
    assert PAGE.read_text("utf-8").partition(MARK)[2] == "\n" + reference(document())


def test_the_page_says_every_code_of_an_error() -> None:
    """A program decides by the code."""
    said = re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE.read_text("utf-8"), re.M)
    assert {code: int(status) for code, status in said} == CODES


def test_every_endpoint_says_what_it_is() -> None:
    """The document is read by people, too."""
    openapi = document()
    for path, method, operation in operations(openapi):
        assert operation["summary"].endswith("."), (path, method)
        assert operation["tags"][0] in WORDS, (path, method)
        assert "200" in operation["responses"] or any(status[0] == "2" for status in operation["responses"])
    assert set(openapi["components"]["securitySchemes"]) == {"token", "session"}


if __name__ == "__main__":
    head = PAGE.read_text("utf-8").partition(MARK)[0]
    PAGE.write_text(head + MARK + "\n" + reference(document()), "utf-8")
