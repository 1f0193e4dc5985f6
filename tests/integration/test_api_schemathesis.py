"""The API against its own document: schemathesis makes requests of every endpoint, good ones and bad ones.

What it would find: an answer that the document does not name, or of another shape or type; a request that is not as it
should be and is taken; and anything that ends in `internal`. The same requests are made each time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.strategies import SearchStrategy
from schemathesis import Case, CheckFunction
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from schemas.alarms import Grade, State
from schemas.viewers import Role, house
from tests.accounts_world import PASSWORD
from tests.alerting_world import event
from tests.api_world import TOKEN, all_services, api_of
from tests.watching_world import settle, telling

pytestmark = pytest.mark.integration
GOOD, BAD = 3, 3
"""Requests an endpoint and viewer; of the good ones as many again speak of what is there."""
ENDLESS = "/api/v1/alarms/stream"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
def world(dsn: str) -> Iterator[tuple[FastAPI, dict[str, str], dict[str, str | int]]]:
    """The API with some data in it, the bearers of an administrator and of an owner, and the names of what is there."""
    settle(dsn, "shop-1", "shop-2")
    with telling(dsn) as tale, all_services(dsn) as services:
        key, *_ = tale.tell(
            event(State.RAISED, Grade.RED, latched=True),
            event(State.RAISED, Grade.YELLOW, enterprise="shop-2"),
            event(State.CLEARED, Grade.YELLOW, enterprise="shop-2", step=2),
        )
        assert services.accounts is not None
        services.accounts.add(house(), "wang", Role.OWNER, password=PASSWORD, enterprises=("shop-1",))
        owner = services.accounts.viewer_of(services.accounts.log_in("wang", PASSWORD, ""))
        assert owner is not None
        bearers = {"administrator": TOKEN, "owner": services.accounts.make_key(owner, "till").key}
        there: dict[str, str | int] = {
            "key": key, "code": "shop-1", "enterprise": "shop-1", "device": "kitchen", "zone": "k", "order": 1,
            "login": "wang", "about": "zones",
        }  # fmt: skip
        yield api_of(services), bearers, there


def test_every_endpoint_keeps_to_the_document(
    world: tuple[FastAPI, dict[str, str], dict[str, str | int]],
) -> None:
    """Who writes a client reads the document and nothing else."""
    app, bearers, there = world
    made: Counter[tuple[str, int]] = Counter()
    wrong: list[str] = []
    for role, bearer in bearers.items():
        headers = {"Authorization": f"Bearer {bearer}"}
        schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=headers)
        for found in schema.get_all_operations():
            operation = found.ok()
            if operation.path == ENDLESS:
                continue
            names = re.findall(r"{(\w+)}", operation.path)
            known = {name: there[name] for name in names} if set(names) <= set(there) else {}
            for strategy, most in (
                (operation.as_strategy(GenerationMode.NEGATIVE), BAD),
                (operation.as_strategy(GenerationMode.POSITIVE), GOOD),
                *([(operation.as_strategy(GenerationMode.POSITIVE, path_parameters=known), GOOD)] if known else []),
            ):
                try:
                    # A query's text says nothing of its type, a body does.
                    checks = [*CHECKS, negative_data_rejection] if operation.body else CHECKS
                    _ask(strategy, most, role, headers, checks, made)
                except (Exception, BaseExceptionGroup) as error:
                    wrong.append(f"{role} {operation.label}: {_words(error)}")
    print(sum(made.values()), "requests:", dict(sorted(made.items())))
    assert not wrong, "\n".join(wrong)
    for role in bearers:
        assert made[role, 200] and made[role, 400] and made[role, 404]


def _ask(
    strategy: SearchStrategy[Case],
    most: int,
    role: str,
    headers: dict[str, str],
    checks: list[CheckFunction],
    made: Counter[tuple[str, int]],
) -> None:
    @settings(
        max_examples=most,
        derandomize=True,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def one(case: Case) -> None:
        response = case.call(headers=headers)
        made[role, response.status_code] += 1
        case.validate_response(response, checks=checks)

    one()


def _words(error: BaseException) -> str:
    """Every failure in an exception group, in one line."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_words(one) for one in error.exceptions)
    return " ".join(str(error).split())
