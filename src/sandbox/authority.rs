//! The authority that issues WeChat Pay's platform certificates: a root of its own, named like the real one.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use rsa::{pkcs1v15::SigningKey, pkcs8::EncodePublicKey, sha2::Sha256};
use x509_cert::{
    TbsCertificate,
    builder::{Builder, CertificateBuilder, Result, profile::BuilderProfile},
    der::{DateTime, Decode, EncodePem, asn1::GeneralizedTime, pem::LineEnding},
    ext::{
        Extension, ToExtension,
        pkix::{AuthorityKeyIdentifier, BasicConstraints, KeyUsage, KeyUsages, SubjectKeyIdentifier},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

use super::{crypto::random_hex, keys::NamedKey};

const ROOT_NAME: &str = "CN=Tenpay.com Root CA,OU=Tenpay.com CA Center,O=Tenpay.com,C=CN";
const PLATFORM_NAME: &str = "CN=Tenpay.com sign,OU=Tenpay.com CA Center,O=Tenpay.com,C=CN";
/// The first second of 2015 and of 2045: longer than any test moves its clock.
const ROOT_LIFE: [i64; 2] = [1_420_070_400, 2_366_841_600];

/// A root certificate and its key.
pub(crate) struct Authority {
    key: NamedKey,
    pem: String,
}

impl Authority {
    /// Makes a root. Takes as long as generating a key does.
    pub(crate) fn generate() -> Self {
        let key = NamedKey::generate(random_serial());
        let [from, until] = ROOT_LIFE.map(|at| Timestamp::from_second(at).unwrap_or(Timestamp::MAX));
        let pem = issue(&key, &key, Profile::Root, from, until).expect("its own names, times and keys are well-formed");
        Self { key, pem }
    }

    /// The root certificate, which whoever checks a platform certificate has to trust.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for `key`, whose id is the serial number, valid for these whole seconds.
    pub(crate) fn certify(&self, key: &NamedKey, from: Timestamp, until: Timestamp) -> String {
        issue(&self.key, key, Profile::Platform, from, until).expect("its own names, times and keys are well-formed")
    }
}

/// A serial number as WeChat's are written: 40 upper-case hexadecimal digits. The first is 0, which the bytes of a
/// number leave out: whoever compares serials has to put it back.
pub(crate) fn random_serial() -> String {
    format!("01{}", random_hex(38)).to_ascii_uppercase()
}

enum Profile {
    Root,
    Platform,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _subject: &Name) -> Name {
        name(ROOT_NAME)
    }

    fn get_subject(&self) -> Name {
        name(match self {
            Self::Root => ROOT_NAME,
            Self::Platform => PLATFORM_NAME,
        })
    }

    fn build_extensions(
        &self,
        key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> Result<Vec<Extension>> {
        let ca = matches!(self, Self::Root);
        let usage = if ca {
            KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign)
        } else {
            KeyUsage(KeyUsages::DigitalSignature | KeyUsages::NonRepudiation | KeyUsages::DataEncipherment)
        };
        let constraints = BasicConstraints {
            ca,
            path_len_constraint: None,
        };
        let subject = tbs.subject();
        Ok(vec![
            constraints.to_extension(subject, &[])?,
            usage.to_extension(subject, &[])?,
            SubjectKeyIdentifier::try_from(key)?.to_extension(subject, &[])?,
            AuthorityKeyIdentifier::try_from(issuer_key)?.to_extension(subject, &[])?,
        ])
    }
}

fn issue(issuer: &NamedKey, subject: &NamedKey, profile: Profile, from: Timestamp, until: Timestamp) -> Result<String> {
    let spki = subject.public().to_public_key_der()?;
    let validity = Validity::new(time(from)?, time(until)?);
    let builder = CertificateBuilder::new(
        profile,
        SerialNumber::new(&bytes(subject.id()))?,
        validity,
        SubjectPublicKeyInfo::from_der(spki.as_bytes())?,
    )?;
    let signer = SigningKey::<Sha256>::new(issuer.private().clone());
    Ok(builder.build(&signer)?.to_pem(LineEnding::LF)?)
}

fn name(text: &str) -> Name {
    Name::from_str(text).expect("the names are constants of this file")
}

fn time(at: Timestamp) -> Result<Time> {
    let seconds = Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default());
    let date = DateTime::from_unix_duration(seconds)?;
    Ok(Time::GeneralTime(GeneralizedTime::from_date_time(date)))
}

/// The bytes of a text of hexadecimal digits.
fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| u8::try_from(c.to_digit(16)?).ok()).collect();
    digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect()
}

#[cfg(test)]
mod tests {
    use rsa::pkcs1v15::{Signature, VerifyingKey};
    use rsa::signature::Verifier;
    use x509_cert::{
        Certificate,
        der::{DecodePem, Encode},
    };

    use super::*;
    use crate::sandbox::Keys;

    fn is_signed_by(certificate: &Certificate, key: &NamedKey) -> bool {
        let tbs = certificate.tbs_certificate().to_der().unwrap();
        let signature = Signature::try_from(certificate.signature().raw_bytes()).unwrap();
        VerifyingKey::<Sha256>::new(key.public().clone())
            .verify(&tbs, &signature)
            .is_ok()
    }

    #[test]
    fn a_platform_certificate_is_what_its_list_says_and_leads_to_the_root() {
        let keys = Keys::shared();
        let (authority, key) = (keys.authority(), keys.platform_key(0));
        let from = "2026-11-23T15:10:00+08:00".parse().unwrap();
        let until = "2031-11-22T15:10:00+08:00".parse().unwrap();
        let certificate = Certificate::from_pem(authority.certify(&key, from, until)).unwrap();
        let tbs = certificate.tbs_certificate();

        let serial = tbs.serial_number().to_string().replace(':', "");
        assert_eq!((serial.as_str(), key.id().len()), (key.id(), 40));
        assert!(key.id().starts_with('0'));
        assert_eq!(tbs.validity().not_before.to_string(), "2026-11-23T07:10:00Z");
        assert_eq!(tbs.validity().not_after.to_string(), "2031-11-22T07:10:00Z");
        assert_eq!(tbs.issuer().to_string(), ROOT_NAME);
        assert!(is_signed_by(&certificate, &authority.key));
        assert!(!is_signed_by(&certificate, &key));

        let root = Certificate::from_pem(authority.pem()).unwrap();
        assert_eq!(root.tbs_certificate().subject(), tbs.issuer());
        assert!(is_signed_by(&root, &authority.key));
    }
}
