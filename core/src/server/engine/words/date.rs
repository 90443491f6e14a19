//! Dates as Java prints them.

use core::fmt;

const DAY: i64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [(&str, i64); 12] = [
    ("Jan", 31),
    ("Feb", 28),
    ("Mar", 31),
    ("Apr", 30),
    ("May", 31),
    ("Jun", 30),
    ("Jul", 31),
    ("Aug", 31),
    ("Sep", 30),
    ("Oct", 31),
    ("Nov", 30),
    ("Dec", 31),
];

/// Milliseconds since 1970; prints as `Sun Nov 22 19:00:49 UTC 2026`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Date(pub(super) i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        let (days, time) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let weekday = usize::try_from(days.rem_euclid(7)).unwrap_or(0);
        let weekday = WEEKDAYS.get(weekday).copied().unwrap_or_default();
        // Whole cycles of 400 years first, each of 146,097 days, then year by year.
        let mut year = days.div_euclid(146_097).saturating_mul(400).saturating_add(1970);
        let mut day = days.rem_euclid(146_097);
        while day >= days_of(year) {
            day = day.saturating_sub(days_of(year));
            year = year.saturating_add(1);
        }
        let mut month = "Dec";
        for (name, days) in MONTHS {
            let leap = i64::from(name == "Feb" && days_of(year) == 366);
            let days = days.saturating_add(leap);
            if day < days {
                month = name;
                break;
            }
            day = day.saturating_sub(days);
        }
        let day = day.saturating_add(1);
        let (hour, minute) = (time.div_euclid(3600), time.rem_euclid(3600).div_euclid(60));
        let second = time.rem_euclid(60);
        write!(f, "{weekday} {month} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}")
    }
}

fn days_of(year: i64) -> i64 {
    let divides = |by: i64| year.rem_euclid(by) == 0;
    if divides(4) && (!divides(100) || divides(400)) { 366 } else { 365 }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn dates_print_as_javas() {
        for (millis, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (951_827_696_000, "Tue Feb 29 12:34:56 UTC 2000"),
            (1_709_251_199_999, "Thu Feb 29 23:59:59 UTC 2024"),
            (1_795_374_049_000, "Sun Nov 22 19:00:49 UTC 2026"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
        ] {
            assert_eq!(Date(millis).to_string(), text);
        }
        assert!(Date(i64::MAX).to_string().ends_with(" UTC 292278994"));
        assert!(Date(i64::MIN).to_string().contains("UTC -"));
    }
}
