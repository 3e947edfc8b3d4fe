//! Reads a written simulation again, with none of the code that wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use greenstream_core::{Ts, days_from_civil};
use greenstream_simulator::{Kind, Plan, Rates, Summary};

/// A simulation on disk, read again.
pub(crate) struct Written {
    pub(crate) plan: Plan,
    pub(crate) summary: Summary,
    /// Name to lines, without header and line ends.
    pub(crate) files: BTreeMap<String, Vec<Vec<u8>>>,
    pub(crate) truth: Vec<Entry>,
}

/// One line of the ground truth.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Entry {
    pub(crate) meter: String,
    pub(crate) ts: String,
    pub(crate) kind: Kind,
    pub(crate) file: String,
    /// 0 where there is none.
    pub(crate) line: usize,
    pub(crate) true_kw: String,
}

/// Writes the plan into a temporary folder and reads everything back.
pub(crate) fn written(plan: &Plan) -> Written {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("uploads");
    let mut heard = Vec::new();
    let summary = plan.write(&out, &mut |done, total| heard.push((done, total))).unwrap();
    assert_eq!(heard.last(), Some(&(plan.readings(), plan.readings())), "progress ends at the total");
    let mut beside: Vec<_> = names(home.path());
    beside.sort();
    assert_eq!(beside, ["uploads", "uploads.summary.json", "uploads.truth.csv"]);
    let files = names(&out).into_iter().map(|name| (name.clone(), lines(&out.join(name)))).collect();
    let truth = fs::read_to_string(home.path().join("uploads.truth.csv")).unwrap();
    let mut truth = truth.lines();
    assert_eq!(truth.next(), Some("meter_id,ts,kind,file,line,true_kw"));
    Written { plan: plan.clone(), summary, files, truth: truth.map(Entry::parse).collect() }
}

/// The same fleet with nothing going wrong: what it really drew.
pub(crate) fn flawless(plan: &Plan) -> Plan {
    let kept = [Kind::SolarExport, Kind::TruePeak];
    let defects =
        kept.into_iter().fold(Rates::none(), |rates, kind| rates.with(kind, plan.defects.get(kind)));
    Plan { defects, ..plan.clone() }
}

/// All default rates `times` as high, those of rare kinds at least `least`.
pub(crate) fn frequent(times: f64, least: f64) -> Rates {
    let rates = Rates::default();
    Kind::all()
        .filter(|kind| *kind != Kind::Corrected)
        .fold(rates, |all, kind| all.with(kind, (rates.get(kind) * times).max(least)))
}

impl Written {
    /// Entries of one kind.
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.truth.iter().filter(move |entry| entry.kind == kind)
    }

    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.of(kind).count() as u64
    }

    /// Files that are no repetitions, in landing order.
    pub(crate) fn first_deliveries(&self) -> impl Iterator<Item = (&String, &Vec<Vec<u8>>)> {
        self.files.iter().filter(|(name, _)| !name.contains("_again_of_"))
    }

    /// The line that an entry names.
    pub(crate) fn line(&self, entry: &Entry) -> &[u8] {
        &self.files[&entry.file][entry.line - 2]
    }
}

impl Entry {
    fn parse(line: &str) -> Entry {
        let fields: Vec<&str> = line.split(',').collect();
        let [meter, ts, kind, file, line, true_kw] = fields[..] else { panic!("six fields in {line}") };
        Entry {
            meter: meter.to_owned(),
            ts: ts.to_owned(),
            kind: Kind::from_name(kind).unwrap(),
            file: file.to_owned(),
            line: if line.is_empty() { 0 } else { line.parse().unwrap() },
            true_kw: true_kw.to_owned(),
        }
    }
}

/// The four fields of a line without quotes; none for another number of fields.
pub(crate) fn fields(line: &[u8]) -> Option<[&str; 4]> {
    let fields: Vec<&str> = std::str::from_utf8(line).ok()?.split(',').collect();
    fields.try_into().ok()
}

/// Minutes since 1970 of `2026-03-02T00:15:00` with whatever follows ignored.
pub(crate) fn minute(ts: &str) -> Option<i64> {
    let number = |from: usize, to: usize| ts.get(from..to)?.parse::<u8>().ok();
    let year = ts.get(..4)?.parse::<i64>().ok()?;
    let days = days_from_civil(year, number(5, 7)?, number(8, 10)?);
    let of_day = i64::from(number(11, 13)?) * 60 + i64::from(number(14, 16)?);
    Some(days * 1_440 + of_day)
}

/// The contract's spelling of a minute since 1970.
pub(crate) fn spelled(minute: i64) -> String {
    Ts::from_micros(minute * 60_000_000).to_string()
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(folder).unwrap().map(name).collect()
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes.last(), Some(&b'\n'), "{}", path.display());
    let mut lines = bytes[..bytes.len() - 1].split(|b| *b == b'\n').map(<[u8]>::to_vec);
    assert_eq!(lines.next().as_deref(), Some(b"meter_id,timestamp,energy_value,energy_unit".as_slice()));
    lines.collect()
}
