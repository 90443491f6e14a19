//! Colours by meaning.

use anstyle::{AnsiColor, Style};

const fn coloured(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour)))
}

/// What went wrong.
pub(crate) const ERROR: Style = coloured(AnsiColor::Red).bold();
/// How to mend it.
pub(crate) const HINT: Style = coloured(AnsiColor::Cyan);
/// A znode's path or name.
pub(crate) const PATH: Style = coloured(AnsiColor::Blue).bold();
/// An ephemeral znode's path or name.
pub(crate) const EPHEMERAL: Style = coloured(AnsiColor::Magenta).bold();
/// The name of a field.
pub(crate) const FIELD: Style = Style::new().dimmed();
/// What is well.
pub(crate) const GOOD: Style = coloured(AnsiColor::Green);
/// What may be about to fail.
pub(crate) const WARN: Style = coloured(AnsiColor::Yellow);
