//! A platform that signs tokens and publishes its keys, with every fault that such a place can have.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A key of a platform.
pub struct SigningKey {
    pair: KeyPair,
    pub kid: &'static str,
}

impl SigningKey {
    /// Made once in this process.
    pub fn first() -> &'static Self {
        static KEY: OnceLock<SigningKey> = OnceLock::new();
        KEY.get_or_init(|| Self::new("first"))
    }

    /// The one that comes after it.
    pub fn second() -> &'static Self {
        static KEY: OnceLock<SigningKey> = OnceLock::new();
        KEY.get_or_init(|| Self::new("second"))
    }

    fn new(kid: &'static str) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { pair, kid }
    }

    /// As it is published.
    pub fn jwk(&self) -> Value {
        let public = rsa::PublicKey::from_public_key_der(&self.spki()).unwrap();
        let text = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": text(&public.n_bytes()), "e": text(&public.e_bytes()),
        })
    }

    /// The public key as DER.
    pub fn spki(&self) -> Vec<u8> {
        let der: PublicKeyX509Der = self.pair.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }

    /// A token as the platform makes it.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": "RS256", "typ": "JWT", "kid": self.kid}), claims)
    }

    /// The same under any header; with `RS512` in it, that is how it is signed.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let how = if header["alg"] == "RS512" {
            &RSA_PKCS1_SHA512
        } else {
            &RSA_PKCS1_SHA256
        };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(how, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// How the place answers.
#[derive(Clone, Debug)]
pub enum Says {
    /// 200 with this.
    Body(String),
    /// 200 with a key set.
    Keys(Vec<Value>),
    /// This status, with a key set that would be good.
    Status(u16),
    /// Where the keys are now.
    MovedTo(String),
    /// Nothing, for longer than anybody waits.
    Nothing,
}

/// The address of a key set.
#[derive(Clone)]
pub struct KeyPlace {
    pub url: String,
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

impl KeyPlace {
    pub async fn open(says: Says) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Self {
            url: format!("http://{}/auth/v1/jwks", listener.local_addr().unwrap()),
            says: Arc::new(Mutex::new(says)),
            asked: Arc::default(),
        };
        let here = place.clone();
        let router = Router::new().route("/auth/v1/jwks", get(move || here.clone().answer()));
        tokio::spawn(async move { axum::serve(listener, router).await });
        place
    }

    /// How it answers from now on.
    pub fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn answer(self) -> Response {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let says = self.says.lock().unwrap().clone();
        let first = || json!({"keys": [SigningKey::first().jwk()]}).to_string();
        match says {
            Says::Body(body) => body.into_response(),
            Says::Keys(keys) => {
                // Long enough that whoever asks at the same time does.
                tokio::time::sleep(Duration::from_millis(20)).await;
                json!({ "keys": keys }).to_string().into_response()
            }
            Says::Status(status) => (StatusCode::from_u16(status).unwrap(), first()).into_response(),
            Says::MovedTo(url) => (StatusCode::FOUND, [(header::LOCATION, url)], first()).into_response(),
            Says::Nothing => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                first().into_response()
            }
        }
    }
}
