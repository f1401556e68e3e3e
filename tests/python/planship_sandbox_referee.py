"""Drives the sandbox with Planship's own Python SDK and fails when a claim about it does not hold.

Usage: planship_sandbox_referee.py URL NOW, where NOW is not looked at. The organization has the
product "demo", whose lever "api-calls" adds up the metering id "api-call" per subscription period.
"""

import importlib.metadata
import json
import sys
import urllib.request

from planship import Planship
from planship_openapi_gen.exceptions import ApiException, NotFoundException

URL = sys.argv[1]
CUSTOMER, METERING_ID, LEVER = "stripe:cus_Qv7TP2s0BZ6XAV", "api-call", "api-calls"
client = Planship("demo", "sandbox-client", "sandbox-secret", baseUrl=URL)


def control(name, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/_sandbox/planship/{name}", data=data)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def clock(seconds):
    body = json.dumps({"advance_micros": seconds * 1_000_000}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{URL}/_sandbox/clock", data=body)).close()


def total():
    return sum(line["total"] for line in control("books")["books"])


def check_reports():
    """A report counts each time that it is told, under an id of its own."""
    ids = set()
    for usage, bucket in ((15, None), (15, None), (2, "First project/\u00e9"), (0, None)):
        record = client.report_usage(CUSTOMER, METERING_ID, usage, bucket)
        assert (record.usage, record.metering_id, record.bucket) == (usage, METERING_ID, bucket)
        ids.add(record.id)
    assert len(ids) == 4 and total() == 32, control("books")
    line = control("records")["records"][2]
    assert (line["customer"], line["bucket"]) == (CUSTOMER, "First project/\u00e9"), line


def check_levers():
    """What was reported is read back, later, and of the running period."""
    usage = client.get_lever_usage(CUSTOMER, LEVER)
    assert (usage.total, usage.by_bucket) == (32, {"null": 32}), usage
    levers = client.get_metering_id_usage(CUSTOMER, METERING_ID)
    assert set(levers) == {LEVER} and levers[LEVER].total == 32, levers
    control("settings", {"lag_micros": 5_000_000})
    client.report_usage(CUSTOMER, METERING_ID, 8)
    assert client.get_lever_usage(CUSTOMER, LEVER).total == 32
    clock(5)
    assert client.get_lever_usage(CUSTOMER, LEVER).total == 40
    control("periods", {"renewed": True})
    clock(1)
    assert client.get_lever_usage(CUSTOMER, LEVER).total == 0
    control("settings", {"lag_micros": 0})


def check_tokens():
    """A token that has expired, or was forgotten, is renewed by the SDK itself."""
    control("tokens", {"ended": True})
    client.report_usage(CUSTOMER, METERING_ID, 1)
    clock(3_600)
    client.report_usage(CUSTOMER, METERING_ID, 1)
    assert total() == 42, control("books")


def refused(status, call):
    try:
        call()
    except ApiException as error:
        assert error.status == status, error
    else:
        raise AssertionError(f"{status} was not answered")


def check_refusals():
    """The SDK reads each no."""
    control("settings", {"metering_ids": {"only": ["another"]}})
    refused(404, lambda: client.report_usage(CUSTOMER, METERING_ID, 1))
    control("settings", {"metering_ids": "any", "customers": {"only": ["another"]}})
    try:
        client.report_usage(CUSTOMER, METERING_ID, 1)
    except NotFoundException:
        pass
    else:
        raise AssertionError("there is a customer that is not there")
    control("settings", {"customers": "any"})
    control("faults", {"next": ["rate_limited", "error_after", "answer_lost"]})
    refused(429, lambda: client.report_usage(CUSTOMER, METERING_ID, 1))
    # What was recorded before the answer failed, or was lost, counts all the same.
    refused(500, lambda: client.report_usage(CUSTOMER, METERING_ID, 1))
    try:
        client.report_usage(CUSTOMER, METERING_ID, 7)
    except Exception as error:
        assert not isinstance(error, ApiException), error
    else:
        raise AssertionError("a lost answer came")
    assert total() == 50, control("books")


def main():
    check_reports()
    check_levers()
    check_tokens()
    check_refusals()
    print("the sandbox holds against planship", importlib.metadata.version("planship"))


main()
