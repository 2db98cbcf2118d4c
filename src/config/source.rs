//! Where a setting comes from: environment over `--config` over `config/default.toml` over the built-in defaults.
//!
//! All of them become one lookup by the setting's exact name. Nothing else in the crate reads the environment or a settings file.

use std::collections::BTreeMap;
use std::path::Path;

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

/// One lookup over all places a setting can stand in.
#[derive(Default)]
pub struct Source {
    /// The strongest first.
    layers: Vec<BTreeMap<String, String>>,
    /// Names found in files (not in the environment, which holds much that is not ours).
    named_in_files: Vec<String>,
}

impl Source {
    /// The settings of this process: its environment, the file named by `--config`, `config/default.toml` in the working
    /// directory when it is there, and the built-in defaults.
    pub fn of_process(config_file: Option<&Path>) -> Result<Self, SourceError> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut source = Self {
            layers: vec![environment],
            named_in_files: Vec::new(),
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
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let mut source = Self {
            layers: vec![given],
            named_in_files: Vec::new(),
        };
        source.add_built_in()?;
        Ok(source)
    }

    /// The value of a setting. Empty is the same as absent: consoles cannot leave a variable out.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.layers
            .iter()
            .filter_map(|layer| layer.get(name))
            .map(String::as_str)
            .find(|value| !value.trim().is_empty())
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
        let text = std::fs::read_to_string(path).map_err(|source| SourceError::Unreadable {
            path: shown.clone(),
            source,
        })?;
        let layer = read(&text, &shown)?;
        self.named_in_files.extend(layer.keys().cloned());
        self.layers.push(layer);
        Ok(())
    }
}

fn read(text: &str, path: &str) -> Result<BTreeMap<String, String>, SourceError> {
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
        .map(|(name, value)| match plain(&value) {
            Some(text) => Ok((name, text)),
            None => Err(SourceError::WrongType {
                path: path.to_owned(),
                name,
            }),
        })
        .collect()
}

fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            layer.get("corsAllowOrigin").map(String::as_str),
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
