//! Files that WeChat has ready: at an address of its own, for a signed question, and without a signature of the answer.

use reqwest::{Method, Response, StatusCode};
use url::{Origin, Url};

use super::{Client, no, sending_failed};
use crate::wechat::error::{Unknown, WechatError};

/// The hosts under which WeChat Pay is known. An address that names another one is not followed: the signature in the question is
/// this merchant's.
const HOSTS: [&str; 4] = [
    "api.mch.weixin.qq.com",
    "api2.mch.weixin.qq.com",
    "api.wechatpay.cn",
    "api2.wechatpay.cn",
];

/// More than any refusal says.
const MOST_REFUSAL_BYTES: usize = 64 * 1024;

impl Client {
    /// Asks for a file and gives the answer with its content still to come. Nothing about it is proven; who asks compares its hash.
    /// There is no limit to how long it takes, and no repeat.
    pub(in crate::wechat) async fn fetch(&self, url: &Url) -> Result<Response, WechatError> {
        if !self.is_known(url) {
            return Err(WechatError::NeverSent(format!(
                "{} is no address of WeChat Pay",
                origin(url)
            )));
        }
        let request = self.signed(Method::GET, url.clone(), "", None)?;
        let mut response = request.send().await.map_err(sending_failed)?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(sending_failed)? {
            if body.len().saturating_add(chunk.len()) > MOST_REFUSAL_BYTES {
                return Err(WechatError::OutcomeUnknown(Unknown::Unreadable(
                    "the refusal is longer than 64 KiB".to_owned(),
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Err(no(response.status(), response.headers(), &body, false))
    }

    /// Whether a question with this merchant's signature may go there: to where all the others go, or to WeChat Pay by any of its names.
    fn is_known(&self, url: &Url) -> bool {
        if !url.username().is_empty() || url.password().is_some() {
            return false;
        }
        let wechats =
            url.scheme() == "https" && url.port().is_none() && url.host_str().is_some_and(|host| HOSTS.contains(&host));
        let configured = std::iter::once(&self.base).chain(&self.backup);
        wechats || configured.into_iter().any(|base| base.origin() == url.origin())
    }
}

fn origin(url: &Url) -> String {
    match url.origin() {
        Origin::Tuple(scheme, host, port) => format!("{scheme}://{host}:{port}"),
        Origin::Opaque(_) => url.scheme().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::client::tests::client;

    #[test]
    fn a_signed_question_goes_to_wechat_and_to_where_all_the_others_go() {
        let client = client();
        for known in [
            "http://127.0.0.1:9/v3/billdownload/file?token=1",
            "https://api.mch.weixin.qq.com/v3/billdownload/file?token=1",
            "https://api.mch.weixin.qq.com:443/v3/bill/downloadurl?token=1&tartype=gzip",
            "https://api2.wechatpay.cn/v3/billdownload/file?token=1",
        ] {
            assert!(client.is_known(&Url::parse(known).unwrap()), "{known}");
        }
        for unknown in [
            "http://127.0.0.1:10/v3/billdownload/file?token=1",
            "https://127.0.0.1:9/v3/billdownload/file?token=1",
            "http://api.mch.weixin.qq.com/v3/billdownload/file?token=1",
            "https://api.mch.weixin.qq.com:8443/v3/billdownload/file?token=1",
            "https://api.mch.weixin.qq.com.example.com/v3/billdownload/file?token=1",
            "https://api.mch.weixin.qq.com@example.com/v3/billdownload/file?token=1",
            "https://example.com@api.mch.weixin.qq.com/v3/billdownload/file?token=1",
            "https://weixin.qq.com/v3/billdownload/file?token=1",
            "file:///etc/passwd",
            "data:text/plain,1",
        ] {
            assert!(!client.is_known(&Url::parse(unknown).unwrap()), "{unknown}");
        }
    }
}
