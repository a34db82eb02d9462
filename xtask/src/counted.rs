//! The results of test programs, read from their output.

/// The word that begins a line of a test that lacks something and passes without a check.
const SKIPPED: &str = "SKIPPED";

/// The sum of the results at the ends of test programs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
    /// The checks that tests have left out, and have passed without.
    pub(crate) skipped: u64,
}

impl Counted {
    /// Sums the results in the output of one or more programs.
    pub(crate) fn parse(lines: &[String]) -> Counted {
        Counted::new(lines, results(lines))
    }

    /// Reads the result of one program, which is the last one in its output. Earlier ones are those
    /// of programs that its tests ran.
    pub(crate) fn parse_program(lines: &[String]) -> Counted {
        Counted::new(lines, results(lines).last())
    }

    fn new<'a>(lines: &[String], results: impl IntoIterator<Item = &'a str>) -> Counted {
        let mut counted = Counted::default();
        let is_skip = |line: &&String| line.trim_start().starts_with(SKIPPED);
        counted.skipped = lines.iter().filter(is_skip).count() as u64;
        for line in results {
            let number = |kind: &str| -> u64 {
                let part = line.split([';', '.']).find_map(|part| part.trim().strip_suffix(kind));
                part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
            };
            counted.passed += number("passed");
            counted.failed += number("failed");
            counted.ignored += number("ignored");
        }
        counted
    }
}

/// Finds the lines that end the output of test programs.
fn results(lines: &[String]) -> impl Iterator<Item = &str> {
    lines.iter().filter_map(|line| line.trim().strip_prefix("test result: "))
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Counted) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Counted { passed, failed, ignored, skipped } = self;
        write!(f, "{passed} tests passed, {failed} failed, {ignored} ignored")?;
        match skipped {
            0 => Ok(()),
            _ => write!(f, "; {skipped} checks skipped in them"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_test_programs_are_summed() {
        let lines = [
            "test a ... ok",
            "SKIPPED: the program for Go is missing",
            "nothing is SKIPPED here",
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        let lines = lines.map(str::to_owned);
        let sum = Counted { passed: 7, failed: 3, ignored: 1, skipped: 1 };
        assert_eq!(Counted::parse(&lines), sum);
        let last = Counted { passed: 2, failed: 3, ignored: 0, skipped: 1 };
        assert_eq!(Counted::parse_program(&lines), last);
    }
}
