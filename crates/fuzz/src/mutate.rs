//! Inputs for the run on each change: kept ones, mutated without coverage but also without a compiler's help.

use fastrand::Rng;

/// The longest input; parsers meet their limits of size in tests of their own.
const BYTES_MAX: usize = 4_096;

/// Makes inputs out of kept ones. The same seed gives the same inputs on every machine.
pub struct Mutator<'c> {
    random: Rng,
    corpus: &'c [Vec<u8>],
    words: Vec<&'c [u8]>,
}

/// What a format is made of, as far as its kept inputs show: runs of letters, of digits, of neither.
#[must_use]
pub fn words(corpus: &[Vec<u8>]) -> Vec<&[u8]> {
    let class = |byte: &u8| (byte.is_ascii_alphabetic(), byte.is_ascii_digit());
    let mut words: Vec<&[u8]> = corpus
        .iter()
        .flat_map(|input| input.chunk_by(move |a, b| class(a) == class(b)))
        .filter(|word| word.len() <= 32)
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

impl<'c> Mutator<'c> {
    /// Over these kept inputs; none is fine.
    #[must_use]
    pub fn new(corpus: &'c [Vec<u8>], seed: u64) -> Mutator<'c> {
        Mutator { random: Rng::with_seed(seed), corpus, words: words(corpus) }
    }

    /// Another input.
    #[must_use]
    pub fn input(&mut self) -> Vec<u8> {
        let mut input = self.random.choice(self.corpus).cloned().unwrap_or_default();
        for _ in 0..self.random.usize(1..8) {
            self.change(&mut input);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.usize(0..=input.len());
        let end = self.random.usize(at..=input.len().min(at + 64));
        match self.random.u8(0..8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.random.u8(0..8);
                }
            }
            1 => input
                .insert(at, *self.random.choice(b"\n\r\t ,;|\"'.+-0123456789:TZeE<>&=\0\xff\x80").unwrap()),
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            4 | 5 => {
                let word = self.random.choice(&self.words).copied().unwrap_or(b"0");
                // in place of another, or between two
                let end = if self.random.bool() { at } else { end };
                input.splice(at..end, word.iter().copied());
            }
            6 => {
                let other = self.random.choice(self.corpus).map_or(&[][..], Vec::as_slice);
                let from = self.random.usize(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let byte = self.random.u8(..);
                if let Some(old) = input.get_mut(at) {
                    *old = byte;
                }
            }
        }
    }
}
