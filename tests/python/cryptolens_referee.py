"""Drives the sandbox with Cryptolens' own Python SDK and fails when a claim about it does not hold.

Usage: cryptolens_referee.py URL NOW, where NOW is the sandbox's clock in Unix seconds. The account
has the product 3349, and every license key of it is tied to a Stripe subscription item.
"""

import importlib.metadata
import json
import sys
import urllib.request

from licensing.internal import HelperMethods
from licensing.methods import Subscription

URL = sys.argv[1]
TOKEN, PRODUCT, KEY = "sandbox-token", 3349, "CMXKC-GUQRW-EJUGS-RRPUR"

# It has to end so; the SDK then writes a second slash behind it.
HelperMethods.server_address = f"{URL}/api/"


def control(name, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/_sandbox/cryptolens/{name}", data=data)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def record(amount, token=TOKEN, product=PRODUCT, key=KEY):
    return Subscription.record_usage_to_stripe(token, product, key, amount)


def total():
    return sum(line["total"] for line in control("books")["books"])


def check_records():
    """A record counts each time that it is told, and one of nothing counts for nothing."""
    for amount in (5, 5, 0, ""):
        told, message = record(amount)
        assert told["result"] == 0 and message == "", (told, message)
    assert total() == 10, control("books")
    assert [line["amount"] for line in control("records")["records"]] == [5, 5, 0, 0]


def check_refusals():
    """The SDK reads each no, in the provider's words."""
    for expected, told in (
        ("Unable to authenticate", record(1, token="another")),
        ("Could not find the product.", record(1, product=7)),
        ("Could not increment the usage counter.", record(-3)),
        ("The input parameters were incorrect.", record("many")),
        ("The input parameters were incorrect.", record(2**31)),
    ):
        assert told == (None, expected), (expected, told)
    control("settings", {"keys": {"only": ["another"]}})
    assert record(1) == (None, "Could not find the key.")
    control("settings", {"keys": "any", "billing": "meters"})
    assert record(1) == (None, "Could not increment the usage counter.")
    control("settings", {"billing": "nothing"})
    assert record(1) == (None, "No Stripe payment processor was set up.")
    control("settings", {"billing": "usage_records"})
    assert total() == 10, control("books")


def check_lost_answers():
    """What was recorded before its answer was lost looks to the SDK as what never left."""
    control("faults", {"next": ["answer_lost", "closed_before"]})
    lost, never = record(7), record(7)
    assert lost == never and lost[0] is None, (lost, never)
    assert total() == 17, control("books")


def main():
    check_records()
    check_refusals()
    check_lost_answers()
    print("the sandbox holds against licensing", importlib.metadata.version("licensing"))


main()
