//! Days and minutes as people and machines write them. No clock, no zones: what an offset says is left out, because a
//! shift is at the place where it is.

use serde_json::Value;

/// A point in time, in minutes since 1970-01-01T00:00, and whether an hour was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) minute: i64,
    pub(super) has_hour: bool,
}

impl Moment {
    pub(super) fn day(self) -> i64 {
        self.minute.div_euclid(1440)
    }

    /// The last minute that it means, as the end of something.
    pub(super) fn last(self) -> i64 {
        if self.has_hour { self.minute } else { self.minute + 1439 }
    }
}

/// `2026-03-01`, `2026-03-01T06:00`, `2026/03/01 06:00:00Z`, `03/01/2026`, or seconds since 1970.
pub(super) fn moment(value: &Value) -> Option<Moment> {
    match value {
        Value::Number(number) => {
            let seconds = number.as_i64().filter(|seconds| (0..=4_102_444_800).contains(seconds))?;
            Some(Moment { minute: seconds / 60, has_hour: true })
        }
        Value::String(text) => read(text.trim()),
        _ => None,
    }
}

fn read(text: &str) -> Option<Moment> {
    let (date, rest) = text.split_at_checked(10)?;
    let part = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = date.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let bytes = date.as_bytes();
    let (year, month, day) = match (bytes[4], bytes[7], bytes[2], bytes[5]) {
        (b'-', b'-', ..) | (b'/', b'/', ..) => (part(0..4)?, part(5..7)?, part(8..10)?),
        (_, _, b'/', b'/') => (part(6..10)?, part(0..2)?, part(3..5)?),
        _ => return None,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let midnight = days(year, month, day) * 1440;
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    if rest.is_empty() {
        return Some(Moment { minute: midnight, has_hour: false });
    }
    let two =
        |from: usize| rest.get(from..from + 2)?.parse::<i64>().ok().filter(|_| rest.as_bytes()[from].is_ascii_digit());
    let (hour, minute) = (two(0)?, two(3)?);
    let legal = rest.as_bytes()[2] == b':' && hour <= 24 && minute < 60;
    legal.then_some(Moment { minute: midnight + hour * 60 + minute, has_hour: true })
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A day as it is written.
pub(super) fn written(day: i64) -> String {
    let z = day + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z - era * 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn days_are_read_and_written() {
        for (text, day, hour) in [
            ("1970-01-01", 0, false),
            ("2026-03-01", 20_513, false),
            ("2026/03/01", 20_513, false),
            ("03/01/2026", 20_513, false),
            ("2026-03-01T06:30:00Z", 20_513, true),
            ("2024-02-29 24:00", 19_783, true),
        ] {
            let found = moment(&json!(text)).unwrap();
            assert_eq!((found.day(), found.has_hour), (day, hour), "{text}");
        }
        assert_eq!(written(20_513), "2026-03-01");
        for wrong in ["", "2026-02-29", "soon", "2026-13-01", "2026-03-01T6am", "12345678901234567890", "é026-03-01"] {
            assert_eq!(moment(&json!(wrong)), None, "{wrong}");
        }
    }
}
