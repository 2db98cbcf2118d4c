//! A document, taken apart: headings, fenced blocks, links, code within a line.

use std::path::{Path, PathBuf};

/// A page of the repository.
#[derive(Debug)]
pub struct Page {
    /// Its path from the repository's root.
    pub name: String,
    /// Level and text, in order.
    pub headings: Vec<(usize, String)>,
    /// What stands between fences, in order.
    pub blocks: Vec<Block>,
    /// Where its links lead, in order.
    pub links: Vec<String>,
    /// What stands between backticks in a line.
    pub spans: Vec<String>,
    /// Rows of tables and items of lists.
    pub rows: usize,
}

/// A fenced block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// What stands behind the fence.
    pub language: String,
    /// What stands between the fences, without the indentation of a list.
    pub text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that people read: the root's, those of `docs`, and what stands beside the tests.
pub fn pages() -> Vec<Page> {
    let mut found = Vec::new();
    for (folder, deep) in [("", false), ("docs", true), ("tests", true)] {
        gather(&root().join(folder), deep, &mut found);
    }
    found.sort();
    found.iter().map(|path| Page::read(path)).collect()
}

fn gather(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // A stranger's files are a stranger's.
        if path.is_dir() && deep && !["node_modules", "target", "openapi"].contains(&name.as_str()) {
            gather(&path, deep, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

impl Page {
    /// One of them by its path from the root.
    pub fn of(name: &str) -> Self {
        Self::read(&root().join(name))
    }

    fn read(path: &Path) -> Self {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        Self::parse(name, &std::fs::read_to_string(path).unwrap())
    }

    /// Takes a text apart.
    pub fn parse(name: &str, text: &str) -> Self {
        let mut page = Self {
            name: name.to_owned(),
            headings: Vec::new(),
            blocks: Vec::new(),
            links: Vec::new(),
            spans: Vec::new(),
            rows: 0,
        };
        let mut open: Option<(usize, Block)> = None;
        for line in text.lines() {
            let inner = line.trim_start();
            let indentation = line.len() - inner.len();
            match (&mut open, inner.strip_prefix("```")) {
                (None, Some(language)) => {
                    let language = language.to_owned();
                    open = Some((
                        indentation,
                        Block {
                            language,
                            text: String::new(),
                        },
                    ));
                }
                (Some(_), Some("")) => page.blocks.extend(open.take().map(|(_, block)| block)),
                (Some((within, block)), _) => {
                    block.text.push_str(line.get(indentation.min(*within)..).unwrap());
                    block.text.push('\n');
                }
                (None, None) => page.line(inner),
            }
        }
        assert!(open.is_none(), "{name} has a block without an end");
        page
    }

    fn line(&mut self, line: &str) {
        let text = line.trim_start_matches('#');
        let level = line.len() - text.len();
        if level > 0 && text.starts_with(' ') {
            self.headings.push((level, text.trim().to_owned()));
        }
        let numbered = line.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
        if line.starts_with("| ") || line.starts_with("- ") || numbered {
            self.rows += 1;
        }
        let mut outside = String::new();
        for (place, part) in line.split('`').enumerate() {
            match place % 2 {
                0 => outside.push_str(part),
                _ => self.spans.push(part.to_owned()),
            }
        }
        for rest in outside.split("](").skip(1) {
            self.links.push(rest.split(')').next().unwrap().to_owned());
        }
    }

    /// By what its headings are linked to, as GitHub makes it of their text.
    pub fn anchors(&self) -> Vec<String> {
        let slug = |text: &String| -> String {
            let kept = text
                .chars()
                .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.collect::<String>().to_lowercase().replace(' ', "-")
        };
        self.headings.iter().map(|(_, text)| slug(text)).collect()
    }

    /// The commands of its shell blocks, block by block. A line that ends with `\` goes on with the next one; in `console`, commands begin
    /// with `$ `, and the rest is what they print.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let shell = |block: &&Block| ["sh", "bash", "console"].contains(&block.language.as_str());
        self.blocks
            .iter()
            .filter(shell)
            .map(|block| {
                let text = block.text.replace("\\\n", "");
                let lines = text.lines().filter_map(|line| match block.language.as_str() {
                    "console" => line.strip_prefix("$ "),
                    _ => Some(line),
                });
                let commands = lines.map(without_comment).filter(|line| !line.is_empty());
                commands.collect()
            })
            .collect()
    }
}

/// A line of a shell without the comment at its end.
fn without_comment(line: &str) -> String {
    let mut quote = None;
    let mut before = ' ';
    for (place, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') if before == ' ' => return line.split_at(place).0.trim().to_owned(),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        before = c;
    }
    line.trim().to_owned()
}
