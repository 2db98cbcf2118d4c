//! Everything keeps running, and says how to play with it.

use std::io::{self, Write as _};

use super::SandboxArguments;
use super::credentials::Credentials;
use super::stage::{OPERATOR_KEY, Stage};
use crate::boot::terminated;
use crate::sandbox::{Options, TokenOptions};

pub(super) async fn run(arguments: &SandboxArguments) -> anyhow::Result<bool> {
    let terminated = terminated()?;
    let options = Options {
        chaos: arguments.chaos,
        explains: true,
        ..Options::default()
    };
    let stage = Stage::set_up(arguments, options).await?;
    let result = present(&stage, arguments, terminated).await;
    stage.strike().await;
    result.map(|()| true)
}

async fn present(
    stage: &Stage,
    arguments: &SandboxArguments,
    terminated: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let world = &stage.world;
    let (gateway, control) = (world.gateway().function_url(), world.control_url());
    let token = world.gateway().mint_token(
        "buyer-1",
        &TokenOptions {
            expires_in: 24 * 3600,
            ..TokenOptions::default()
        },
    );
    let service = format!("http://{}", stage.service.address());
    let post = |body: &str| {
        format!(
            "curl -sS '{gateway}' -H 'Content-Type: application/json' -H \"Authorization: Bearer $TOKEN\" -d '{body}'"
        )
    };
    let command =
        |path: &str, body: &str| format!("curl -sS '{control}{path}' -H 'Content-Type: application/json' -d '{body}'");
    let credentials = match &arguments.credentials {
        Some(path) => Some(Credentials::write(world, path)?),
        None => None,
    };
    let lines = [
        format!(
            "phone               {}   (open it in a browser: pay, and watch every message / 用浏览器打开：付一次款，看全部往来)",
            world.phone().url()
        ),
        format!("pay-common          {service}"),
        format!("console             {service}/console   (the operator key is {OPERATOR_KEY} / 运维控制台，密钥如前)"),
        format!("API gateway         {}", world.gateway().url()),
        format!("WeChat Pay          {}", world.wechat().url()),
        format!("Integration Center  {}", world.center().url()),
        format!("control             {control}   (curl '{control}' lists it all / 查看全部用法)"),
        arguments.chaos.map_or_else(String::new, |seed| {
            format!("bad weather         seed {seed}: callbacks are lost, late, repeated and overtaken / 恶劣网络\n")
        }),
        "# 1. log in / 登录".to_owned(),
        format!("TOKEN='{token}'"),
        "# 2. order / 下单".to_owned(),
        post(
            r#"{"_action":"wxpay_order","description":"Test product","out_trade_no":"ORDER_1","amount":{"total":20,"currency":"CNY"},"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}"#,
        ),
        "# 3. the buyer pays, or leaves / 用户支付，或取消".to_owned(),
        command("/pay", r#"{"out_trade_no":"ORDER_1"}"#),
        command("/cancel", r#"{"out_trade_no":"ORDER_1"}"#),
        "# 4. query, by either number / 查询".to_owned(),
        post(r#"{"_action":"wxpay_query_order_by_out_trade_no","out_trade_no":"ORDER_1"}"#),
        post(r#"{"_action":"wxpay_query_order_by_transaction_id","transaction_id":"..."}"#),
        "# 5. refund, and query it / 退款及查询".to_owned(),
        post(
            r#"{"_action":"wxpay_refund","out_trade_no":"ORDER_1","out_refund_no":"REFUND_1","amount":{"refund":8,"total":20,"currency":"CNY"}}"#,
        ),
        post(r#"{"_action":"wxpay_refund_query","out_refund_no":"REFUND_1"}"#),
        "# 6. another order, closed unpaid / 再下一单，未支付即关闭".to_owned(),
        post(
            r#"{"_action":"wxpay_order","description":"Test product","out_trade_no":"ORDER_2","amount":{"total":20},"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}}"#,
        ),
        post(r#"{"_action":"wxpay_close_order","out_trade_no":"ORDER_2"}"#),
        "# 7. the bad network: the next callbacks are lost, delayed, doubled, overtaken; or one is forged / 网络故障"
            .to_owned(),
        command("/network", r#"{"action":"lose","times":1}"#),
        command("/network", r#"{"action":"delay","times":1,"ms":3000}"#),
        command("/network", r#"{"action":"duplicate","times":15}"#),
        command("/network", r#"{"action":"reorder","times":1}"#),
        command("/network", r#"{"action":"forge","out_trade_no":"ORDER_1"}"#),
        "# 8. what went between the parties / 各方往来".to_owned(),
        format!("curl -sS '{control}/journal'"),
        "# as the merchant's own server, without the gateway / 以商户服务器身份直接调用".to_owned(),
        format!(
            "curl -sS '{service}/wx-pay/wxpay_query_order_by_out_trade_no' -H 'Content-Type: application/json' -H 'Authorization: Bearer {OPERATOR_KEY}' -d '{{\"out_trade_no\":\"ORDER_1\"}}'"
        ),
        String::new(),
        "Ctrl-C ends it / Ctrl-C 结束".to_owned(),
    ];
    writeln!(io::stdout().lock(), "{}", lines.join("\n"))?;
    terminated.await;
    drop(credentials);
    Ok(())
}
