//! Where a setting comes from: environment over `--config` over `config/default.toml` over the built-in defaults.
//!
//! All of them become one lookup by the setting's exact name. Nothing else in the crate reads the environment or a settings file.
//!
//! Any value may be a secret, so all of them are wiped when they are dropped, and none is kept that is not looked up. What cannot be
//! wiped is what was handed over: the environment of the process, and the file.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Config, PLATFORM_MARKS, settings};

/// The defaults that are built into the binary, each with its reason.
const BUILT_IN: &str = include_str!("../../config/default.toml");

/// A settings file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("the settings file {path} cannot be read: {source}")]
    Unreadable {
        /// As it was named.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not TOML. The parser's own message would quote the line, and the line may be a secret.
    #[error("the settings file {path} is not valid TOML (near line {line})")]
    NotToml {
        /// As it was named.
        path: String,
        /// Where the parser stopped, counted from 1.
        line: usize,
    },
    /// A value is neither text, number, truth value nor a list of texts.
    #[error("the settings file {path}: `{name}` must be a text, a whole number, true/false or a list of texts")]
    WrongType {
        /// As it was named.
        path: String,
        /// Of the setting.
        name: String,
    },
}

/// Settings of one place, wiped when dropped.
type Layer = BTreeMap<String, SecretString>;

/// One lookup over all places a setting can stand in. `Debug` shows names and no value.
#[derive(Debug, Default)]
pub struct Source {
    /// The strongest first.
    layers: Vec<Layer>,
    /// Names found in files (not in the environment, which holds much that is not ours).
    named_in_files: Vec<String>,
    /// Files that hold a secret and can be read by others than their owner.
    open_files: Vec<String>,
}

impl Source {
    /// The settings of this process: its environment, the file named by `--config`, `config/default.toml` in the working
    /// directory when it is there, and the built-in defaults.
    pub fn of_process(config_file: Option<&Path>) -> Result<Self, SourceError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, secret(value.into_string().ok()?))))
            .filter(|(name, _)| Config::has_setting(name) || PLATFORM_MARKS.contains(&name.as_str()))
            .collect();
        let mut source = Self {
            layers: vec![environment],
            ..Self::default()
        };
        if let Some(path) = config_file {
            source.add_file(path)?;
        }
        let default = Path::new("config/default.toml");
        if default.is_file() {
            source.add_file(default)?;
        }
        source.add_built_in()?;
        Ok(source)
    }

    /// The given settings over the built-in defaults; for tests and for the simulator.
    pub fn of_pairs<N: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, SourceError> {
        let given = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), secret(value.into())))
            .collect();
        let mut source = Self {
            layers: vec![given],
            ..Self::default()
        };
        source.add_built_in()?;
        Ok(source)
    }

    /// The value of a setting. Empty is the same as absent: consoles cannot leave a variable out.
    pub fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(
            Config::has_setting(name) || PLATFORM_MARKS.contains(&name),
            "{name} is read and stands in no table of settings"
        );
        self.layers
            .iter()
            .filter_map(|layer| layer.get(name))
            .map(SecretString::expose_secret)
            .find(|value| !value.trim().is_empty())
    }

    /// Whether this is the cloud function platform.
    pub(super) fn is_on_platform(&self) -> bool {
        PLATFORM_MARKS.iter().any(|mark| self.get(mark).is_some())
    }

    /// Files that hold a secret and that others than their owner can read, by name.
    pub fn open_files(&self) -> &[String] {
        &self.open_files
    }

    /// Names that stand in a settings file.
    pub fn named_in_files(&self) -> &[String] {
        &self.named_in_files
    }

    fn add_built_in(&mut self) -> Result<(), SourceError> {
        self.layers.push(read(BUILT_IN, "config/default.toml (built in)")?);
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), SourceError> {
        let shown = path.display().to_string();
        let unreadable = |source| SourceError::Unreadable {
            path: shown.clone(),
            source,
        };
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(unreadable)?);
        let layer = read(&text, &shown)?;
        if holds_a_secret(&layer) && others_can_read(path).map_err(unreadable)? {
            self.open_files.push(shown.clone());
        }
        self.named_in_files.extend(layer.keys().cloned());
        self.layers.push(layer);
        Ok(())
    }
}

/// The value in a place of its own that is wiped; what it came in is wiped at once.
fn secret(value: String) -> SecretString {
    let value = Zeroizing::new(value);
    // By reference: a `String` that is longer than its content is moved when it is boxed, and leaves the content behind.
    SecretString::from(value.as_str())
}

/// The name of a SQLite file opens nothing; the address of a server may.
fn holds_a_secret(layer: &Layer) -> bool {
    let is_secret = |name: &str| settings::find(name).is_some_and(|setting| setting.is_secret);
    let is_one = |name: &str, value: &str| is_secret(name) && !value.is_empty() && !value.starts_with("sqlite:");
    layer
        .iter()
        .any(|(name, value)| is_one(name, value.expose_secret().trim()))
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_path: &Path) -> std::io::Result<bool> {
    Ok(false)
}

fn read(text: &str, path: &str) -> Result<Layer, SourceError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let end = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(end).filter(|byte| *byte == b'\n').count() + 1;
        SourceError::NotToml {
            path: path.to_owned(),
            line,
        }
    })?;
    table
        .into_iter()
        .map(|(name, value)| match plain(value) {
            Some(text) => Ok((name, secret(text))),
            None => Err(SourceError::WrongType {
                path: path.to_owned(),
                name,
            }),
        })
        .collect()
}

fn plain(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<String>> = items.into_iter().map(plain_text).collect();
            texts.map(|texts| Zeroizing::new(texts).join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn plain_text(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of its own, with this mode.
    #[cfg(unix)]
    fn file(text: &str, mode: u32) -> std::path::PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("pay-common-{}.toml", crate::domain::ids::new_id()));
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[cfg(unix)]
    #[test]
    fn a_file_with_a_secret_that_others_can_read_is_named() {
        for (text, mode, named) in [
            ("apiV3Key = \"a\"", 0o644, true),
            ("apiV3Key = \"a\"", 0o640, true),
            ("apiV3Key = \"a\"", 0o604, true),
            ("apiV3Key = \"a\"", 0o600, false),
            ("apiV3Key = \"a\"", 0o400, false),
            ("apiV3Key = \"\"", 0o644, false),
            ("appId = \"wx1\"", 0o644, false),
            ("DATABASE_URL = \"sqlite://pay.db\"", 0o644, false),
            ("DATABASE_URL = \"postgres://u:p@db/pay\"", 0o644, true),
        ] {
            let path = file(text, mode);
            let mut source = Source::default();
            source.add_file(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            assert_eq!(!source.open_files().is_empty(), named, "{text} {mode:o}");
        }
    }

    #[test]
    fn no_value_is_shown() {
        let source = Source::of_pairs([("apiV3Key", "top-secret")]).unwrap();
        let shown = format!("{source:?} {source:#?}");
        assert!(shown.contains("apiV3Key") && !shown.contains("top-secret"), "{shown}");
    }

    #[test]
    fn the_stronger_place_wins_and_empty_is_absent() {
        let source = Source::of_pairs([("PORT", "8080"), ("signMode", " ")]).unwrap();
        assert_eq!(source.get("PORT"), Some("8080"));
        assert_eq!(
            source.get("signMode"),
            Some("gateway"),
            "a blank form field leaves the default"
        );
        assert_eq!(source.get("refundPolicy"), Some("owner"));
        assert_eq!(source.get("appId"), None);
    }

    #[test]
    fn a_list_becomes_a_comma_separated_text() {
        let layer = read("corsAllowOrigin = [\"https://a.example\", \"https://b.example\"]", "x").unwrap();
        assert_eq!(
            layer.get("corsAllowOrigin").map(SecretString::expose_secret),
            Some("https://a.example,https://b.example")
        );
    }

    #[test]
    fn a_broken_file_is_named_with_its_line_and_without_its_content() {
        let error = read("appId = \"wx1\"\napiV3Key = \"top secret\n", "settings.toml")
            .unwrap_err()
            .to_string();
        assert!(error.contains("settings.toml") && error.contains("line 2"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
