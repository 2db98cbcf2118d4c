//! X.509 as far as WeChat Pay's certificates need it: whose key, under which serial, from when to when, issued by whom.

use std::fmt::Write as _;

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use jiff::Timestamp;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION;
use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::time::Time;

use super::keys::{self, KeyError};
use super::pem::{self, Der};

/// Digits of a serial: 20 bytes, leading zeros significant.
const SERIAL_DIGITS: usize = 40;

/// Why a certificate cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CertificateError {
    /// Its armour, its body, or its key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The body is something else.
    #[error("it is not an X.509 certificate")]
    NotX509,
    /// It may not issue others.
    #[error("it is not the certificate of a certification authority")]
    NotARoot,
}

impl CertificateError {
    /// The same in Chinese.
    pub fn chinese(&self) -> String {
        match self {
            Self::Key(error) => error.chinese(),
            Self::NotX509 => "不是 X.509 证书".to_owned(),
            Self::NotARoot => "不是 CA 证书".to_owned(),
        }
    }
}

/// From when to when a certificate counts, both ends included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub to: Timestamp,
}

impl Validity {
    /// Whether it counts at this time.
    pub fn includes(&self, now: Timestamp) -> bool {
        (self.from..=self.to).contains(&now)
    }
}

/// A certificate that was read. That it may be trusted is for others to say.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// 40 upper-case hex digits.
    pub(crate) serial: String,
    pub(crate) validity: Validity,
    /// The public key, as `SubjectPublicKeyInfo` DER.
    key: Vec<u8>,
    issuer: String,
    subject: String,
    /// Whether it may issue others.
    authority: bool,
    /// What the issuer has signed, and its signature; `None` when that is not SHA-256 with RSA.
    signed: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificate {
    /// Reads a PEM, however a web form has damaged it.
    pub(crate) fn read(damaged_pem: &str) -> Result<Self, CertificateError> {
        let Der { label, bytes } = pem::read(damaged_pem).map_err(KeyError::from)?;
        if let Some(found) = label.filter(|label| label != "CERTIFICATE") {
            return Err(keys::wrong_kind(&found, "CERTIFICATE").into());
        }
        Self::of_der(&bytes).ok_or(CertificateError::NotX509)
    }

    fn of_der(der: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let content = certificate.tbs_certificate();
        // A signature covers the bytes that came; written anew they might be others.
        let whole = AnyRef::from_der(der).ok()?;
        let as_it_came = SliceReader::new(whole.value()).ok()?.tlv_bytes().ok()?.to_vec();
        let algorithm = certificate.signature_algorithm();
        let sha256_rsa = algorithm == content.signature() && algorithm.oid == SHA_256_WITH_RSA_ENCRYPTION;
        let authority = content.get_extension::<BasicConstraints>().ok()?;
        Some(Self {
            serial: serial(content.serial_number().as_bytes()),
            validity: Validity {
                from: timestamp(content.validity().not_before)?,
                to: timestamp(content.validity().not_after)?,
            },
            key: content.subject_public_key_info().to_der().ok()?,
            issuer: content.issuer().to_string(),
            subject: content.subject().to_string(),
            authority: authority.is_some_and(|(_, constraints)| constraints.ca),
            signed: certificate
                .signature()
                .as_bytes()
                .filter(|_| sha256_rsa)
                .map(|signature| (as_it_came, signature.to_vec())),
        })
    }

    /// Its key, which has to be RSA with 2048 bits.
    pub(crate) fn public_key(&self) -> Result<rsa::PublicKey, KeyError> {
        keys::public_key_of_der(&self.key)
    }
}

/// The certificate at the top of the chain: the operator says that what it issued is WeChat Pay's.
#[derive(Debug)]
pub struct Root {
    subject: String,
    validity: Validity,
    key: ParsedPublicKey,
}

impl Root {
    /// Reads a root certificate, however a web form has damaged it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(damaged_pem: &str) -> Result<Self, CertificateError> {
        let certificate = Certificate::read(damaged_pem)?;
        if !certificate.authority {
            return Err(CertificateError::NotARoot);
        }
        let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &certificate.key).map_err(|_| KeyError::NotRsa)?;
        Ok(Self {
            subject: certificate.subject,
            validity: certificate.validity,
            key,
        })
    }

    /// Whether it has issued this certificate, and still counts itself. WeChat Pay's certificates stand right below their root.
    pub(crate) fn issued(&self, certificate: &Certificate, now: Timestamp) -> bool {
        // Compared as texts: the same name may be written in another kind of ASN.1 string. The signature is what proves it.
        self.validity.includes(now)
            && certificate.issuer == self.subject
            && certificate
                .signed
                .as_ref()
                .is_some_and(|(content, signature)| self.key.verify_sig(content, signature).is_ok())
    }
}

fn serial(bytes: &[u8]) -> String {
    // DER writes a zero in front of a number whose first bit is set, so that it is not taken for a negative one.
    let digits = bytes
        .strip_prefix(&[0])
        .unwrap_or(bytes)
        .iter()
        .fold(String::new(), |mut digits, byte| {
            write!(digits, "{byte:02X}").expect("a String takes every write");
            digits
        });
    normal_serial(&digits).unwrap_or(digits)
}

/// A serial in the form that WeChat writes it: upper case, leading zeros kept, 40 digits. `None` for what is no serial.
pub(crate) fn normal_serial(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.len() <= SERIAL_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| format!("{:0>SERIAL_DIGITS$}", text.to_ascii_uppercase()))
}

fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time.to_unix_duration().as_secs()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::pem::PemError;
    use crate::wechat::tests_support::{damaged, real_certificate};

    const GO: &str = include_str!("../../tests/vectors/sdk_go_platform_certificate.pem");
    const JAVA: &str = include_str!("../../tests/vectors/sdk_java_platform_certificate.pem");

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_serial_has_forty_digits_whatever_its_first_bit() {
        let twenty = [0xff; 20];
        let signed: Vec<u8> = std::iter::once(0).chain(twenty).collect();
        assert_eq!(serial(&signed), "F".repeat(40));
        assert_eq!(serial(&twenty), "F".repeat(40));
        assert_eq!(serial(&[0, 0xd7, 0xce]), format!("{}D7CE", "0".repeat(36)));
        assert_eq!(serial(&[0x0a]), format!("{}0A", "0".repeat(38)));
    }

    #[test]
    fn a_certificate_of_tenpay_is_read_as_it_is() {
        let certificate = Certificate::read(&real_certificate()).unwrap();
        assert_eq!(certificate.serial, "5DEA10EF55877E3CF6C33255C2E7DEFFF7E427EC");
        assert_eq!(certificate.validity.from, at("2023-09-19T15:15:58Z"));
        assert_eq!(certificate.validity.to, at("2028-09-17T15:15:58Z"));
        assert_eq!(
            certificate.issuer,
            "CN=Tenpay.com Root CA,OU=Tenpay.com CA Center,O=Tenpay.com,C=CN"
        );
        assert!(!certificate.authority && certificate.signed.is_some());
        assert!(certificate.public_key().is_ok());
    }

    #[test]
    fn a_serial_has_forty_digits_whatever_was_left_out() {
        assert_eq!(
            Certificate::read(GO).unwrap().serial,
            "000000000000000000000000D7CE59D1F522D701"
        );
        assert_eq!(normal_serial("d7ce59d1f522d701"), normal_serial("00D7CE59D1F522D701"));
        assert_eq!(normal_serial("PUB_KEY_ID_01"), None);
        assert_eq!(normal_serial(""), None);
        assert_eq!(normal_serial(&"0".repeat(41)), None);
    }

    #[test]
    fn it_counts_from_its_first_to_its_last_second() {
        let validity = Certificate::read(&real_certificate()).unwrap().validity;
        for (time, counts) in [
            ("2023-09-19T15:15:57Z", false),
            ("2023-09-19T15:15:58Z", true),
            ("2028-09-17T15:15:58Z", true),
            ("2028-09-17T15:15:59Z", false),
        ] {
            assert_eq!(validity.includes(at(time)), counts, "{time}");
        }
    }

    #[test]
    fn only_the_root_that_signed_it_has_issued_it() {
        let now = at("2024-06-01T00:00:00Z");
        let java = Certificate::read(JAVA).unwrap();
        let root = Root::read(JAVA).unwrap();
        assert!(root.issued(&java, now), "it is its own root");
        assert!(!root.issued(&java, at("2025-05-09T02:04:31Z")), "the root has expired");
        assert!(!root.issued(&Certificate::read(GO).unwrap(), now));
        assert!(!root.issued(&Certificate::read(&real_certificate()).unwrap(), now));

        // The same names and another content: only the signature can tell.
        let changed = Certificate::read(&damaged(JAVA, "440024045C4A4275", "440024045C4A4276")).unwrap();
        assert_eq!(changed.serial, "440024045C4A427699D09BB4E3DE0279F2E813FD");
        assert_eq!(changed.issuer, java.issuer);
        assert!(!root.issued(&changed, now));
    }

    #[test]
    fn what_is_no_root_or_no_certificate_is_refused_by_name() {
        assert_eq!(
            Root::read(&real_certificate()).err(),
            Some(CertificateError::NotARoot),
            "an issued certificate is no root"
        );
        let public = include_str!("../../tests/vectors/sdk_go_platform_public_key.pem");
        assert!(matches!(
            Root::read(public).err(),
            Some(CertificateError::Key(KeyError::WrongKind { .. }))
        ));
        let key_in_its_armour = public.replace("PUBLIC KEY", "CERTIFICATE");
        assert_eq!(Root::read(&key_in_its_armour).err(), Some(CertificateError::NotX509));
        assert_eq!(
            Root::read("").err(),
            Some(CertificateError::Key(KeyError::Pem(PemError::Empty)))
        );
        assert!(Root::read(&GO.replace('\n', "\\n")).is_ok());
    }
}
