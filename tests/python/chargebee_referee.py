"""Drives the sandbox with Chargebee's own Python SDK and fails when a claim about it does not hold.

Usage: chargebee_referee.py URL NOW, where NOW is the sandbox's clock in Unix seconds. The site has
the subscription "sub" to the plan "basic" and the metered price "calls".
"""

import base64
import http.server
import json
import os
import queue
import sys
import threading
import urllib.request

import chargebee
from chargebee import Chargebee, Filters
from chargebee.models.usage.responses import UsageResponse
from chargebee.retry_config import RetryConfig
from chargebee.version import VERSION

URL, NOW = sys.argv[1], int(sys.argv[2])
PORT = int(URL.rsplit(":", 1)[1])
DAY = 86400
MONTH = 31 * DAY

# Only this keeps the SDK from speaking TLS; the protocol alone does not.
Chargebee.verify_ca_certs = False


def client(key="test_referee", retries=0):
    """The SDK joins site and domain by a point, so that an address makes a host without a name."""
    made = Chargebee(api_key=key, site="127", chargebee_domain=f"0.0.1:{PORT}", protocol="http")
    made.update_retry_config(RetryConfig(enabled=retries > 0, max_retries=retries, delay_ms=1))
    return made


def control(name, body):
    request = urllib.request.Request(
        f"{URL}/_sandbox/{name}", data=json.dumps(body).encode(), method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        return json.load(answer)


def refused(exception, status, code, call):
    """The error that `call` must raise; its class exactly, not a parent."""
    try:
        call()
    except chargebee.APIError as error:
        assert type(error) is exception, f"{type(error).__name__}: {error}"
        found = (error.http_status_code, error.api_error_code)
        assert found == (status, code), f"{found}: {error}"
        return error
    raise AssertionError(f"{exception.__name__} was expected")


def usage(id, quantity, usage_date=NOW, **more):
    return dict(
        id=id, item_price_id="calls", quantity=quantity, usage_date=usage_date, **more
    )


site = client()


def check_usages():
    made = site.Usage.create("sub", usage("one", "0.1", note="batch 1"))
    assert isinstance(made.usage, UsageResponse), made
    assert made.is_idempotency_replayed is False
    assert (made.usage.id, made.usage.quantity, made.usage.note) == ("one", "0.1", "batch 1")
    assert (made.usage.subscription_id, made.usage.source) == ("sub", "api")
    assert (made.usage.usage_date, made.usage.created_at) == (NOW, NOW)
    assert site.Usage.retrieve("sub", {"id": "one"}).usage.raw_data == made.usage.raw_data
    invalid = chargebee.InvalidRequestError
    for again in [usage("one", "1", NOW + 1), usage("other", "1")]:
        refused(invalid, 400, "duplicate_entry", lambda: site.Usage.create("sub", again))
    error = refused(
        invalid, 400, "param_wrong_value", lambda: site.Usage.create("sub", usage("x", "-1", NOW + 2))
    )
    assert error.param == "quantity"
    refused(invalid, 404, "resource_not_found", lambda: site.Usage.create("none", usage("x", "1")))
    site.Usage.create("sub", usage("gone", "5", NOW + 3))
    assert site.Usage.delete("sub", {"id": "gone"}).usage.id == "gone"
    refused(
        invalid, 404, "resource_not_found", lambda: site.Usage.retrieve("sub", {"id": "gone"})
    )


def check_idempotency():
    header = {Chargebee.idempotency_header: "key-1"}
    first = site.Usage.create("sub", usage("two", "0.2", NOW + 10), dict(header))
    again = site.Usage.create("sub", usage("two", "0.2", NOW + 10), dict(header))
    assert (first.is_idempotency_replayed, again.is_idempotency_replayed) == (False, True)
    assert again.usage.raw_data == first.usage.raw_data
    refused(
        chargebee.InvalidRequestError,
        422,
        "unable_to_process_request",
        lambda: site.Usage.create("sub", usage("three", "3", NOW + 11), dict(header)),
    )


def check_retries():
    """The SDK's own retries land a usage once, by the key that it makes for itself."""
    patient = client(retries=3)
    for place, kinds in enumerate([["error_before"], ["error_before", "lock_timeout"]]):
        control("chargebee/faults", {"next": kinds})
        made = patient.Usage.create("sub", usage(f"retried-{place}", "1000", NOW + 20 + place))
        assert made.usage.id == f"retried-{place}"
    # What is retried after an effect meets its own id: only looking tells what happened.
    control("chargebee/faults", {"next": ["error_after"]})
    once = usage("blind", "1000", NOW + 30)
    refused(
        chargebee.InvalidRequestError,
        400,
        "duplicate_entry",
        lambda: patient.Usage.create("sub", once),
    )
    assert site.Usage.retrieve("sub", {"id": "blind"}).usage.quantity == "1000"


def check_usage_events():
    """Events go to a sub-domain, which a proxy leads here without a name server."""
    control("chargebee/features", {"id": "api-calls", "property": "calls"})

    def event(name, calls, at=NOW):
        return dict(
            deduplication_id=name,
            subscription_id="sub",
            usage_timestamp=at * 1000,
            properties={"calls": calls, "region": "eu"},
        )

    os.environ["HTTP_PROXY"] = URL
    try:
        for _ in range(2):
            made = site.UsageEvent.create(event("one", 2)).usage_event
            assert (made.deduplication_id, made.usage_timestamp) == ("one", NOW * 1000), made
            assert made.properties["calls"] == 2, made
        old = event("old", 5, NOW - 13 * 3600)
        taken = site.UsageEvent.batch_ingest({"events": [event("two", 0.5), old]})
        [failed] = taken.failed_events
        assert taken.batch_id and failed["deduplication_id"] == "old", taken
        refused(
            chargebee.InvalidRequestError,
            400,
            "param_wrong_value",
            lambda: site.UsageEvent.create(old),
        )
        refused(
            chargebee.UbbBatchIngestionInvalidRequestError,
            400,
            "invalid_request",
            lambda: site.UsageEvent.batch_ingest({"events": []}),
        )
    finally:
        del os.environ["HTTP_PROXY"]
    params = {
        "feature_id": "api-calls",
        "timeframe_start": NOW - 3600,
        "timeframe_end": NOW + 3600,
    }
    summary = site.UsageSummary.retrieve_usage_summary_for_subscription
    [row] = summary("sub", params).list
    found = row.usage_summary
    assert (found.aggregated_value, found.feature_id) == ("2.5", "api-calls"), found
    hours = summary("sub", dict(params, window_size="hour")).list
    assert [row.usage_summary.aggregated_value for row in hours] == ["0", "2.5"], hours


def check_error_classes():
    failed = chargebee.OperationFailedError
    refused(chargebee.APIError, 401, "api_authentication_failed", client("live_x").Usage.list)
    for kind, status, code in [
        ("rate_limited", 429, "api_request_limit_exceeded"),
        ("lock_timeout", 429, "lock_timeout"),
        ("error_before", 500, "internal_error"),
    ]:
        control("chargebee/faults", {"next": [kind]})
        error = refused(failed, status, code, lambda: site.Usage.create("sub", usage("no", "1")))
        waits = error.http_headers.get("retry-after")
        assert waits == ("1" if kind == "rate_limited" else None), waits
    control("chargebee/faults", {"next": ["unavailable_html"]})
    try:
        site.Usage.create("sub", usage("no", "1"))
    except Exception as error:
        assert "internal_temporary_error" in str(error), error
    else:
        raise AssertionError("a page is no usage")
    control("chargebee/settings", {"usages_enabled": False})
    error = refused(
        chargebee.InvalidRequestError,
        400,
        "configuration_incompatible",
        lambda: site.Usage.create("sub", usage("no", "1")),
    )
    assert error.error_code == "api_restricted"
    control("chargebee/settings", {"usages_enabled": True})


def pages(call, params):
    """All rows of a list, page by page."""
    rows, offset = [], None
    while True:
        page = call(dict(params, **({"offset": offset} if offset else {})))
        rows += page.list
        offset = page.next_offset
        if offset is None:
            return rows


def check_lists():
    for second in range(25):
        site.Usage.create("sub", usage(f"listed-{second:02}", "1", NOW + 100 + second))
    params = {
        "limit": 10,
        "subscription_id": Filters.StringFilter(IS="sub"),
        "usage_date": Filters.TimestampFilter(BETWEEN=[NOW + 100, NOW + 124]),
        "source": Filters.EnumFilter(IN=["api", "bulk_operation"]),
        "invoice_id": Filters.StringFilter(IS_PRESENT=False),
        "sort_by": Filters.SortFilter(DESC="usage_date"),
    }
    found = [row.usage.id for row in pages(site.Usage.list, params)]
    assert found == [f"listed-{second:02}" for second in range(24, -1, -1)], found
    [subscription] = site.Subscription.list({"id": {"is": "sub"}}).list
    assert subscription.subscription.status == "active"
    assert subscription.customer.id == "customer"
    [item] = subscription.subscription.subscription_items[1:]
    assert (item.item_price_id, item.item_type) == ("calls", "addon"), item
    assert site.Subscription.retrieve("sub").subscription.current_term_end == NOW + MONTH
    assert site.Item.retrieve("calls-item").item.metered is True
    assert len(site.Item.list({"limit": 1}).list) == 1
    assert site.ItemPrice.retrieve("calls").item_price.pricing_model == "per_unit"
    [configuration] = site.Configuration.list().configurations
    assert configuration.product_catalog_version == "v2", configuration


def check_billing():
    """A term ends; its invoice is pending, is closed, and holds its usages."""
    control("clock", {"set_micros": (NOW + MONTH) * 1_000_000})
    site.Usage.create("sub", usage("late", "0.25", NOW + 1))
    [row] = site.Invoice.list({"status": {"is": "pending"}}).list
    pending = row.invoice
    assert pending.id.startswith("draft_inv_") and pending.subscription_id == "sub", pending
    closed = site.Invoice.close(pending.id).invoice
    [line] = closed.line_items
    # 0.1 + 0.2 + 0.25, three that took retries to land, and those that were listed.
    assert line.quantity_in_decimal == "3025.55" and line.quantity == 3025, line
    assert (line.entity_id, line.subscription_id, line.metered) == ("calls", "sub", True), line
    assert (line.date_from, line.date_to) == (NOW, NOW + MONTH)
    assert closed.status == "payment_due" and closed.total == 302555, closed
    found = site.Usage.retrieve("sub", {"id": "one"}).usage
    assert (found.invoice_id, found.line_item_id) == (closed.id, line.id), found
    refused(
        chargebee.InvalidRequestError,
        409,
        "invalid_state_for_request",
        lambda: site.Usage.delete("sub", {"id": "one"}),
    )
    params = {"limit": 3, "sort_by": Filters.SortFilter(ASC="occurred_at")}
    told = [row.event.event_type for row in pages(site.Event.list, params)]
    assert told[-3:] == [
        "pending_invoice_created",
        "subscription_renewed",
        "invoice_generated",
    ], told
    types = ["pending_invoice_created", "invoice_generated"]
    params = {"event_type": Filters.EnumFilter(IN=types)}
    rows = site.Event.list(params).list
    assert [row.event.event_type for row in rows] == types, rows
    last = site.Event.retrieve(rows[1].event.id).event
    assert last.source == "api" and last.content["invoice"]["id"] == closed.id, last
    voided = site.Invoice.void_invoice(closed.id).invoice
    assert voided.status == "voided"
    assert site.Usage.retrieve("sub", {"id": "one"}).usage.invoice_id is None


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes webhooks and keeps them as they came."""

    taken = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.put((self.headers["authorization"], body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def check_webhooks():
    """What the courier brings is what the SDK reads, and carries the endpoint's credentials."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    control("chargebee/webhooks", {"endpoints": [{"url": url, "basic": ["hook", "secret"]}]})
    control("chargebee/changes", {"subscription": "sub", "change": "pause"})
    authorization, body = Receiver.taken.get(timeout=60)
    assert authorization == "Basic " + base64.b64encode(b"hook:secret").decode(), authorization
    told = json.loads(body)
    assert told["event_type"] == "subscription_paused", told
    found = site.Event.retrieve(told["id"]).event
    assert found.content == told["content"], found
    assert site.Subscription.retrieve("sub").subscription.status == "paused"
    server.shutdown()


def main():
    # Faults and the control leave the site alone, so the order of checks is free but for these.
    check_usages()
    check_idempotency()
    check_retries()
    check_usage_events()
    check_error_classes()
    check_lists()
    # These move the clock, so they come last.
    check_billing()
    check_webhooks()
    print("the sandbox holds against chargebee", VERSION)


main()
