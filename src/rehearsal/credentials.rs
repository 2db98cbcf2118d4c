//! What a client of anybody's needs to talk to the simulated WeChat Pay, in a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use crate::domain::ids::new_id;
use crate::sandbox::World;

/// The settings that come from WeChat Pay; the others are the service's own. Of the last three some are there, by the
/// key mode.
const FROM_WECHAT: [&str; 10] = [
    "wechatPayBaseUrl",
    "merchantId",
    "merchantSerialNumber",
    "privateKey",
    "apiV3Key",
    "appId",
    "service_app_id",
    "wxPayPublicKey",
    "wxPayPublicKeyId",
    "wxPayRootCertificate",
];

/// A file with the merchant's credentials, taken away when this is dropped: they are worth nothing without their world.
#[derive(Debug)]
pub(super) struct Credentials {
    path: PathBuf,
}

impl Credentials {
    /// Writes them as JSON that only the owner of the process can read, under the names of the settings, with the
    /// control address as `controlUrl` and the phone as `phoneUrl`. The file is there all at once, and takes the place of an older one.
    pub(super) fn write(world: &World, path: &Path) -> anyhow::Result<Self> {
        let mut members: serde_json::Map<String, Value> = world
            .settings()
            .into_iter()
            .filter(|(name, _)| FROM_WECHAT.contains(name))
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        members.insert("controlUrl".to_owned(), world.control_url().into());
        members.insert("phoneUrl".to_owned(), world.phone().url().into());
        let text = format!("{:#}\n", Value::Object(members));
        place(path, &text).with_context(|| format!("the credentials cannot be written to {}", path.display()))?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        // Somebody may have taken it away before.
        drop(fs::remove_file(&self.path));
    }
}

fn place(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", new_id()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    let placed = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&beside, path));
    if placed.is_err() {
        // The first failure is the one to tell.
        drop(fs::remove_file(&beside));
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sandbox::{KeyMode, Options};

    async fn world(key_mode: KeyMode) -> World {
        World::start(Options {
            key_mode,
            ..Options::default()
        })
        .await
        .unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn they_are_there_for_their_owner_as_long_as_their_world() {
        let world = world(KeyMode::PublicKey).await;
        let path = std::env::temp_dir().join(format!("pay-common-{}.json", new_id()));
        fs::write(&path, "an older one that everybody can read").unwrap();

        let credentials = Credentials::write(&world, &path).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(written["wechatPayBaseUrl"], world.wechat().url());
        assert_eq!(written["controlUrl"], world.control_url());
        assert_eq!(written["phoneUrl"], world.phone().url());
        assert_eq!(written["privateKey"], world.keys().merchant_private_pem());
        assert_eq!(written["apiV3Key"], world.keys().api_v3_key());
        assert_eq!(written["wxPayPublicKey"], world.keys().wechat_public_pem());
        assert_eq!(written.get("wxPayRootCertificate"), None);
        assert_eq!(written.as_object().unwrap().len(), 11);

        drop(credentials);
        assert!(!path.exists());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn by_certificates_there_is_a_root_instead_of_a_public_key() {
        let world = world(KeyMode::Certificates).await;
        let path = std::env::temp_dir().join(format!("pay-common-{}.json", new_id()));
        let _credentials = Credentials::write(&world, &path).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(written["wxPayRootCertificate"], world.keys().wechat_root_pem());
        assert_eq!(written.get("wxPayPublicKey"), None);
        assert_eq!(written.get("wxPayPublicKeyId"), None);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_is_not_there_is_named() {
        let path = std::env::temp_dir().join(new_id()).join("credentials.json");
        let error = Credentials::write(&world(KeyMode::PublicKey).await, &path).unwrap_err();
        assert!(format!("{error:#}").contains(&path.display().to_string()), "{error:#}");
    }
}
