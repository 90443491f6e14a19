//! What the fleet's operator decides.

use embassy_time::Duration;

/// How often a device may count, in milliseconds.
const PERIODS: core::ops::RangeInclusive<u32> = 10..=60_000;

/// What `/config` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How often the device counts.
    pub(crate) period: Duration,
    /// Whether it is to end.
    pub(crate) stop: bool,
}

/// Why settings are not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub(crate) enum Refusal {
    /// They are not text.
    NotText,
    /// `period_ms` is no number.
    PeriodIsNoNumber,
    /// `period_ms` is too small or too large.
    PeriodOutOfRange { period_ms: u32 },
    /// There is a word that means nothing.
    UnknownWord,
}

impl Settings {
    /// Before anybody has decided anything.
    pub(crate) const DEFAULT: Self = Self { period: Duration::from_secs(1), stop: false };

    /// Reads them: all or nothing.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let text = core::str::from_utf8(bytes).map_err(|_| Refusal::NotText)?;
        let mut settings = Self::DEFAULT;
        for word in text.split_ascii_whitespace() {
            match word.split_once('=') {
                Some(("period_ms", number)) => {
                    let period_ms = number.parse().map_err(|_| Refusal::PeriodIsNoNumber)?;
                    if !PERIODS.contains(&period_ms) {
                        return Err(Refusal::PeriodOutOfRange { period_ms });
                    }
                    settings.period = Duration::from_millis(period_ms.into());
                }
                None if word == "stop" => settings.stop = true,
                _ => return Err(Refusal::UnknownWord),
            }
        }
        Ok(settings)
    }
}
