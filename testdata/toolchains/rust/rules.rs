use crate::shapes::Tally;

#[inline(never)]
pub fn rate(x: i64, y: i64) -> i64 {
    if cfg!(edit = "body") { x.wrapping_mul(5).wrapping_sub(y) } else { x.wrapping_mul(3).wrapping_add(y) }
}

#[inline(never)]
pub fn verdict(x: i64) -> &'static str {
    if x > 40 { "large" } else if cfg!(edit = "text") { "little" } else { "small" }
}

#[inline(always)]
fn adjust(x: i64) -> i64 {
    if cfg!(edit = "inline") { x ^ 0x55 } else { x.wrapping_add(7) }
}

#[inline(never)]
pub fn fees(x: i64, y: i64) -> i64 {
    adjust(x).wrapping_add(y.wrapping_mul(3))
}

#[inline(never)]
pub fn folded(t: &Tally<i64>) -> i64 {
    t.fold(t.len() as i64, |sum, v| sum.wrapping_add(adjust(*v)))
}

#[inline(never)]
pub fn choose(x: u32) -> i64 {
    match x {
        0 => fees(3, 4),
        1 => rate(5, 6),
        2 => 11,
        3 => rate(7, 1) ^ 5,
        4 => fees(x as i64, 2),
        5 => -4,
        6 => if cfg!(edit = "table") { rate(9, 9) } else { fees(9, 9) },
        _ => 0,
    }
}

/// It can fail, and a failed parse carries a boxed error.
#[inline(never)]
pub fn guarded(text: &str) -> String {
    fn parse(text: &str) -> Result<i64, Box<dyn std::error::Error>> {
        Ok(text.parse::<i64>()? + 1)
    }
    match parse(text) {
        Ok(n) => n.to_string(),
        Err(e) => format!("error of {} bytes", e.to_string().len()),
    }
}
