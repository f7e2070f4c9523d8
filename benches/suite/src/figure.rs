//! A figure: one number with its unit and what is wanted of it; and how many of them become one.

/// One measured number.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it says, unique within its measurement.
    pub name: String,
    /// The unit, such as `ms` or `runs/s`.
    pub unit: &'static str,
    /// The number.
    pub value: f64,
    /// What is wanted.
    pub wanted: Option<Wanted>,
}

/// A demand on a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wanted {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

impl Wanted {
    /// True if the number fulfils it.
    pub fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl Figure {
    /// A figure without a demand.
    pub fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, wanted: None }
    }

    /// Adds a demand.
    #[must_use]
    pub fn wanted(mut self, wanted: Wanted) -> Self {
        self.wanted = Some(wanted);
        self
    }
}

/// The same figure over several rounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name, unit and demand; its value is the first round's.
    pub figure: Figure,
    /// The values of all rounds, sorted.
    pub values: Vec<f64>,
}

impl Series {
    /// A series that begins with this figure.
    pub fn new(figure: Figure) -> Self {
        Self { values: vec![figure.value], figure }
    }

    /// Adds the value of another round.
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
        self.values.sort_by(f64::total_cmp);
    }

    /// The middle value; of an even number, the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let (low, high) = ((self.values.len() - 1) / 2, self.values.len() / 2);
        f64::midpoint(self.values[low], self.values[high])
    }

    /// The smallest and the largest value.
    pub fn range(&self) -> (f64, f64) {
        (self.values[0], self.values[self.values.len() - 1])
    }
}

/// The value below which the given share lies, by nearest rank. The samples are sorted here.
pub fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let rank = (share * samples.len() as f64).ceil() as usize;
    samples.get(rank.clamp(1, samples.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        let mut series = Series::new(Figure::new("a", "ms", 9.0));
        assert_eq!(series.median(), 9.0);
        series.add(1.0);
        assert_eq!((series.median(), series.range()), (5.0, (1.0, 9.0)));
        series.add(2.0);
        assert_eq!(series.median(), 2.0);
    }

    #[test]
    fn a_percentile_is_a_sample() {
        let mut samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut samples, 0.5), 50.0);
        assert_eq!(percentile(&mut samples, 0.99), 99.0);
        assert_eq!(percentile(&mut samples, 1.0), 100.0);
        assert_eq!(percentile(&mut [7.0], 0.01), 7.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }

    #[test]
    fn a_demand_is_met_or_not() {
        assert!(Wanted::AtMost(2.0).is_met(2.0) && !Wanted::AtMost(2.0).is_met(2.1));
        assert!(Wanted::AtLeast(2.0).is_met(2.0) && !Wanted::AtLeast(2.0).is_met(1.9));
    }
}
