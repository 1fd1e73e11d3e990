use crate::rules;
use crate::shapes::{shapes, Tally};
use std::hint::black_box;

#[inline(never)]
pub fn answer() {
    let seed = black_box(6i64);
    let mut tally = Tally::new();
    let mut names = String::new();
    for s in shapes(seed) {
        tally.add(s.area());
        names.push_str(&s.name()[..1]);
    }
    println!(
        "{} {} {} {} {} {} {}",
        rules::rate(seed, 2),
        rules::verdict(seed),
        rules::folded(&tally),
        rules::fees(seed, 1),
        rules::choose(seed as u32),
        rules::guarded("12x"),
        names
    );
}
