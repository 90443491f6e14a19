//! Which words are answered.

/// All words, in the order of the alphabet.
const WORDS: [&[u8; 4]; 18] = [
    b"conf", b"cons", b"crst", b"dirs", b"dump", b"envi", b"gtmk", b"hash", b"isro", b"mntr",
    b"ruok", b"srst", b"srvr", b"stat", b"stmk", b"wchc", b"wchp", b"wchs",
];

/// A set of four-letter words: those that a server answers (`4lw.commands.whitelist`). `srvr` is in
/// each.
///
/// ```
/// use zk_session::server::FourLetterWords;
///
/// let words = FourLetterWords::from_list("ruok, mntr");
/// assert!(words.contains(*b"mntr") && words.contains(*b"srvr") && !words.contains(*b"stat"));
/// assert_eq!(FourLetterWords::from_list("*"), FourLetterWords::ALL);
/// ```
///
/// # Source
/// `FourLetterCommands`, 3.8.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourLetterWords(u32);

impl FourLetterWords {
    /// Every word.
    pub const ALL: Self = Self(u32::MAX);

    /// `srvr` alone: what ZooKeeper answers unless told otherwise.
    pub const SRVR: Self = Self(0);

    /// The words of a list with commas, as it stands in `zoo.cfg`; `*` stands for all of them, and
    /// what is no word for none.
    #[must_use]
    pub fn from_list(list: &str) -> Self {
        list.split(',').collect()
    }

    /// This set and one more word; what is no word adds nothing.
    #[must_use]
    pub fn with(self, word: &str) -> Self {
        let word = word.trim();
        if word == "*" {
            return Self::ALL;
        }
        let bit = <[u8; 4]>::try_from(word.as_bytes()).ok().and_then(bit);
        Self(self.0 | bit.unwrap_or(0))
    }

    /// Whether a word is answered.
    #[must_use]
    pub fn contains(self, word: [u8; 4]) -> bool {
        word == *b"srvr" || bit(word).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Whether these letters are a word that ZooKeeper knows.
    pub(super) fn is_known(word: [u8; 4]) -> bool {
        bit(word).is_some()
    }
}

fn bit(word: [u8; 4]) -> Option<u32> {
    let at = WORDS.iter().position(|known| **known == word)?;
    1_u32.checked_shl(u32::try_from(at).ok()?)
}

impl<'w> FromIterator<&'w str> for FourLetterWords {
    fn from_iter<I: IntoIterator<Item = &'w str>>(words: I) -> Self {
        words.into_iter().fold(Self::SRVR, Self::with)
    }
}
