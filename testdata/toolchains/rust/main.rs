//! The Rust program of internal/toolchains, as an executable. See ../c/program.h for what it does; the edits are --cfg edit="NAME".
mod answer;
mod rules;
mod shapes;

use std::io::{BufRead, Write};

fn main() {
    println!("ready");
    for _ in std::io::stdin().lock().lines() {
        answer::answer();
        std::io::stdout().flush().unwrap();
    }
}
