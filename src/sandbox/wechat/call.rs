//! Which endpoint a request means.

use axum::http::{Method, StatusCode};

use super::bills;
use super::books::Channel;
use super::faults::Endpoint;

/// A request that has found its endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Prepay(Channel),
    Query(String),
    QueryById(String),
    Close(String),
    Refund,
    QueryRefund(String),
    Transfer,
    QueryTransfer(String),
    QueryTransferByBill(String),
    CancelTransfer(String),
    Certificates,
    Bill(bills::Kind),
    DownloadBill,
}

impl Call {
    /// 404 for a path that nobody knows, 405 for another method at a known one; both without a body.
    pub(super) fn find(method: &Method, path: &str) -> Result<Self, StatusCode> {
        let segments: Vec<&str> = path.strip_prefix("/v3/").unwrap_or_default().split('/').collect();
        let (expected, call) = match segments.as_slice() {
            ["pay", "transactions", rest @ ..] => Self::of_orders(rest)?,
            ["refund", "domestic", "refunds", rest @ ..] => Self::of_refunds(rest)?,
            ["fund-app", "mch-transfer", "transfer-bills", rest @ ..] => Self::of_transfers(rest)?,
            ["certificates"] => (Method::GET, Self::Certificates),
            ["bill", "tradebill"] => (Method::GET, Self::Bill(bills::Kind::Trade)),
            ["bill", "fundflowbill"] => (Method::GET, Self::Bill(bills::Kind::FundFlow)),
            ["billdownload", "file"] => (Method::GET, Self::DownloadBill),
            _ => return Err(StatusCode::NOT_FOUND),
        };
        if *method == expected {
            Ok(call)
        } else {
            Err(StatusCode::METHOD_NOT_ALLOWED)
        }
    }

    fn of_orders(rest: &[&str]) -> Result<(Method, Self), StatusCode> {
        Ok(match rest {
            ["jsapi"] => (Method::POST, Self::Prepay(Channel::Jsapi)),
            ["app"] => (Method::POST, Self::Prepay(Channel::App)),
            ["h5"] => (Method::POST, Self::Prepay(Channel::H5)),
            ["native"] => (Method::POST, Self::Prepay(Channel::Native)),
            ["out-trade-no", number] => (Method::GET, Self::Query(decoded(number)?)),
            ["id", number] => (Method::GET, Self::QueryById(decoded(number)?)),
            ["out-trade-no", number, "close"] => (Method::POST, Self::Close(decoded(number)?)),
            _ => return Err(StatusCode::NOT_FOUND),
        })
    }

    fn of_refunds(rest: &[&str]) -> Result<(Method, Self), StatusCode> {
        Ok(match rest {
            [] => (Method::POST, Self::Refund),
            [number] => (Method::GET, Self::QueryRefund(decoded(number)?)),
            _ => return Err(StatusCode::NOT_FOUND),
        })
    }

    fn of_transfers(rest: &[&str]) -> Result<(Method, Self), StatusCode> {
        Ok(match rest {
            [] => (Method::POST, Self::Transfer),
            ["out-bill-no", number] => (Method::GET, Self::QueryTransfer(decoded(number)?)),
            ["transfer-bill-no", number] => (Method::GET, Self::QueryTransferByBill(decoded(number)?)),
            ["out-bill-no", number, "cancel"] => (Method::POST, Self::CancelTransfer(decoded(number)?)),
            _ => return Err(StatusCode::NOT_FOUND),
        })
    }

    pub(super) const fn endpoint(&self) -> Endpoint {
        match self {
            Self::Prepay(_) => Endpoint::Prepay,
            Self::Query(_) | Self::QueryById(_) => Endpoint::QueryOrder,
            Self::Close(_) => Endpoint::Close,
            Self::Refund => Endpoint::Refund,
            Self::QueryRefund(_) => Endpoint::QueryRefund,
            Self::Transfer => Endpoint::Transfer,
            Self::QueryTransfer(_) | Self::QueryTransferByBill(_) => Endpoint::QueryTransfer,
            Self::CancelTransfer(_) => Endpoint::CancelTransfer,
            Self::Certificates => Endpoint::Certificates,
            Self::Bill(bills::Kind::Trade) => Endpoint::TradeBill,
            Self::Bill(bills::Kind::FundFlow) => Endpoint::FundFlowBill,
            Self::DownloadBill => Endpoint::DownloadBill,
        }
    }
}

/// A number in the path; one that is empty or not properly percent-encoded names nothing.
fn decoded(segment: &str) -> Result<String, StatusCode> {
    let mut bytes = segment.bytes();
    let mut out = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| {
                char::from(byte?)
                    .to_digit(16)
                    .and_then(|digit| u8::try_from(digit).ok())
            };
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                return Err(StatusCode::NOT_FOUND);
            };
            out.push(high << 4 | low);
        } else {
            out.push(byte);
        }
    }
    match String::from_utf8(out) {
        Ok(number) if !number.is_empty() => Ok(number),
        _ => Err(StatusCode::NOT_FOUND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_found_by_method_and_path() {
        let found = |method: Method, path: &str| Call::find(&method, path);
        let refund = "/v3/refund/domestic/refunds";
        let order = "/v3/pay/transactions/out-trade-no/ORD%7C1%2A2";
        assert_eq!(
            found(Method::POST, "/v3/pay/transactions/jsapi"),
            Ok(Call::Prepay(Channel::Jsapi))
        );
        assert_eq!(found(Method::GET, order), Ok(Call::Query("ORD|1*2".to_owned())));
        assert_eq!(
            found(Method::POST, &format!("{order}/close")),
            Ok(Call::Close("ORD|1*2".to_owned()))
        );
        assert_eq!(
            found(Method::GET, "/v3/pay/transactions/id/42"),
            Ok(Call::QueryById("42".to_owned()))
        );
        assert_eq!(found(Method::POST, refund), Ok(Call::Refund));
        assert_eq!(
            found(Method::GET, &format!("{refund}/R1@x")),
            Ok(Call::QueryRefund("R1@x".to_owned()))
        );
        assert_eq!(found(Method::GET, "/v3/certificates"), Ok(Call::Certificates));
        assert_eq!(
            found(Method::GET, "/v3/bill/tradebill"),
            Ok(Call::Bill(bills::Kind::Trade))
        );
        assert_eq!(
            found(Method::GET, "/v3/bill/fundflowbill"),
            Ok(Call::Bill(bills::Kind::FundFlow))
        );
        assert_eq!(found(Method::GET, "/v3/billdownload/file"), Ok(Call::DownloadBill));
        let transfers = "/v3/fund-app/mch-transfer/transfer-bills";
        assert_eq!(found(Method::POST, transfers), Ok(Call::Transfer));
        assert_eq!(
            found(Method::GET, &format!("{transfers}/out-bill-no/T1")),
            Ok(Call::QueryTransfer("T1".to_owned()))
        );
        assert_eq!(
            found(Method::GET, &format!("{transfers}/transfer-bill-no/133")),
            Ok(Call::QueryTransferByBill("133".to_owned()))
        );
        assert_eq!(
            found(Method::POST, &format!("{transfers}/out-bill-no/T1/cancel")),
            Ok(Call::CancelTransfer("T1".to_owned()))
        );
    }

    #[test]
    fn an_unknown_path_is_404_and_another_method_405() {
        for path in [
            "/",
            "/v3/pay/transactions",
            "/v3/pay/transactions/jsapi/",
            "/v3/refund/domestic/refunds/",
            "/v3/fund-app/mch-transfer/transfer-bills/",
            "/v3/fund-app/mch-transfer/transfer-bills/T1",
            "/v3/certificates/",
            "/v3/bill",
            "/v3/billdownload/file/1",
            "/v3/x",
        ] {
            assert_eq!(Call::find(&Method::GET, path), Err(StatusCode::NOT_FOUND), "{path}");
        }
        for path in ["/v3/pay/transactions/jsapi", "/v3/refund/domestic/refunds"] {
            assert_eq!(
                Call::find(&Method::GET, path),
                Err(StatusCode::METHOD_NOT_ALLOWED),
                "{path}"
            );
        }
    }
}
