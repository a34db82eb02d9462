//! Host names beyond ASCII, as the name system has them: Punycode (RFC 3492).
//!
//! Names are written in lower case first, and the dots of East Asian scripts count as dots. There
//! is no further mapping (UTS 46): a name in decomposed or compatibility characters is looked up as
//! it is written, and not found.

const BASE: u32 = 36;
const T_MIN: u32 = 1;
const T_MAX: u32 = 26;
const SKEW: u32 = 38;
const DAMP: u32 = 700;
const INITIAL_BIAS: u32 = 72;
const INITIAL: u32 = 0x80;
/// Bytes of a label (RFC 1035).
const LABEL_MAX: usize = 63;

/// The name in ASCII and lower case.
pub(super) fn host(name: &str) -> Result<String, String> {
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy().to_lowercase();
    let is_dot = |c: char| matches!(c, '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}');
    let is_forbidden =
        |c: char| c.is_control() || c.is_whitespace() || "/\\?#@%<>[]^|:".contains(c);
    if name.contains(is_forbidden) {
        return Err("its host has characters that no host has".to_owned());
    }
    let labels: Result<Vec<String>, String> = name.split(is_dot).map(label).collect();
    Ok(labels?.join("."))
}

fn label(label: &str) -> Result<String, String> {
    let ascii = match label.is_ascii() {
        true => label.to_owned(),
        false => format!("xn--{}", encode(label).ok_or("its host is too long")?),
    };
    if ascii.len() > LABEL_MAX { Err("its host is too long".to_owned()) } else { Ok(ascii) }
}

/// Section 6.3.
fn encode(label: &str) -> Option<String> {
    let mut output: String = label.chars().filter(char::is_ascii).collect();
    let basic = u32::try_from(output.len()).ok()?;
    if basic > 0 {
        output.push('-');
    }
    let length = u32::try_from(label.chars().count()).ok()?;
    let (mut n, mut delta, mut bias, mut handled) = (INITIAL, 0_u32, INITIAL_BIAS, basic);
    while handled < length {
        let next = label.chars().map(u32::from).filter(|c| *c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for c in label.chars().map(u32::from) {
            if c < n {
                delta = delta.checked_add(1)?;
            }
            if c == n {
                push_variable(&mut output, delta, bias);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(output)
}

/// A generalized variable-length integer (section 3.3).
fn push_variable(output: &mut String, delta: u32, bias: u32) {
    let (mut q, mut k) = (delta, BASE);
    loop {
        let t = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
        if q < t {
            break;
        }
        output.push(digit(t + (q - t) % (BASE - t)));
        q = (q - t) / (BASE - t);
        k += BASE;
    }
    output.push(digit(q));
}

fn digit(value: u32) -> char {
    char::from_digit(value + 10, BASE)
        .filter(|_| value < 26)
        .or(char::from_digit(value.wrapping_sub(26), 10))
        .unwrap_or('?')
}

/// Section 6.1.
fn adapt(delta: u32, points: u32, is_first: bool) -> u32 {
    let mut delta = if is_first { delta / DAMP } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > (BASE - T_MIN) * T_MAX / 2 {
        delta /= BASE - T_MIN;
        k += BASE;
    }
    k + (BASE - T_MIN + 1) * delta / (delta + SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_the_name_system_has_them() {
        for (name, ascii) in [
            ("Example.COM", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("münchen.de", "xn--mnchen-3ya.de"),
            ("faß.de", "xn--fa-hia.de"),
            ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
            ("中国.cn", "xn--fiqs8s.cn"),
            ("правда.рф", "xn--80aafi6cg.xn--p1ai"),
            ("ü", "xn--tda"),
            ("b%C3%BCcher.example", "xn--bcher-kva.example"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(host(name).as_deref(), Ok(ascii), "{name}");
        }
        for name in ["a b", "a%2fb", "a\u{1b}", &"x".repeat(64), "a%00"] {
            assert!(host(name).is_err(), "{name}");
        }
    }
}
