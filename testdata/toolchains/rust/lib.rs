//! The Rust program of internal/toolchains, as a shared library.
mod answer;
mod rules;
mod shapes;

use std::io::Write;

#[no_mangle]
pub extern "C" fn answer() {
    answer::answer();
    std::io::stdout().flush().unwrap();
}
