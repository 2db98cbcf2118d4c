//! An older merchant, who verifies WeChat by its platform certificates, while they rotate.

use super::{Page, Report, TokenOptions, pay, place};
use crate::domain::ids::OutTradeNo;
use crate::rehearsal::SandboxArguments;
use crate::rehearsal::stage::Stage;
use crate::sandbox::{Endpoint, KeyMode, Options};

/// On a stage of its own: a world in which there is no public key.
pub(super) async fn run(report: &mut Report, arguments: &SandboxArguments, run: &str) -> anyhow::Result<()> {
    let options = Options {
        key_mode: KeyMode::Certificates,
        ..Options::default()
    };
    let stage = Stage::with(arguments, options).await?;
    let result = walk(report, &stage, run).await;
    stage.strike().await;
    result
}

async fn walk(report: &mut Report, stage: &Stage, run: &str) -> anyhow::Result<()> {
    let wechat = stage.world.wechat();
    let downloads = || wechat.count(Endpoint::Certificates);
    let token = stage.world.gateway().mint_token("buyer-2", &TokenOptions::default());
    let page = Page::open(stage.world.gateway().function_url(), token)?;
    let before = OutTradeNo::parse(format!("ORDER_C1_{run}"))?;
    let after = OutTradeNo::parse(format!("ORDER_C2_{run}"))?;

    let title =
        "a merchant without a public key: the platform certificate is downloaded / 无公钥的老商户：自动下载平台证书";
    place(report, stage, &page, &before, title).await?;
    report.step(
        "it was downloaded once / 仅下载一次",
        "GET /v3/certificates",
        &format!("{} download(s)", downloads()),
        downloads() == 1,
    )?;
    let serial = wechat.rotate_certificate()?;
    wechat.sign_with_new_certificate()?;
    let title = format!("WeChat signs with its successor {serial} / 微信支付换用新证书签名");
    place(report, stage, &page, &after, &title).await?;
    report.step(
        "the unknown serial was looked up once / 未知序列号触发一次刷新",
        "GET /v3/certificates",
        &format!("{} download(s)", downloads()),
        downloads() == 2,
    )?;
    pay(report, stage, &after).await
}
