pub trait Shape {
    fn area(&self) -> i64;
    fn name(&self) -> &'static str {
        "shape"
    }
}

struct Square(i64);

struct Ring {
    outer: i64,
    inner: i64,
}

impl Shape for Square {
    fn area(&self) -> i64 {
        self.0 * self.0
    }
    fn name(&self) -> &'static str {
        "square"
    }
}

impl Shape for Ring {
    fn area(&self) -> i64 {
        3 * (self.outer * self.outer - self.inner * self.inner)
    }
}

#[inline(never)]
pub fn shapes(n: i64) -> Vec<Box<dyn Shape>> {
    (1..=n)
        .map(|i| -> Box<dyn Shape> { if i % 2 == 1 { Box::new(Square(i)) } else { Box::new(Ring { outer: i, inner: i / 2 }) } })
        .collect()
}

pub struct Tally<T> {
    values: Vec<T>,
}

impl<T> Tally<T> {
    pub fn new() -> Self {
        Tally { values: Vec::new() }
    }

    #[inline(never)]
    pub fn add(&mut self, value: T) {
        self.values.push(value)
    }

    #[inline(never)]
    pub fn fold<A>(&self, start: A, f: impl Fn(A, &T) -> A) -> A {
        self.values.iter().fold(start, f)
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }
}
