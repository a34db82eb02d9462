//! Medians, and the confidence interval of a ratio.

/// Returns the middle value (the mean of the two in the middle), or NaN if there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[half],
        _ => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// A median with its bootstrap interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The resamples of a bootstrap.
const RESAMPLES: usize = 2000;

/// Returns the median of per-round ratios with its percentile bootstrap 95 % interval. The random
/// numbers have a fixed seed, so that the same figures give the same interval.
pub(crate) fn bootstrap(ratios: &[f64]) -> Estimate {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut resample = vec![0.0; ratios.len()];
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            for slot in &mut resample {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                *slot = ratios[(state >> 33) as usize % ratios.len()];
            }
            median(&resample)
        })
        .collect();
    medians.sort_by(f64::total_cmp);
    Estimate {
        median: median(ratios),
        low: medians[RESAMPLES * 25 / 1000],
        high: medians[RESAMPLES * 975 / 1000 - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_the_mean_of_the_middle() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_interval_holds_the_median_and_stays_inside_the_ratios() {
        let estimate = bootstrap(&[0.9, 1.0, 1.1, 1.2, 0.8]);
        assert!(estimate.low >= 0.8 && estimate.low <= estimate.median);
        assert!(estimate.high <= 1.2 && estimate.high >= estimate.median);
    }
}
