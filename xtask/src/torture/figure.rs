//! Reads the figures that danger tests print, and writes numbers.

/// Sums the lines of the case `id`.
pub(super) fn measured(id: &str, lines: &[String]) -> Result<String, String> {
    let mut checks = 0_u64;
    let mut figures = Vec::new();
    for line in lines {
        // The test program writes `test name ... ` before what the test writes.
        let Some((_, written)) = line.split_once("RELIABILITY ") else {
            continue;
        };
        let mut words = written.splitn(3, ' ');
        if words.next() != Some(id) {
            continue;
        }
        let count = words.next().and_then(|count| count.replace(['_', ','], "").parse().ok());
        let count: u64 = count.ok_or_else(|| format!("no number of checks in `{written}`"))?;
        if count == 0 {
            return Err(format!("0 checks in `{written}`"));
        }
        checks += count;
        figures.extend(words.next().map(str::trim).filter(|figure| !figure.is_empty()));
    }
    match checks {
        0 => Err("no test has printed a figure".to_owned()),
        _ => Ok(format!("{} checks: {}", parted(checks), figures.join("; "))),
    }
}

/// Writes 1234567 as `1,234,567`.
pub(super) fn parted(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|part| std::str::from_utf8(part).ok())
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_figures_of_the_tests_of_a_case_are_joined() {
        let written = lines(
            "test p1_a ... RELIABILITY P1 100000 no byte lost\nok\n\
             RELIABILITY P10 7 not ours\nRELIABILITY P1 5 other",
        );
        assert_eq!(measured("P1", &written).unwrap(), "100,005 checks: no byte lost; other");
    }

    #[test]
    fn a_case_without_a_line_or_without_a_check_fails() {
        assert!(measured("P1", &lines("test p1_a ... ok")).is_err());
        assert!(measured("P1", &lines("RELIABILITY P1 0 nothing")).is_err());
        assert!(measured("P1", &lines("RELIABILITY P1 5 x\nRELIABILITY P1 0 y")).is_err());
        assert!(measured("P1", &lines("RELIABILITY P1 many x")).is_err());
    }
}
