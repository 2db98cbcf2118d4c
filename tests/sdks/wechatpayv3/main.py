"""wechatpayv3 against the simulator: its public `proxy`, its own verification of every answer.

The SDK has WeChat Pay's address built in, so it reaches the simulator through front.py: WeChat Pay's own name, by the
SDK's proxy setting, with that front's authority in REQUESTS_CA_BUNDLE.

    main.py CREDENTIALS PROXY    the file that `pay-common sandbox --credentials` writes, and where front.py listens

It verifies by WeChat Pay's public key where the credentials have one, and otherwise by the certificates that it
downloads. Where they have a key and the root of certificates, the merchant is changing over: what a certificate signed
has to be opened as well.
"""

import datetime
import http.server
import json
import pathlib
import re
import secrets
import sys
import tempfile
import threading
import time
import urllib.request

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from wechatpayv3 import WeChatPay, WeChatPayType

OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
PATIENCE_S = 20
RUN = secrets.token_hex(4)

with open(sys.argv[1], encoding="utf-8") as file:
    given = json.load(file)
proxy = sys.argv[2]
by_certificates = "wxPayPublicKey" not in given
changing_over = not by_certificates and "wxPayRootCertificate" in given
steps = 0


def number(name):
    return f"PY_{RUN}_{name}"


def step(title, does):
    global steps
    does()
    steps += 1
    print(f"  ok  {title}", flush=True)


def same(came, wanted):
    """Not `assert`, which `python -O` leaves out."""
    if came != wanted:
        raise AssertionError(f"{came!r} instead of {wanted!r}")


def fits(pattern, text):
    if not re.search(pattern, text):
        raise AssertionError(f"{text!r} does not look like {pattern}")


def client(**more):
    return WeChatPay(
        wechatpay_type=WeChatPayType.JSAPI,
        mchid=given["merchantId"],
        private_key=given["privateKey"],
        cert_serial_no=given["merchantSerialNumber"],
        apiv3_key=given["apiV3Key"],
        appid=given["service_app_id"],
        notify_url=notify_url,
        proxy={"https": proxy},
        timeout=(5, 20),
        **more,
    )


def answer(came, wanted):
    """The SDK hands on a status and a text; an error status is not an exception."""
    status, text = came
    same((status, text), (wanted, text))
    return json.loads(text) if text else None


def refused(came, status, code):
    same(answer(came, status)["code"], code)


class Receiver(http.server.BaseHTTPRequestHandler):
    """The merchant's server: 204 to what the SDK could open, 401 to everything else."""

    opened = []
    turned_away = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            content = wxpay.callback(self.headers, body)
        except Exception:  # The SDK raises plain exceptions.
            content = None
        if content:
            self.opened.append((self.headers, body, content))
            self.send_response(204)
        else:
            self.turned_away.append(self.headers)
            self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def callback(event):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        for one in Receiver.opened:
            if one[2]["event_type"] == event:
                return one
        time.sleep(0.01)
    raise AssertionError(f"no {event} came; {len(Receiver.turned_away)} callbacks were turned away")


def control(path, body):
    request = urllib.request.Request(
        given["controlUrl"] + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=PATIENCE_S) as came:
        return json.load(came)


def place(name, pay_type=WeChatPayType.JSAPI, total=120, wxpay_=None, **more):
    if pay_type == WeChatPayType.JSAPI:
        more["payer"] = {"openid": OPENID}
    return (wxpay_ or wxpay).pay(
        description="Image形象店-深圳腾大-QQ公仔",
        out_trade_no=number(name),
        amount={"total": total, "currency": "CNY"},
        attach="shop=1",
        pay_type=pay_type,
        **more,
    )


def query(name):
    return answer(wxpay.query(out_trade_no=number(name)), 200)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
notify_url = f"http://127.0.0.1:{server.server_address[1]}/notify"
certificates = tempfile.TemporaryDirectory()
if by_certificates:
    wxpay = client(cert_dir=certificates.name)
else:
    wxpay = client(public_key=given["wxPayPublicKey"], public_key_id=given["wxPayPublicKeyId"])
paid = {}


def places_jsapi():
    first = answer(place("A"), 200)
    fits(r"^wx[0-9a-z]{34}$", first["prepay_id"])
    same(answer(place("A"), 200), first)


def places_others():
    fits(r"^weixin://wxpay/bizpayurl\?pr=", answer(place("N", WeChatPayType.NATIVE), 200)["code_url"])
    scene = {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}
    fits(r"^https://wx\.tenpay\.com/", answer(place("H", WeChatPayType.H5, scene_info=scene), 200)["h5_url"])
    fits(r"^wx[0-9a-z]{34}$", answer(place("P", WeChatPayType.APP), 200)["prepay_id"])


def queries_unpaid():
    found = query("A")
    same((found["trade_state"], found["out_trade_no"], found["amount"]["total"]), ("NOTPAY", number("A"), 120))


def closes():
    same(answer(wxpay.close(out_trade_no=number("N")), 204), None)
    same(query("N")["trade_state"], "CLOSED")


def hears_refusals():
    refused(wxpay.query(out_trade_no=number("X")), 404, "ORDER_NOT_EXIST")
    refused(place("A", total=121), 403, "OUT_TRADE_NO_USED")


def opens_payment():
    control("/network", {"action": "probe", "times": 1})
    paid.update(control("/pay", {"out_trade_no": number("A"), "payer_total": 100}))
    _, _, came = callback("TRANSACTION.SUCCESS")
    content = came["resource"]
    same(
        [content[name] for name in ("out_trade_no", "transaction_id", "trade_state", "trade_type", "attach")],
        [number("A"), paid["transaction_id"], "SUCCESS", "JSAPI", "shop=1"],
    )
    same((content["amount"]["total"], content["amount"]["payer_total"]), (120, 100))
    same(content["payer"]["openid"], OPENID)
    same(len(Receiver.turned_away), 1)
    fits("^WECHATPAY/SIGNTEST/", Receiver.turned_away[0]["Wechatpay-Signature"])


def turns_changed_away():
    headers, body, _ = callback("TRANSACTION.SUCCESS")
    changed = body.replace("支付成功".encode(), "支付失败".encode())
    same(changed == body, False)
    same(wxpay.callback(headers, changed), None)


def queries_paid():
    same(query("A")["trade_state"], "SUCCESS")
    found = answer(wxpay.query(transaction_id=paid["transaction_id"]), 200)
    same((found["out_trade_no"], found["amount"]["payer_total"]), (number("A"), 100))


def cannot_close_paid():
    refused(wxpay.close(out_trade_no=number("A")), 400, "ORDERPAID")


def refunds():
    amount = {"refund": 60, "total": 120, "currency": "CNY"}
    came = answer(
        wxpay.refund(
            out_refund_no=number("R"), transaction_id=paid["transaction_id"], reason="商品已售完", amount=amount
        ),
        200,
    )
    same((came["status"], came["amount"]["refund"], came["amount"]["payer_refund"]), ("PROCESSING", 60, 50))
    content = callback("REFUND.SUCCESS")[2]["resource"]
    same(
        [content["refund_status"], content["out_refund_no"], content["refund_id"], content["amount"]["refund"]],
        ["SUCCESS", number("R"), came["refund_id"], 60],
    )


def queries_refund():
    found = answer(wxpay.query_refund(out_refund_no=number("R")), 200)
    same(
        (found["status"], found["transaction_id"], found["amount"]["total"]), ("SUCCESS", paid["transaction_id"], 120)
    )
    same(query("A")["trade_state"], "REFUND")


def cannot_refund_more():
    amount = {"refund": 61, "total": 120, "currency": "CNY"}
    refused(wxpay.refund(out_refund_no=number("S"), out_trade_no=number("A"), amount=amount), 400, "INVALID_REQUEST")


def transfer(name, **more):
    return wxpay.mch_transfer_bills(
        out_bill_no=bill(name),
        transfer_scene_id="1000",
        openid=OPENID,
        transfer_amount=500,
        transfer_remark="Prize",
        transfer_scene_report_infos=[
            {"info_type": "活动名称", "info_content": "Autumn draw"},
            {"info_type": "奖励说明", "info_content": "Third prize"},
        ],
        **more,
    )


def bill(name):
    """A transfer's number may have letters and digits only."""
    return f"PY{RUN}{name}"


def transfers():
    # By certificates the SDK writes the serial number of the one that it encrypted for without its leading zeros, and
    # WeChat Pay does not know that number; so the name goes with the public key only.
    named = {} if by_certificates else {"user_name": "张三"}
    came = answer(transfer("T", **named), 200)
    same((came["out_bill_no"], came["state"]), (bill("T"), "WAIT_USER_CONFIRM"))
    fits(".", came["package_info"])
    waiting = answer(wxpay.mch_transfer_bills_query(out_bill_no=bill("T")), 200)
    same((waiting["state"], waiting["transfer_amount"]), ("WAIT_USER_CONFIRM", 500))
    control("/transfer/confirm", {"out_bill_no": bill("T")})
    content = callback("MCHTRANSFER.BILL.FINISHED")[2]["resource"]
    same(
        [content[name] for name in ("out_bill_no", "transfer_bill_no", "state", "transfer_amount")],
        [bill("T"), came["transfer_bill_no"], "SUCCESS", 500],
    )
    found = answer(wxpay.mch_transfer_bills_query(transfer_bill_no=came["transfer_bill_no"]), 200)
    same((found["out_bill_no"], found["state"], found["openid"]), (bill("T"), "SUCCESS", OPENID))
    if named:
        same(wxpay.decrypt(found["user_name"]), named["user_name"])


def takes_a_transfer_back():
    answer(transfer("U"), 200)
    same(answer(wxpay.mch_transfer_bills_cancel(out_bill_no=bill("U")), 200)["state"], "CANCELING")
    end = time.monotonic() + PATIENCE_S
    state = "CANCELING"
    while state == "CANCELING" and time.monotonic() < end:
        time.sleep(0.01)
        state = answer(wxpay.mch_transfer_bills_query(out_bill_no=bill("U")), 200)["state"]
    same(state, "CANCELLED")
    refused(wxpay.mch_transfer_bills_query(out_bill_no=bill("X")), 404, "NOT_FOUND")


def knows_who_signed():
    by_key = {headers["Wechatpay-Serial"] == given.get("wxPayPublicKeyId") for headers, _, _ in Receiver.opened}
    same(by_key, {True, False} if changing_over else {not by_certificates})


def forged_certificates():
    """A folder with certificates of the right serial numbers for another key, which the SDK takes for its own."""
    folder = tempfile.TemporaryDirectory()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tenpay.com sign")])
    now = datetime.datetime.now(datetime.timezone.utc)
    downloaded = list(pathlib.Path(certificates.name).glob("*.pem"))
    same(len(downloaded) > 0, True)
    for path in downloaded:
        genuine = x509.load_pem_x509_certificate(path.read_bytes())
        forged = x509.CertificateBuilder(
            name, name, key.public_key(), genuine.serial_number, now, now + datetime.timedelta(days=1)
        ).sign(key, hashes.SHA256())
        (pathlib.Path(folder.name) / path.name).write_bytes(forged.public_bytes(serialization.Encoding.PEM))
    return folder


def believes_nobody_else():
    if by_certificates:
        folder = forged_certificates()
        doubting = client(cert_dir=folder.name)
    else:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
        pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        doubting = client(public_key=pem.decode(), public_key_id=given["wxPayPublicKeyId"])
    try:
        place("A2", wxpay_=doubting)
    except Exception as error:  # The SDK raises plain exceptions.
        same(str(error), "failed to verify the signature")
    else:
        raise AssertionError("an answer that another key signed was believed")


step("places a JSAPI order, twice the same", places_jsapi)
step("places native, H5 and app orders", places_others)
step("queries the unpaid order", queries_unpaid)
step("closes another, which is then closed", closes)
step("hears of an unknown order and of other parameters", hears_refusals)
step("opens the payment callback, and turns the probe before it away", opens_payment)
step("turns a callback away that somebody changed", turns_changed_away)
step("queries the paid order by both numbers", queries_paid)
step("cannot close what is paid", cannot_close_paid)
step("refunds a part, and opens the refund callback", refunds)
step("queries the refund and the refunded order", queries_refund)
step("cannot refund more than is left", cannot_refund_more)
step("transfers money, and opens the transfer callback", transfers)
step("takes a transfer back, and hears of an unknown one", takes_a_transfer_back)
step("met callbacks that every key of the merchant's mode had signed", knows_who_signed)
step("believes no answer that another key signed", believes_nobody_else)
mode = "certificates" if by_certificates else "both" if changing_over else "the public key"
print(f"wechatpayv3, by {mode}: {steps} steps held")
