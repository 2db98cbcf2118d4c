use serde_json::json;

use super::*;

fn order() -> Value {
    json!({
        "appid": "wx2421b1c4370ec43b", "mchid": "1900007291", "description": "Annual pass",
        "out_trade_no": "ORD20261123000001", "notify_url": "https://pay.example.com/wechatpay/order",
        "amount": {"total": 100, "currency": "CNY"}, "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut body = order();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

#[test]
fn the_documented_order_fits() {
    assert_eq!(check(&order(), JSAPI), Ok(()));
    assert_eq!(check(&with("/description", "好".repeat(127).into()), JSAPI), Ok(()));
    assert_eq!(check(&with("/attach", "".into()), JSAPI), Ok(()));
}

#[test]
fn a_member_that_does_not_fit_is_named_with_its_pointer() {
    let cases = [
        ("/amount/total", json!(0), 268_435_464),
        ("/amount/total", json!(-1), 268_435_464),
        ("/amount/total", json!(1.0), 268_435_461),
        ("/amount/total", json!("100"), 268_435_461),
        ("/amount/total", json!(9_223_372_036_854_775_808_u64), 268_435_461),
        ("/amount/currency", json!("USD"), 268_435_461),
        ("/amount", json!(null), 268_435_461),
        ("/amount", json!([]), 268_435_461),
        ("/description", json!("好".repeat(128)), 268_435_464),
        ("/description", json!(""), 268_435_464),
        ("/attach", json!(null), 268_435_461),
        ("/out_trade_no", json!("ORD 1"), 268_435_464),
        ("/out_trade_no", json!("ORDER 1"), 268_435_461),
        ("/out_trade_no", json!("O".repeat(33)), 268_435_464),
        ("/payer/openid", json!(""), 268_435_464),
        ("/support_fapiao", json!("true"), 268_435_461),
        ("/limit_pay", json!(["no_money"]), 268_435_461),
    ];
    for (pointer, value, number) in cases {
        let refusal = check(&with(pointer, value), JSAPI).unwrap_err();
        assert_eq!(
            (refusal.code.as_str(), refusal.number),
            ("PARAM_ERROR", number),
            "{pointer}"
        );
        assert!(
            refusal.detail.unwrap()["field"].as_str().unwrap().starts_with(pointer),
            "{pointer}"
        );
    }
}

#[test]
fn an_undefined_member_is_refused_at_any_depth() {
    for pointer in ["/colour", "/amount/tip", "/payer/name"] {
        let refusal = check(&with(pointer, json!(1)), JSAPI).unwrap_err();
        assert_eq!(
            (refusal.code.as_str(), refusal.number),
            ("INVALID_REQUEST", 270_924_358)
        );
        assert_eq!(refusal.detail.unwrap()["field"], pointer);
    }
    let detail = json!({"goods_detail": [{"merchant_goods_id": "1", "quantity": 1, "unit_price": 1, "size": "L"}]});
    let refusal = check(&with("/detail", detail), JSAPI).unwrap_err();
    assert_eq!(refusal.detail.unwrap()["field"], "/detail/goods_detail/0/size");
}

#[test]
fn each_channel_has_its_own_members() {
    assert_eq!(check(&order(), APP_OR_NATIVE).unwrap_err().code, "INVALID_REQUEST");
    let mut bare = order();
    bare.as_object_mut().unwrap().remove("payer");
    assert_eq!(check(&bare, APP_OR_NATIVE), Ok(()));
    assert_eq!(check(&bare, JSAPI).unwrap_err().number, 268_501_013);
    assert_eq!(check(&bare, H5).unwrap_err().detail.unwrap()["field"], "/scene_info");
    bare["scene_info"] = json!({"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}});
    assert_eq!(check(&bare, H5), Ok(()));
}

#[test]
fn a_refund_needs_its_currency() {
    let refund = json!({"out_trade_no": "ORDER_1", "out_refund_no": "R@1", "amount": {"refund": 1, "total": 1}});
    assert_eq!(
        check(&refund, REFUND).unwrap_err().detail.unwrap()["field"],
        "/amount/currency"
    );
}
