//! Texts of failures with labels: our own hold-out, and the labelled corpus where it lies beside the repository.

use orchestrator::core::recover::classify::{Exit, classify};
use serde_json::{Value, json};

use super::corpora::corpora;

/// How many of these are named as their labels say.
fn right(rows: &[(String, String)]) -> usize {
    let named = |text: &str| json!(classify(text, Exit::Unknown).class);
    let wrong: Vec<_> = rows.iter().filter(|(label, text)| named(text) != json!(label)).collect();
    for (label, text) in &wrong {
        println!("{label} named {}: {text}", named(text));
    }
    rows.len() - wrong.len()
}

#[test]
fn our_own_texts_are_named() {
    let rows: Vec<(String, String)> = include_str!("data/errors.txt")
        .lines()
        .filter(|row| !row.starts_with("# "))
        .map(|row| row.split_once('\t').map(|(label, text)| (label.to_owned(), text.to_owned())).expect("a label"))
        .collect();
    let right = right(&rows);
    println!("hold-out: {right} of {} named right", rows.len());
    assert!(right * 100 >= rows.len() * 90);
}

#[test]
fn the_labelled_texts_are_named_and_led_out() {
    let Some(folder) = corpora() else {
        println!("skipped: the labelled corpora are not here");
        return;
    };
    let text = std::fs::read_to_string(folder.join("errors.jsonl")).expect("the corpus");
    let rows: Vec<Value> = text.lines().map(|row| serde_json::from_str(row).expect("JSON")).collect();
    let pairs: Vec<(String, String)> = rows
        .iter()
        .map(|row| {
            (row["label"].as_str().expect("a label").to_owned(), row["message"].as_str().expect("a text").to_owned())
        })
        .collect();
    let right = right(&pairs);
    let led = rows
        .iter()
        .filter(|row| {
            let route = json!(classify(row["message"].as_str().unwrap_or_default(), Exit::Unknown).route);
            row["recovery_ok"].as_array().is_some_and(|ways| ways.contains(&route))
        })
        .count();
    println!("corpus: {right} of {} named right, {led} led an acceptable way out", rows.len());
    assert!(right * 100 >= rows.len() * 90 && led * 100 >= rows.len() * 95);
}
