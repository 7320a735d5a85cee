//! Confidence intervals of a mean.

/// The quantile of the standard normal distribution that leaves 2.5 % above it.
const NORMAL: f64 = 1.959_963_984_540_054;
/// Below this the expansion of the quantile is off by more than 1 %, and an interval of so few says little.
const LEAST: i64 = 5;

/// The half width of the 95 % confidence interval of the mean of `n` values with the sample standard deviation `deviation`: t s / sqrt(n),
/// Student's interval (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.2), with n - 1 degrees of freedom. `None` for fewer than 5
/// values.
///
/// It takes the values for independent; posts that answer each other are not, so the true interval is wider.
pub(crate) fn half_width(n: i64, deviation: f64) -> Option<f64> {
    (n >= LEAST).then(|| student(n as f64 - 1.0) * deviation / (n as f64).sqrt())
}

/// The 97.5 % quantile of Student's t with `freedom` degrees of freedom, by the Cornish-Fisher expansion (Abramowitz and Stegun, Handbook of
/// Mathematical Functions, 26.7.5).
fn student(freedom: f64) -> f64 {
    let z = NORMAL;
    let (z2, z4, z6) = (z.powi(2), z.powi(4), z.powi(6));
    let terms =
        [(z2 + 1.0) / 4.0, (5.0 * z4 + 16.0 * z2 + 3.0) / 96.0, (3.0 * z6 + 19.0 * z4 + 17.0 * z2 - 15.0) / 384.0];
    let mut sum = 1.0;
    let mut power = 1.0;
    for term in terms {
        power *= freedom;
        sum += term / power;
    }
    z * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // NIST/SEMATECH e-Handbook, 1.3.6.7.2.
        for (freedom, table) in [(4.0, 2.776), (9.0, 2.262), (29.0, 2.045), (100.0, 1.984)] {
            let found = student(freedom);
            assert!((found / table - 1.0).abs() < 0.01, "{freedom}: {found}, expected {table}");
        }
    }

    #[test]
    fn an_interval_shrinks_with_the_root_of_the_values_and_needs_five() {
        assert_eq!(half_width(4, 1.0), None);
        assert_eq!(half_width(10, 0.0), Some(0.0));
        let (some, more) = (half_width(1_000, 1.0).unwrap(), half_width(4_000, 1.0).unwrap());
        assert!((some / more - 2.0).abs() < 0.01, "{some} {more}");
    }
}
