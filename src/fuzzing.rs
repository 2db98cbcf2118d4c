//! What has to hold of everything that is read from strangers, whatever they send: one function per reader, for the fuzzer and for
//! the tests that go through its corpus. With the feature `fuzzing` alone; no production build has it.
//!
//! Each takes bytes, panics when its property does not hold, and answers whether the bytes were understood at all: a corpus of which
//! nothing is understood would show nothing.

mod bill;
mod dispatch;
mod jwt;
mod notification;
mod pem;

pub use bill::bill;
pub use dispatch::dispatch;
pub use jwt::jwt;
pub use notification::notification;
pub use pem::pem;

use serde_json::{Map, Value};

/// As deep as `maxJsonDepth` lets a body nest.
const DEPTH: usize = 32;

/// The body of a request, as far as it is one.
fn object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match crate::http::json::read(bytes, DEPTH) {
        Ok(Value::Object(object)) => Some(object),
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every seed of a target holds, and some are understood and some are not.
    #[track_caller]
    fn replay(target: &str, property: fn(&[u8]) -> bool) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut understood = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let held = std::panic::catch_unwind(|| property(&std::fs::read(&path).unwrap()));
            understood.push(held.unwrap_or_else(|_| panic!("it does not hold of {}", path.display())));
        }
        let count = understood.iter().filter(|understood| **understood).count();
        assert!(count >= 8, "only {count} of the seeds of {target} are understood");
        assert!(count < understood.len(), "every seed of {target} is understood");
    }

    #[test]
    fn what_is_known_of_the_dispatcher_holds_of_its_corpus() {
        replay("dispatch", dispatch);
    }

    #[test]
    fn what_is_known_of_notifications_holds_of_their_corpus() {
        replay("notification", notification);
    }

    #[test]
    fn what_is_known_of_the_repair_of_a_pem_holds_of_its_corpus() {
        replay("pem", pem);
    }

    #[test]
    fn what_is_known_of_bills_holds_of_their_corpus() {
        replay("bill", bill);
    }

    #[test]
    fn what_is_known_of_signed_texts_holds_of_their_corpus() {
        replay("jwt", jwt);
    }
}
