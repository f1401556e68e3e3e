"""Drives the sandbox with Stripe's own Python SDK and fails when a claim about it does not hold.

Usage: stripe_referee.py URL NOW, where NOW is the sandbox's clock in Unix seconds.
"""

import http.server
import json
import queue
import sys
import threading
import urllib.request

import stripe

URL, NOW = sys.argv[1], int(sys.argv[2])
HOUR = 3600


def client(key="sk_test_referee", retries=0):
    return stripe.StripeClient(
        key, base_addresses={"api": URL}, max_network_retries=retries
    )


def control(name, body):
    request = urllib.request.Request(
        f"{URL}/_sandbox/{name}", data=json.dumps(body).encode(), method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request) as answer:
        return json.load(answer)


def refused(exception, call):
    """The error that `call` must raise; its class exactly, not a parent."""
    try:
        call()
    except stripe.StripeError as error:
        assert type(error) is exception, f"{type(error).__name__}: {error}"
        return error
    raise AssertionError(f"{exception.__name__} was expected")


def event(identifier, value, timestamp=NOW, name="words", customer="cus_referee"):
    return {
        "event_name": name,
        "identifier": identifier,
        "timestamp": timestamp,
        "payload": {"stripe_customer_id": customer, "value": value},
    }


sandbox = client()
meters = sandbox.v1.billing.meters
events = sandbox.v1.billing.meter_events
adjustments = sandbox.v1.billing.meter_event_adjustments


def check_meters():
    meter = meters.create(
        {
            "display_name": "Words",
            "event_name": "words",
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
        }
    )
    assert isinstance(meter, stripe.billing.Meter), meter
    assert meter.status == "active" and meter.livemode is False
    assert meters.retrieve(meter.id).event_name == "words"
    assert meters.update(meter.id, {"display_name": "All words"}).display_name == "All words"
    assert meters.deactivate(meter.id).status_transitions.deactivated_at == NOW
    error = refused(stripe.InvalidRequestError, lambda: events.create(event("off", "1")))
    assert 'No active meter found for event name "words"' in str(error)
    assert meters.reactivate(meter.id).status == "active"
    for place in range(24):
        meters.create(
            {
                "display_name": f"Meter {place}",
                "event_name": f"meter_{place}",
                "default_aggregation": {"formula": "count"},
                "event_time_window": "day",
            }
        )
    names = [each.event_name for each in meters.list({"limit": 7}).auto_paging_iter()]
    assert names == [f"meter_{place}" for place in range(23, -1, -1)] + ["words"], names
    error = refused(stripe.InvalidRequestError, lambda: meters.retrieve("mtr_none"))
    assert error.http_status == 404 and error.code == "resource_missing"
    return meter


def check_events():
    made = events.create(event("one", "0.1"))
    assert isinstance(made, stripe.billing.MeterEvent), made
    assert made.identifier == "one" and made.created == NOW
    assert made.payload["value"] == "0.1"
    error = refused(stripe.InvalidRequestError, lambda: events.create(event("one", "0.1")))
    assert error.http_status == 400 and error.code is None
    assert error.user_message == "An event already exists with identifier one."
    assert error.headers["stripe-should-retry"] == "false"
    assert error.request_id.startswith("req_")
    old = event("old", "1", NOW - 36 * 24 * HOUR)
    error = refused(stripe.InvalidRequestError, lambda: events.create(old))
    assert "cannot be more than 35 days in past" in str(error)
    ahead = event("ahead", "1", NOW + 301)
    refused(stripe.InvalidRequestError, lambda: events.create(ahead))
    odd = dict(event("odd", "1"), colour="red")
    error = refused(stripe.InvalidRequestError, lambda: events.create(odd))
    assert error.code == "parameter_unknown" and error.param == "colour"
    many = event("many", "1234567890123456")
    refused(stripe.InvalidRequestError, lambda: events.create(many))
    events.create(event("two", "0.2"))
    events.create(event("minus", "-0.05"))


def check_idempotency():
    options = {"idempotency_key": "key-1"}
    first = events.create(event("three", "3"), options)
    again = events.create(event("three", "3"), options)
    assert again.identifier == first.identifier
    assert again.last_response.headers["idempotent-replayed"] == "true"
    other = event("four", "4")
    error = refused(stripe.IdempotencyError, lambda: events.create(other, options))
    assert error.http_status == 400


def check_retries():
    """The SDK's own retries land an event once, whatever happens on the way."""
    patient = client(retries=2).v1.billing.meter_events
    for place, kinds in enumerate(
        [["answer_lost"], ["closed_before", "answer_cut"], ["conflict"], ["error_before"]]
    ):
        control("faults", {"next": kinds})
        made = patient.create(event(f"retried-{place}", "1000"))
        assert made.identifier == f"retried-{place}"


def check_error_classes():
    error = refused(stripe.AuthenticationError, client("sk_live_x").v1.billing.meters.list)
    assert "live" in str(error) and error.http_status == 401
    for kind, exception in [
        ("rate_limited", stripe.RateLimitError),
        ("lock_timeout", stripe.RateLimitError),
        ("error_before", stripe.APIError),
        ("unavailable_html", stripe.APIError),
        ("closed_before", stripe.APIConnectionError),
    ]:
        control("faults", {"next": [kind]})
        refused(exception, lambda: events.create(event("never", "1")))
    control("faults", {"next": ["rate_limited", "lock_timeout"]})
    error = refused(stripe.RateLimitError, lambda: events.create(event("never", "1")))
    assert error.headers["stripe-rate-limited-reason"] == "global-rate"
    error = refused(stripe.RateLimitError, lambda: events.create(event("never", "1")))
    assert "stripe-rate-limited-reason" not in error.headers
    # The SDK gives this class no `code`, only the body.
    assert error.json_body["error"]["code"] == "lock_timeout"


def check_summaries(meter):
    for hour in range(25):
        events.create(event(f"hour-{hour}", str(hour + 1), NOW - hour * HOUR, customer="cus_hours"))
    query = {
        "customer": "cus_hours",
        "start_time": NOW - 24 * HOUR,
        "end_time": NOW + HOUR,
        "value_grouping_window": "hour",
    }
    page = meters.event_summaries.list(meter.id, query)
    assert len(page.data) == 10 and page.has_more
    rows = list(page.auto_paging_iter())
    assert [row.aggregated_value for row in rows] == [float(hour + 1) for hour in range(25)]
    assert isinstance(rows[0].aggregated_value, float)
    whole = dict(query, customer="cus_referee")
    del whole["value_grouping_window"]
    [row] = meters.event_summaries.list(meter.id, whole).data
    # 0.1 + 0.2 - 0.05 + 3 and the four events that took retries to land.
    assert row.aggregated_value == 4003.25, row.aggregated_value
    crooked = dict(query, start_time=NOW - 60)
    refused(
        stripe.InvalidRequestError, lambda: meters.event_summaries.list(meter.id, crooked)
    )
    return whole


def check_adjustments(meter, whole):
    asked = {"event_name": "words", "type": "cancel", "cancel": {"identifier": "three"}}
    made = adjustments.create(asked)
    assert isinstance(made, stripe.billing.MeterEventAdjustment), made
    assert made.status == "complete" and made.cancel.identifier == "three"
    [row] = meters.event_summaries.list(meter.id, whole).data
    assert row.aggregated_value == 4000.25, row.aggregated_value
    asked["cancel"]["identifier"] = "nobody"
    refused(stripe.InvalidRequestError, lambda: adjustments.create(asked))


def check_billing(meter):
    """A subscription, its invoice and the events about them, as the SDK's own objects."""
    price = sandbox.v1.prices.create(
        {
            "currency": "eur",
            "unit_amount": 3,
            "product_data": {"name": "Words"},
            "recurring": {"interval": "month", "usage_type": "metered", "meter": meter.id},
        }
    )
    assert isinstance(price, stripe.Price) and price.recurring.meter == meter.id, price
    customer = sandbox.v1.customers.create({"name": "Ada", "metadata": {"team": "a"}})
    assert isinstance(customer, stripe.Customer) and customer.metadata["team"] == "a"
    subscriptions = sandbox.v1.subscriptions
    made = subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    assert isinstance(made, stripe.Subscription) and made.status == "active", made
    [item] = made["items"].data
    assert isinstance(item, stripe.SubscriptionItem) and item.current_period_start == NOW
    events.create(event("billed", "7", customer=customer.id))
    ended = subscriptions.cancel(made.id, {"invoice_now": True})
    assert ended.status == "canceled" and ended.ended_at == NOW
    [invoice] = sandbox.v1.invoices.list({"subscription": made.id}).data
    assert isinstance(invoice, stripe.Invoice) and invoice.status == "open", invoice
    assert invoice.parent.subscription_details.subscription == made.id
    [line] = sandbox.v1.invoices.line_items.list(invoice.id).data
    assert isinstance(line, stripe.InvoiceLineItem), line
    # The period ends in the second in which the usage happened, and does not contain it.
    assert line.quantity == 0 and str(line.quantity_decimal) == "0", line
    told = [each.type for each in sandbox.v1.events.list({"limit": 4}).auto_paging_iter()]
    assert told[:4] == [
        "customer.subscription.deleted",
        "invoice.finalized",
        "invoice.created",
        "customer.subscription.created",
    ], told
    types = ["customer.subscription.deleted", "customer.deleted"]
    assert sandbox.v1.customers.delete(customer.id).deleted is True
    both = list(sandbox.v1.events.list({"types": types}).auto_paging_iter())
    assert [each.type for each in both] == types[::-1], both
    assert both[1].data.object.id == made.id
    assert sandbox.v1.events.retrieve(both[0].id).id == both[0].id
    assert sandbox.v2.core.events.list({"types": ["v1.billing.meter.no_meter_found"]}).data == []


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes webhooks and keeps them as they came."""

    taken = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.put((self.headers["stripe-signature"], body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def check_webhooks(meter):
    """The SDK believes what the courier brings, by either secret and by no other."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    secrets = ["whsec_old", "whsec_new"]
    endpoint = {"url": url, "secrets": secrets, "payload": "snapshot"}
    control("webhooks", {"endpoints": [endpoint]})
    meters.update(meter.id, {"display_name": "Told"})
    signature, body = Receiver.taken.get(timeout=60)
    for secret in secrets:
        # The sandbox's clock is not this machine's, so the time is not held against it.
        found = stripe.Webhook.construct_event(body, signature, secret, tolerance=None)
        assert found.type == "billing.meter.updated", found
        assert found.data.object.display_name == "Told", found
    for wrong, sent in [("whsec_other", body), ("whsec_old", body + b"\n")]:
        refused(
            stripe.SignatureVerificationError,
            lambda: stripe.Webhook.construct_event(sent, signature, wrong, tolerance=None),
        )
    thin = dict(endpoint, payload="thin")
    control("webhooks", {"endpoints": [thin]})
    control("faults", {"next": ["rejected_later"]})
    events.create(event("doomed", "1", customer="cus_doomed"))
    control("clock", {"advance_micros": 10_000_000})
    signature, body = Receiver.taken.get(timeout=60)
    told = json.loads(body)
    assert told["type"] == "v1.billing.meter.error_report_triggered" and "data" not in told
    whole = sandbox.v2.core.events.retrieve(told["id"])
    assert whole.data.reason.error_count == 1, whole
    assert whole.related_object.id == meter.id
    server.shutdown()


def main():
    # Faults and the control leave the account alone, so the order of checks is free but for these.
    meter = check_meters()
    check_events()
    check_idempotency()
    check_retries()
    check_error_classes()
    whole = check_summaries(meter)
    check_adjustments(meter, whole)
    check_billing(meter)
    # It moves the clock, so it comes last.
    check_webhooks(meter)
    print("the sandbox holds against stripe", stripe.VERSION)


main()
