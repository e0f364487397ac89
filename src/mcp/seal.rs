//! Seals what a client carries for us between two rounds of one call, so that it can be trusted when it comes back.
//!
//! HMAC-SHA256 under a key that lives as long as this process: a client repeats a call to the process that asked it.

use std::io::Read;

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// The key of this process.
pub struct Seal([u8; BLOCK]);

impl Seal {
    /// A key nobody else has.
    pub fn new() -> std::io::Result<Seal> {
        let mut key = [0; BLOCK];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
        Ok(Seal(key))
    }

    /// The value as text that shows when it was changed.
    pub fn close(&self, value: &impl Serialize) -> Result<String, serde_json::Error> {
        let plain = hex(&serde_json::to_vec(value)?);
        Ok(format!("{plain}.{}", hex(&self.mac(plain.as_bytes()))))
    }

    /// The value, where the text is one of ours.
    pub fn open<T: DeserializeOwned>(&self, text: &str) -> Option<T> {
        let (plain, mac) = text.split_once('.')?;
        let expected = hex(&self.mac(plain.as_bytes()));
        // Every byte is compared, so that the time taken says nothing about where they differ.
        let differ = expected.bytes().zip(mac.bytes()).fold(0, |differ, (one, other)| differ | (one ^ other));
        if mac.len() != expected.len() || differ != 0 {
            return None;
        }
        serde_json::from_slice(&unhex(plain)?).ok()
    }

    fn mac(&self, message: &[u8]) -> [u8; 32] {
        let inner = Sha256::new().chain_update(self.0.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
        Sha256::new().chain_update(self.0.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_is_hmac_sha256() {
        // RFC 4231, test case 2: the key "Jefe", filled up with zeros as HMAC does.
        let mut key = [0; BLOCK];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hex(&Seal(key).mac(b"what do ya want for nothing?"));
        assert_eq!(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn only_our_own_is_opened() {
        let seal = Seal::new().unwrap();
        let text = seal.close(&("R-1", 7)).unwrap();
        assert_eq!(seal.open::<(String, u32)>(&text), Some(("R-1".to_owned(), 7)));
        assert_eq!(Seal::new().unwrap().open::<(String, u32)>(&text), None);
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(seal.open::<(String, u32)>(&String::from_utf8(forged).unwrap()), None, "changed at {at}");
            assert_eq!(seal.open::<(String, u32)>(&text[..at]), None, "cut at {at}");
        }
        for text in ["", ".", "zz.zz", "5b.5b"] {
            assert_eq!(seal.open::<serde_json::Value>(text), None);
        }
    }
}
