//! Where a file may come from, by its words and ids: only to name likely time zones.

use super::words::Words;

/// Words of headers that few languages share, or that one country uses, with its zones.
const COUNTRIES: [(&str, &[&str], &str); 18] = [
    (
        "German",
        &["Europe/Berlin"],
        "verbrauch|zahler|zahlernummer|zaehler|zeit|uhrzeit|lastgang|messlokation|einheit|\
        wirkleistung|wert|von|bis|messwert|zahlpunkt|summe|leistung|messstelle|kunde",
    ),
    (
        "French",
        &["Europe/Paris"],
        "horodate|consommation|heure|puissance|compteur|soutirage|debut|valeur|prm|nature|unite|\
        identifiant",
    ),
    ("Spanish", &["Europe/Madrid"], "fecha|cups|obtencion|metodo|hora"),
    ("Italian", &["Europe/Rome"], "pod|giorno|prelevata|immessa|prelievo|lettura|ora|matricola|curva"),
    (
        "Swedish",
        &["Europe/Stockholm"],
        "forbrukning|anlaggning|anlaggningsid|matare|tidpunkt|varde|fran|till|matvarde|enhet",
    ),
    ("Norwegian", &["Europe/Oslo"], "forbruk|malepunkt|malepunktid|fra|til|volum|kvalitet|maler"),
    (
        "Danish",
        &["Europe/Copenhagen"],
        "maengde|malepunkt|malepunktid|maleenhed|forbrug|dato|maaler|kvantum|fra",
    ),
    (
        "Polish",
        &["Europe/Warsaw"],
        "godzina|pobor|zuzycie|licznik|licznika|ppe|wartosc|kierunek|jednostka|oddanie",
    ),
    (
        "Dutch",
        &["Europe/Amsterdam"],
        "verbruik|tijdstip|eenheid|aansluiting|teruglevering|waarde|datum|meterstand",
    ),
    ("Belgian", &["Europe/Brussels"], "afname|injectie|validatiestatus|eenheid"),
    ("Finnish", &["Europe/Helsinki"], "kulutus|kayttopaikka|mittari|aika|alkuaika|yksikko|maara|laatu"),
    ("Czech", &["Europe/Prague"], "spotreba|odberne|misto|hodina|cas|cinna"),
    (
        "Portuguese",
        &["Europe/Lisbon", "America/Sao_Paulo"],
        "leitura|unidade|consumidora|medidor|horario|demanda|ativa|consumo",
    ),
    ("Japanese", &["Asia/Tokyo"], "使用量|日付|年月日|供給地点|時刻|電力|計器|年"),
    ("Korean", &["Asia/Seoul"], "고객번호|일자|시간|사용량|전력|합계"),
    ("British", &["Europe/London"], "mpan|mpxn|gmt|bst"),
    ("Texan", &["America/Chicago"], "esiid"),
    ("Australian", &["Australia/Sydney", "Australia/Melbourne", "Australia/Brisbane"], "nmi"),
];

/// How ids of metering points begin, and in what zone those lie.
const IDS: [(&str, &str, &str); 13] = [
    ("ES0", "Spanish", "Europe/Madrid"),
    ("DE0", "German", "Europe/Berlin"),
    ("AT0", "Austrian", "Europe/Vienna"),
    ("IT0", "Italian", "Europe/Rome"),
    ("FR0", "French", "Europe/Paris"),
    ("PL0", "Polish", "Europe/Warsaw"),
    ("5414", "Belgian", "Europe/Brussels"),
    ("8716", "Dutch", "Europe/Amsterdam"),
    ("8717", "Dutch", "Europe/Amsterdam"),
    ("735999", "Swedish", "Europe/Stockholm"),
    ("571313", "Danish", "Europe/Copenhagen"),
    ("707057", "Norwegian", "Europe/Oslo"),
    ("5903", "Polish", "Europe/Warsaw"),
];

/// Zones to try where nothing says a country: one for each way of changing the clocks that is common.
pub(super) const COMMON: [&str; 9] = [
    "Europe/Berlin",
    "Europe/London",
    "Europe/Helsinki",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Los_Angeles",
    "Australia/Sydney",
    "Pacific/Auckland",
];

/// Zones whose clocks have not changed for as long as there are smart meters.
pub(super) const STEADY: [&str; 2] = ["Asia/Tokyo", "Asia/Seoul"];

/// A guess of where a file comes from.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) zones: Vec<&'static str>,
    pub(super) evidence: String,
}

/// The likeliest place; none where nothing speaks for one more than for another.
pub(super) fn place<'t>(names: impl Iterator<Item = &'t str>, meter: Option<&str>) -> Option<Place> {
    let by_id =
        IDS.iter().find(|(start, ..)| meter.is_some_and(|id| id.starts_with(start) && id.len() >= 13));
    if let Some((start, country, zone)) = by_id {
        let evidence = format!("meter ids that begin with {start}, as {country} ones do");
        return Some(Place { zones: vec![zone], evidence });
    }
    let all: String = names.collect::<Vec<_>>().join(" ");
    let words = Words::of(&all);
    let lower = all.to_lowercase();
    let has = |word: &&str| {
        if word.is_ascii() {
            words.tokens().iter().any(|token| token == *word)
        } else {
            lower.contains(*word)
        }
    };
    let mut scores: Vec<(usize, usize)> = COUNTRIES
        .iter()
        .enumerate()
        .map(|(at, (.., known))| (known.split('|').filter(has).count(), at))
        .collect();
    scores.sort_by_key(|(score, at)| (std::cmp::Reverse(*score), *at));
    let [(best, at), (next, _), ..] = scores.as_slice() else { return None };
    let (country, zones, known) = COUNTRIES.get(*at)?;
    // words that one country alone uses need no second
    let is_sure = *best > *next && (*best >= 2 || matches!(*country, "British" | "Texan" | "Australian"));
    is_sure.then(|| {
        let said: Vec<&str> = known.split('|').filter(has).take(4).collect();
        Place {
            zones: zones.to_vec(),
            evidence: format!("{country} words in the header: {}", said.join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_ids_speak_for_a_place() {
        for (names, meter, zone) in [
            (&["Datum", "von", "bis", "Verbrauch [kWh]"][..], None, Some("Europe/Berlin")),
            (&["Fecha", "Hora", "Consumo_kWh"], Some("ES0021000000000001AB"), Some("Europe/Madrid")),
            (
                &["Målepunkt id", "Fra_dato", "Til_dato", "Mængde", "Måleenhed"],
                None,
                Some("Europe/Copenhagen"),
            ),
            (&["日付", "使用量"], None, Some("Asia/Tokyo")),
            (&["date", "value"], None, None),
        ] {
            let found = place(names.iter().copied(), meter);
            assert_eq!(found.and_then(|place| place.zones.first().copied()), zone, "{names:?}");
        }
    }
}
