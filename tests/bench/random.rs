//! Seeded random graphs and durations, the same on every machine.

/// SplitMix64.
pub struct Seeded(pub u64);

impl Seeded {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `0..bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound)) as u32
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `0..n` in random order.
    pub fn shuffled(&mut self, n: u32) -> Vec<u32> {
        let mut all: Vec<u32> = (0..n).collect();
        for i in (1..n).rev() {
            all.swap(i as usize, self.below(i + 1) as usize);
        }
        all
    }
}

/// Edges `(from, to)` of a graph in layers: each task waits for one to `fan` of the `reach` layers before its own.
pub fn layered(seeded: &mut Seeded, n: u32, layers: u32, reach: u32, fan: u32) -> Vec<(u32, u32)> {
    let width = n / layers;
    let mut edges = Vec::new();
    for task in width..n {
        let layer = task / width;
        for _ in 0..1 + seeded.below(fan) {
            let from_layer = layer - 1 - seeded.below(reach.min(layer));
            edges.push((from_layer * width + seeded.below(width), task));
        }
    }
    edges
}

/// Edges to each task from one to six of those before it, anywhere: 3.5 a task.
pub fn anywhere(seeded: &mut Seeded, n: u32) -> Vec<(u32, u32)> {
    let mut edges = Vec::new();
    for task in 1..n {
        for _ in 0..1 + seeded.below(6) {
            edges.push((seeded.below(task), task));
        }
    }
    edges
}

/// How durations are spread.
#[derive(Debug, Clone, Copy)]
pub enum Spread {
    /// All the same.
    Equal,
    /// Evenly between nothing and twice the mean.
    Even,
    /// Exponentially.
    Exponential,
    /// A few are up to sixty times the shortest.
    LongTail,
}

/// `n` durations of about a second, in milliseconds.
pub fn durations_ms(seeded: &mut Seeded, n: usize, spread: Spread) -> Vec<u64> {
    let mut one = || match spread {
        Spread::Equal => 1000,
        Spread::Even => 1 + u64::from(seeded.below(2000)),
        Spread::Exponential => (-1000.0 * (1.0 - seeded.unit()).ln()) as u64 + 1,
        Spread::LongTail => (1000.0 / (1.0 - seeded.unit()).sqrt()).min(60_000.0) as u64,
    };
    (0..n).map(|_| one()).collect()
}
