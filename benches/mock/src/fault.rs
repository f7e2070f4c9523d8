//! What goes wrong, and when: written `KIND:WHEN`, such as `429:first=20`, `cut:every=7`, `delay=500:nth=3`.

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `401`: the key is wrong.
    WrongKey,
    /// `429`: too many requests; come back after a second.
    RateLimit,
    /// `500`: the server failed.
    ServerError,
    /// `cut`: the connection breaks in the middle of the answer.
    Cut,
    /// `hang`: no answer ever comes.
    Hang,
    /// `malformed`: the answer's text breaks off, so it is no JSON where JSON was asked for.
    Malformed,
    /// `delay=MS`: so many milliseconds more than usual.
    Delay(u64),
}

impl Kind {
    /// The name in statistics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongKey => "401",
            Self::RateLimit => "429",
            Self::ServerError => "500",
            Self::Cut => "cut",
            Self::Hang => "hang",
            Self::Malformed => "malformed",
            Self::Delay(_) => "delay",
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("delay", ms)) => {
                ms.parse().map(Self::Delay).map_err(|_| format!("`{ms}` is no number of milliseconds"))
            }
            None if text == "401" => Ok(Self::WrongKey),
            None if text == "429" => Ok(Self::RateLimit),
            None if text == "500" => Ok(Self::ServerError),
            None if text == "cut" => Ok(Self::Cut),
            None if text == "hang" => Ok(Self::Hang),
            None if text == "malformed" => Ok(Self::Malformed),
            _ => Err(format!("no fault `{text}`; known are 401, 429, 500, cut, hang, malformed, delay=MS")),
        }
    }
}

/// Which requests it strikes, by their number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// `always`.
    Always,
    /// `first=N`: the first N.
    First(u64),
    /// `every=N`: each whose number N divides.
    Every(u64),
    /// `nth=N`: that one.
    Nth(u64),
}

impl When {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "always" {
            return Ok(Self::Always);
        }
        let (word, number) =
            text.split_once('=').ok_or_else(|| format!("no time `{text}`; say first=N, every=N, nth=N"))?;
        let number = number.parse().ok().filter(|n| *n > 0).ok_or_else(|| format!("`{number}` is no number from 1"))?;
        match word {
            "first" => Ok(Self::First(number)),
            "every" => Ok(Self::Every(number)),
            "nth" => Ok(Self::Nth(number)),
            _ => Err(format!("no time `{word}`; say always, first=N, every=N, nth=N")),
        }
    }

    const fn strikes(self, number: u64) -> bool {
        match self {
            Self::Always => true,
            Self::First(n) => number <= n,
            Self::Every(n) => number.is_multiple_of(n),
            Self::Nth(n) => number == n,
        }
    }
}

/// One thing that goes wrong at certain requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// When.
    pub when: When,
}

impl Fault {
    /// Reads `KIND:WHEN`; without a time it is always.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (kind, when) = text.split_once(':').unwrap_or((text, "always"));
        Ok(Self { kind: Kind::parse(kind)?, when: When::parse(when)? })
    }

    /// The first of the faults that strikes this request.
    pub fn of(faults: &[Self], number: u64) -> Option<Kind> {
        faults.iter().find(|fault| fault.when.strikes(number)).map(|fault| fault.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_strike_when_they_should() {
        let faults = ["429:first=2", "cut:every=5", "delay=9:nth=7"].map(|text| Fault::parse(text).expect(text));
        let names: Vec<_> = (1..=10).map(|n| Fault::of(&faults, n).map_or("-", Kind::name)).collect();
        assert_eq!(names, ["429", "429", "-", "-", "cut", "-", "delay", "-", "-", "cut"]);
    }

    #[test]
    fn a_wrong_fault_is_named() {
        assert!(Fault::parse("boom").expect_err("no such kind").contains("`boom`"));
        assert!(Fault::parse("cut:every=0").expect_err("no such number").contains("`0`"));
        assert!(Fault::parse("cut:often").expect_err("no such time").contains("`often`"));
    }
}
