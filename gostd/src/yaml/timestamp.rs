//! Recognizes the scalars that are timestamps in go-yaml: the four layouts of its `parseTimestamp`, as Go's
//! `time.Parse` reads them. The reader keeps them as text; the writer must quote them.

struct Cursor<'a>(&'a [u8]);

/// Whether `text` is a timestamp in go-yaml.
pub(crate) fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let year = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if year != 4 || bytes.get(4) != Some(&b'-') {
        return false;
    }
    let mut date = Cursor(bytes);
    let Some(()) = date.date() else { return false };
    let Some(separator) = date.0.first() else { return true };
    let mut time = Cursor(date.0);
    match separator {
        b'T' | b't' => {
            time.skip();
            time.time().and_then(|()| time.zone()).is_some() && time.0.is_empty()
        }
        b' ' => {
            time.spaces();
            time.time().is_some() && time.0.is_empty()
        }
        _ => false,
    }
}

impl Cursor<'_> {
    fn skip(&mut self) {
        self.0 = self.0.get(1..).unwrap_or_default();
    }

    fn spaces(&mut self) {
        while self.0.first() == Some(&b' ') {
            self.skip();
        }
    }

    fn literal(&mut self, byte: u8) -> Option<()> {
        let found = self.0.first() == Some(&byte);
        self.skip();
        found.then_some(())
    }

    fn digit(&mut self) -> Option<u32> {
        let digit = self.0.first().filter(|byte| byte.is_ascii_digit())?;
        self.skip();
        Some(u32::from(digit - b'0'))
    }

    /// One or two digits.
    fn number(&mut self) -> Option<u32> {
        let first = self.digit()?;
        Some(self.digit().map_or(first, |second| first * 10 + second))
    }

    fn date(&mut self) -> Option<()> {
        let mut year = 0;
        for _ in 0..4 {
            year = year * 10 + self.digit()?;
        }
        self.literal(b'-')?;
        let month = self.number()?;
        self.literal(b'-')?;
        let day = self.number()?;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (1..=days).contains(&day).then_some(())
    }

    fn time(&mut self) -> Option<()> {
        let hour = self.number()?;
        self.literal(b':')?;
        let minute = self.number()?;
        self.literal(b':')?;
        let second = self.number()?;
        if let [b'.' | b',', digit, ..] = self.0
            && digit.is_ascii_digit()
        {
            self.skip();
            while self.digit().is_some() {}
        }
        (hour < 24 && minute < 60 && second < 60).then_some(())
    }

    /// `Z` or an offset; Go allows 24 hours and 60 minutes in it.
    fn zone(&mut self) -> Option<()> {
        if self.0.first() == Some(&b'Z') {
            self.skip();
            return Some(());
        }
        if !matches!(self.0.first(), Some(b'+' | b'-')) {
            return None;
        }
        self.skip();
        let hours = self.digit()? * 10 + self.digit()?;
        self.literal(b':')?;
        let minutes = self.digit()? * 10 + self.digit()?;
        (hours <= 24 && minutes <= 60).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::is_timestamp;

    #[test]
    fn timestamps_are_those_of_go() {
        for text in [
            "2020-01-01",
            "2020-1-1",
            "2020-02-29",
            "2001-12-14t21:59:43.10-05:00",
            "2001-12-14T21:59:43Z",
            "2001-12-14T1:2:3Z",
            "2001-12-14 21:59:43.1",
            "2001-12-14   21:59:43",
            "2001-12-14 21:59:43,5",
        ] {
            assert!(is_timestamp(text), "{text}");
        }
        for text in [
            "2020-13-01",
            "2021-02-29",
            "2020-01-01x",
            "20200-01-01",
            "2001-12-14T21:59:43",
            "2001-12-14 21:59:43Z",
            "2001-12-14 21:59",
            "2001-12-14T24:00:00Z",
            "2020-01-01 ",
            "2020",
        ] {
            assert!(!is_timestamp(text), "{text}");
        }
    }
}
