//! Interleaved rounds and their medians. Contestants take turns within each round, and each round begins with
//! another one, so that a slow spell of the machine or a warm cache favours nobody.

use std::time::{Duration, Instant};

/// Something measured: it does its work once and gives a number that depends on it, so that nothing is optimised
/// away.
pub type Contestant<'a> = Box<dyn FnMut() -> u64 + 'a>;

/// Runs every contestant once to warm up and then `rounds` times in turn; the median time of each.
pub fn interleaved(rounds: usize, contestants: &mut [Contestant<'_>]) -> Vec<Duration> {
    let count = contestants.len();
    let mut times = vec![Vec::with_capacity(rounds); count];
    for round in 0..=rounds {
        for turn in 0..count {
            let index = (round + turn) % count;
            let start = Instant::now();
            std::hint::black_box(contestants[index]());
            let took = start.elapsed();
            if round > 0 {
                times[index].push(took);
            }
        }
    }
    times.into_iter().map(median).collect()
}

/// The middle one; the lower of two.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) / 2]
}

/// `a / b`.
pub fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// In milliseconds, for people.
pub fn ms(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 10.0 { format!("{ms:.3} ms") } else { format!("{ms:.1} ms") }
}

/// The highest resident memory from now on until [`Peak::grown_bytes`] is asked. Linux only; elsewhere unknown.
pub struct Peak {
    before_bytes: Option<u64>,
}

impl Peak {
    /// Starts counting.
    pub fn start() -> Peak {
        // Writing 5 sets the recorded peak back to what is resident now.
        let reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        Peak { before_bytes: status_bytes("VmRSS:").filter(|_| reset) }
    }

    /// How far memory rose above what was resident at the start; `None` where the system does not say.
    pub fn grown_bytes(&self) -> Option<u64> {
        Some(status_bytes("VmHWM:")?.saturating_sub(self.before_bytes?))
    }
}

fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
