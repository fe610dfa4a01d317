//! Days and weeks in UTC, from milliseconds since the Unix epoch: the ISO 8601 calendar, without time zones.

use std::fmt;

const DAY_MS: u64 = 86_400_000;

/// A civil date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    year: u64,
    month: u64,
    day: u64,
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// The date on which a moment lies. Howard Hinnant's `civil_from_days`, for days from 1970 on.
pub(crate) fn date(at_ms: u64) -> Date {
    let days = at_ms / DAY_MS + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    Date { year, month, day }
}

/// The ISO week in which a moment lies, such as `2026-W47`: the week belongs to the year of its Thursday.
pub(crate) fn week(at_ms: u64) -> String {
    let days = at_ms / DAY_MS;
    // 1970-01-01 was a Thursday, the fourth day of its week.
    let weekday = (days + 3) % 7;
    let thursday = (days + 3).saturating_sub(weekday);
    let year = date(thursday * DAY_MS).year;
    let mut first = thursday;
    while first >= 7 && date((first - 7) * DAY_MS).year == year {
        first -= 7;
    }
    format!("{year:04}-W{:02}", (thursday - first) / 7 + 1)
}

/// RFC 3339 with milliseconds.
pub(crate) fn rfc3339(at_ms: u64) -> String {
    let in_day = at_ms % DAY_MS;
    let (seconds, ms) = (in_day / 1_000, in_day % 1_000);
    format!("{}T{:02}:{:02}:{:02}.{ms:03}Z", date(at_ms), seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_their_date_and_week() {
        // (milliseconds, RFC 3339, ISO week), as `date -u --date=@… +%G-W%V` has them.
        let cases = [
            (0, "1970-01-01T00:00:00.000Z", "1970-W01"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z", "2000-W09"),
            (1_609_459_199_999, "2020-12-31T23:59:59.999Z", "2020-W53"),
            (1_609_459_200_000, "2021-01-01T00:00:00.000Z", "2020-W53"),
            (1_609_718_400_000, "2021-01-04T00:00:00.000Z", "2021-W01"),
            (1_735_516_800_000, "2024-12-30T00:00:00.000Z", "2025-W01"),
            (1_795_234_464_123, "2026-11-21T04:14:24.123Z", "2026-W47"),
        ];
        for (at_ms, text, iso_week) in cases {
            assert_eq!(rfc3339(at_ms), text);
            assert_eq!(week(at_ms), iso_week, "{text}");
        }
    }
}
