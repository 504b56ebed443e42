//! [`Timestamp`]: RFC 3339 in UTC with nanoseconds, formatted and read without a calendar library.
//!
//! From the Unix epoch to the year 2554, where 64 bits of nanoseconds end: no leap seconds (POSIX time), no time zones,
//! always 30 characters. Written by hand because each event has one and the whole line has a microsecond.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;
/// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`
const LENGTH: usize = 30;

/// Nanoseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    fn render(self) -> [u8; LENGTH] {
        let (seconds, nanos) = (self.0 / NANOS, self.0 % NANOS);
        let (days, second) = (seconds / DAY, seconds % DAY);
        let (year, month, day) = civil(days);
        let mut out = *b"0000-00-00T00:00:00.000000000Z";
        let fields = [
            (0, 4, year),
            (5, 7, month),
            (8, 10, day),
            (11, 13, second / 3600),
            (14, 16, second / 60 % 60),
            (17, 19, second % 60),
            (20, 29, nanos),
        ];
        for (from, to, mut value) in fields {
            for digit in out.get_mut(from..to).unwrap_or_default().iter_mut().rev() {
                *digit = b"0123456789".get(usize::try_from(value % 10).unwrap_or(0)).copied().unwrap_or(b'0');
                value /= 10;
            }
        }
        out
    }

    /// Reads exactly the form that is written.
    fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != LENGTH {
            return None;
        }
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'.'), (29, b'Z')];
        if marks.iter().any(|(at, mark)| bytes.get(*at) != Some(mark)) {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
            digits.parse::<u64>().ok()
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days(year, month, day)?;
        let seconds = days * DAY + hour * 3600 + minute * 60 + second;
        seconds.checked_mul(NANOS)?.checked_add(number(20, 29)?).map(Self)
    }
}

/// Year, month and day of a number of days since the Unix epoch, in the proleptic Gregorian calendar. Years begin in
/// March here, so that the leap day is the last; 400 years (an era) have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The reverse of [`civil`]; none for a date that does not exist or lies before the epoch.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted = year - u64::from(month <= 2);
    let (era, year_of_era) = (shifted / 400, shifted % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.render()).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(&self.render()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &"a UTC time with nanoseconds"))
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{9}Z$"
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(nanos: u64, expected: &str) {
        assert_eq!(Timestamp(nanos).to_string(), expected);
        assert_eq!(Timestamp::parse(expected), Some(Timestamp(nanos)));
    }

    #[test]
    fn known_times() {
        check(0, "1970-01-01T00:00:00.000000000Z");
        check(951_827_696_000_000_001, "2000-02-29T12:34:56.000000001Z");
        check(1_795_466_595_123_456_789, "2026-11-23T20:43:15.123456789Z");
        check(4_107_542_399_999_999_999, "2100-02-28T23:59:59.999999999Z");
        check(4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z");
        check(u64::MAX, "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in [
            "",
            "2100-02-29T00:00:00.000000000Z",
            "1969-12-31T23:59:59.999999999Z",
            "2026-13-01T00:00:00.000000000Z",
            "2026-01-01T24:00:00.000000000Z",
            "2026-01-01T00:00:00.000000000z",
            "2026-01-01T00:00:+0.000000000Z",
            "2026-01-01T00:00:00.00000000éZ",
            "9999-01-01T00:00:00.000000000Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_reads_back(nanos: u64) {
            prop_assert_eq!(Timestamp::parse(&Timestamp(nanos).to_string()), Some(Timestamp(nanos)));
        }
    }
}
