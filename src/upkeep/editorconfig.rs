//! What the `.editorconfig` at the top of the folder says, as far as fixers ask. Files further down are not read.

use globset::{Glob, GlobBuilder, GlobMatcher};

use super::listing::{Listing, name_of};

/// The settings for one file; `None` = not said.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settings {
    /// `lf` or `crlf`.
    pub end_of_line: Option<String>,
    pub insert_final_newline: Option<bool>,
    pub trim_trailing_whitespace: Option<bool>,
}

/// A parsed `.editorconfig`.
#[derive(Default)]
pub(super) struct EditorConfig {
    sections: Vec<Section>,
}

struct Section {
    matcher: GlobMatcher,
    whole_path: bool,
    properties: Vec<(String, String)>,
}

impl EditorConfig {
    pub fn load(listing: &Listing) -> EditorConfig {
        listing.text(".editorconfig").map(|text| EditorConfig::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> EditorConfig {
        let mut sections: Vec<Section> = Vec::new();
        // A section whose pattern is not understood must swallow its properties, not give them to the one before.
        let mut skipping = true;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(pattern) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                let glob: Option<Glob> =
                    GlobBuilder::new(pattern.trim_start_matches('/')).literal_separator(true).build().ok();
                skipping = glob.is_none();
                sections.extend(glob.map(|glob| Section {
                    matcher: glob.compile_matcher(),
                    whole_path: pattern.contains('/'),
                    properties: Vec::new(),
                }));
            } else if let Some((key, value)) = line.split_once('=')
                && !skipping
                && let Some(section) = sections.last_mut()
            {
                section.properties.push((key.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase()));
            }
        }
        EditorConfig { sections }
    }

    /// Later sections win, as the format has it.
    pub fn of(&self, path: &str) -> Settings {
        let mut settings = Settings::default();
        for section in &self.sections {
            if !section.matcher.is_match(if section.whole_path { path } else { name_of(path) }) {
                continue;
            }
            for (key, value) in &section.properties {
                let yes = match value.as_str() {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => None,
                };
                match key.as_str() {
                    "end_of_line" => {
                        settings.end_of_line = Some(value.clone()).filter(|v| matches!(v.as_str(), "lf" | "crlf"))
                    }
                    "insert_final_newline" => settings.insert_final_newline = yes,
                    "trim_trailing_whitespace" => settings.trim_trailing_whitespace = yes,
                    _ => {}
                }
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_and_matching_sections_win() {
        let text = "root = true\n[*]\nend_of_line = LF\ninsert_final_newline=true\n[*.{bat,cmd}]\nend_of_line = crlf\n\
            [/docs/**]\ninsert_final_newline = false\n[{broken]\nend_of_line = crlf\n";
        let config = EditorConfig::parse(text);
        assert_eq!(config.of("a/x.rs").end_of_line.as_deref(), Some("lf"));
        assert_eq!(config.of("a/x.bat").end_of_line.as_deref(), Some("crlf"));
        assert_eq!(config.of("docs/x.md").insert_final_newline, Some(false));
        assert_eq!(config.of("x.md").insert_final_newline, Some(true));
        assert_eq!(EditorConfig::default().of("x"), Settings::default());
    }
}
