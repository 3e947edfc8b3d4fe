//! What the routes read: a home's database and journal, anew for each answer.

use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::hours::Hours;
use crate::home::Layout;
use crate::landing::{Error as LandingError, Zone};
use crate::outage::Outages;
use crate::store::{Reader, Store, StoreError};

/// Where a home's parts are, and what need not be read twice.
pub struct Places {
    pub layout: Layout,
    /// The journal as far as it was read: entries never change, so that only new ones are read.
    zone: Mutex<Option<Zone>>,
    pub hours: Hours,
    /// What the service that serves them finds out of order.
    pub outages: Arc<Outages>,
    /// A permit for each question that is read at the same time.
    pub readers: Semaphore,
}

/// Why a route gives no answer.
pub enum Problem {
    /// What was asked for is not there.
    NotFound(String),
    /// The question cannot be understood: what is wrong, and the way out.
    Question(String),
    /// The database or the journal cannot be read just now.
    Unavailable(String),
}

impl Problem {
    fn parts(self) -> (StatusCode, String) {
        match self {
            Problem::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Problem::Question(text) => (StatusCode::BAD_REQUEST, text),
            Problem::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, text),
        }
    }
}

/// For programs: a line of text.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, text) = self.parts();
        (status, format!("{text}\n")).into_response()
    }
}

/// The same for people: a page like the others.
pub struct ProblemPage(Problem);

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemText {
    here: &'static str,
    q: String,
    title: &'static str,
    text: String,
}

impl From<Problem> for ProblemPage {
    fn from(problem: Problem) -> ProblemPage {
        ProblemPage(problem)
    }
}

impl IntoResponse for ProblemPage {
    fn into_response(self) -> Response {
        let title = match &self.0 {
            Problem::NotFound(_) => "Not found",
            Problem::Question(_) => "This question has no answer",
            Problem::Unavailable(_) => "Not available just now",
        };
        let (status, text) = self.0.parts();
        let page = ProblemText { here: "", q: String::new(), title, text };
        match page.render() {
            Ok(page) => (status, Html(page)).into_response(),
            Err(error) => Problem::from(error).into_response(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        Problem::Unavailable(format!("database: {error}; {}", error.hint()))
    }
}

impl From<LandingError> for Problem {
    fn from(error: LandingError) -> Problem {
        Problem::Unavailable(format!("journal: {error}; {}", error.hint()))
    }
}

impl From<askama::Error> for Problem {
    fn from(error: askama::Error) -> Problem {
        Problem::Unavailable(format!("the page cannot be written: {error}"))
    }
}

impl Places {
    pub fn new(layout: Layout, readers: usize, outages: Arc<Outages>) -> Places {
        let readers = Semaphore::new(readers);
        Places { layout, zone: Mutex::new(None), hours: Hours::default(), outages, readers }
    }

    /// A connection of its own for each question: the file may be another one by the next.
    pub fn reader(&self) -> Result<Reader, Problem> {
        Ok(Store::reader(self.layout.database())?)
    }

    /// What `status --json` says, and what is out of order.
    pub fn status(&self, reader: &Reader) -> Result<Value, Problem> {
        // a panic while it was held leaves at worst a journal read in part, which a refresh goes on with
        let mut held = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let zone = Zone::read_on(&mut held, self.layout.landing_place())?;
        let mut status = crate::status::gather(reader, zone, &self.layout)?;
        status["outages"] = self.outages.json();
        Ok(status)
    }

    /// The same, or the outages alone where these are why it cannot be read: who watches the service is to hear of them.
    pub fn status_or_outages(&self) -> Result<Value, Problem> {
        let status = self.reader().and_then(|reader| self.status(&reader));
        status.or_else(|problem| match self.outages.json() {
            Value::Array(outages) if outages.is_empty() => Err(problem),
            outages => Ok(json!({ "outages": outages })),
        })
    }
}
