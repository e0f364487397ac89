//! The translation as a whole, on states that the core itself has built.

mod decisions;
mod events;
mod replies;
mod requests;
mod world;

/// Reading, changing, failing and blocked work in one plan.
fn house() -> serde_json::Value {
    serde_json::json!([
        {"id": "look", "title": "Look around", "command": ["ls"], "effect": "none"},
        {"id": "sweep", "title": "Sweep", "command": ["sweep"], "needs": ["look"], "verify": [["check", "floor"]],
         "milestone": "M1", "estimate_s": 10},
        {"id": "burn", "title": "Burn", "command": ["burn"], "needs": ["look"], "verify": [["check", "house"]],
         "retry": {"max": 1}},
        {"id": "mourn", "title": "Mourn", "command": ["mourn"], "needs": ["burn", "sweep"]},
    ])
}
