//! How a stream of decisions went: a user who answers when asked, and notices some of what was done without them.

use orchestrator::core::{
    Rng,
    decide::ladder::{Tuning, replay::Replay},
};
use serde_json::{Value, json};

/// What came of a stream, or of several together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outcome {
    pub all: u32,
    pub auto: u32,
    pub wrong: u32,
    pub critical_auto: u32,
    /// Sum of calibration errors, weighted by the decisions of the stream.
    pub calibration: f64,
}

impl Outcome {
    pub fn coverage(&self) -> f64 {
        f64::from(self.auto) / f64::from(self.all.max(1))
    }

    pub fn wrong_share(&self) -> f64 {
        f64::from(self.wrong) / f64::from(self.auto.max(1))
    }

    pub fn calibration_error(&self) -> f64 {
        self.calibration / f64::from(self.all.max(1))
    }

    pub fn and(self, other: Outcome) -> Outcome {
        Outcome {
            all: self.all + other.all,
            auto: self.auto + other.auto,
            wrong: self.wrong + other.wrong,
            critical_auto: self.critical_auto + other.critical_auto,
            calibration: self.calibration + other.calibration,
        }
    }

    pub fn line(&self, name: &str) -> String {
        format!(
            "{name}: coverage {:.3}, wrong {:.4} ({} of {}), calibration error {:.3}, critical automatic {}",
            self.coverage(),
            self.wrong_share(),
            self.wrong,
            self.auto,
            self.calibration_error(),
            self.critical_auto
        )
    }
}

/// Runs a stream through the protocol of `decisions replay`. A record's `outcome` is what the user wants; they notice
/// `notice` of what was decided wrongly without them, and look at nothing else.
pub fn run(records: &[Value], seed: u64, notice: f64) -> Outcome {
    let mut replay = Replay::new(Tuning::default(), seed);
    let mut rng = Rng(seed ^ 0x5EED);
    let mut outcome = Outcome::default();
    let mut bins = [(0u32, 0u32, 0.0f64); 10];
    for record in records {
        let mut asked = record.clone();
        let fields = asked.as_object_mut().expect("a record is an object");
        let wanted = fields.remove("outcome").expect("a record has an outcome");
        fields.remove("p_true");
        let id = record["id"].clone();
        let line = json!({"op": "decide", "record": asked}).to_string();
        let reply = replay.line(&line).expect("a decision is answered");
        let auto = reply["auto"].as_bool().unwrap_or_else(|| panic!("{line}: {reply}"));
        let agreed = reply["choice"] == wanted;
        let confidence = reply["confidence"].as_f64().expect("a reply is sure to some degree");
        let bin = &mut bins[((confidence * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1, bin.1 + u32::from(agreed), bin.2 + confidence);
        outcome.all += 1;
        let seen = match (auto, agreed) {
            (false, _) => wanted,
            (true, false) if rng.unit() < notice => wanted,
            (true, _) => Value::Null,
        };
        if auto {
            outcome.auto += 1;
            outcome.wrong += u32::from(!agreed);
            outcome.critical_auto += u32::from(record["criticality"].as_f64().unwrap_or(0.0) > 0.8);
        }
        let reply = replay.line(&json!({"op": "feedback", "id": id, "outcome": seen}).to_string());
        assert!(reply.is_none(), "feedback is not answered: {reply:?}");
    }
    outcome.calibration = bins.iter().map(|(_, agreed, claimed)| (claimed - f64::from(*agreed)).abs()).sum();
    outcome
}
