"""The workflow `customers`, against a real service."""

from collections.abc import Iterator

import pytest
from cloacina_core.testing import HarnessResult, run_workflow
from customer_list.flows import customers
from serving import PASSWORD, USER, Service, running


@pytest.fixture
def service() -> Iterator[Service]:
    with running() as service:
        yield service


def run(service: Service, password: str = PASSWORD) -> HarnessResult:
    params = {"service": service.url, "user": USER}
    return run_workflow(customers, params, secrets={"crm-password": password})


def test_customers_are_counted_by_country(service: Service) -> None:
    result = run(service)

    assert result.status == "succeeded"
    assert result.context["by_country"] == {"DE": 2, "DK": 1, "FR": 1, "GB": 1}
    assert service.asked == ["/session", *(f"/customers?page={page}" for page in range(3))]


def test_a_service_that_is_busy_is_asked_again(service: Service) -> None:
    service.failures = 2

    result = run(service)

    assert result.status == "succeeded"
    assert len(result.tasks["fetch"].attempts) == 3


def test_a_wrong_password_is_not_tried_again_nor_told(service: Service) -> None:
    result = run(service, "a password of last year")

    assert result.error is not None
    assert "nobody is known as reports:[secret crm-password]" in result.error.message
    assert "password of last year" not in repr(result)
    assert len(result.tasks["fetch"].attempts) == 1
