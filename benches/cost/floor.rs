//! What RSA alone costs here and now: two signatures and one verification, which no order can do without.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};

/// Times of one operation in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    sign: f64,
    verify: f64,
}

impl Floor {
    /// A third of a second of nothing else. The cheapest of several stretches: what disturbs can only make it slower.
    pub(crate) fn measure() -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let message = [7_u8; 300];
        let mut signature = vec![0; key.public_modulus_len()];
        let sign = cheapest(|| {
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature)
                .unwrap();
        });
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
        let verify = cheapest(|| public.verify(&message, &signature).unwrap());
        Self { sign, verify }
    }

    pub(crate) fn between(&self, other: &Self) -> Self {
        Self {
            sign: f64::midpoint(self.sign, other.sign),
            verify: f64::midpoint(self.verify, other.verify),
        }
    }

    /// What an order cannot do without.
    pub(crate) fn order_us(&self) -> f64 {
        2.0 * self.sign + self.verify
    }
}

fn cheapest(mut work: impl FnMut()) -> f64 {
    const STRETCHES: u32 = 10;
    const OF: u32 = 50;
    (0..STRETCHES)
        .map(|_| {
            let before = processor_us();
            for _ in 0..OF {
                work();
            }
            (processor_us() - before) / f64::from(OF)
        })
        .fold(f64::INFINITY, f64::min)
}

/// Processor time of this thread in microseconds: whatever else runs on the machine is not in it.
fn processor_us() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let (seconds, ns) = (
        u32::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    );
    f64::from(seconds) * 1e6 + f64::from(ns) / 1000.0
}
