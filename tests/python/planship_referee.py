"""Drives the daemon with Planship's own Python SDK and fails when a claim about it does not hold.

Usage: planship_referee.py URL NOW, where NOW is not looked at. The daemon serves the product "demo"
to the client "service", with the levers "tokens" (total), "models" (per bucket) and "kinds" (unique
buckets) of the metering id "calls".
"""

import collections
import csv
import pathlib
import sys

from planship import Planship
from planship_openapi_gen.exceptions import ApiException, NotFoundException

URL = sys.argv[1]
SECRET = "canary-secret-of-planship"
TRACE = pathlib.Path(__file__).with_name("azure-llm-code-2023.csv")
CUSTOMERS = [f"stripe:cus_{number}" for number in range(5)]
MODELS = ["small", "large/\u00e9", None]

client = Planship("demo", "service", SECRET, baseUrl=URL)
by_hand = {name: collections.Counter() for name in CUSTOMERS}


def check(customer):
    """What the SDK reads is what was counted by hand."""
    counted = by_hand[customer]
    total = sum(counted.values())
    named = {"null" if model is None else model: usage for model, usage in counted.items()}
    tokens = client.get_lever_usage(customer, "tokens")
    assert (tokens.total, tokens.by_bucket) == (total, {"null": total}), tokens
    models = client.get_lever_usage(customer, "models")
    assert (models.total, models.by_bucket) == (total, named), models
    kinds = client.get_lever_usage(customer, "kinds")
    assert kinds.total == len(set(named) - {"null"}), kinds
    levers = client.get_metering_id_usage(customer, "calls")
    assert set(levers) == {"tokens", "models", "kinds"}, levers
    assert levers["models"].by_bucket == named, levers


with TRACE.open() as rows:
    calls = [int(row["ContextTokens"]) + int(row["GeneratedTokens"]) for row in csv.DictReader(rows)]
seen = set()
for number, usage in enumerate(calls):
    customer, model = CUSTOMERS[number % 5], MODELS[number % 7 % 3]
    record = client.report_usage(customer, "calls", usage, model)
    assert (record.usage, record.metering_id, record.bucket) == (usage, "calls", model), record
    assert record.id not in seen, "two reports are one record"
    seen.add(record.id)
    by_hand[customer][model] += usage
    # What was reported is in the next answer.
    if number % 50 == 0:
        check(customer)
for customer in CUSTOMERS:
    check(customer)

# A token that is refused is renewed by the SDK itself.
client._Base__access_token = "1.none"
check(CUSTOMERS[0])

for usage in [-4]:
    try:
        client.report_usage(CUSTOMERS[0], "calls", usage)
    except ApiException as error:
        assert error.status == 422 and "usage" in error.body, error
    else:
        raise AssertionError("usage below zero was taken")
try:
    client.get_lever_usage(CUSTOMERS[0], "none")
except NotFoundException:
    pass
else:
    raise AssertionError("there is a lever that is not there")
client.report_usage(CUSTOMERS[0], "calls", 0)
check(CUSTOMERS[0])
print(f"the daemon holds {len(calls)} reports of {sum(calls)} tokens")
