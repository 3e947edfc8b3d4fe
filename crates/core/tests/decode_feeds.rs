//! The ways in which suppliers write files, and each profile that ships: small files made for these
//! tests, with the oddities of the real ones.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use greenstream_core::Ts;
use greenstream_core::decode::{Feed, Given, Refusal};

/// `meter ts kw flags` or `meter ts reason` of each row, in file order.
fn rows(feed: &Feed, zone: Option<&str>, name: &str, content: &str) -> Result<Vec<String>, Refusal> {
    let decoder = feed.compile(&Given { time_zone: zone, name, landed_at: Ts::MAX }).unwrap();
    let mut stream = decoder.stream();
    stream.push(content.as_bytes())?;
    let mut decoded = stream.finish()?;
    if let Some(interval) = decoded.registers {
        decoded.difference(interval, &mut |_, _| None);
    }
    let coverage = decoded.coverage;
    assert_eq!(coverage.header + coverage.rows + coverage.skipped, content.len() as u64);
    let kept = decoded.rows.iter().map(|row| {
        let kw = row.kw.map_or("none".to_owned(), |kw| kw.to_string());
        let text = format!("{} {} {kw} {}", decoded.meters[row.meter as usize], row.ts, row.flags);
        (row.row_number, text.trim_end().to_owned())
    });
    let rejects = decoded.rejects.iter().map(|reject| {
        let ts = reject.ts.map_or("?".to_owned(), |ts| ts.to_string());
        (reject.row_number, format!("{} {ts} {}", reject.meter, reject.reason.name()))
    });
    let mut all: Vec<_> = kept.chain(rejects).collect();
    all.sort();
    Ok(all.into_iter().map(|(_, text)| text).collect())
}

#[track_caller]
fn check(profile: &str, content: &str, expected: &[&str]) {
    let feed: Feed = toml::from_str(&format!("name='f'\n{profile}")).unwrap();
    assert_eq!(rows(&feed, None, "f.csv", content).unwrap(), expected, "{profile}");
}

#[track_caller]
fn check_shipped(name: &str, zone: Option<&str>, upload: &str, content: &str, expected: &[&str]) {
    let (_, text) = Feed::built_in().into_iter().find(|(known, _)| *known == name).unwrap();
    let feed: Feed = toml::from_str(text).unwrap();
    assert!(feed.claims(upload), "{name} does not claim {upload}");
    assert_eq!(rows(&feed, zone, upload, content).unwrap(), expected, "{name}");
}

#[test]
fn lines_around_and_between_the_rows_are_passed_over_and_accounted_for() {
    check(
        "preamble=2\nskip=['#','Total','\"Total']\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'",
        "Report of\n\n\n# made by us\nm,t,v\nA,2026-03-02T00:00Z,1\n# note, with, more, fields\n\
         A,2026-03-02T01:00Z,2\n\nTotal,,3\n\"Total\",,3",
        &["A 2026-03-02T00:00:00Z 1", "A 2026-03-02T01:00:00Z 2"],
    );
    let feed: Feed =
        toml::from_str("name='f'\npreamble=9\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'")
            .unwrap();
    assert_eq!(rows(&feed, None, "f.csv", "one\ntwo\n"), Err(Refusal::Empty));
    let feed: Feed =
        toml::from_str("name='f'\npreamble=1\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'")
            .unwrap();
    let refused = rows(&feed, None, "f.csv", "one\n\nm,t\n").unwrap_err().to_string();
    assert!(refused.starts_with("line 3: "), "{refused}");
}

#[test]
fn a_name_in_a_profile_ends_where_a_name_in_a_header_ends() {
    let profile = |value: &str| format!("unit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue={value}");
    let rows_of = |end: &str| format!("m, t ,v{end}\nA,2026-03-02T00:00Z,1\n");
    check(&profile("\" V\\t\""), &rows_of("\t "), &["A 2026-03-02T00:00:00Z 1"]);
    for (end, written) in [("\u{c}", "\\f"), ("\u{a0}", "\u{a0}"), ("\u{a0} ", "\u{a0}")] {
        check(&profile(&format!("\"v{written}\"")), &rows_of(end), &["A 2026-03-02T00:00:00Z 1"]);
    }
}

#[test]
fn a_date_and_a_time_are_read_together_and_a_meter_may_take_several_columns() {
    check(
        "delimiter=';'\ntime_format='%d/%m/%Y %H:%M'\ntime_zone='UTC'\nunit='kW'\n\
         [columns]\nmeter_parts=['site','register']\ndate='day'\ntime='clock'\nvalue='v'",
        "day;clock;site;register;v\n2/3/2026;7:15;S1;night;1\n02/03/2026;07:15;S1;day;2\n\
         02/13/2026;07:15;S1;day;2\n02/03/2026;;S1;day;2\n02/03/2026;07:30;;;2\n",
        &[
            "S1-night 2026-03-02T07:15:00Z 1",
            "S1-day 2026-03-02T07:15:00Z 2",
            "S1-day ? timestamp_invalid",
            "S1-day ? timestamp_invalid",
            " 2026-03-02T07:30:00Z meter_id_invalid",
        ],
    );
    check(
        "time_zone='Europe/London'\nunit='kW'\n[columns]\nmeter=1\ndate=2\ntime=3\nvalue=4",
        "m,d,c,v\nA,2026-03-02,00:15:00,1\n",
        &["A 2026-03-02T00:15:00Z 1 utc_normalized"],
    );
}

#[test]
fn numbers_with_a_decimal_comma_thousands_a_guard_or_a_factor_are_exact() {
    let feed = |more: &str| {
        format!("delimiter=';'\nunit='W'\n{more}\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'")
    };
    let file = |values: &[&str]| {
        let lines: Vec<_> = values.iter().map(|value| format!("A;1772415000;{value}\n")).collect();
        format!("m;t;v\n{}", lines.concat())
    };
    check(
        &feed("decimal=','\nthousands='.'\nmissing=['-999,9']"),
        &file(&["1.234,5", "0,25", "1.5", "-999,9", ""]),
        &[
            "A 2026-03-02T01:30:00Z 1.2345 unit_converted",
            "A 2026-03-02T01:30:00Z 0.00025 unit_converted",
            "A 2026-03-02T01:30:00Z value_invalid",
            "A 2026-03-02T01:30:00Z none missing_value",
            "A 2026-03-02T01:30:00Z none missing_value",
        ],
    );
    check(&feed("factor=0.001"), &file(&["1500"]), &["A 2026-03-02T01:30:00Z 0.0015 unit_converted"]);
    check(&feed("factor=1000"), &file(&["1.5"]), &["A 2026-03-02T01:30:00Z 1.5 unit_converted"]);
    check(
        &feed("guarded=true"),
        "m;t;v\n=\"007\";=\"1772415000\";=\"1500\"\n\"=\"\"008\"\"\";1772415000;2\n",
        &["007 2026-03-02T01:30:00Z 1.5 unit_converted", "008 2026-03-02T01:30:00Z 0.002 unit_converted"],
    );
}

/// Half hours of London's autumn and spring changes, labelled at their end in either way.
#[test]
fn labels_at_the_end_of_intervals_lose_and_invent_nothing_when_clocks_change() {
    let feed = |label: &str| {
        format!(
            "time_zone='Europe/London'\nlabel='{label}'\ninterval='30min'\nunit='kW'\n\
             [columns]\nmeter='m'\ntimestamp='t'\nvalue='v'"
        )
    };
    let file = |labels: &[&str]| {
        let lines: Vec<_> = (1..).zip(labels).map(|(value, label)| format!("A,{label},{value}\n")).collect();
        format!("m,t,v\n{}", lines.concat())
    };
    let autumn = |resolved: [bool; 6]| -> Vec<String> {
        let starts = ["25T23:30", "26T00:00", "26T00:30", "26T01:00", "26T01:30", "26T02:00"];
        (1..)
            .zip(starts.into_iter().zip(resolved))
            .map(|(value, (start, resolved))| {
                let flag = if resolved { "|dst_resolved" } else { "" };
                format!("A 2025-10-{start}:00Z {value} utc_normalized{flag}")
            })
            .collect()
    };
    let check_strings = |profile: &str, content: &str, expected: &[String]| {
        check(profile, content, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    };
    // what the clock showed: the hour from 01:00 to 02:00 ends twice at 01:00 and 01:30
    let shown = ["01:00", "01:30", "01:00", "01:30", "02:00", "02:30"].map(|t| format!("2025-10-26 {t}"));
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    check_strings(&feed("end"), &file(&shown), &autumn([true, true, true, true, false, false]));
    // the clock at the start, and half an hour
    let added = ["01:00", "01:30", "02:00", "01:30", "02:00", "02:30"].map(|t| format!("2025-10-26 {t}"));
    let added: Vec<&str> = added.iter().map(String::as_str).collect();
    check_strings(&feed("wall_end"), &file(&added), &autumn([false, true, true, true, true, false]));
    let spring = [
        "A 2026-03-29T00:00:00Z 1 utc_normalized",
        "A 2026-03-29T00:30:00Z 2 utc_normalized",
        "A 2026-03-29T01:00:00Z 3 utc_normalized",
    ];
    let day = |times: [&str; 3]| times.map(|t| format!("2026-03-29 {t}"));
    for (label, times) in [
        ("end", ["00:30", "02:00", "02:30"]),
        // a label that the clock never showed can only mean the change itself
        ("end", ["00:30", "01:00", "02:30"]),
        ("wall_end", ["00:30", "01:00", "02:30"]),
    ] {
        let labels = day(times);
        check(&feed(label), &file(&labels.each_ref().map(String::as_str)), &spring);
    }
    check(&feed("end"), &file(&["2026-03-29 01:30"]), &["A ? timestamp_nonexistent"]);
    check(
        "label='end'\ninterval='1h'\ntime_format='%Y%m%d %H:%M'\ntime_zone='UTC'\nunit='kW'\n\
         [columns]\nmeter='m'\ntimestamp='t'\nvalue='v'",
        "m,t,v\nA,20260302 24:00,1\n",
        &["A 2026-03-02T23:00:00Z 1"],
    );
}

#[test]
fn profiles_that_cannot_be_meant_are_refused() {
    for (profile, problem) in [
        ("unit='MW'\nfactor=10\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`factor` takes the unit"),
        ("unit='kW'\nfactor=3\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`factor` is"),
        ("unit='kW'\nskip=[\"a\\n\"]\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`skip` says"),
        ("unit='kW'\nskip=['']\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`skip` says"),
        ("unit='kW'\nlabel='end'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "the length of the `interval`"),
        (
            "unit='kW'\ninterval='1h'\nlabel='end'\n[columns]\nmeter=1\ntimestamp=2\nslots={first=3,count=2}",
            "leave `label` out",
        ),
        ("unit='kW'\n[columns]\nmeter=1\ndate=2\nvalue=3", "a date without a time"),
        ("unit='kW'\n[columns]\nmeter=1\ntime=2\ntimestamp=2\nvalue=3", "`columns.time` needs"),
        ("unit='kW'\ndecimal=';'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`decimal` is"),
        ("unit='kW'\nthousands='.'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`thousands` is"),
        ("unit='kW'\nyear=2018\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`year` needs"),
        (
            "unit='kW'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3\nonly=[{column=1,is=[]}]",
            "each of `columns.only`",
        ),
        (
            "unit='kW'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3\nseason={column=4,summer=[]}",
            "`columns.season` says",
        ),
        (
            "unit='kW'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3\noffset=5\nseason={column=4,summer=['1']}",
            "leave one out",
        ),
        (
            "unit='kW'\ninterval='1h'\nregisters=true\n[columns]\nmeter=1\ntimestamp=2\nvalue=3",
            "a `unit` of energy",
        ),
        ("unit='kWh'\nregisters=true\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`registers` need"),
        (
            "unit='kWh'\ninterval='1h'\nintervals=['1h']\n[columns]\nmeter=1\ntimestamp=2\nvalue=3",
            "from one of them",
        ),
        ("header=false\nunit='kW'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3\nfactor='f'", "by position"),
        ("unit='kW'\ntime_format='%Y %m'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "a month and a day"),
        ("unit='kW'\ntime_format='%Y %d'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "a month and a day"),
        ("unit='kW'\ntime_format='%Y %m %d %V'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "or a week"),
        ("unit='kW'\ntime_format='%m %d'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "the year must"),
        ("unit='kW'\ntime_format='%Y %m %d %I'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "%I and %p"),
        ("by_header=true\nheader=false\nunit='kW'\n[columns]\nmeter=1\ntimestamp=2\nvalue=3", "`by_header`"),
    ] {
        let feed: Feed = toml::from_str(&format!("name='f'\n{profile}")).unwrap();
        let error = feed.check().unwrap_err().to_string();
        assert!(error.contains(problem), "{profile}: {error}");
    }
}

#[test]
fn a_column_decides_which_lines_hold_rows() {
    check(
        "unit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\n\
         only=[{column='kind',is=['Power','Strom']},{column='ok',is=['']}]",
        "m,t,v,kind,ok\nA,1772415000,1,power,\nA,1772415900,2,Gas,\nA,1772416800,3,\"STROM\",\n\
         A,1772417700,4,Power,no\ntorn\nA,late,5,\"Power\",\n\nA,1772418600,6,Power,",
        &[
            "A 2026-03-02T01:30:00Z 1",
            "A 2026-03-02T02:00:00Z 3",
            " ? row_malformed",
            "A ? timestamp_invalid",
            "A 2026-03-02T02:30:00Z 6",
        ],
    );
}

#[test]
fn a_column_multiplies_the_values_exactly() {
    check(
        "unit='kWh'\ninterval='30min'\ndecimal=','\ndelimiter=';'\n[columns]\nmeter='m'\ntimestamp='t'\n\
         factor='f'\nvalues=[{column='v',plus=['w']}]",
        "m;t;v;w;f\nA;1772415000;1,5;0,25;1\nA;1772416800;0,1;-0,3;0,05\nA;1772418600;1;;2\nA;1772420400;1;1;\n\
         A;1772422200;1;1;1.5\nA;1772424000;0,0000001;0;40\n",
        &[
            "A 2026-03-02T01:30:00Z 3.5 energy_to_power",
            "A 2026-03-02T02:00:00Z -0.02 energy_to_power",
            "A 2026-03-02T02:30:00Z none missing_value",
            "A 2026-03-02T03:00:00Z value_invalid",
            "A 2026-03-02T03:30:00Z value_invalid",
            "A 2026-03-02T04:00:00Z 0.000008 energy_to_power",
        ],
    );
}

/// The hours around the end of summer time in Berlin on 26 October 2025, out of order.
#[test]
fn a_column_tells_the_repeated_hour_apart() {
    let lines = |summer: &str, winter: &str| {
        format!(
            "m,t,v,s\nA,2025-10-26 01:30,1,{summer}\nA,2025-10-26 02:30,3,{winter}\nA,2025-10-26 02:30,2,{summer}\n\
             A,2025-10-26 03:30,4,{winter}\n"
        )
    };
    let utc = |flags: &str| {
        let row =
            |hour: &str, kw, flags: &str| format!("A 2025-10-2{hour}:30:00Z {kw} utc_normalized{flags}");
        [row("5T23", 1, ""), row("6T01", 3, flags), row("6T00", 2, flags), row("6T02", 4, "")]
    };
    let columns = "unit='kW'\ntime_zone='Europe/Berlin'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\n";
    for (column, summer, winter, flags) in [
        ("season={column='s',summer=['CEST','s']}", "cest", "CET", "|dst_resolved"),
        ("season={column='s',summer=['1']}", "1", "0", "|dst_resolved"),
        ("offset='s'", "+02:00", "+01", ""),
        ("offset='s'", "+0200", "+01:00", ""),
    ] {
        let expected = utc(flags);
        let expected = expected.each_ref().map(String::as_str);
        check(&format!("{columns}{column}"), &lines(summer, winter), &expected);
    }
    // where the column says nothing of use the row says so
    check(
        &format!("{columns}offset='s'"),
        "m,t,v,s\nA,2025-10-26 02:30,1,soon\nA,2025-10-26T02:30Z,1,+02\n",
        &["A ? timestamp_invalid", "A 2025-10-26T02:30:00Z 1"],
    );
}

#[test]
fn a_revision_is_a_whole_number() {
    check(
        "unit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'\nrevision='r'",
        "m,t,v,r\nA,1772415000,1,0\nA,1772415000,2,999999999\nA,1772415900,3,\nA,1772416800,4,1.5\nA,1772417700,,x\n",
        &[
            "A 2026-03-02T01:30:00Z 1",
            "A 2026-03-02T01:30:00Z 2",
            "A 2026-03-02T01:45:00Z value_invalid",
            "A 2026-03-02T02:00:00Z value_invalid",
            "A 2026-03-02T02:15:00Z value_invalid",
        ],
    );
}

#[test]
fn the_first_revision_is_told_from_none() {
    let columns = "unit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'";
    for (revision, expected) in [("", 0), ("\nrevision='r'", 1)] {
        let feed: Feed = toml::from_str(&format!("name='f'\n{columns}{revision}")).unwrap();
        let decoder = feed.compile(&Given { time_zone: None, name: "", landed_at: Ts::MAX }).unwrap();
        let mut stream = decoder.stream();
        stream.push(b"m,t,v,r\nA,1772415000,1,0\n").unwrap();
        assert_eq!(stream.finish().unwrap().rows[0].revision, expected);
    }
}

#[test]
fn a_factor_is_a_power_of_ten() {
    for (factor, kw) in [
        ("0.001", "0.0025"),
        ("0.01", "0.025"),
        ("0.1", "0.25"),
        ("1", "2.5"),
        ("10", "25"),
        ("100", "250"),
        ("1000", "2500"),
    ] {
        let feed = format!("unit='W'\nfactor={factor}\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'");
        let row = format!("A 2026-03-02T01:30:00Z {kw} unit_converted");
        check(&feed, "m,t,v\nA,1772415000,2500\n", &[&row]);
    }
}

#[test]
fn a_time_format_may_have_a_percent_sign() {
    let feed = "time_format='%Y-%m-%d%%%H:%M'\ntime_zone='UTC'\nunit='kW'\n\
                [columns]\nmeter='m'\ntimestamp='t'\nvalue='v'";
    check(
        feed,
        "m,t,v\nA,2026-03-02%01:30,1\nA,2026-03-02 01:30,1\n",
        &["A 2026-03-02T01:30:00Z 1", "A ? timestamp_invalid"],
    );
}

#[test]
fn a_column_that_is_no_column_is_refused_with_what_it_could_be() {
    for column in ["true", "1.5", "0", "-3"] {
        let text = format!("name='f'\nunit='kW'\n[columns]\nmeter={column}\ntimestamp='t'\nvalue='v'");
        let error = toml::from_str::<Feed>(&text).unwrap_err().to_string();
        assert!(error.contains("a column's name, a list of names, or its position from 1"), "{error}");
    }
}

#[test]
fn a_time_format_may_end_with_an_offset() {
    let feed = "time_format='%Y-%m-%d %H:%M%z'\nunit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'";
    check(
        feed,
        "m,t,v\nA,2026-03-02 01:30Z,1\nA,2026-03-02 01:30+01:00,2\nA,2026-03-02 01:30-0130,3\n\
         A,2026-03-02 01:30+01,4\nA,2026-03-02 01:30z,5\nA,2026-03-02 01:30,6\nA,2026-03-02 01:30+24:00,7\n\
         A,2026-03-02 01:30+01:60,8\nA,2026-03-02 01:30+01:,9\n",
        &[
            "A 2026-03-02T01:30:00Z 1",
            "A 2026-03-02T00:30:00Z 2 utc_normalized",
            "A 2026-03-02T03:00:00Z 3 utc_normalized",
            "A 2026-03-02T00:30:00Z 4 utc_normalized",
            "A ? timestamp_invalid",
            "A ? timestamp_invalid",
            "A ? timestamp_invalid",
            "A ? timestamp_invalid",
            "A ? timestamp_invalid",
        ],
    );
}

#[test]
fn what_follows_the_start_of_an_interval_may_be_passed_over() {
    check(
        "unit='kW'\ntime_zone='UTC'\ntime_format='%Y-%m-%d %H:%M:%S to %*'\n[columns]\nmeter='m'\n\
         timestamp='t'\nvalue='v'",
        "m,t,v\nA,2026-03-02 00:00:00 to 2026-03-02 01:00:00,1\nA,2026-03-02 01:00:00,2\n",
        &["A 2026-03-02T00:00:00Z 1", "A ? timestamp_invalid"],
    );
}

#[test]
fn registers_become_differences_and_a_reset_a_missing_value() {
    check(
        "unit='kWh'\ninterval='15min'\nregisters=true\n[columns]\nmeter='m'\ntimestamp='t'\n\
         values=[{column='a',plus=['b']},{column='c',meter_suffix='-out'}]",
        // out of order, a hole, an empty cell, a reset, a row that is said again
        "m,t,a,b,c\nA,2026-03-02T00:15Z,10.25,5,7\nA,2026-03-02T00:00Z,10,5,7\nA,2026-03-02T00:30Z,10.5,4.9,\n\
         A,2026-03-02T01:00Z,11,5,7.5\nA,2026-03-02T01:15Z,0.1,0.1,7.5\nA,2026-03-02T01:30Z,0.2,0.1,8\n\
         A,2026-03-02T01:15Z,0.1,0.075,7.5\n",
        &[
            "A 2026-03-02T00:15:00Z 0.6 energy_to_power",
            "A-out 2026-03-02T00:15:00Z none missing_value",
            "A 2026-03-02T00:00:00Z 1 energy_to_power",
            "A-out 2026-03-02T00:00:00Z 0 energy_to_power",
            "A 2026-03-02T00:30:00Z none missing_value",
            "A-out 2026-03-02T00:30:00Z none missing_value",
            "A 2026-03-02T01:00:00Z none missing_value",
            "A-out 2026-03-02T01:00:00Z 0 energy_to_power",
            "A 2026-03-02T01:15:00Z 0.5 energy_to_power",
            "A-out 2026-03-02T01:15:00Z 2 energy_to_power",
            "A 2026-03-02T01:30:00Z none missing_value",
            "A-out 2026-03-02T01:30:00Z none missing_value",
            "A 2026-03-02T01:15:00Z 0.5 energy_to_power",
            "A-out 2026-03-02T01:15:00Z 2 energy_to_power",
        ],
    );
}

#[test]
fn intervals_of_several_lengths_are_told_by_the_next_row() {
    check(
        "unit='Wh'\nintervals=['10min','1min']\n[columns]\nmeter='m'\ntimestamp='t'\nvalue='v'",
        // blocks out of order, a hole after 00:20, doubled rows
        "m,t,v\nA,2026-03-02T01:00Z,1\nA,2026-03-02T01:01Z,2\nA,2026-03-02T00:00Z,10\nA,2026-03-02T00:10Z,20\n\
         A,2026-03-02T00:10Z,20\nA,2026-03-02T00:20Z,30\nB,2026-03-02T00:10Z,1\nA,2026-03-02T00:15Z,\n",
        &[
            "A 2026-03-02T01:00:00Z 0.06 energy_to_power",
            "A 2026-03-02T01:01:00Z 0.12 energy_to_power",
            "A 2026-03-02T00:00:00Z 0.06 energy_to_power",
            "A 2026-03-02T00:10:00Z 0.12 energy_to_power",
            "A 2026-03-02T00:10:00Z 0.12 energy_to_power",
            "A 2026-03-02T00:20:00Z 0.18 energy_to_power",
            "B 2026-03-02T00:10:00Z 0.06 energy_to_power",
            "A 2026-03-02T00:15:00Z none missing_value",
        ],
    );
}

#[test]
fn sums_and_slots_make_rows_of_several_columns() {
    check(
        "unit='kW'\n[columns]\nmeter='m'\ntimestamp='t'\nvalues=[{column='a',plus=['b','c'],meter_suffix='-x'},\
         {column='d',meter_suffix='-y'}]",
        "d,m,t,a,b,c\n9,A,1772415000,1,2,3\n9,A,1772415000,1,,3\n9,A,1772415000,1,z,3\n",
        &[
            "A-y 2026-03-02T01:30:00Z 9",
            "A-x 2026-03-02T01:30:00Z 6",
            "A-y 2026-03-02T01:30:00Z 9",
            "A-x 2026-03-02T01:30:00Z none missing_value",
            "A-y 2026-03-02T01:30:00Z 9",
            "A-x 2026-03-02T01:30:00Z value_invalid",
        ],
    );
    let wide = "time_zone='Europe/London'\ntime_format='%d.%m.%Y'\ninterval='6h'\nunit='kWh'\n\
                [columns]\nmeter='m'\ndate='day'\nslots={first='h00',count=4}";
    check(
        wide,
        "m,day,h00,h06,h12,h18,sum\nA,29.03.2026,6,12,,24,42\n",
        &[
            "A 2026-03-29T00:00:00Z 1 energy_to_power|utc_normalized",
            "A 2026-03-29T05:00:00Z 2 energy_to_power|utc_normalized",
            "A 2026-03-29T11:00:00Z none utc_normalized|missing_value",
            "A 2026-03-29T17:00:00Z 4 energy_to_power|utc_normalized",
        ],
    );
    let feed: Feed = toml::from_str(&format!("name='f'\n{wide}")).unwrap();
    let refused = rows(&feed, None, "f.csv", "m,day,h00,h06,h12\n").unwrap_err();
    assert!(refused.to_string().contains("has 5 columns, not 6"), "{refused}");
    assert!(refused.hint().contains("`columns.slots`"));
}

#[test]
fn fluvius_has_registers_guarded_ids_decimal_commas_and_a_repeated_hour() {
    check_shipped(
        "fluvius",
        None,
        "fluvius_2021.csv",
        "\u{feff}Van datum;Van tijdstip;Tot datum;Tot tijdstip;EAN;Meter;Metertype;Register;Volume;Eenheid;Validatiestatus\n\
         31-10-2021;02:45:00;31-10-2021;03:00:00;=\"541448000000000007\";1X;Digitaal;Afname Nacht;0,067;kWh;Gevalideerd\n\
         31-10-2021;02:45:00;31-10-2021;03:00:00;=\"541448000000000007\";1X;Digitaal;Afname Dag;;kWh;Geen verbruik\n\
         31-10-2021;02:45:00;31-10-2021;03:00:00;=\"541448000000000007\";1X;Digitaal;Afname Nacht;0,080;kWh;Geschat\n",
        &[
            "541448000000000007-Afname Nacht 2021-10-31T00:45:00Z 0.268 energy_to_power|utc_normalized|dst_resolved",
            "541448000000000007-Afname Dag 2021-10-31T00:45:00Z none utc_normalized|dst_resolved|missing_value",
            "541448000000000007-Afname Nacht 2021-10-31T01:45:00Z 0.32 energy_to_power|utc_normalized|dst_resolved",
        ],
    );
}

#[test]
fn enphase_has_american_dates_in_the_homes_own_time() {
    let content = "Date/Time,Energy Produced (Wh),Energy Consumed (Wh),Exported to Grid (Wh),Imported from Grid (Wh)\n\
                   10/30/2022 02:00,1,2,3,4\n10/30/2022 02:00,5,6,7,8\n";
    let expected: Vec<String> = [(0, [1, 2, 3, 4]), (1, [5, 6, 7, 8])]
        .into_iter()
        .flat_map(|(hour, values)| {
            let names = ["produced", "consumed", "exported", "imported"];
            names.into_iter().zip(values).map(move |(name, value)| {
                format!("enphase_a-{name} 2022-10-30T0{hour}:00:00Z 0.00{value} energy_to_power|utc_normalized|dst_resolved")
            })
        })
        .collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check_shipped("enphase", Some("Europe/Amsterdam"), "enphase_a.csv", content, &expected);
    let zoneless = ["consumed", "produced", "exported", "imported"].map(|_| "timestamp_no_zone");
    let (_, text) = Feed::built_in().into_iter().find(|(known, _)| *known == "enphase").unwrap();
    let feed: Feed = toml::from_str(text).unwrap();
    let found = rows(&feed, None, "enphase_a.csv", content).unwrap();
    assert!(found.iter().zip(zoneless).all(|(row, reason)| row.ends_with(reason)), "{found:?}");
}

#[test]
fn two_tariffs_and_three_phases_are_added() {
    check_shipped(
        "dsmr_reader",
        None,
        "dsmr_reader_b.csv",
        "Hour Start,Electricity 1 (Dutch Users: Low Tariff),Electricity 2 (Dutch Users: Normal Tariff),\
         Electricity 1 Returned (Dutch Users: Low Tariff),Electricity 2 Returned (Dutch Users: Normal Tariff),Gas\n\
         2024-01-01T00:00:00+01:00,0.196,0.004,0,0.1,0.032\n",
        &[
            "dsmr_reader_b-taken 2023-12-31T23:00:00Z 0.2 energy_to_power|utc_normalized",
            "dsmr_reader_b-returned 2023-12-31T23:00:00Z 0.1 energy_to_power|utc_normalized",
        ],
    );
    check_shipped(
        "myenergi_zappi",
        None,
        "myenergi_c.csv",
        "Serial Number,Timestamp,Diverter Energy (L1) (Wh),Diverter Energy (L2) (Wh),Diverter Energy (L3) (Wh)\n\
         Z1,2025-07-30T13:00:00.000Z,1000.50,0.25,0.25\n",
        &["Z1 2025-07-30T13:00:00Z 1.001 energy_to_power"],
    );
}

#[test]
fn uci_has_question_marks_quotes_and_a_torn_end() {
    check_shipped(
        "uci_household",
        None,
        "household_power_consumption.txt",
        "Date;Time;Global_active_power;Voltage\n16/12/2006;17:24:00;4.216;234.840\n16/12/2006;17:25:00;?;?\n\
         \"01/02/2007\";\"00:00:00\";0.326;\"243.150\"\n27/12/2006;18:4",
        &[
            "household_power_consumption 2006-12-16T16:24:00Z 4.216 utc_normalized",
            "household_power_consumption 2006-12-16T16:25:00Z none utc_normalized|missing_value",
            "household_power_consumption 2007-01-31T23:00:00Z 0.326 utc_normalized",
            " ? row_malformed",
        ],
    );
}

#[test]
fn homewizard_and_energie_manager_have_cumulative_registers() {
    check_shipped(
        "homewizard",
        Some("Europe/Amsterdam"),
        "homewizard_registers_h1.csv",
        "time,Import T1 kWh,Import T2 kWh,Export T1 kWh,Export T2 kWh\n2025-03-30 01:45,100,50.5,7,0\n\
         2025-03-30 03:00,100.25,50.5,7,0.125\n2025-03-30 03:15,100.25,50.75,7,\n",
        &[
            "homewizard_registers_h1-import 2025-03-30T00:45:00Z 1 energy_to_power|utc_normalized",
            "homewizard_registers_h1-export 2025-03-30T00:45:00Z 0.5 energy_to_power|utc_normalized",
            "homewizard_registers_h1-import 2025-03-30T01:00:00Z 1 energy_to_power|utc_normalized",
            "homewizard_registers_h1-export 2025-03-30T01:00:00Z none utc_normalized|missing_value",
            "homewizard_registers_h1-import 2025-03-30T01:15:00Z none utc_normalized|missing_value",
            "homewizard_registers_h1-export 2025-03-30T01:15:00Z none utc_normalized|missing_value",
        ],
    );
    check_shipped(
        "homewizard_1phase",
        Some("UTC"),
        "homewizard_1phase_h2.csv",
        "time,Import kWh,Export kWh\n2025-03-02 00:00,1,2\n2025-03-02 00:15,1.5,2\n",
        &[
            "homewizard_1phase_h2-import 2025-03-02T00:00:00Z 2 energy_to_power",
            "homewizard_1phase_h2-export 2025-03-02T00:00:00Z 0 energy_to_power",
            "homewizard_1phase_h2-import 2025-03-02T00:15:00Z none missing_value",
            "homewizard_1phase_h2-export 2025-03-02T00:15:00Z none missing_value",
        ],
    );
    // both 02:00 of the autumn night, told apart by the epoch
    check_shipped(
        "energie_manager",
        None,
        "energie_manager_x.csv",
        "\nname;ean;code;moment;moment-date;value;factor;type\nS;87;g1;1382832000;2013-10-27 02:00:00;7.5;2;0\n\
         S;87;g1;1382835600;2013-10-27 02:00:00;8;2;0\nS;87;g1;1382839200;2013-10-27 03:00:00;8.25;2;0\n",
        &[
            "87-g1 2013-10-27T00:00:00Z 1 energy_to_power",
            "87-g1 2013-10-27T01:00:00Z 0.5 energy_to_power",
            "87-g1 2013-10-27T02:00:00Z none missing_value",
        ],
    );
}

#[test]
fn shelly_mixes_intervals_and_engie_gas_with_power() {
    check_shipped(
        "shelly_em",
        None,
        "shelly_em3_a.csv",
        "Date/time UTC,Active energy Wh (A),Returned energy Wh (A)\n2025-01-11 00:10,30,0\n\
         2025-01-11 00:20,33,6\n2025-01-11 00:30,1,0\n2025-01-11 00:31,2,0\n",
        &[
            "shelly_em3_a 2025-01-11T00:10:00Z 0.18 energy_to_power",
            "shelly_em3_a-returned 2025-01-11T00:10:00Z 0 energy_to_power",
            "shelly_em3_a 2025-01-11T00:20:00Z 0.198 energy_to_power",
            "shelly_em3_a-returned 2025-01-11T00:20:00Z 0.036 energy_to_power",
            "shelly_em3_a 2025-01-11T00:30:00Z 0.06 energy_to_power",
            "shelly_em3_a-returned 2025-01-11T00:30:00Z 0 energy_to_power",
            "shelly_em3_a 2025-01-11T00:31:00Z 0.12 energy_to_power",
            "shelly_em3_a-returned 2025-01-11T00:31:00Z 0 energy_to_power",
        ],
    );
    check_shipped(
        "engie",
        None,
        "engie_home.csv",
        "\"Datum\",\"EAN\",\"Verbruik\",\"Type\",\"Piek\"\n\"2021-12-25T00:00:00+01:00\",\"87\",\"0.742\",\"Elektriciteit\",\"false\"\n\
         \"2021-12-25T00:00:00+01:00\",\"87\",\"1.2\",\"Gas\",\"0\"\n\"2021-12-25T01:00:00+01:00\",\"87\",\"0.5\",\"Elektriciteit\",\"true\"\n",
        &[
            "87 2021-12-24T23:00:00Z 0.742 energy_to_power|utc_normalized",
            "87 2021-12-25T00:00:00Z 0.5 energy_to_power|utc_normalized",
        ],
    );
}

/// Made up from the utilities' descriptions of their files.
#[test]
fn american_and_irish_portals_write_start_and_end_in_local_time() {
    let texas = |date: &str, time: &str, kwh: &str, kind: &str| {
        format!("'10443720000000001,{date},R1,{date}, {time}, 00:00,{kwh},A,{kind}\n").replace('\'', "")
    };
    check_shipped(
        "smart_meter_texas",
        None,
        "IntervalData_1.csv",
        &format!(
            "ESIID,USAGE_DATE,REVISION_DATE,REVISION,USAGE_START_TIME,USAGE_END_TIME,USAGE_KWH,ESTIMATED_ACTUAL,\
             CONSUMPTION_SURPLUSGENERATION\n{}{}",
            texas("11/01/2025", "23:45", "0.25", "Consumption"),
            texas("11/01/2025", "23:45", "0.5", "Surplus Generation")
        ),
        &[
            "10443720000000001-Consumption 2025-11-02T04:45:00Z 1 energy_to_power|utc_normalized",
            "10443720000000001-Surplus Generation 2025-11-02T04:45:00Z 2 energy_to_power|utc_normalized",
        ],
    );
    let irish = "MPRN,Meter Serial Number,Read Value,Read Type,Read Date and End Time\n\
        100,M1,0.5,Active Import Interval (kWh),26-10-2025 02:00\n100,M1,0.25,Active Import Interval (kWh),26-10-2025 01:30\n\
        100,M1,0.1,Active Import Interval (kWh),26-10-2025 01:30\n100,M1,7,Active Import Interval (kW),26-10-2025 01:00\n\
        100,M1,0,Active Export Interval (kWh),26-10-2025 01:00\n";
    check_shipped(
        "esb_networks_kwh",
        None,
        "HDF_calckWh_100.csv",
        irish,
        &[
            "100-Active Import Interval (kWh) 2025-10-26T01:30:00Z 1 energy_to_power|utc_normalized",
            "100-Active Import Interval (kWh) 2025-10-26T01:00:00Z 0.5 energy_to_power|utc_normalized|dst_resolved",
            "100-Active Import Interval (kWh) 2025-10-26T00:00:00Z 0.2 energy_to_power|utc_normalized|dst_resolved",
            "100-Active Export Interval (kWh) 2025-10-25T23:30:00Z 0 energy_to_power|utc_normalized|dst_resolved",
        ],
    );
    check_shipped(
        "esb_networks",
        None,
        "HDF_kW_100.csv",
        irish,
        &["100-Active Import Interval (kW) 2025-10-25T23:30:00Z 7 utc_normalized|dst_resolved"],
    );
    check_shipped(
        "pge",
        None,
        "pge_electric_1.csv",
        "Name,A B\nAddress,\"1 ROAD, TOWN\"\nAccount Number,1\nService,Service 1\n\n\
         TYPE,DATE,START TIME,END TIME,USAGE (kWh),COST,NOTES\nElectric usage,2025-03-09,01:00,01:14,0.25,$0.10,\n\
         Electric usage,2025-03-09,01:15,01:29,0.5,$0.10,\nNatural gas usage,2025-03-09,03:00,03:14,1,$0.10,\n",
        &[
            "pge_electric_1 2025-03-09T09:00:00Z 1 energy_to_power|utc_normalized",
            "pge_electric_1 2025-03-09T09:15:00Z 2 energy_to_power|utc_normalized",
        ],
    );
    check_shipped(
        "sce",
        None,
        "SCE_Usage_8.csv",
        "Energy Usage Information\n\"For location: 1 ROAD, TOWN\"\n\nMeter Reading Information\n\
         \"Type of readings: Electricity\"\n\nEnergy Delivered time period,Usage(Real energy in kilowatt-hours),Reading quality\n\
         \"2025-03-02 00:00:00 to 2025-03-02 01:00:00\",\"0.48\",\"\"\n\"2025-03-02 01:00:00 to 2025-03-02 02:00:00\",\"0.5\",\"\"\n",
        &[
            "8 2025-03-02T08:00:00Z 0.48 energy_to_power|utc_normalized",
            "8 2025-03-02T09:00:00Z 0.5 energy_to_power|utc_normalized",
        ],
    );
}

#[test]
fn weeks_and_slots_become_instants() {
    check_shipped(
        "swiss_slots",
        None,
        "dev_w47.csv",
        "vid,week,slot,kwh_15min\n7,w47,1,0.16\n7,w47,672,0.25\n7,w47,0,1\n7,w99,1,1\n",
        &[
            "7 2018-11-18T23:00:00Z 0.64 energy_to_power|utc_normalized",
            "7 2018-11-25T22:45:00Z 1 energy_to_power|utc_normalized",
            "7 ? timestamp_invalid",
            "7 ? timestamp_invalid",
        ],
    );
    check_shipped(
        "eemeter",
        None,
        "uk-electricity-1.csv.gz",
        "start,value\n2013-03-31 01:30:00,0.083\n",
        &["uk-electricity-1 2013-03-31T01:30:00Z 0.166 energy_to_power"],
    );
}

#[test]
fn the_header_is_found_where_the_profile_says_whether_it_fits_or_not() {
    let columns = "[columns]\nmeter = \"a\"\ntimestamp = \"b\"\nvalue = \"c\"";
    let names = |keys: &str, text: &[u8]| {
        let feed: Feed = toml::from_str(&format!("name = \"x\"\nunit = \"W\"\n{keys}\n{columns}")).unwrap();
        feed.header_names(text).map(|names| names.join("|"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(names("", b"\xef\xbb\xbf\"x,y\", z \r\n1,2"), some("x,y|z"));
    assert_eq!(names("delimiter = \";\"\npreamble = 1", b"made; by\n\nx;y"), some("x|y"));
    assert_eq!(names("skip = [\"#\"]", b"# x,y\np,q\n1,2"), some("p|q"));
    assert_eq!(names("encoding = \"latin-1\"", b"Z\xe4hler,Zeit\n"), some("Z\u{e4}hler|Zeit"));
    assert_eq!(names("header = false", b"1,2\n"), None);
    assert_eq!(names("", b"\n\n"), None);
    assert_eq!(names("preamble = 9", b"a,b\n"), None);
}
