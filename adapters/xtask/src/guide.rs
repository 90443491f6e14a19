//! The subcommand `guide`: code in the guide is code that is built.
//!
//! Behind a line `<!-- file PATH NAME -->` the guide shows what lies between `ANCHOR: NAME` and
//! `ANCHOR_END: NAME` in that file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::build;

const GUIDE: &str = "docs/firmware-guide.md";
const FENCE: &str = "```";

/// What to do.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Options {
    /// Changes nothing; fails if something would change.
    #[arg(long)]
    check: bool,
}

/// Brings the guide up to date.
pub(crate) fn run(options: Options) -> Result<()> {
    let path = build::root().join(GUIDE);
    let guide = fs::read_to_string(&path).context(GUIDE)?;
    let shown = show(&guide, |file, anchor| {
        let text = fs::read_to_string(build::root().join(file)).with_context(|| file.to_owned())?;
        section(&text, anchor).with_context(|| format!("{file} has no section {anchor}"))
    })?;
    if shown == guide {
        return Ok(());
    }
    ensure!(!options.check, "{GUIDE} shows other code than there is: run `cargo xtask guide`");
    fs::write(&path, shown).context(GUIDE)
}

/// The guide with all code as it is now.
fn show(guide: &str, code: impl Fn(&str, &str) -> Result<String>) -> Result<String> {
    let mut shown = String::new();
    let mut lines = guide.lines().peekable();
    while let Some(line) = lines.next() {
        shown.push_str(line);
        shown.push('\n');
        let Some(what) = line.strip_prefix("<!-- file ").and_then(|l| l.strip_suffix(" -->"))
        else {
            continue;
        };
        let Some((file, anchor)) = what.split_once(' ') else { bail!("{line}: no section") };
        let language = Path::new(file).extension().and_then(|e| e.to_str()).unwrap_or_default();
        let language = if language == "rs" { "rust,ignore" } else { language };
        if lines.next_if(|line| line.starts_with(FENCE)).is_some() {
            lines.find(|line| *line == FENCE).context("the guide's last code has no end")?;
        }
        shown.push_str(&format!("{FENCE}{language}\n{}{FENCE}\n", code(file, anchor)?));
    }
    Ok(shown)
}

/// What lies between the two marks.
fn section(text: &str, anchor: &str) -> Option<String> {
    let is = |line: &str, mark: &str| {
        let words = line.trim_start_matches(['/', '#', ' ']);
        words.strip_prefix(mark).is_some_and(|name| name.trim() == anchor)
    };
    let mut lines = text.lines().skip_while(|line| !is(line, "ANCHOR:"));
    lines.next()?;
    let mut section = String::new();
    for line in lines {
        if is(line, "ANCHOR_END:") {
            return Some(section);
        }
        section.push_str(line);
        section.push('\n');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{section, show};

    const PROGRAM: &str =
        "// ANCHOR: a\none\n// ANCHOR_END: a\n# ANCHOR: b\ntwo\n# ANCHOR_END: b\n";

    #[test]
    fn a_section_is_what_lies_between_its_marks() {
        assert_eq!(section(PROGRAM, "a").as_deref(), Some("one\n"));
        assert_eq!(section(PROGRAM, "b").as_deref(), Some("two\n"));
        assert_eq!(section(PROGRAM, "c"), None);
    }

    #[test]
    fn old_code_makes_room_for_new_and_nothing_else_changes() {
        let code = |_: &str, anchor: &str| Ok(section(PROGRAM, anchor).unwrap_or_default());
        let empty = "start\n<!-- file x.rs a -->\n\nend\n";
        let shown = show(empty, code).unwrap_or_default();
        assert_eq!(shown, "start\n<!-- file x.rs a -->\n```rust,ignore\none\n```\n\nend\n");
        let old = shown.replace("one", "old\nlines");
        assert_eq!(show(&old, code).ok(), Some(shown.clone()));
        assert_eq!(show(&shown, code).ok(), Some(shown));
    }
}
