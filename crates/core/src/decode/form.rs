//! Formats that are not lines of columns, by their name in a feed profile.

use super::cmep::Cmep;
use super::feed::FileFormat;
use super::green_button::GreenButton;
use super::line_form::LineForm;
use super::nem::Nem;
use super::plan::ClockPlan;
use super::records::Form;
use super::{cmep, green_button, nem};

/// A feed of such a format made ready for one upload.
#[derive(Clone, Debug)]
pub(crate) struct FormPlan {
    pub(crate) format: FileFormat,
    pub(crate) clock: ClockPlan,
}

impl FormPlan {
    /// Begins an upload. Lines of columns have no form; they are read as [`super::Layout`] says.
    pub(crate) fn begin(&self) -> Box<dyn Form> {
        let clock = self.clock.clone();
        match self.format {
            FileFormat::Nem12 | FileFormat::Csv => Box::new(LineForm::new(Nem::new(clock))),
            FileFormat::Cmep => Box::new(LineForm::new(Cmep::new(clock))),
            FileFormat::GreenButton => Box::new(GreenButton::new(clock)),
        }
    }

    /// Whether an upload that begins with `head` is of the format.
    pub(crate) fn fits(&self, head: &[u8]) -> bool {
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        match self.format {
            FileFormat::Csv => false,
            FileFormat::Nem12 => nem::fits(head),
            FileFormat::Cmep => cmep::fits(head),
            FileFormat::GreenButton => green_button::fits(head),
        }
    }
}
