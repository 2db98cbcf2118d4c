"""Places, queries and refunds an order with the generated client. Arguments: the service, a buyer's token, and the address where the
buyer pays."""

import json
import sys
import urllib.request

from pay_common import AuthenticatedClient
from pay_common.api.orders import wxpay_order, wxpay_query_order_by_out_trade_no
from pay_common.api.refunds import wxpay_refund
from pay_common.models import (
    Failure409,
    WxpayOrderRequest,
    WxpayOrderRequestAmount,
    WxpayOrderRequestPayer,
    WxpayOrderSuccess,
    WxpayQueryOrderByOutTradeNoRequest,
    WxpayQueryOrderByOutTradeNoSuccess,
    WxpayRefundRequest,
    WxpayRefundRequestAmount,
    WxpayRefundSuccess,
)

service, token, control = sys.argv[1:]
client = AuthenticatedClient(base_url=service, token=token, raise_on_unexpected_status=True)
number = "ORDER_CLIENT_1"


def is_a(kind, answer):
    if not isinstance(answer, kind):
        sys.exit(f"{kind.__name__} was expected, and {answer} came")
    return answer


def order(total):
    return wxpay_order.sync(
        client=client,
        body=WxpayOrderRequest(
            out_trade_no=number,
            description="Test product",
            amount=WxpayOrderRequestAmount(total=total),
            payer=WxpayOrderRequestPayer(openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"),
        ),
    )


def query():
    body = WxpayQueryOrderByOutTradeNoRequest(out_trade_no=number)
    answer = wxpay_query_order_by_out_trade_no.sync(client=client, body=body)
    return is_a(WxpayQueryOrderByOutTradeNoSuccess, answer).data.data


def expect(expected, found):
    if expected != found:
        sys.exit(f"{expected!r} was expected, and {found!r} came")


placed = is_a(WxpayOrderSuccess, order(20)).data.data
expect(f"prepay_id={placed.prepay_id}", placed.package)
expect("NOTPAY", query().trade_state)
conflict = is_a(Failure409, order(21))
expect("ORDER_PARAMS_MISMATCH", conflict.error.value)

said = json.dumps({"out_trade_no": number}).encode()
urllib.request.urlopen(urllib.request.Request(f"{control}/pay", said, {"Content-Type": "application/json"}))
paid = query()
expect(("SUCCESS", 20), (paid.trade_state, paid.amount.total))

refund = wxpay_refund.sync(
    client=client,
    body=WxpayRefundRequest(
        out_trade_no=number, out_refund_no="REFUND_CLIENT_1", amount=WxpayRefundRequestAmount(refund=8, total=20)
    ),
)
expect(8, is_a(WxpayRefundSuccess, refund).data.data.amount.refund)
print("a generated client placed, queried and refunded an order")
