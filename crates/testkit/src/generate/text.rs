//! Text that reads like text: sentences of unevenly frequent words, names, numbers, some of them
//! outside ASCII, and JSON of search results.

use std::fmt::Write as _;

use super::random::Random;

/// The most frequent first; see [`word`].
const WORDS: &str = "the to of and a in is for that it on with as this be are was by from or at \
    an not have which can will we you if has all but more when one their would there been also \
    into only other new some time they these may should about than them could order data first \
    between after each where such over most being through two because before under used system \
    different same while since those both without against during within however number account \
    customer report payment delivery shipment invoice warehouse supplier contract region quarter \
    budget forecast revenue margin estimate request response service process result change issue \
    release version update review meeting schedule project manager engineer analyst department \
    policy agreement renewal discount refund balance statement transaction currency transfer bank \
    insurance claim coverage premium deadline reminder calendar appointment message attachment \
    document summary paragraph section table figure appendix reference source evidence \
    measurement temperature pressure humidity sensor threshold alarm maintenance inspection repair \
    replacement component assembly tolerance material aluminium copper polymer coating surface \
    machine conveyor packaging pallet container vessel harbour customs tariff declaration origin \
    destination carrier route distance duration weather visibility wind rainfall storm flood \
    harvest wheat barley irrigation fertiliser livestock pasture orchard vineyard market price \
    demand supply export import subsidy regulation compliance audit finding recommendation \
    approval signature notary witness testimony verdict appeal court hearing statute clause \
    hospital patient diagnosis treatment dosage allergy prescription laboratory sample specimen \
    culture protein enzyme sequence mutation genome placebo cohort trial consent ethics journal \
    peer citation hypothesis experiment variance regression correlation outlier median quantile \
    student curriculum lecture seminar semester scholarship tuition campus library archive museum \
    exhibition painting sculpture restoration curator festival concert orchestra rehearsal \
    audience ticket venue itinerary passport visa luggage departure arrival terminal platform \
    luminous reluctant adjacent brittle candid dormant earnest fragile gradual hollow intricate \
    jagged lenient meagre nimble opaque prudent quaint rugged sparse tentative urgent vivid \
    wary yielding abruptly barely closely densely evenly fairly gently hardly inward jointly \
    kindly loosely mostly neatly openly partly quietly roughly safely tightly usually wholly";

const RARE: [&str; 16] = [
    "Zürich",
    "São",
    "naïve",
    "façade",
    "Łódź",
    "résumé",
    "京都",
    "数据",
    "Москва",
    "Ångström",
    "δοκιμή",
    "🙂",
    "€",
    "½",
    "Ørsted",
    "déjà",
];

const NAMES: [&str; 16] = [
    "Amara", "Bogdan", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hiroshi", "Ingrid", "Joao",
    "Kwame", "Leila", "Mateo", "Nadia", "Oskar", "Priya",
];

fn words() -> &'static [&'static str] {
    static LIST: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
    LIST.get_or_init(|| WORDS.split_ascii_whitespace().collect())
}

/// Gives a word; the front of the list is drawn far more often, as in a language.
fn word(random: &mut Random) -> &'static str {
    let words = words();
    let u = random.fraction();
    words[(u * u * words.len() as f64) as usize]
}

/// Writes prose of at least so many bytes, ending with a sentence.
pub(super) fn prose(random: &mut Random, bytes: usize) -> String {
    let mut out = String::with_capacity(bytes + 120);
    while out.len() < bytes {
        if !out.is_empty() {
            // A paragraph now and then.
            out.push_str(if random.once_in(9) { "\n\n" } else { " " });
        }
        sentence(random, &mut out);
    }
    out
}

fn sentence(random: &mut Random, out: &mut String) {
    let start = out.len();
    let length = random.between(5, 19);
    for n in 0..length {
        if n > 0 {
            out.push_str(if random.once_in(11) { ", " } else { " " });
        }
        let result = match random.below(60) {
            0 => write!(out, "{}", random.below(2000)),
            1 => write!(out, "{}.{:02}", random.below(900), random.below(100)),
            2 => write!(out, "{}", NAMES[random.below(16) as usize]),
            3 => write!(out, "{}", RARE[random.below(16) as usize]),
            4 => write!(out, "#{:05x}", random.below(1 << 20)),
            _ => write!(out, "{}", word(random)),
        };
        result.expect("write to a text");
    }
    if let Some(first) = out.get_mut(start..start + 1) {
        first.make_ascii_uppercase();
    }
    out.push_str(if random.once_in(12) { "?" } else { "." });
}

/// Writes a few words, as a title or a search has them.
pub(super) fn title(random: &mut Random, count: u64) -> String {
    let words: Vec<&str> = (0..count).map(|_| word(random)).collect();
    words.join(" ")
}

/// Writes what a search tool answers, as JSON of about so many bytes.
pub(super) fn results(random: &mut Random, query: &str, bytes: usize) -> String {
    let mut out = format!("{{\"query\": \"{query}\", \"results\": [");
    let mut separator = "";
    while out.len() + 60 < bytes || separator.is_empty() {
        let (id, score) = (random.below(10_000_000), random.fraction());
        let count = random.between(2, 5);
        let title = title(random, count);
        let room = bytes.saturating_sub(out.len() + 60).clamp(40, 220) as u64;
        let length = random.between(30, room) as usize;
        let snippet = prose(random, length).replace('\n', "\\n");
        write!(
            out,
            "{separator}{{\"id\": {id}, \"title\": \"{title}\", \"score\": {score:.4}, \
             \"snippet\": \"{snippet}\"}}"
        )
        .expect("write to a text");
        separator = ", ";
    }
    let took = random.between(3, 900);
    write!(out, "], \"took_ms\": {took}}}").expect("write to a text");
    out
}

/// Gives samples of a slowly moving signal, as sound or a sensor has them: 16 bit, little-endian.
pub(super) fn signal(random: &mut Random, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + 2);
    let mut level = 0i32;
    while out.len() < bytes {
        level = (level + random.below(129) as i32 - 64) * 255 / 256;
        out.extend_from_slice(&(level as i16).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_vary_and_reach_their_length() {
        let mut random = Random::new(5);
        let (a, b) = (prose(&mut random, 300), prose(&mut random, 300));
        assert_ne!(a, b);
        assert!((300..440).contains(&a.len()), "{} bytes: {a}", a.len());
    }

    #[test]
    fn results_are_one_object() {
        let text = results(&mut Random::new(1), "a b", 400);
        assert!((340..700).contains(&text.len()), "{} bytes: {text}", text.len());
        assert!(text.starts_with("{\"query\": \"a b\"") && text.ends_with('}'));
    }
}
