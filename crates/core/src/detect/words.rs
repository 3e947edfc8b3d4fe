//! The words that headers use, in the languages of those who send files.

use crate::decode::Unit;

/// What a column may be for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Meter,
    /// A register, channel or direction: a part of what tells one meter from another.
    Part,
    Timestamp,
    Date,
    Time,
    Start,
    End,
    Slot,
    Value,
    /// A value that is power.
    Power,
    /// A value that is energy.
    Energy,
    /// A register that only grows.
    Register,
    Unit,
    Quality,
    /// Something else that is measured or counted.
    Other,
}

/// Words by role: without accents, in lower case. Latin words of five letters and more are found within
/// compounds, too.
const WORDS: [(Role, &str); 15] = [
    (
        Role::Meter,
        "meter|meterid|meter id|mpan|mprn|nmi|esiid|esi id|serial|zahler|zaehler|zahlpunkt|\
        zaehlpunkt|messlokation|marktlokation|malo|melo|compteur|prm|pdl|point de livraison|\
        contatore|pod|cups|contador|medidor|matare|anlaggning|malepunkt|maalepunkt|malepunktid|\
        maaler|maler|licznik|licznika|ppe|ean|aansluiting|mittari|kayttopaikka|metering point|\
        meteringpoint|gsrn|service point|usage point|customer|household|kundennummer|\
        odberne misto|elektromer|unidade consumidora|lclid|mac|account|device|供給地点|メーター|計器|电表|户号",
    ),
    (Role::Part, "register|channel|kanal|obis|direction|richtung|suffix|kierunek|canal|flow"),
    (
        Role::Timestamp,
        "timestamp|datetime|date time|zeitstempel|horodate|horodatage|zeitpunkt|tidpunkt|moment|\
        tstp|data i godzina|fecha y hora|data e ora|datum und zeit|date heure|日時",
    ),
    (Role::Date, "date|datum|fecha|data|dato|dag|day|pvm|paiva|tag|jour|giorno|dia|dzien|日付|年月日|日期"),
    (
        Role::Time,
        "time|zeit|uhrzeit|hora|heure|ora|tid|klokkeslett|godzina|tijd|tijdstip|aika|kello|hour|\
        cas|hodina|時刻|時間|时间",
    ),
    (
        Role::Start,
        "start|from|von|begin|beginn|beginning|debut|inicio|desde|inizio|dal|fra|fran|van|od|ab|\
        alku|begins|alkuaika|開始",
    ),
    (
        Role::End,
        "end|bis|ende|fin|hasta|fine|al|til|till|tot|do|koniec|ending|slut|einde|loppu|loppuaika|ate|fim|\
        ends|konec|終了",
    ),
    (
        Role::Slot,
        "slot|period|periode|periodo|viertelstunde|kwartier|interval number|settlement period|\
        trading period|hora|hour|godzina|heure|stunde|時限",
    ),
    (
        Role::Value,
        "value|wert|valeur|valor|valore|varde|verdi|waarde|wartosc|import|bezug|load|lastgang|\
        afname|prelievo|mangde|maengde|kvantum|quantity|volume|volym|prelevata|ilosc|active|\
        delivered|usage|quantidade|kwhh|数值",
    ),
    (
        Role::Power,
        "leistung|power|puissance|potencia|potenza|effekt|moc|demand|vermogen|teho|wirkleistung|\
        需要電力",
    ),
    (
        Role::Energy,
        "energy|electricity|electricite|elettricita|electricidad|stroom|strom|energie|energia|\
        consumption|verbrauch|consommation|consumo|forbrukning|forbruk|forbrug|pobor|zuzycie|\
        verbruik|kulutus|spotreba|soutirage|使用量|電力量|用电量|export|einspeisung|lieferung|generation|\
        production|erzeugung|injectie|injection|immessa|excedente|vertido|produktion|produksjon|\
        oddana|returned|received|generacion|売電",
    ),
    (
        Role::Register,
        "zahlerstand|zaehlerstand|meter reading|register reading|meterstand|index|cumulative|\
        cumul|odczyt|lectura|lettura|matarstallning|malerstand|stand|leitura|指示数|totalizer",
    ),
    (
        Role::Unit,
        "unit|units|einheit|unite|unidad|unidade|unita|enhet|enhed|eenheid|jednostka|uom|yksikko|\
        単位|单位",
    ),
    (
        Role::Quality,
        "quality|status|qualitat|flag|statut|etat|estado|stato|kvalitet|kwaliteit|validatiestatus|\
        jakosc|qualite|note|notes|comment|kommentar|type|method|metodo",
    ),
    (
        Role::Other,
        "cost|price|kosten|preis|prix|precio|prezzo|pris|cena|kost|temperature|temp|temperatur|\
        gas|water|wasser|voltage|spannung|current|reactive|blindarbeit|blindleistung|reattiva|\
        reactiva|reaktiv|apparent|scheinleistung|factor|latitude|longitude|eur|usd|gbp|co2|\
        humidity|row|nr|no|lfd|rate|importe|var|kvar|varh|kvarh|kva|kvah|cosphi|frequency|料金",
    ),
];

/// A header text without case and accents, and its words.
pub(super) struct Words {
    raw: String,
    all: String,
    tokens: Vec<String>,
}

impl Words {
    pub(super) fn of(text: &str) -> Words {
        let raw = text.to_lowercase();
        let mut spaced = String::new();
        // `HourUTC` is two words, `kWh` is one
        let mut lower = 0;
        for c in text.chars() {
            if c.is_uppercase() && lower > 2 {
                spaced.push(' ');
            }
            lower = if c.is_lowercase() { lower + 1 } else { 0 };
            for c in c.to_lowercase() {
                spaced.push_str(fold(c).unwrap_or(c.encode_utf8(&mut [0; 4])));
            }
        }
        let tokens: Vec<String> = spaced
            .split(|c: char| !c.is_alphanumeric())
            .filter(|token| !token.is_empty())
            .map(str::to_owned)
            .collect();
        Words { raw, all: format!(" {} ", tokens.join(" ")), tokens }
    }

    /// How surely the text names a column of this role: 3 it does and no more, 2 by a word of it, 1 by a
    /// part of a word, 0 not.
    pub(super) fn says(&self, role: Role) -> u32 {
        let words = WORDS.iter().filter(|(known, _)| *known == role).flat_map(|(_, words)| words.split('|'));
        words.map(|word| self.matches(word)).max().unwrap_or(0)
    }

    fn matches(&self, word: &str) -> u32 {
        let joined = self.all.trim();
        if joined == word || joined.replace(' ', "") == word.replace(' ', "") {
            3
        } else if self.all.contains(&format!(" {word} ")) {
            2
        } else if (word.is_ascii() && word.len() >= 5 && self.tokens.iter().any(|token| token.contains(word)))
            || (!word.is_ascii() && self.raw.contains(word))
        {
            1
        } else {
            0
        }
    }

    /// The unit that a word of the text is: `Verbrauch [kWh]`, `kwh_15min`, `KWH/hh`.
    pub(super) fn unit(&self) -> Option<Named> {
        self.tokens.iter().find_map(|token| unit_of(token)).or_else(|| {
            let glued = [("kwh", Unit::Kwh), ("mwh", Unit::Mwh)];
            let of = |token: &String| {
                glued.into_iter().find(|(unit, _)| token.starts_with(unit) || token.ends_with(unit))
            };
            self.tokens.iter().find_map(of).map(|(_, unit)| Named::Active(unit))
        })
    }

    pub(super) fn tokens(&self) -> &[String] {
        &self.tokens
    }
}

/// A unit as a text names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Named {
    /// One that profiles know.
    Active(Unit),
    /// Of something else: reactive energy, money, degrees.
    Foreign,
}

/// The unit that a text is, in any case.
pub(super) fn unit_of(text: &str) -> Option<Named> {
    Some(Named::Active(match text.trim().to_ascii_lowercase().as_str() {
        "w" | "watt" | "watts" => Unit::W,
        "kw" | "kilowatt" | "kilowatts" => Unit::Kw,
        "mw" | "megawatt" => Unit::Mw,
        "wh" => Unit::Wh,
        "kwh" => Unit::Kwh,
        "mwh" => Unit::Mwh,
        "kvarh" | "kvar" | "varh" | "var" | "kva" | "kvah" | "va" | "m3" | "m³" | "eur" | "usd" | "°c"
        | "v" | "a" | "hz" | "%" => {
            return Some(Named::Foreign);
        }
        _ => return None,
    }))
}

/// The plain letters of an accented one.
fn fold(c: char) -> Option<&'static str> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ą' => "a",
        'ç' | 'ć' | 'č' => "c",
        'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ě' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ñ' | 'ń' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' => "o",
        'ù' | 'ú' | 'û' | 'ü' | 'ů' => "u",
        'ý' => "y",
        'ł' => "l",
        'ś' | 'š' => "s",
        'ź' | 'ż' | 'ž' => "z",
        'ř' => "r",
        'æ' => "ae",
        'œ' => "oe",
        'ß' => "ss",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_many_languages_say_what_their_columns_are_for() {
        for (text, role, score) in [
            ("Zählernummer", Role::Meter, 1),
            ("meter_id", Role::Meter, 3),
            ("Förbrukning [kWh]", Role::Energy, 2),
            ("Consommation (Wh)", Role::Energy, 2),
            ("30分電力使用量(kWh)", Role::Energy, 1),
            ("Pobór mocy", Role::Energy, 2),
            ("FECHA", Role::Date, 3),
            ("Van datum", Role::Start, 2),
            ("Zählerstand", Role::Register, 3),
            ("HourUTC", Role::Time, 2),
            ("Temperature", Role::Other, 3),
            ("kVArh", Role::Other, 3),
        ] {
            assert_eq!(Words::of(text).says(role), score, "{text}");
        }
    }

    #[test]
    fn a_unit_is_a_word_of_its_own() {
        for (text, unit) in [
            ("Verbrauch [kWh]", Some(Named::Active(Unit::Kwh))),
            ("kwh_15min", Some(Named::Active(Unit::Kwh))),
            ("kwhh", Some(Named::Active(Unit::Kwh))),
            ("KWH/hh (per half hour)", Some(Named::Active(Unit::Kwh))),
            ("Power W", Some(Named::Active(Unit::W))),
            ("Wert", None),
            ("Reactive kvarh", Some(Named::Foreign)),
        ] {
            assert_eq!(Words::of(text).unit(), unit, "{text}");
        }
    }
}
