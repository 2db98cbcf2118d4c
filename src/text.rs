//! What a person reads, in Chinese and English.

/// A language of `msg`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Language {
    /// 中文
    #[default]
    Chinese,
    /// English
    English,
}

/// The same in both languages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Text {
    pub(crate) chinese: String,
    pub(crate) english: String,
}

impl Text {
    pub(crate) fn new(chinese: impl Into<String>, english: impl Into<String>) -> Self {
        Self {
            chinese: chinese.into(),
            english: english.into(),
        }
    }

    pub(crate) fn in_language(&self, language: Language) -> &str {
        match language {
            Language::Chinese => &self.chinese,
            Language::English => &self.english,
        }
    }
}
