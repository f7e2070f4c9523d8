//! Relevance by words: how well a text answers a query, after Okapi BM25.
//!
//! Pure and small: whoever keeps texts stores [`terms`] of each, finds those that share rare terms with the query, and
//! orders them by [`score`]. Formula: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009.

use std::collections::BTreeMap;

/// Different terms of one text that count.
pub const MAX_TERMS: usize = 512;
/// Different terms of one query that count.
pub const MAX_QUERY: usize = 32;
/// Bytes of a term; what is longer is cut, so that ids still match.
pub const MAX_TERM: usize = 40;
/// How soon more of the same word adds nothing.
const K1: f64 = 1.2;
/// How much a long text loses.
const B: f64 = 0.75;

/// Words that say nothing about what a text is about.
const STOP: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "do", "for", "from", "had", "has", "have",
    "if", "in", "into", "is", "it", "its", "no", "not", "of", "on", "or", "so", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "to", "was", "we", "were", "what", "when", "where", "which", "who",
    "why", "will", "with", "you", "your",
];

/// How many texts are searched, and how many terms they have in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Corpus {
    /// Texts.
    pub texts: i64,
    /// Terms of all of them, counted as often as they come.
    pub terms: i64,
}

/// A text that has a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// How often it has it.
    pub count: i64,
    /// How many terms it has.
    pub length: i64,
}

/// The terms of a text with how often each comes, the most frequent first.
pub fn terms(text: &str) -> Vec<(String, i64)> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        if word.chars().count() > 1 && !STOP.contains(&word.as_str()) {
            *counts.entry(stem(&word)).or_default() += 1;
        }
    }
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all.truncate(MAX_TERMS);
    all
}

/// The terms of a query: each once, as many as count.
pub fn query(text: &str) -> Vec<String> {
    terms(text).into_iter().take(MAX_QUERY).map(|(term, _)| term).collect()
}

/// A word without the ending of its plural (Harman's S stemmer), cut where it is too long.
fn stem(word: &str) -> String {
    let cut = crate::material::head_of(word, MAX_TERM);
    let ends = |suffix: &str, but: &[&str]| {
        cut.len() > 3 && cut.ends_with(suffix) && !but.iter().any(|but| cut.ends_with(but))
    };
    if ends("ies", &["eies", "aies"]) {
        return format!("{}y", &cut[..cut.len() - 3]);
    }
    if ends("es", &["aes", "ees", "oes", "ses", "xes", "zes", "ches", "shes"]) {
        return cut[..cut.len() - 1].to_owned();
    }
    if ends("ses", &[]) || ends("xes", &[]) || ends("zes", &[]) || ends("ches", &[]) || ends("shes", &[]) {
        return cut[..cut.len() - 2].to_owned();
    }
    if ends("s", &["us", "ss", "is"]) {
        return cut[..cut.len() - 1].to_owned();
    }
    cut.to_owned()
}

/// What a term is worth that `texts_with` texts of the corpus have: the rarer, the more.
pub fn weight(corpus: Corpus, texts_with: i64) -> f64 {
    let (all, with) = (corpus.texts.max(texts_with) as f64, texts_with as f64);
    (1.0 + (all - with + 0.5) / (with + 0.5)).ln()
}

/// What a hit on a term of this weight adds to a text's score.
pub fn score(corpus: Corpus, weight: f64, hit: Hit) -> f64 {
    let mean = (corpus.terms.max(1) as f64 / corpus.texts.max(1) as f64).max(1.0);
    let count = hit.count as f64;
    weight * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * hit.length as f64 / mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(texts: &[&str], asked: &str) -> Vec<usize> {
        let kept: Vec<_> = texts.iter().map(|text| terms(text)).collect();
        let length = |of: &[(String, i64)]| of.iter().map(|(_, count)| count).sum::<i64>();
        let corpus = Corpus { texts: kept.len() as i64, terms: kept.iter().map(|of| length(of)).sum() };
        let mut scores: Vec<(usize, f64)> = (0..texts.len()).map(|at| (at, 0.0)).collect();
        for term in query(asked) {
            let with = kept.iter().filter(|of| of.iter().any(|(known, _)| *known == term)).count() as i64;
            for (at, of) in kept.iter().enumerate() {
                if let Some((_, count)) = of.iter().find(|(known, _)| *known == term) {
                    scores[at].1 += score(corpus, weight(corpus, with), Hit { count: *count, length: length(of) });
                }
            }
        }
        scores.retain(|(_, score)| *score > 0.0);
        scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scores.into_iter().map(|(at, _)| at).collect()
    }

    #[test]
    fn what_shares_the_rarer_words_comes_first() {
        let texts = [
            "The payment database ran out of connections after the deployment.",
            "The cache was cold after the deployment.",
            "The deployment script needs the staging key.",
            "Lunch is at noon.",
        ];
        assert_eq!(ranked(&texts, "Why do database connections run out?"), [0]);
        assert_eq!(ranked(&texts, "deployment cache")[0], 1);
        assert_eq!(ranked(&texts, "the of and"), Vec::<usize>::new());
        assert_eq!(ranked(&texts, "deployments").len(), 3);
    }

    #[test]
    fn a_long_text_is_worth_less_for_the_same_word() {
        let long = format!("timeout {}", (0..100).map(|n| format!("filler{n} ")).collect::<String>());
        assert_eq!(ranked(&[&long, "a timeout"], "timeout"), [1, 0]);
    }

    #[test]
    fn terms_are_words_in_one_form() {
        let found: Vec<_> =
            terms("Boxes, queries; STATUS class x 日本語 db_pool caches").into_iter().map(|(term, _)| term).collect();
        assert_eq!(found, ["box", "cach", "class", "db", "pool", "query", "status", "日本語"]);
        assert_eq!(query(&(0..100).map(|n| format!("w{n} ")).collect::<String>()).len(), MAX_QUERY);
        assert!(terms(&"é".repeat(500))[0].0.len() <= MAX_TERM);
    }

    #[test]
    fn weights_are_never_negative() {
        for (texts, with) in [(0, 0), (1, 1), (10, 10), (5, 10), (100_000, 1)] {
            assert!(weight(Corpus { texts, terms: texts * 10 }, with) >= 0.0);
        }
    }
}
