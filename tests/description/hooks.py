"""What a description that is the same for every merchant cannot say: which app, which merchant, which address are configured. Most of
what is generated leaves them out, so that it comes further than to the refusal of these three; and half of the questions are about an
order that exists."""

import schemathesis

CONFIGURED = ("mchid", "notify_url", "appid")
NUMBERS = {"out_trade_no": "ORDER_20260101_1", "out_refund_no": "REFUND_20260101_1", "out_bill_no": "TB20260101000001"}


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    size = len(repr(body))
    if size % 4 == 0:
        return body
    body = {name: value for name, value in body.items() if name not in CONFIGURED}
    if size % 2 == 0:
        body = {name: NUMBERS.get(name, value) for name, value in body.items()}
    return body
