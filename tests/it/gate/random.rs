//! Lines made by chance from the labelled ones, and another parser's word on them: the gate never panics, and never
//! calls safe what the stricter parser does not even read.

use std::io::Cursor;

use brush_parser::{Parser, ParserOptions};
use orchestrator::core::{
    decide::{
        gate::NoLinks,
        shell::{self, Label},
    },
    settings::Rng,
};

use super::corpora::{checkout, hold_out};

/// What is put in: everything that means something to a shell.
const PIECES: &[&str] = &[
    ";", "&&", "||", "|", "&", "(", ")", "{", "}", "$(", "`", "'", "\"", "\\", "<", ">", ">>", "<<", "<<<", "$", "${",
    "}", "*", "?", "[", "]", "!", "#", "~", "=", "\n", " ", "\t", ";;", "&&&", "<(", ">(", "$((", "))", "-", "--",
    "rm -rf x", "sudo", "eval", "é", "\u{202e}", "\0", "if", "then", "fi", "for", "do", "done", "in", "EOF", "|&",
    "&>", "2>&1", "$'", "@P", "{a,b}",
];

#[test]
fn nothing_made_by_chance_is_called_safe_against_a_stricter_parser() {
    let lines = hold_out();
    let options = ParserOptions::default();
    let (mut safe, mut read) = (0, 0);
    for seed in 0..4000u64 {
        let mut rng = Rng(seed);
        let pick = |rng: &mut Rng| lines[rng.below(lines.len() as u64) as usize].command.clone();
        let mut line = pick(&mut rng);
        for _ in 0..=rng.below(4) {
            let places: Vec<usize> = line.char_indices().map(|(at, _)| at).chain([line.len()]).collect();
            let at = places[rng.below(places.len() as u64) as usize];
            match rng.below(4) {
                0 => line.insert_str(at, PIECES[rng.below(PIECES.len() as u64) as usize]),
                1 => {
                    let end = places[rng.below(places.len() as u64) as usize];
                    line.replace_range(at.min(end)..at.max(end), "");
                }
                2 => line.insert_str(at, &format!(" {} ", pick(&mut rng))),
                _ => {
                    let tail = line.split_off(at);
                    line = format!("{}{tail}", pick(&mut rng));
                }
            }
        }
        let reading = shell::read(&line, &checkout(), &NoLinks);
        let parsed = Parser::new(Cursor::new(line.as_bytes()), &options).parse_program();
        read += usize::from(parsed.is_ok());
        if reading.label() == Label::Safe {
            safe += 1;
            assert!(parsed.is_ok(), "seed {seed}: safe, and yet {:?}: {line:?}", parsed.err());
        }
    }
    println!("4000 lines made by chance: {read} read by the other parser, {safe} called safe");
    assert!(safe > 100, "only {safe} of them are safe: nothing was compared");
}

#[test]
fn both_parsers_read_the_labelled_safe_lines() {
    let options = ParserOptions::default();
    for line in hold_out().iter().filter(|line| line.label == Label::Safe) {
        let parsed = Parser::new(Cursor::new(line.command.as_bytes()), &options).parse_program();
        assert!(parsed.is_ok(), "{:?}: {}", parsed.err(), line.command);
    }
}

/// Bytes without any meaning, too.
#[test]
fn noise_ends_nothing() {
    for seed in 0..2000u64 {
        let mut rng = Rng(seed);
        let noise: String = (0..rng.below(200)).filter_map(|_| char::from_u32(rng.below(0x3000) as u32)).collect();
        let reading = shell::read(&noise, &checkout(), &NoLinks);
        assert!(
            reading.label() != Label::Safe
                || !noise.contains(|char: char| char.is_control() && char != '\n' && char != '\t')
        );
    }
}
